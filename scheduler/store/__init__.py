"""Tasks and runs in SQL (SQLAlchemy Core): the only package that knows SQL, and what the others use of it.

`Store` has the calls that come from any thread; `SchedulerSession` is one running scheduler. Beneath them there is a
module for each subject (`queue`, `due_times`, `outcomes`, `tasks`, `history` …), and `database` for connections.
"""

from scheduler.store.adding import OtherSources, changed
from scheduler.store.claims import Claim, NotStarted
from scheduler.store.committed import Committed
from scheduler.store.database.address import absolute_path, database_at
from scheduler.store.database.interface import Database
from scheduler.store.database.statements import Connection
from scheduler.store.finding import TaskFilter
from scheduler.store.kept_threads import OldThread
from scheduler.store.listing import Listed, TaskState
from scheduler.store.outcomes import RESTART_LIMIT, STOPPED, Chance, Outcome
from scheduler.store.owners import Owner, Processes
from scheduler.store.pass_result import PassResult
from scheduler.store.rows import OwnerRow
from scheduler.store.run_pages import RunFilter
from scheduler.store.session import SchedulerSession
from scheduler.store.store import Store
from scheduler.store.store_thread import StoreThread, one_thread
from scheduler.store.transaction import StoreTransaction
from scheduler.store.unloadable import Loaded, NeedsLoading, ToLoad

__all__ = [
    "RESTART_LIMIT",
    "STOPPED",
    "Chance",
    "Claim",
    "Committed",
    "Connection",
    "Database",
    "Listed",
    "Loaded",
    "NeedsLoading",
    "NotStarted",
    "OldThread",
    "OtherSources",
    "Outcome",
    "Owner",
    "OwnerRow",
    "PassResult",
    "Processes",
    "RunFilter",
    "SchedulerSession",
    "Store",
    "StoreThread",
    "StoreTransaction",
    "TaskFilter",
    "TaskState",
    "ToLoad",
    "absolute_path",
    "changed",
    "database_at",
    "one_thread",
]
