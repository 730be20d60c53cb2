"""What a pass of a scheduler found and did."""

from dataclasses import dataclass, field

from scheduler.store.claims import Claim, NotStarted
from scheduler.store.committed import Committed
from scheduler.store.expiring import Expiring
from scheduler.store.outcomes import Outcome
from scheduler.store.unloadable import Changes


@dataclass(slots=True)
class PassResult:
    """What a pass found and did."""

    claims: list[Claim] = field(default_factory=list)
    not_started: list[NotStarted] = field(default_factory=list)
    """Due times that went into the history without being started."""
    quarantined: list[tuple[str, str]] = field(default_factory=list)
    """Tasks whose stored row is damaged, so that nobody can run them, each with the reason."""
    unloadable: Changes = field(default_factory=Changes)
    """Tasks that this process leaves to others, and code that is to be loaded."""
    paused: list[tuple[str, str]] = field(default_factory=list)
    """Tasks that were paused by their failures, each with the reason."""
    resumed: list[str] = field(default_factory=list)
    """Tasks whose pause has ended by itself."""
    expiring: Expiring = field(default_factory=Expiring)
    """Tasks and waiting runs that will expire."""
    lost: list[Outcome] = field(default_factory=list)
    """Outcomes that were not written, because their run had been taken over."""
    replaced: list[tuple[Outcome, str]] = field(default_factory=list)
    """Outcomes that the database refused, each with the reason; their runs are stored as `failed`."""
    unwritten: list[tuple[Outcome, str]] = field(default_factory=list)
    """Outcomes that it refused even as `failed`, each with the reason; their runs are stored as `running`."""
    taken_over: list[str] = field(default_factory=list)
    """Runs of this process that another one has declared dead."""
    cancels: dict[str, str] = field(default_factory=dict)
    """Runs of this process that are to be cancelled, each with the reason."""
    recovered: list[str] = field(default_factory=list)
    """Runs of dead processes that this pass has ended or put back into the queue."""
    has_more: bool = False
    """Whether something is due or waits that could not be started yet."""
    has_old_threads: bool = False
    """Whether there are threads of single runs to be deleted."""
    wake_at: int | None = None
    """When the next due time or retry comes, as far as the store knows."""
    committed: Committed | None = None
    """What has become of runs, if somebody listens."""
