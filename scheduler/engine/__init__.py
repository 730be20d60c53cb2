"""What makes the passes and the runs of a running scheduler: asyncio, no APScheduler.

An `Engine` is built from its `Dependencies`, among them the `Host` that it runs inside: APScheduler's scheduler, or
`Standalone`, nothing.
"""

from scheduler.engine.dependencies import Dependencies
from scheduler.engine.engine import Engine
from scheduler.engine.host import Host, Standalone, Submit
from scheduler.engine.lifecycle import MOVES, State
from scheduler.engine.machine import Machine, RealMachine, ticker_for
from scheduler.engine.run_slots import OnEnd
from scheduler.engine.settings import LoopSettings
from scheduler.engine.ticker import NoTicker, ThreadTicker, Ticker

__all__ = [
    "MOVES",
    "Dependencies",
    "Engine",
    "Host",
    "LoopSettings",
    "Machine",
    "NoTicker",
    "OnEnd",
    "RealMachine",
    "Standalone",
    "State",
    "Submit",
    "ThreadTicker",
    "Ticker",
    "ticker_for",
]
