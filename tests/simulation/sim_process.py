"""A simulated process: a real TaskScheduler on an event loop of its own, and its view of the one store."""

import contextlib
import random
from concurrent.futures import Future

from scheduler import StoreError, TaskScheduler
from scheduler.engine import NoTicker
from scheduler.store import Owner, Processes
from scheduler.testing._loop import VirtualExecutor, VirtualLoop

SEC = 1_000_000
PASS_TIMEOUT = 1.0


class Killed(BaseException):
    """The process was killed at this point."""


class Process:
    """One process. It is alive until `die`; while it is suspended, neither its loop nor its store thread moves."""

    def __init__(self, world, index):
        self.world, self.index = world, index
        world.births += 1
        self.born = world.births
        self.name = f"p{index}.{self.born}"
        self.is_alive, self.is_stopping, self.has_restarted, self.ended_well = True, False, False, False
        self.died_at = None
        self.suspended_until = 0
        self.suspensions = []
        self.deferred = []
        """What its store thread does when it is awake again."""
        self.crash = None
        """At which commit it is killed: ("pre" or "post", how many commits from now)."""
        self.running = 0
        self.wake = None
        self.loop = VirtualLoop(world.time, 5.0)
        self.loop.set_exception_handler(self._note_error)
        self.store = StoreView(world, self)
        self.clock, self.chance, self.processes = world.clock, random.Random(world.seed + self.born).random, Alive(self)
        settings = world.script["settings"]
        self.scheduler = TaskScheduler(
            persistent=False,
            machine=self,
            graph=world.graph_for(self),
            poll_interval=settings["poll"],
            lease_seconds=settings["lease"],
            max_concurrent_runs=settings["slots"],
            shutdown_grace_seconds=settings["grace"],
            history_limit=1_000_000,
        )

    def _note_error(self, _loop, context):
        if self.is_alive and not self.world.is_over:
            self.world.fault("loop-error", f"{self.name}: {context.get('message')} {context.get('exception')!r}")

    # --- The machine of its scheduler ---

    def sleep(self, _seconds):
        """Do not wait: nobody else moves meanwhile."""

    def open_database(self, _path, _url, _trusted_owner):
        return self.store

    def store_executor(self):
        return StoreThread(self.world, self)

    def ticker(self):
        return NoTicker()

    # --- Life ---

    @property
    def serves(self):
        is_up = self.is_alive and not self.is_stopping and self.world.now >= self.suspended_until
        return is_up and self.scheduler.scheduler.running

    def turn(self):
        """Let everything happen that is ready now."""
        self.wake = None
        if self.is_alive and not self.loop.is_closed():
            self.loop.run_until(self.world.now)
            self.wake = self.loop.next_wake

    def want_turn(self):
        if self.is_alive:
            self.wake = self.world.now

    def begin(self):
        """Start the scheduler; try again where the store cannot be used."""
        self.loop.call_soon(self._start)
        self.want_turn()

    def _start(self):
        try:
            self.scheduler.start()
        except StoreError:
            self.loop.call_later(1.0, self._start)
        self.world.note_service()

    def suspend(self, seconds):
        until = self.world.now + round(seconds * SEC)
        if self.is_alive and until > self.suspended_until:
            self.suspended_until = until
            self.suspensions.append([self.world.now, until])
            self.world.at(until, self.resume)
            self.world.note_service()

    def resume(self):
        if self.world.now < self.suspended_until:
            return  # it was suspended once more
        for function in self.deferred:
            self.world.at(self.world.now, function)
        self.deferred = []
        self.want_turn()
        self.world.note_service()

    def die(self, *, ended_well=False):
        if self.is_alive:
            self.is_alive, self.ended_well, self.died_at = False, ended_well, self.world.now
            self.wake = None
            self.world.has_died(self)
            self.world.dead_loops.append(self.loop)


class Alive(Processes):
    """Who is alive, as the processes of one machine can see it."""

    def __init__(self, process):
        self._process = process

    def new_owner(self):
        world, process = self._process.world, self._process
        world.owners += 1
        namespace = f"ns{process.index}" if world.script["settings"]["containers"] else "ns"
        return Owner(f"owner-{world.owners}", "boot", namespace, process.born, process.born)

    def is_known_dead(self, row, here):
        if row.namespace != here.namespace:
            return False
        return not any(each.born == row.pid and each.is_alive for each in self._process.world.processes)


class StoreThread(VirtualExecutor):
    """The thread of the passes: calls are made one after another, each at a time of its own."""

    def __init__(self, world, process):
        self._world, self._process = world, process
        self._free_at = 0

    def submit(self, function, /, *arguments, **named):
        done = Future()
        at = max(self._free_at, self._world.now) + self._world.disk()
        self._free_at = at
        self._world.at(at, lambda: self._call(function, arguments, named, done, self._world.now + SEC))
        return done

    def _call(self, function, arguments, named, done, give_up_at):
        world, process = self._world, self._process
        if not process.is_alive:
            return
        again = lambda: self._call(function, arguments, named, done, give_up_at)  # noqa: E731 (it is the same call)
        if world.now < process.suspended_until:
            process.deferred.append(again)
            return
        if world.now < min(world.locked_until, give_up_at):
            world.at(min(world.locked_until, give_up_at), again)
            return
        try:
            result, error = function(*arguments, **named), None
        except Killed:
            return
        except Exception as raised:  # noqa: BLE001 (it is raised where the caller waits)
            result, error = None, raised
        world.at(world.now + world.disk(), lambda: self._give(done, result, error))

    def _give(self, done, result, error):
        process = self._process
        if not process.is_alive:
            return
        if self._world.now < process.suspended_until:
            process.deferred.append(lambda: self._give(done, result, error))
            return
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)
        process.want_turn()


class StoreView:
    """The store as one process sees it: transactions may fail, and the process may be killed before or after one."""

    name, is_shared, file = "simulated", False, None

    def __init__(self, world, process):
        self._world, self._process = world, process

    def exists(self):
        return True

    def close(self):
        pass

    @contextlib.contextmanager
    def write(self, timeout=5.0):
        world, process = self._world, self._process
        if world.now < world.locked_until:
            raise StoreError(self.name, "another process has locked it", "try again")
        fault = world.commit_fault() if timeout == PASS_TIMEOUT else None
        crash = process.crash
        if crash is not None:
            crash[1] -= 1
        is_last = crash is not None and crash[1] <= 0
        if is_last and crash[0] == "pre":
            process.die()
            raise Killed
        with world.database.write() as connection:
            yield connection
            if fault == "before":
                raise StoreError(self.name, "the disk reported an error", "nothing was stored")
        world.commits += 1
        if is_last:
            process.die()
            raise Killed
        if fault == "after":
            raise StoreError(self.name, "the disk reported an error", "it may have been stored")

    @contextlib.contextmanager
    def read(self, timeout=5.0):
        with self._world.database.write() as connection:
            yield connection
