"""Processes that are killed with SIGKILL, at any moment and around each commit: nothing is lost, nothing done twice."""

import random

import pytest
from arena import each_minute, each_second, eventually, one_time, pause, seconds_from_now

from scheduler import OverlapPolicy, RunStatus
from scheduler.models import OPEN_STATUSES

ROUNDS = 5
HORIZON = 3
"""Within so many seconds the one-time tasks of a storm come due."""

_SLOW = "slow 1.3"


def a_bit_of_everything(chance):
    """Return tasks of every kind of schedule, overlap policy, and further attempt."""
    overlapping = [
        each_second(f"overlap-{policy}", _SLOW, overlap=policy, rerun_after_crash=policy is OverlapPolicy.BUFFER_ONE)
        for policy in OverlapPolicy
    ]
    recurring = [
        each_second("quick"),
        each_second("one-by-one", coalesce=False),
        each_second("one-by-one-buffered", "slow 0.4", coalesce=False, overlap=OverlapPolicy.BUFFER_ALL),
        each_second("with-a-grace", misfire_grace_seconds=0.2),
        each_second("judged-by-grace", misfire_grace_seconds=0.4, coalesce=False),
        each_second("put-off", interval_seconds=2, jitter_seconds=1),
        each_second("failing", "fail 1", max_attempts=2, retry_delay_seconds=0.1),
        each_second("rerun", "slow 0.6", rerun_after_crash=True),
        each_minute("cron"),
    ]
    once = [
        one_time(
            f"once-{number}",
            chance.choice(["quick", "slow 0.5", "fail 1"]),
            at=seconds_from_now(chance.uniform(1, HORIZON)),  # none has passed before it is added
            rerun_after_crash=number % 2 == 0,
            max_attempts=2,
            retry_delay_seconds=0.2,
        )
        for number in range(60)
    ]
    return [*overlapping, *recurring, *once]


@pytest.mark.parametrize(("database", "processes", "seed"), [("sqlite", 1, 1), ("postgres", 2, 2)])
def test_processes_that_are_killed_at_random(request, database, processes, seed):
    """Promises 1 and 2 through a row of kills: each due time has its row, each attempt at most one start."""
    arena = request.getfixturevalue(f"on_{database}")
    chance = random.Random(seed)
    arena.add(*a_bit_of_everything(chance))
    options = {"poll_interval": 0.3, "max_concurrent_runs": 8}
    children = [arena.start(**options) for _ in range(processes)]
    for _ in range(ROUNDS):
        victim = children.pop(0)
        victim.wait_for("begin", chance.randint(1, 12))
        pause(chance.uniform(0, 0.4))
        victim.kill()
        children.append(arena.begin(**options))
    once = [task.id for task in arena.tasks if task.run_at]
    arena.eventually_over(*once)
    for child in children:
        child.stop()
    arena.account()
    statuses = {run.status for run in arena.runs()}
    assert {RunStatus.SUCCEEDED, RunStatus.SKIPPED, RunStatus.INTERRUPTED} <= statuses


BUSY = {"max_concurrent_runs": 2, "poll_interval": 0.2}
"""With so few slots a dozen tasks take many transactions."""


@pytest.mark.parametrize("moment", ["kill_before", "kill_after"])
@pytest.mark.parametrize("number", range(1, 7))
def test_a_kill_around_each_commit(arena, number, moment):
    """Whether a transaction was stored or not, the next process finds a store that it can use."""
    added = [one_time(f"added-{number}", at=seconds_from_now(60)) for number in range(2)]
    once = [one_time(f"once-{number}", rerun_after_crash=number % 2 == 0) for number in range(8)]
    arena.add(*once, each_second("each-second", rerun_after_crash=True), each_second("buffered", overlap="buffer_all"))
    child = arena.begin(faults={moment: number}, add=added, **BUSY).wait_for_end()
    assert child.count("over") == 0, "it was not killed"
    present = {each["id"] for each in arena.face.list_tasks()}
    promised = {line.split()[1] for line in child.lines if line.startswith("added")}
    assert promised <= present, "add_task had returned"
    second = arena.start(**BUSY)
    arena.eventually_over(*(task.id for task in once))
    second.stop()
    arena.account()
    rerun = [run for task in once[::2] for run in arena.runs(task.id)]
    assert {run.status for run in rerun} == {RunStatus.SUCCEEDED}


@pytest.mark.parametrize("moment", ["fail_before", "fail_after"])
@pytest.mark.parametrize("number", range(3, 6))
def test_a_commit_that_fails(arena, number, moment):
    """A transaction whose commit failed is made again; one that was stored all the same is not done twice."""
    once = [one_time(f"once-{number}", "fail 1", max_attempts=2, retry_delay_seconds=0) for number in range(6)]
    arena.add(*once, each_second("each-second"))
    child = arena.start(faults={moment: number}, **BUSY)
    child.wait_for("can be used again")
    arena.eventually_over(*(task.id for task in once))
    child.stop()
    assert child.count("cannot be used") == 1
    arena.account()
    runs = [run for task in once for run in arena.runs(task.id)]
    assert {(run.status, run.attempt) for run in runs} == {(RunStatus.SUCCEEDED, 2)}
    assert not arena.runs(status=RunStatus.INTERRUPTED)


def test_a_run_that_kills_its_process_each_time_comes_to_an_end(on_sqlite):
    """A task that kills its process, with `rerun_after_crash`, does not do so again and again without end."""
    arena = on_sqlite
    arena.add(one_time("poison", "die", rerun_after_crash=True))
    deaths = 0
    while not arena.runs("poison") or arena.run("poison").status in OPEN_STATUSES:
        child = arena.begin(poll_interval=0.1)
        eventually(lambda child=child: child.ended or arena.runs("poison", RunStatus.INTERRUPTED), "death or mercy")
        deaths += child.ended
        child.kill()
    run = arena.run("poison")
    assert run.status is RunStatus.INTERRUPTED
    assert len([entry for entry in arena.ledger() if entry.event == "begin"]) == run.attempt == deaths == 11
    arena.account()
