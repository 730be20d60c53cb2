"""What becomes of due times that have come: held against an oracle that looks at each of them, one after another."""

from dataclasses import asdict, dataclass, replace
from itertools import product
from types import SimpleNamespace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scheduler import OverlapPolicy, TaskDefinition
from scheduler.timing.clock import SECOND
from scheduler.timing.planning import (
    BUFFER_LIMIT,
    SKIPPED_BUFFER_FULL,
    SKIPPED_BUFFER_ONE,
    SKIPPED_OVERLAP,
    SKIPPED_SUPERSEDED,
    Decision,
    Firing,
    Situation,
    longest_retry_delay,
    plan,
    retry_delay,
)
from scheduler.timing.schedule import IntervalSchedule

SKIP, BUFFER_ONE, BUFFER_ALL, CANCEL_OTHER, ALLOW_ALL = OverlapPolicy
START, BUFFER, SKIPPED, MISSED = Decision
DUE = "still due"
MONTH = 30 * 86_400


def a_task(**fields):
    fields = {"id": "t", "name": "T", "prompt": "Go on.", "interval_seconds": 1, **fields}
    return TaskDefinition(task_type="interval", **fields)


def a_situation(**values):
    return Situation(**{"next_due": 0, "now": 0, "started": 0, "busy": False, "buffered": 0, "slots": 9, **values})


@dataclass
class Listed:
    """A schedule that is nothing but its due times."""

    instants: list[int]

    def next_after(self, instant):
        return next((due for due in self.instants if due > instant), None)

    def latest(self, not_before, until):
        return next((due for due in reversed(self.instants) if not_before <= due <= until), None)

    def count(self, after, until):
        return sum(after < due <= until for due in self.instants)


@dataclass
class Counted:
    """A schedule that counts how often it is asked."""

    schedule: IntervalSchedule
    calls: int = 0

    def __getattr__(self, name):
        self.calls += 1
        return getattr(self.schedule, name)


# --- The oracle ---


@dataclass
class Oracle:
    """Decides over each due time by itself, in the words of the documents."""

    task: TaskDefinition
    situation: SimpleNamespace

    def fates(self, schedule):
        """Return what becomes of each due time that has come, and the next due time."""
        now, first = self.situation.now, self.situation.next_due
        come = [due for due in schedule.instants if first <= due <= now]
        if self.task.coalesce:
            fate = self.fate(come[-1], is_last=True)
            fates = [fate] * len(come)
        else:
            fates = []
            for due in come:
                over = fates and fates[-1] in {DUE, None}
                fates.append(fates[-1] if over else self.fate(due, is_last=due == come[-1]))
        if DUE in fates:
            return fates, come[fates.index(DUE)]
        return fates, None if self.is_used_up() else schedule.next_after(now)

    def fate(self, due, *, is_last):
        """Return what becomes of one due time; None if it is no due time any more."""
        if self.is_used_up():
            return None
        grace = self.task.misfire_grace_seconds
        if grace is not None and self.situation.now - due > round(grace * SECOND):
            return MISSED
        if self.task.overlap is CANCEL_OTHER and not is_last:
            return SKIPPED
        if (self.situation.busy or self.situation.buffered) and self.task.overlap is not ALLOW_ALL:
            return self.overlapping()
        return self.starting()

    def overlapping(self):
        situation = self.situation
        room = {SKIP: 0, BUFFER_ONE: 1, BUFFER_ALL: BUFFER_LIMIT, CANCEL_OTHER: situation.buffered + 1}
        if situation.buffered >= room[self.task.overlap]:
            return SKIPPED
        situation.buffered += 1
        situation.started += 1
        return BUFFER

    def starting(self):
        situation = self.situation
        if situation.buffered >= BUFFER_LIMIT:
            return SKIPPED  # so many wait for their thread
        if situation.slots == 0:
            return DUE
        situation.slots -= 1
        situation.started += 1
        situation.busy = True
        return START

    def is_used_up(self):
        return self.task.max_runs is not None and self.situation.started >= self.task.max_runs


def spread(firings, come):
    """Return the decision over each due time, of firings that stand for one or more of them in a row."""
    rest, fates = list(come), []
    for firing in firings:
        covered, rest = rest[: firing.coalesced + 1], rest[firing.coalesced + 1 :]
        assert covered[-1:] == [firing.scheduled_at]
        assert firing.coalesced == len(covered) - 1
        fates += [firing.decision] * len(covered)
    return fates + [DUE] * len(rest)


def check(task, schedule, situation):
    """Hold a plan against the oracle; return the plan."""
    theirs = SimpleNamespace(**asdict(situation))
    made = plan(task, schedule, situation)
    fates, next_due = Oracle(task, theirs).fates(schedule)
    come = [due for due in schedule.instants if situation.next_due <= due <= situation.now]
    assert spread(made.firings, come) == [DUE if fate is None else fate for fate in fates]
    assert made.next_due == next_due
    assert made.started == theirs.started
    assert made.cancel_running == (task.overlap is CANCEL_OTHER and BUFFER in fates)
    return made


GRACES = [None, 0, 0.000002, 0.000005]


@pytest.mark.parametrize("overlap", list(OverlapPolicy))
def test_every_small_situation(overlap):
    """Each policy does what the oracle says, with and without coalescing, in all situations of up to five due times."""
    schedule = Listed([0, 1, 2, 4, 7, 8, 9])
    for coalesce, grace, busy, slots, buffered, now, most in product(
        [True, False], GRACES, [True, False], range(4), range(3), [0, 1, 3, 4, 7], [None, 3, 4]
    ):
        task = a_task(overlap=overlap, coalesce=coalesce, misfire_grace_seconds=grace, max_runs=most)
        situation = a_situation(now=now, started=2, busy=busy, buffered=buffered, slots=slots)
        check(task, schedule, situation)


@st.composite
def cases(draw):
    task = a_task(
        overlap=draw(st.sampled_from(OverlapPolicy)),
        coalesce=draw(st.booleans()),
        misfire_grace_seconds=draw(st.none() | st.integers(0, 100).map(lambda micros: micros / SECOND)),
        max_runs=draw(st.none() | st.integers(1, 30)),
    )
    instants = sorted(draw(st.sets(st.integers(0, 100), min_size=1)))
    next_due = draw(st.sampled_from(instants))
    situation = Situation(
        next_due=next_due,
        now=draw(st.integers(next_due, 110)),
        started=draw(st.integers(0, (task.max_runs or 30) - 1)),
        busy=draw(st.booleans()),
        buffered=draw(st.integers(0, 3) | st.integers(BUFFER_LIMIT - 30, BUFFER_LIMIT + 1)),
        slots=draw(st.integers(0, 3) | st.integers(0, 40)),
    )
    return task, Listed(instants), situation


@given(cases())
@settings(max_examples=500, deadline=None)
def test_any_situation(case):
    """Whatever the due times and the situation are, the plan is the oracle's."""
    check(*case)


@given(cases())
@settings(max_examples=300, deadline=None)
def test_every_due_time_is_accounted_for_once(case):
    """Pass after pass, each due time goes into exactly one firing, until none that has come is left."""
    task, schedule, situation = case
    come = [due for due in schedule.instants if situation.next_due <= due <= situation.now]
    next_due, accounted = situation.next_due, []
    for _ in range(len(come) + 1):
        if next_due is None or next_due > situation.now:
            break
        situation = replace(situation, next_due=next_due, slots=situation.slots or 1, buffered=0, busy=False)
        made = plan(task, schedule, situation)
        next_due, situation = made.next_due, replace(situation, started=made.started)
        for firing in made.firings:
            until = come.index(firing.scheduled_at) + 1
            accounted += come[until - firing.coalesced - 1 : until]
    assert accounted == come[: len(accounted)]
    if len(accounted) < len(come):
        assert next_due is None
        assert made.started == task.max_runs


# --- The policies, as the documents word them ---

FIVE = Listed([10, 20, 30, 40, 50, 60])


def decided(task, **values):
    made = plan(task, FIVE, a_situation(**{"next_due": 10, "now": 55, **values}))
    return list(made.firings), made.next_due


@pytest.mark.parametrize(
    ("overlap", "decision", "reason"),
    [
        (SKIP, SKIPPED, SKIPPED_OVERLAP),
        (BUFFER_ONE, BUFFER, None),
        (BUFFER_ALL, BUFFER, None),
        (CANCEL_OTHER, BUFFER, None),
        (ALLOW_ALL, START, None),
    ],
)
def test_coalesced_while_busy(overlap, decision, reason):
    """All that has passed is one firing: at the latest due time, counting the others."""
    assert decided(a_task(overlap=overlap), busy=True) == ([Firing(decision, 50, 4, reason)], 60)


@pytest.mark.parametrize(
    ("overlap", "expected"),
    [
        (SKIP, [Firing(START, 10), Firing(SKIPPED, 50, 3, SKIPPED_OVERLAP)]),
        (BUFFER_ONE, [Firing(START, 10), Firing(BUFFER, 20), Firing(SKIPPED, 50, 2, SKIPPED_BUFFER_ONE)]),
        (BUFFER_ALL, [Firing(START, 10), *(Firing(BUFFER, due) for due in (20, 30, 40, 50))]),
        (CANCEL_OTHER, [Firing(SKIPPED, 40, 3, SKIPPED_SUPERSEDED), Firing(START, 50)]),
        (ALLOW_ALL, [Firing(START, due) for due in (10, 20, 30, 40, 50)]),
    ],
)
def test_one_by_one_while_free(overlap, expected):
    """Without coalescing the oldest is judged first, and what is not started shares one row."""
    assert decided(a_task(overlap=overlap, coalesce=False)) == (expected, 60)


@pytest.mark.parametrize("overlap", list(OverlapPolicy))
@pytest.mark.parametrize("coalesce", [True, False])
def test_no_free_slot(overlap, coalesce):
    """Due times that have only a slot to wait for stay due, and none of them is in the history already."""
    firings, next_due = decided(a_task(overlap=overlap, coalesce=coalesce), slots=0)
    assert all(firing.scheduled_at < next_due for firing in firings)
    assert next_due == (50 if firings else 10)


def test_slots_run_out():
    """Those that found a slot start, the others stay due."""
    firings, next_due = decided(a_task(overlap=ALLOW_ALL, coalesce=False), slots=2)
    assert (firings, next_due) == ([Firing(START, 10), Firing(START, 20)], 30)


@pytest.mark.parametrize(("late_by", "decision"), [(0, START), (1, MISSED)])
def test_grace_is_exact(late_by, decision):
    """A due time as late as its grace starts, one a microsecond later is missed, and the reason tells the grace."""
    task = a_task(misfire_grace_seconds=0.5)
    made = plan(task, Listed([0]), a_situation(now=SECOND // 2 + late_by))
    assert [firing.decision for firing in made.firings] == [decision]
    assert made.firings[0].reason == ("later than misfire_grace_seconds=0.5" if late_by else None)


def test_latest_within_grace():
    """With coalescing the latest due time decides: those before it count in its run, however late they are."""
    task = a_task(misfire_grace_seconds=10 / SECOND)
    assert decided(task)[0] == [Firing(START, 50, 4)]
    assert decided(task, now=59)[0] == [Firing(START, 50, 4)]
    (missed,), _ = decided(a_task(misfire_grace_seconds=2 / SECOND))
    assert (missed.decision, missed.scheduled_at, missed.coalesced) == (MISSED, 50, 4)


def test_late_ones_share_a_row():
    """Without coalescing, all that are past their grace are one missed row, and the rest is judged."""
    task = a_task(misfire_grace_seconds=20 / SECOND, coalesce=False, overlap=ALLOW_ALL)
    (missed, *rest), _ = decided(task)
    assert (missed.decision, missed.scheduled_at, missed.coalesced) == (MISSED, 30, 2)
    assert rest == [Firing(START, 40), Firing(START, 50)]


@pytest.mark.parametrize("waiting", [BUFFER_LIMIT - 1, BUFFER_LIMIT, BUFFER_LIMIT + 7])
def test_buffer_is_bounded(waiting):
    """When a thousand due times wait, further ones are skipped in one row, and the reason says so."""
    firings, _ = decided(a_task(overlap=BUFFER_ALL, coalesce=False), busy=True, buffered=waiting)
    room = max(0, BUFFER_LIMIT - waiting)
    assert [firing.decision for firing in firings] == [BUFFER] * room + [SKIPPED]
    assert (firings[-1].coalesced, firings[-1].reason) == (4 - room, SKIPPED_BUFFER_FULL)
    assert "1000" in SKIPPED_BUFFER_FULL


@pytest.mark.parametrize(("started", "begins"), [(0, 3), (1, 2), (2, 1)])
@pytest.mark.parametrize("overlap", [ALLOW_ALL, BUFFER_ALL])
def test_max_runs(started, begins, overlap):
    """What is started or waits counts, what is skipped or missed does not; then the task has no due time any more."""
    firings, next_due = decided(a_task(max_runs=3, overlap=overlap, coalesce=False), started=started)
    assert len(firings) == begins
    assert next_due is None


@pytest.mark.parametrize(("busy", "grace"), [(True, None), (False, 0)])
def test_max_runs_counts_starts_only(busy, grace):
    """A last run that was skipped or missed is still to come."""
    made = plan(a_task(max_runs=1, misfire_grace_seconds=grace), FIVE, a_situation(next_due=10, now=15, busy=busy))
    assert made.firings[0].decision in {SKIPPED, MISSED}
    assert made.next_due == 20


def test_one_run_for_many_counts_once():
    """A run that stands for many due times is one of `max_runs`."""
    situation = a_situation(next_due=10, now=55)
    made = plan(a_task(max_runs=2), FIVE, situation)
    assert (made.next_due, made.started) == (60, 1)


def test_a_due_time_that_the_schedule_no_longer_has():
    """A stored due time that new zone data moved away is served all the same, and so are those after it."""
    made = plan(a_task(), FIVE, a_situation(next_due=15, now=15))
    assert (list(made.firings), made.next_due) == ([Firing(START, 15)], 20)
    made = plan(a_task(), FIVE, a_situation(next_due=15, now=35))
    assert (list(made.firings), made.next_due) == ([Firing(START, 30, 2)], 40)
    made = plan(a_task(), Listed([]), a_situation(next_due=15, now=35))
    assert (list(made.firings), made.next_due) == ([Firing(START, 15)], None)


# --- A long backlog ---


@pytest.mark.parametrize("overlap", list(OverlapPolicy))
@pytest.mark.parametrize("coalesce", [True, False])
@pytest.mark.parametrize("grace", [None, 0, 3600])
@pytest.mark.parametrize("busy", [True, False])
def test_a_month_of_seconds(overlap, coalesce, grace, busy):
    """After 30 days down an interval of a second is not enumerated: questions and rows are as few as what can start."""
    schedule = Counted(IntervalSchedule(0, SECOND))
    now = MONTH * SECOND + 1
    task = a_task(overlap=overlap, coalesce=coalesce, misfire_grace_seconds=grace)
    made = plan(task, schedule, a_situation(now=now, busy=busy, slots=5))
    can_begin = 5 + (BUFFER_LIMIT if overlap is BUFFER_ALL else 0)
    assert schedule.calls <= 20 + (0 if coalesce else 2 * can_begin)
    assert len(made.firings) <= (1 if coalesce else can_begin + 2)
    accounted = sum(firing.coalesced + 1 for firing in made.firings)
    assert accounted == MONTH + 1 if made.next_due > now else accounted * SECOND == made.next_due


# --- Retries ---

seconds = st.floats(0, 3_155_760_000) | st.integers(0, 3_155_760_000)


@given(seconds, seconds, st.integers(1, 10) | st.integers(1, 10**9), st.floats(0, 1))
@example(1.9e-15, 55912.0, 66, 0.5)
def test_retry_delay_is_bounded(first, most, attempt, share):
    """The wait doubles with each attempt up to its bound, varies by a quarter at most, and never exceeds the bound."""
    task = a_task(retry_delay_seconds=first, retry_max_delay_seconds=most)
    doubled = min(first * 2.0 ** min(attempt - 1, 1_023), most)
    delay = retry_delay(task, attempt, share)
    assert isinstance(delay, int)
    assert round(0.75 * doubled * SECOND) - 1 <= delay <= round(min(1.25 * doubled, most) * SECOND) + 1
    assert delay <= longest_retry_delay(task, attempt) <= round(min(1.25 * doubled, most) * SECOND) + 1


@pytest.mark.parametrize(("share", "waits"), [(0, [0.75, 1.5, 3, 6, 7.5, 7.5]), (1, [1.25, 2.5, 5, 10, 10, 10])])
def test_retry_delays_in_turn(share, waits):
    """One second, two, four, eight, and then the bound: less a quarter, or more a quarter but for the bound."""
    task = a_task(retry_delay_seconds=1, retry_max_delay_seconds=10)
    assert [retry_delay(task, attempt, share) / SECOND for attempt in range(1, 7)] == waits


def test_retries_do_not_come_together():
    """Tasks that failed at once are not retried at once, if their shares differ."""
    assert len({retry_delay(a_task(), 1, number / 100) for number in range(100)}) == 100
