"""Whatever the wall clock does, no due time runs twice, no task falls silent, and `max_runs` is exact."""

from datetime import UTC, datetime

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from store_kit import START, Process, cron, every, instant, moment, seconds_of

from scheduler import OverlapPolicy
from scheduler.store import database_at
from scheduler.timing.clock import SECOND, to_micros
from scheduler.timing.schedule import schedule_of

#: How long before its due time a run may be claimed.
EARLY = 1
#: Half an hour before the clocks of Berlin are set back.
NIGHT = (to_micros(datetime(2026, 10, 25, 0, 30, tzinfo=UTC)) - START) // SECOND


class ClockMachine(RuleBasedStateMachine):
    """One process after another, and a clock that is set as nobody expects; all times in seconds."""

    @initialize(
        overlap=st.sampled_from([OverlapPolicy.SKIP, OverlapPolicy.BUFFER_ONE, OverlapPolicy.ALLOW_ALL]),
        coalesce=st.booleans(),
        jitter=st.sampled_from([5, 60, 200]),
        max_runs=st.integers(1, 6),
    )
    def begin(self, overlap, coalesce, jitter, max_runs):
        self.database = database_at(None, None)
        self.now = NIGHT
        fields = {"overlap": overlap, "coalesce": coalesce}
        self.tasks = {
            "interval": every(60, "interval", **fields),
            "jittered": every(60, "jittered", jitter_seconds=jitter, **fields),
            "anchored": every(60, "anchored", start_at=moment(NIGHT - 7), **fields),
            "cron": cron("*/2 * * * *", "cron", timezone="Europe/Berlin", **fields),
            "fixed": cron("*/5 1,2 * * *", "fixed", timezone="Europe/Berlin", **fields),
            "counted": every(60, "counted", max_runs=max_runs, **fields),
        }
        self.started = []
        self.process = self.new_process()
        self.process.add(*self.tasks.values(), now=self.now)

    def new_process(self):
        return Process(self.database, zone="UTC", history_limit=100_000).begin(self.now)

    def make_pass(self, slots=32, early=0):
        claims = self.process.run_pass(self.now, slots, early).claims
        self.started += [(claim.task.id, claim.scheduled_at) for claim in claims if claim.trigger == "schedule"]

    # --- What time does ---

    @rule(
        seconds=st.lists(st.integers(1, 100), min_size=1, max_size=8),
        ends=st.booleans(),
        early=st.sampled_from([0, EARLY]),
    )
    def time_passes(self, seconds, ends, early):
        for each in seconds:
            self.now += each
            self.make_pass(early=early)
            if ends:
                self.process.end(self.now)

    @rule(seconds=st.sampled_from([2, 3, 7, 45, 61, 119, 600, 3_600, 7_200]))
    def the_clock_is_set_back(self, seconds):
        self.now -= seconds
        self.make_pass()

    @rule(seconds=st.sampled_from([200, 3_600, 20 * 3_600]))
    def the_clock_is_set_forward(self, seconds):
        self.now += seconds
        self.make_pass()

    @rule(seconds=st.sampled_from([-7_200, -119, -5, 0, 30, 7_200]), stops=st.booleans())
    def the_program_is_started_anew(self, seconds, stops):
        if stops:
            self.process.end(self.now)
            self.process.session.end(self.process._ended, instant(self.now))
        else:
            self.process.sql("DELETE FROM scheduler_owners")
        self.now += seconds
        self.process = self.new_process()
        self.make_pass()

    @precondition(lambda self: self.process.running)
    @rule()
    def all_ends(self):
        self.process.end(self.now)
        self.make_pass()

    # --- What must hold ---

    @invariant()
    def no_due_time_is_started_twice(self):
        assert len(set(self.started)) == len(self.started)

    @invariant()
    def no_task_is_silent(self):
        for listed in self.process.store.list_tasks():
            if listed.next_due is None or listed.next_due <= instant(self.now):
                continue
            wait = (listed.next_due - instant(self.now)) / SECOND
            if listed.id in {"interval", "counted"}:
                assert wait <= 60 + EARLY
            elif listed.id == "jittered":
                assert wait <= 60 + EARLY + min(60, listed.definition.jitter_seconds)
            else:
                self.check_that_all_before_were_served(listed)

    def check_that_all_before_were_served(self, listed):
        """No due time lies between now and the next one, but those that have a row."""
        rows = self.process.sql("SELECT scheduled_at FROM scheduler_runs WHERE task_id = :id", id=listed.id)
        served = {row.scheduled_at for row in rows}
        schedule = schedule_of(listed.definition, listed.zone, listed.anchor)
        due = schedule.next_after(instant(self.now))
        while due < listed.next_due:
            assert due in served, (listed.id, seconds_of(due))
            due = schedule.next_after(due)

    @invariant()
    def max_runs_is_exact(self):
        number = sum(task_id == "counted" for task_id, _ in self.started)
        most = self.tasks["counted"].max_runs
        waiting = self.process.sql(
            "SELECT count(*) AS n FROM scheduler_runs WHERE task_id = 'counted' AND status = 'pending'"
        )[0].n
        assert number + waiting <= most
        listed = self.process.listed("counted")
        if listed is None or listed.next_due is None:
            assert number + waiting == most

    def teardown(self):
        if hasattr(self, "database"):
            self.database.close()


TestClockMachine = ClockMachine.TestCase
TestClockMachine.settings = settings(
    max_examples=60,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
