"""Which tasks this process can run. One that only this process cannot run is left to others."""

from scheduler.models import TaskDefinition
from scheduler.store import tasks as task_rows
from scheduler.store import unloadable
from scheduler.store.claims import Batch, Claimer
from scheduler.store.database.statements import Connection
from scheduler.store.reading import Unreadable, read
from scheduler.store.unloadable import Obstacle


class UsableTasks:
    """The tasks that one pass meets: usable, left to others until their code is loaded, or quarantined."""

    def __init__(self, connection: Connection, claimer: Claimer, batch: Batch) -> None:
        """Take the transaction, who claims, and where to note what is found out."""
        self._connection = connection
        self._claimer = claimer
        self._batch = batch
        self._obstacles: dict[str, Obstacle] = {}
        self._to_load: dict[str, TaskDefinition] = {}
        """A task for each code that is not loaded yet."""

    def usable(self, task_id: str, definition: str, zone: str = "UTC") -> TaskDefinition | None:
        """Return a task that this process can run; quarantine it if nobody can."""
        if task_id in self._obstacles:
            return None
        task = read(definition, zone)
        if isinstance(task, Unreadable):
            if task.is_damaged:
                self.quarantine(task_id, f"the stored definition cannot be used: {task.problem}")
            else:
                self._obstacles[task_id] = Obstacle(None, task.problem)
            return None
        code = self._claimer.needs_loading(task)
        if code is None:
            return self._with_timeout(task)
        self._obstacles[task_id], self._to_load[code] = Obstacle(code), task
        return None

    def _with_timeout(self, task: TaskDefinition) -> TaskDefinition:
        """Give a task that sets no time-out the scheduler's."""
        if task.timeout_seconds is not None or self._claimer.timeout is None:
            return task
        return task.model_copy(update={"timeout_seconds": self._claimer.timeout})

    def quarantine(self, task_id: str, problem: str) -> None:
        """Note that nobody can run a task."""
        task_rows.quarantine(self._connection, task_id, problem)
        self._batch.quarantined.append((task_id, problem))

    def write(self, now: int) -> None:
        """Leave to others what this process cannot run."""
        if self._obstacles:
            self._batch.leaves_tasks = True
            self._batch.unloadable = unloadable.leave(
                self._connection, self._claimer.owner, self._obstacles, self._to_load, now
            )
