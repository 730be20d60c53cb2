"""What an engine is built from."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from scheduler.engine.attempts import Runner
from scheduler.engine.host import Host
from scheduler.engine.settings import LoopSettings
from scheduler.engine.ticker import Ticker
from scheduler.observing import Observers
from scheduler.store import SchedulerSession
from scheduler.timing.clock import Clock


@dataclass(frozen=True, slots=True)
class Dependencies:
    """The parts that an engine uses and does not make. The loop's own clock is that of the running event loop."""

    session: SchedulerSession
    runner: Runner
    clock: Clock
    """The wall clock."""
    settings: LoopSettings
    observers: Observers
    ticker: Ticker
    """What calls the heartbeat."""
    host: Host
    sleep: Callable[[float], None] = time.sleep
    """Waits in the store's thread, between tries to write the last outcomes."""
