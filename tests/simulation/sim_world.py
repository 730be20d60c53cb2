"""A world: tasks, calls, processes and faults from a script, in virtual time, on one store."""

import asyncio
import contextlib
import heapq
import itertools
import logging
import random
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta

from sim_oracle import TaskModel, micros, moment_of
from sim_process import SEC, Killed, Process

from scheduler import StoreError, TaskDefinition
from scheduler.store import database_at
from scheduler.testing._time import VirtualClock, VirtualTime

_database = None


def shared_database():
    """Return one database in memory for all worlds, one after another: to make its tables takes longer than a world."""
    global _database  # noqa: PLW0603 (it is made once)
    if _database is None:
        _database = database_at(None, None)
    with _database.write() as connection:
        names = [row[0] for row in connection.driver.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for name in names:
            if name.startswith("scheduler_") and name not in {"scheduler_schema", "scheduler_clock"}:
                connection.driver.execute(f"DELETE FROM {name}")
        connection.driver.execute("UPDATE scheduler_clock SET latest = 0")
    return _database


@dataclass
class Call:
    """One call of a graph."""

    process: Process
    task_id: str
    run_id: str
    due: str
    thread_id: str
    begin: int
    end: int | None = None
    step: str | None = None
    """Which step of a graph with checkpoints it is; None: the whole graph."""
    is_killed: bool = False
    error: str | None = None


class Graph:
    """What every task runs: it takes its time, fails, hangs or resists its cancellation, as the script says."""

    def __init__(self, world, process):
        self._world, self._process = world, process

    async def ainvoke(self, given, config=None):
        call = self._world.begin_call(self._process, config)
        try:
            await self._world.make_step(self._process, call)
        except BaseException as error:
            call.error = type(error).__name__
            raise
        finally:
            self._world.end_call(call)
        return {"messages": [{"role": "ai", "content": "done"}]}


class World:
    """Runs a script, and keeps what the checks need to know."""

    def __init__(self, script, *, trace=False):
        self.script, self.seed = script, script["seed"]
        self.trace = [] if trace else None
        self.time = VirtualTime()
        self.start = micros(datetime.fromisoformat(script["epoch"]))
        self.clock = VirtualClock(self.time, self.start)
        self.steps = [(0, self.start)]
        """Since when the wall clock was ahead of virtual time, and by how much."""
        self.random, self.graph_random = random.Random(self.seed), random.Random(self.seed + 1)
        self._heap, self._order = [], itertools.count()
        self.births = self.owners = self.commits = 0
        self.processes, self.slots, self.dead_loops = [], {}, []
        self.locked_until = self._slow_until = self._slow_delay = 0
        self._commit_faults = (0, "", 0.0)
        self.calls, self._hanging = [], []
        self.faults = []
        self.models = {}
        self.saver, self.asked = None, set()
        self.is_quiet = self.is_over = False
        self.unserved = []
        """When due times need not start: nobody served, or the store was locked, slow or broken."""
        self.down = []
        self._nobody_since = 0

    # --- Time ---

    @property
    def now(self):
        return self.time.micros

    def at(self, when, function):
        heapq.heappush(self._heap, (when, next(self._order), function))

    def run_until(self, until):
        while True:
            process = min((p for p in self.processes if self._wakes(p)), key=lambda p: (p.wake, p.born), default=None)
            wake = None if process is None else max(process.wake, self.now)
            if self._heap and (wake is None or self._heap[0][0] <= wake):
                when, _, function = self._heap[0]
                if when > until:
                    break
                heapq.heappop(self._heap)
                self.time.move_to(when)
                function()
            elif wake is not None and wake <= until:
                self.time.move_to(wake)
                process.turn()
            else:
                break
        self.time.move_to(until)

    def _wakes(self, process):
        return process.is_alive and process.wake is not None and self.now >= process.suspended_until

    def disk(self):
        """Return how long the disk takes, in microseconds."""
        if self.now < self._slow_until:
            return self.random.randrange(1000, max(1001, self._slow_delay))
        return self.random.randrange(30, 400)

    def commit_fault(self):
        until, kind, share = self._commit_faults
        if self.now < until and self.random.random() < share:
            return self.random.choice(["before", "after"]) if kind == "either" else kind
        return None

    def note(self, *what):
        if self.trace is not None:
            self.trace.append(f"{self.now / SEC:12.6f}  {' '.join(map(str, what))}")

    def fault(self, kind, text):
        if self.is_over:
            return
        self.faults.append((kind, text))
        self.note("FAULT", kind, text)

    def seconds(self, instant):
        """Return an instant of the wall clock as seconds since it began, for texts."""
        return (instant - self.start) / SEC

    # --- Graphs ---

    def graph_for(self, process):
        if not self.script.get("checkpoints"):
            return Graph(self, process)
        import sim_langgraph

        if self.saver is None:
            self.saver = sim_langgraph.InMemorySaver()
        return sim_langgraph.graph_for(self, process, self.saver)

    async def make_step(self, process, call):
        """Take the time of a graph, or of one of its steps, and fail if the script says so."""
        manner = self.manner(call.task_id)
        try:
            await (self.hang(process) if manner["hang"] else self.work(process, manner["seconds"]))
        except asyncio.CancelledError:
            if manner["resist"]:
                await asyncio.sleep(0.7)
            raise
        if manner["raise"] and not self.is_quiet:
            raise ValueError("the graph failed")

    def asks(self, call):
        """Tell whether the graph asks in a run: at each of its attempts or at none; in the end no new run asks."""
        if self.is_quiet and call.run_id not in self.asked:
            return False
        self.asked.add(call.run_id)
        share = self.script["manners"].get(call.task_id, {}).get("ask", 0)
        return random.Random(f"{self.seed} {call.task_id} {call.due}").random() < share

    def manner(self, task_id):
        given, chance = self.script["manners"].get(task_id, {}), self.graph_random
        low, high = given.get("seconds", (0.05, 0.5))
        manner = {"seconds": chance.uniform(low, high)}
        manner |= {name: chance.random() < given.get(name, 0) for name in ("raise", "hang", "resist")}
        return manner

    async def work(self, process, seconds):
        if self.is_quiet:
            seconds = 0.001
        await self._wait_until_released(process, seconds)

    async def hang(self, process):
        await self._wait_until_released(process, None if not self.is_quiet else 0.001)

    async def _wait_until_released(self, process, seconds):
        released = asyncio.Event()
        self._hanging.append((process, released))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(released.wait(), seconds)

    def release_graphs(self):
        for process, released in self._hanging:
            if process.is_alive:
                process.loop.call_soon(released.set)
                process.want_turn()
        self._hanging = []

    def begin_call(self, process, config, step=None):
        metadata = config["metadata"]
        thread = config["configurable"]["thread_id"]
        task_id, run_id, due = metadata["task_id"], metadata["scheduler_run_id"], metadata["scheduled_at"]
        call = Call(process, task_id, run_id, due, thread, self.now, step=step)
        self.calls.append(call)
        process.running += 1
        self.note(process.name, "graph begins", call.task_id, call.due, step or "")
        if process.running > self.script["settings"]["slots"]:
            self.fault("slots", f"{process.name} runs {process.running} graphs at once")
        return call

    def end_call(self, call):
        if call.process.is_alive and not self.is_over:
            call.end = self.now
            call.process.running -= 1
            self.note(call.process.name, "graph ends", call.task_id, call.error or "")

    # --- Processes ---

    def start_process(self, index):
        before = self.slots.get(index)
        if self.now < self.locked_until:
            self.at(
                self.locked_until, lambda: self.start_process(index)
            )  # it cannot be built; whoever does tries again
        elif before is None or not before.is_alive:
            process = self.slots[index] = Process(self, index)
            self.processes.append(process)
            self.note(process.name, "starts")
            if self.script["adds_again"]:
                self._add_again(process)
            process.begin()

    def _add_again(self, process):
        """Add all tasks again, as programs do when they start."""
        for task in [model.definition for model in self.models.values() if model.definition is not None]:
            if task.run_at is None:
                self._change(process, "add", task.id, task)

    def has_died(self, process):
        self.note(process.name, "ends" if process.ended_well else "is killed")
        process.running = 0
        for call in self.calls:
            if call.process is process and call.end is None:
                call.end, call.is_killed = self.now, True
        self.note_service()

    def note_service(self):
        is_served = any(process.serves for process in self.slots.values())
        if is_served and self._nobody_since is not None:
            self.unserved.append((self._nobody_since, self.now))
            self.down.append((self._nobody_since, self.now))
            self._nobody_since = None
        elif not is_served and self._nobody_since is None:
            self._nobody_since = self.now

    # --- Operations ---

    def operate(self, operation):
        _, kind, *values = operation
        if kind != "call":
            self.note(kind, *values)
        getattr(self, f"_do_{kind}")(*values)

    def _do_call(self, kind, task_id, value, by):
        process = self.slots.get(by)
        process = self.cli if process is None or not process.is_alive else process
        if self.now < process.suspended_until:
            self.at(process.suspended_until, lambda: self._do_call(kind, task_id, value, by))
            return
        if self.now < self.locked_until:
            # The call waits, and with it whoever makes it; then it is tried once more.
            until = min(self.locked_until, self.now + 5 * SEC)
            self.at(until, lambda: self._change(process, kind, task_id, value))
            return
        self._change(process, kind, task_id, value)

    def _change(self, process, kind, task_id, value):
        if not process.is_alive:
            return
        now, commits, given = self.clock.now(), self.commits, value
        found = self.rows("SELECT finished_at FROM scheduler_tasks WHERE id = ?", task_id or "")
        is_finished = bool(found) and found[0]["finished_at"] is not None
        if kind == "add" and isinstance(value, dict):
            given = self._definition(task_id, value)
            if given is None:
                return
        outcome = "done"
        try:
            self._call(process.scheduler, kind, task_id, given)
        except Killed:
            outcome = "killed"
        except StoreError as error:
            outcome = str(error)
            if self.now >= self.locked_until:
                self.fault("store-error", f"{kind} {task_id}: {error}")
        except (ValueError, KeyError) as error:
            outcome = f"{type(error).__name__}: {error}"
        self.note(process.name, "call", kind, task_id, outcome)
        if outcome == "done" or (outcome == "killed" and self.commits > commits):
            self._has_changed(kind, task_id, given, now, is_finished=is_finished)
        process.want_turn()

    def _call(self, scheduler, kind, task_id, given):
        if kind == "add":
            scheduler.add_task(given)
        elif kind == "answer":
            for row in self.rows("SELECT id FROM scheduler_runs WHERE status = 'waiting'"):
                scheduler.answer_run(row["id"], "yes")
        elif kind == "cancel":
            open_runs = self.rows("SELECT id FROM scheduler_runs WHERE finished_at IS NULL AND task_id = ?", task_id)
            for row in open_runs[:1]:
                scheduler.cancel_run(row["id"], "by the world")
        elif kind == "retry":
            over = self.rows("SELECT id FROM scheduler_runs WHERE finished_at IS NOT NULL AND task_id = ?", task_id)
            if over:
                scheduler.retry_run(over[-1]["id"], from_start=given)
        elif kind == "backfill":
            end = moment_of(self.clock.now())
            seconds, most = given
            scheduler.backfill_task(task_id, end - timedelta(seconds=seconds), end, limit=50, max_concurrent=most)
        else:
            getattr(scheduler, f"{kind}_task")(task_id)

    def _definition(self, task_id, fields):
        fields = dict(fields)
        for name in ("run_at", "start_at", "end_at"):
            if name in fields:
                fields[name] = moment_of(self.start) + timedelta(seconds=fields[name])
        try:
            return TaskDefinition(id=task_id, name=task_id, prompt="Go.", **fields)
        except ValueError as error:
            self.note("refused", task_id, error)
            return None

    def _has_changed(self, kind, task_id, given, now, *, is_finished):
        if kind in {"answer", "retry", "backfill"}:
            return
        model = self.models.setdefault(task_id, TaskModel())
        if kind == "add":
            model.add(given, now, is_finished=is_finished)
        elif kind == "remove" or (kind in {"pause", "resume"} and not is_finished):
            getattr(model, kind)(now)

    def _do_start(self, index):
        self.start_process(index)

    def _do_crash(self, index, mode, number, again):
        process = self.slots.get(index)
        if process is not None and process.is_alive:
            if mode == "now":
                process.die()
            else:
                process.crash = [mode, number]
            self._start_again(index, again)

    def _start_again(self, index, again):
        if again is not None:
            self.at(self.now + round(again * SEC), lambda: self._replace(index))

    def _replace(self, index):
        process = self.slots[index]
        if process.is_alive and process.crash is not None:
            process.die()
        if process.is_alive and process.is_stopping:
            self.at(self.now + SEC, lambda: self._replace(index))
        else:
            self.start_process(index)

    def _do_stop(self, index, mode, again):
        process = self.slots.get(index)
        if process is not None and process.serves:
            process.is_stopping = True
            self.note_service()
            process.loop.call_soon(lambda: process.loop.create_task(self._stop(process, mode)))
            process.want_turn()
            self._start_again(index, again)

    async def _stop(self, process, mode):
        scheduler = process.scheduler
        if mode == "restart":
            await scheduler.stop()
            process.is_stopping, process.has_restarted = False, True
            process._start()
            return
        if mode == "await":
            await scheduler.stop()
        else:
            if mode == "unawaited":
                scheduler.stop()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in sorted(others, key=lambda each: each.get_name()):
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
        process.die(ended_well=True)

    def _do_suspend(self, index, seconds):
        process = self.slots.get(index)
        if process is not None:
            process.suspend(seconds)

    def _do_lock(self, seconds):
        self.locked_until = max(self.locked_until, self.now + round(seconds * SEC))
        self.unserved.append((self.now, self.locked_until + SEC))

    def _do_slow(self, seconds, delay):
        self._slow_until, self._slow_delay = self.now + round(seconds * SEC), round(delay * SEC)
        self.unserved.append((self.now, self._slow_until + 4 * self._slow_delay))

    def _do_commit(self, seconds, kind, share):
        self._commit_faults = self.now + round(seconds * SEC), kind, share
        self.unserved.append((self.now, self._commit_faults[0]))

    def _do_clock(self, seconds):
        self.clock.set(self.clock.now() + round(seconds * SEC))
        self.steps.append((self.now, self.clock.now() - self.now))
        for process in self.processes:
            process.want_turn() if process.is_alive and process.scheduler.scheduler.running else None

    # --- Looking ---

    def rows(self, query, *values):
        with self.database.write() as connection:
            cursor = connection.driver.execute(query, values)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    # --- Life ---

    def run(self):
        """Run the script, then let all faults end and everything settle."""
        logging.disable(logging.CRITICAL)
        self.database = shared_database()
        self.cli = Process(self, 99)
        self.processes.append(self.cli)
        for operation in self.script["operations"]:
            self.at(round(operation[0] * SEC), lambda each=operation: self.operate(each))
        self.run_until(round(self.script["horizon"] * SEC))
        self._settle()
        return self

    def close(self):
        self.is_over = True
        for process in self.processes:
            process.loop.end()
        if self.saver is not None:
            sys.modules["sim_langgraph"].forget(self)
        logging.disable(logging.NOTSET)

    def _settle(self):
        self.is_quiet, self.settles_at = True, self.now
        self.locked_until = self._slow_until = 0
        self._commit_faults = (0, "", 0.0)
        for process in self.processes:
            process.crash = None
            if process.is_alive and process.suspended_until > self.now:
                process.suspended_until = process.suspensions[-1][1] = self.now
                process.resume()
        settings = self.script["settings"]
        least, most = settings["poll"] * 1.5 + 2, settings["lease"] * 2.2 + 3 * settings["poll"] + 10
        end = self.now + round(most * SEC)
        wait = least
        while True:
            self.release_graphs()
            self._ensure_service()
            self._change(self.cli, "answer", None, None)
            self.run_until(self.now + round(wait * SEC))
            wait = (most - least) / 5 if self.saver is None else settings["poll"] / 2 + 0.1
            if self._is_settled() or self.now > 3 * end:
                break
            if self.saver is None and self.now > end and all(p.serves or not p.is_alive for p in self.slots.values()):
                break
        for _ in range(40):  # look when no graph works
            if all(call.end is not None for call in self.calls):
                break
            self.run_until(self.now + 50_000)

    def _ensure_service(self):
        if not any(process.is_alive and not process.is_stopping for process in self.slots.values()):
            index = next((i for i in range(3) if i not in self.slots or not self.slots[i].is_alive), None)
            if index is not None:
                self.start_process(index)

    def _is_settled(self):
        now = self.clock.now()
        busy = self.rows(
            "SELECT 1 FROM scheduler_runs WHERE status IN ('running', 'waiting') "
            "OR (status = 'pending' AND ready_at < ?) LIMIT 1",
            now + SEC,
        )
        late = self.rows(
            "SELECT 1 FROM scheduler_tasks WHERE next_due < ? AND paused = 0 AND finished_at IS NULL "
            "AND problem IS NULL LIMIT 1",
            now,
        )
        return not busy and not late and any(process.serves for process in self.slots.values())
