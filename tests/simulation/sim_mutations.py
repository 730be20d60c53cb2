"""Planted bugs: each is a plausible mistake in the engine or the store, and the simulation must find it.

If one is not found, the worlds or the checks are too weak. `python -m tests.simulation --mutations` hunts them all.
"""

import dataclasses
import time
from contextlib import ExitStack, contextmanager
from unittest import mock

import sim_run

from scheduler import graphs
from scheduler.engine.pass_loop import PassLoop
from scheduler.engine.run_slots import RunSlots
from scheduler.graphs import bounded
from scheduler.store import adding, clock_steps, outcomes, session, tasks
from scheduler.store.leases import Leases
from scheduler.store.open_runs import OpenRuns
from scheduler.store.threads import Threads
from scheduler.timing import planning


def _returns(value):
    return lambda *_args, **_named: value


def _coalesced_too_many():
    real = planning._group

    def group(schedule, first, until):
        latest, others = real(schedule, first, until)
        return latest, others + (others > 2)

    return mock.patch.object(planning, "_group", group)


def _last_due_time_is_lost():
    real = planning._group

    def group(schedule, first, until):
        latest, others = real(schedule, first, until)
        return (latest, others - 1) if others > 1 else (latest, others)

    return mock.patch.object(planning, "_group", group)


def _one_attempt_more():
    real = outcomes._delay_after_failure

    def delay(task, row, chance):
        return real(task.model_copy(update={"max_attempts": task.max_attempts + 1}), row, chance)

    return mock.patch.object(outcomes, "_delay_after_failure", delay)


def _one_run_more():
    real = planning._next_due

    def next_due(task, schedule, draft, last):
        more = task if task.max_runs is None else task.model_copy(update={"max_runs": task.max_runs + 1})
        return real(more, schedule, draft, last)

    return mock.patch.object(planning, "_next_due", next_due)


def _pauses_forget_nothing():
    def resumed(task, schedule, next_due, now):
        return {**tasks._NOT_PAUSED, "failures": 0}

    stack = ExitStack()
    for module in (tasks, adding):
        stack.enter_context(mock.patch.object(module, "resumed", resumed))
    return stack


def _adding_again_restarts():
    real = adding._replacement

    def replacement(connection, row, new, first_due):
        values = real(connection, row, new, first_due)
        if row.schedule == new.schedule_key and new.task.interval_seconds and values["next_due"] is not None:
            values |= {"anchor": first_due.now, "next_due": first_due.of(new)}
        return values

    return mock.patch.object(adding, "_replacement", replacement)


def _always_reruns():
    real = outcomes._delay_after_interruption

    def delay(task, row):
        return real(None, row)

    # What starts a run looks again whether it may be repeated: both have to be wrong.
    def begin(graph, claim, *rest):
        task = claim.task.model_copy(update={"rerun_after_crash": True})
        return real_begin(graph, dataclasses.replace(claim, task=task), *rest)

    real_begin, stack = graphs.beginning, ExitStack()
    stack.enter_context(mock.patch.object(outcomes, "_delay_after_interruption", delay))
    stack.enter_context(mock.patch.object(graphs, "beginning", begin))
    return stack


def _one_slot_more():
    real = RunSlots.__init__

    def init(self, *arguments):
        real(self, *arguments)
        self._max_concurrent_runs += 1

    return mock.patch.object(RunSlots, "__init__", init)


def _no_turns():
    stack, is_free = ExitStack(), _returns(1)
    for name in ("is_free_for", "take", "take_for", "take_if_free"):
        stack.enter_context(mock.patch.object(Threads, name, is_free))
    return stack


def _impatient():
    async def cancel(task, patience):
        task.cancel()
        await bounded.asyncio.wait([task], timeout=patience)

    return mock.patch.object(bounded, "_cancel", cancel)


MUTATIONS = {
    "everybody else counts as dead": lambda: mock.patch.object(Leases, "_death_of", _returns("its process died")),
    "runs of dead processes are not taken over": lambda: mock.patch.object(Leases, "recover", _returns([])),
    "leases count right after an outage": lambda: mock.patch.object(Leases, "distrust", _returns(None)),
    "one slot too many": _one_slot_more,
    "outcomes of a failed pass are forgotten": lambda: mock.patch.object(PassLoop, "_give_back", _returns(None)),
    "a commit that failed is taken for undone": lambda: mock.patch.object(
        session.outcomes, "take_back_unlaunched", _returns(None)
    ),
    "a run between two attempts is in nobody's way": lambda: mock.patch.object(
        OpenRuns, "is_busy", lambda self, task_id: task_id in self._started
    ),
    "one due time too many is coalesced": _coalesced_too_many,
    "one due time of a backlog is lost": _last_due_time_is_lost,
    "one attempt too many": _one_attempt_more,
    "one run more than max_runs": _one_run_more,
    "what came due during a pause runs": _pauses_forget_nothing,
    "adding again restarts an interval": _adding_again_restarts,
    "no run is repeated after a crash": lambda: mock.patch.object(
        outcomes, "_delay_after_interruption", _returns(None)
    ),
    "every run is repeated after a crash": _always_reruns,
    "a clock that was set back is not noticed": lambda: mock.patch.object(
        clock_steps.ClockWatch, "settle", _returns(None)
    ),
    "a claim that comes too late starts all the same": lambda: mock.patch.object(
        RunSlots,
        "confirm",
        lambda self, at: (setattr(self, "_trusted_seconds", 1e9), setattr(self, "_confirmed", at))[0],
    ),
    "a run that ends slowly is not waited for": _impatient,
    "runs that share a thread do not take turns": _no_turns,
    "an attempt may begin before its due time": lambda: mock.patch.object(
        outcomes, "_not_before_due", lambda instant, _row: instant
    ),
}
"""By what is wrong: what plants it."""


@contextmanager
def planted(name):
    """Plant one bug."""
    with MUTATIONS[name]():
        yield


def hunt(name, worlds):
    """Return the first seed that finds a planted bug, and the kinds of faults there; None if no world does."""
    with planted(name):
        for seed in range(worlds):
            found = sim_run.run_seed(seed).faults
            if found:
                return seed, sorted({kind for kind, _ in found})
    return None


def hunt_all(worlds):
    """Hunt all planted bugs; print what finds them, and return how many were not found."""
    missed = 0
    for name in MUTATIONS:
        began = time.monotonic()
        found = hunt(name, worlds)
        missed += found is None
        where = "NOT FOUND" if found is None else f"seed {found[0]}: {', '.join(found[1])}"
        print(f"{name}: {where} ({time.monotonic() - began:.1f} s)", flush=True)
    return missed
