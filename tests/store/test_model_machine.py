"""The store against a model in plain Python: whatever is done in whatever order, each due time is accounted for once.

The model knows which due times a task has: those of its schedule while it is there and not paused. The history must
stand for each of them exactly once and in order, up to the one that the store says is due next.
"""

import functools
import subprocess
import sys

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from store_kit import LEASE, Process, every, instant, once, seconds_of

from scheduler import OverlapPolicy, RunStatus, TaskNotFoundError
from scheduler.store import database_at

IDS = ("a", "b", "c")
NEVER_STARTED = {RunStatus.SKIPPED, RunStatus.MISSED}
ENDS = [RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.TIMED_OUT, RunStatus.INTERRUPTED, RunStatus.PENDING]


MOVES = st.lists(
    st.tuples(
        st.sampled_from([1, 3, 8, 20, 20, LEASE + 5, 130]),
        st.integers(0, 1),
        st.sampled_from([100, 2, 1, 0]),
        st.lists(st.sampled_from(ENDS), max_size=4),
    ),
    min_size=1,
    max_size=4,
)


class ModelTask:
    """What is to be known of a task to say which due times it has; all times in seconds."""

    def __init__(self):
        self.definition = None
        self.paused = False
        #: Due times of the past, each of which must be accounted for.
        self.closed = []
        #: Where the schedule in force begins to count (due times lie after it), or None where none is.
        self.since = None
        self.anchor = 0
        #: How many scheduled runs there were when `max_runs` began to count.
        self.base = 0

    @property
    def is_one_time(self):
        return self.definition.run_at is not None

    def next_after(self, instant):
        """Return the first due time of the schedule after an instant, or None."""
        if self.is_one_time:
            due = seconds_of(self.definition.run_at)
            return due if due > instant else None
        step = self.definition.interval_seconds
        due = self.anchor + (max(0, (instant - self.anchor) // step) + 1) * step
        end = seconds_of(self.definition.end_at)
        return None if end is not None and due > end else due

    def between(self, after, until):
        due = self.next_after(after)
        while due is not None and due <= until:
            yield due
            due = self.next_after(due)

    def open(self, now, *, again):
        """Let due times count from now on."""
        self.since = now
        if again:
            self.anchor = now

    def close(self, now):
        """End the schedule: what lies after `now` is no due time."""
        if self.since is not None:
            self.closed += self.between(self.since, now)
        self.since = None

    def add(self, definition, now, started):
        before = self.definition
        self._change(definition, now, started)
        if not definition.enabled:
            self.pause(now)
        elif before is not None and not before.enabled and self.paused:
            self.resume(now, started)

    def _change(self, definition, now, started):
        before, self.definition = self.definition, definition
        if before is None:
            self.base, self.paused = len(started), False
            self.open(now, again=True)
        elif _schedule(before) != _schedule(definition):
            self._end(before, now)
            self.base, self.anchor = len(started), now
            if definition.run_at or not self.paused:
                self.open(now, again=True)
        elif self.is_used_up(started):
            self.close(now)
        elif self.since is None and not self.paused and not self.is_one_time:
            self.open(now, again=False)

    def _end(self, before, now):
        after, self.definition = self.definition, before
        self.close(now)
        self.definition = after

    def pause(self, now):
        if self.paused:
            return
        self.paused = True
        if not self.is_one_time:
            self.close(now)

    def resume(self, now, started):
        if not self.paused:
            return
        self.paused = False
        if not self.is_one_time and not self.is_used_up(started):
            self.open(now, again=False)

    def is_used_up(self, started):
        most = None if self.definition.run_at else self.definition.max_runs
        return most is not None and len(started) - self.base >= most


def _schedule(definition):
    return definition.run_at, definition.interval_seconds, definition.end_at


class StoreMachine(RuleBasedStateMachine):
    """Two processes at most, three tasks, and a clock that moves on."""

    @initialize(
        overlaps=st.tuples(*[st.sampled_from(list(OverlapPolicy))] * len(IDS)),
        seconds=st.sampled_from([10, 25]),
        coalesce=st.booleans(),
        rerun=st.booleans(),
    )
    def begin(self, overlaps, seconds, coalesce, rerun):
        self.database = database_at(None, None)
        self.now = 0
        self.overlaps = dict(zip(IDS, overlaps, strict=True))
        self.tasks = {task_id: ModelTask() for task_id in IDS}
        self.processes = [self.new_process()]
        #: Attempts that were handed out: each only once, unless it was given back.
        self.attempts = set()
        self.gave_back = False
        for task_id in IDS:
            self.add(
                every(
                    seconds,
                    task_id,
                    coalesce=coalesce,
                    overlap=self.overlaps[task_id],
                    rerun_after_crash=rerun,
                    tags=["all"],
                )
            )

    def new_process(self):
        return Process(self.database, history_limit=100_000).begin(self.now)

    @property
    def face(self):
        return self.processes[0]

    # --- What a user does ---

    @rule(
        task_id=st.sampled_from(IDS),
        seconds=st.sampled_from([7, 10, 45]),
        end=st.sampled_from([None, None, 50]),
        max_runs=st.sampled_from([None, None, 1, 3]),
        coalesce=st.booleans(),
        grace=st.sampled_from([None, None, 0, 12]),
        enabled=st.sampled_from([True, True, True, False]),
        max_attempts=st.sampled_from([1, 2]),
        delay=st.sampled_from([0, 5]),
        rerun=st.booleans(),
    )
    def add_interval(self, *, task_id, seconds, end, max_runs, coalesce, grace, enabled, max_attempts, delay, rerun):
        if self.overlaps[task_id] is OverlapPolicy.CANCEL_OTHER:
            max_runs = None
        end_at = None if end is None else once(self.now // 100 * 100 + 100 + end).run_at
        definition = every(
            seconds,
            task_id,
            end_at=end_at,
            max_runs=max_runs,
            coalesce=coalesce,
            misfire_grace_seconds=grace,
            enabled=enabled,
            max_attempts=max_attempts,
            retry_delay_seconds=delay,
            rerun_after_crash=rerun,
            overlap=self.overlaps[task_id],
            tags=["all"],
        )
        self.add(definition)

    @rule(
        task_id=st.sampled_from(IDS),
        ahead=st.integers(-2, 30),
        grace=st.sampled_from([None, 5]),
        enabled=st.sampled_from([True, True, False]),
        rerun=st.booleans(),
    )
    def add_one_time(self, task_id, ahead, grace, enabled, rerun):
        definition = once(
            self.now + ahead,
            task_id,
            misfire_grace_seconds=grace,
            enabled=enabled,
            rerun_after_crash=rerun,
            overlap=self.overlaps[task_id],
            tags=["all"],
        )
        self.add(definition)

    @rule(task_id=st.sampled_from(IDS))
    def add_again(self, task_id):
        definition = self.tasks[task_id].definition
        if definition is not None:
            self.add(definition)

    @rule(task_id=st.sampled_from(IDS), enabled=st.booleans(), max_runs=st.sampled_from([None, 1, 2, 4]))
    def add_changed(self, task_id, enabled, max_runs):
        definition = self.tasks[task_id].definition
        if definition is not None:
            most = None if self.overlaps[task_id] is OverlapPolicy.CANCEL_OTHER else max_runs
            self.add(definition.model_copy(update={"enabled": enabled, "max_runs": most, "name": "Changed"}))

    def add(self, definition):
        task = self.tasks[definition.id]
        is_new = task.definition is None or _schedule(task.definition) != _schedule(definition)
        refused = is_new and definition.run_at is not None and seconds_of(definition.run_at) <= self.now
        try:
            left_out = self.face.store.add_tasks([definition], instant(self.now))
        except ValueError:
            left_out = [definition.id]
        assert bool(left_out) == refused
        if not refused:
            task.add(definition, self.now, self.started(self.runs()[definition.id]))

    @rule(task_id=st.sampled_from(IDS))
    def pause(self, task_id):
        is_listed = self.face.listed(task_id) is not None
        if self.call(self.face.pause, task_id) and is_listed:
            self.tasks[task_id].pause(self.now)

    @rule()
    def pause_all(self):
        """Together, as each alone."""
        listed = [task_id for task_id in IDS if self.face.listed(task_id) is not None]
        assert self.face.store.pause_tasks("all", instant(self.now)) == listed
        for task_id in listed:
            self.tasks[task_id].pause(self.now)

    @rule()
    def resume_all(self):
        """Those that are paused."""
        paused = [task_id for task_id in IDS if (listed := self.face.listed(task_id)) is not None and listed.paused]
        assert self.face.store.resume_tasks("all", instant(self.now)) == paused
        for task_id in paused:
            self.tasks[task_id].resume(self.now, self.started(self.runs()[task_id]))

    @rule(task_id=st.sampled_from(IDS), enabled=st.booleans())
    def update(self, task_id, enabled):
        """As if it were added again, with a field changed."""
        definition = self.tasks[task_id].definition
        if definition is not None:
            new = definition.model_copy(update={"enabled": enabled})
            try:
                assert self.face.store.update_task(task_id, {"enabled": enabled}, instant(self.now)) == new
            except ValueError:  # it has no due time left
                assert self.face.listed(task_id) is None
            else:
                self.tasks[task_id].add(new, self.now, self.started(self.runs()[task_id]))

    @rule(task_id=st.sampled_from(IDS))
    def resume(self, task_id):
        if self.call(self.face.resume, task_id):
            self.tasks[task_id].resume(self.now, self.started(self.runs()[task_id]))

    @rule(task_id=st.sampled_from(IDS))
    def remove(self, task_id):
        if self.call(self.face.remove, task_id):
            task = self.tasks[task_id]
            task.close(self.now)
            task.definition, task.paused = None, False

    @rule(task_id=st.sampled_from(IDS))
    def trigger(self, task_id):
        self.call(self.face.trigger, task_id)

    @rule()
    def trigger_all(self):
        """Those that are not finished, also if nothing but a run by hand keeps them."""
        with_rows = [row.id for row in self.face.sql("SELECT id FROM scheduler_tasks WHERE finished_at IS NULL")]
        run_ids = self.face.store.trigger_tasks("all", instant(self.now))
        assert sorted(self.face.store.get_run(run_id).task_id for run_id in run_ids) == sorted(with_rows)

    @rule(which=st.integers(0, 30))
    def cancel_run(self, which):
        """An open run, newest first: one that has no owner ends at once, and the others are left alone."""
        open_runs = self.face.sql("SELECT * FROM scheduler_runs WHERE finished_at IS NULL ORDER BY id DESC")
        if open_runs:
            run = open_runs[which % len(open_runs)]
            self.face.store.cancel_run(run.id, "enough", instant(self.now))
            status = self.face.store.get_run(run.id).status
            assert status == (RunStatus.RUNNING if run.status == RunStatus.RUNNING else RunStatus.CANCELLED)

    @rule(which=st.integers(0, 30), from_start=st.booleans())
    def retry_run(self, which, from_start):
        """A run that is over, newest first: a new run repeats it, unless one does or its task is gone."""
        ended = self.face.sql("SELECT * FROM scheduler_runs WHERE finished_at IS NOT NULL ORDER BY id DESC")
        if not ended:
            return
        run = ended[which % len(ended)]
        number = "SELECT count(*) AS number FROM scheduler_runs WHERE finished_at IS NULL AND retry_of = :run"
        is_repeated = self.face.sql(number, run=run.id)[0].number > 0
        is_known = self.tasks[run.task_id].definition is not None
        try:
            new = self.face.store.retry_run(run.id, instant(self.now), from_start=from_start)
        except TaskNotFoundError:
            assert not is_known
        except ValueError:
            assert is_repeated
        else:
            assert is_known
            assert not is_repeated
            assert self.face.store.get_run(new).retry_of == run.id

    def call(self, method, task_id):
        """Call a method of the face; it knows the task if the model does."""
        known = self.tasks[task_id].definition is not None
        try:
            method(self.now, task_id)
        except TaskNotFoundError:
            assert not known
        else:
            assert known
        return known

    # --- What time and processes do ---

    @rule(moves=MOVES)
    def time_passes(self, moves):
        """Again and again, time passes, some running runs of a process end, and it makes a pass."""
        for seconds, which, slots, ends in moves:
            self.now += seconds
            process = self.processes[which % len(self.processes)]
            for run_id, status in zip(sorted(process.running), ends, strict=False):
                self.end(process, run_id, status)
            self.pass_of(process, slots)
            self.each_due_time_is_accounted_for_once()

    @rule(moves=MOVES)
    def more_time_passes(self, moves):
        """This is what a store sees most of, so it is drawn more often."""
        self.time_passes(moves)

    @rule(moves=MOVES)
    def much_more_time_passes(self, moves):
        self.time_passes(moves)

    def end(self, process, run_id, status):
        claim = process.running[run_id]
        if status is RunStatus.PENDING:
            self.attempts.discard((run_id, claim.attempt))
            self.gave_back = True
        going, process.running = process.running, {run_id: claim}
        process.end(self.now, status)
        process.running = {key: value for key, value in going.items() if key != run_id}

    def pass_of(self, process, slots):
        going = set(process.running)
        result = process.run_pass(self.now, slots)
        assert len(result.claims) <= slots
        for claim in result.claims:
            assert claim.run_id not in going, "an attempt was started beside the one before it"
            assert (claim.run_id, claim.attempt) not in self.attempts, "an attempt was started twice"
            self.attempts.add((claim.run_id, claim.attempt))
        for run_id in {*result.cancels, *result.taken_over} & process.running.keys():
            self.end(process, run_id, RunStatus.CANCELLED)

    @precondition(lambda self: len(self.processes) > 1)
    @rule(which=st.integers(0, 1))
    def suspend(self, which):
        """Let a process sleep for longer than its lease while the other one runs; then it comes back."""
        awake, asleep = self.processes[which], self.processes[1 - which]
        for _ in range(8):
            self.now += LEASE // 3
            self.pass_of(awake, 2)
        for run_id in list(asleep.running)[:1]:
            self.end(asleep, run_id, RunStatus.SUCCEEDED)
        going = set(asleep.running)
        self.pass_of(asleep, 2)
        assert not going & asleep.running.keys()

    @rule(which=st.integers(0, 1))
    def crash(self, which):
        """Kill a process without a word; another one begins."""
        self.processes.pop(which % len(self.processes)).die(_dead_pid())
        if not self.processes:
            self.processes.append(self.new_process())

    @rule()
    def restart(self):
        """Stop a process properly: running runs are interrupted."""
        process = self.processes.pop(0)
        for run_id in list(process.running):
            self.end(process, run_id, RunStatus.INTERRUPTED)
        process.session.end(process._ended, instant(self.now))
        self.processes.append(self.new_process())

    @precondition(lambda self: len(self.processes) == 1)
    @rule()
    def further_process(self):
        self.processes.append(self.new_process())

    # --- What must hold ---

    def runs(self):
        """Return the history of each task, by due time."""
        found = {task_id: [] for task_id in IDS}
        for run in self.face.sql("SELECT * FROM scheduler_runs ORDER BY scheduled_at, seq"):
            found[run.task_id].append(run)
        return found

    def started(self, runs):
        return [run for run in runs if run.trigger == "schedule" and run.status not in NEVER_STARTED]

    @invariant()
    def each_due_time_is_accounted_for_once(self):
        runs = self.runs()
        listed = {each.id: each for each in self.face.store.list_tasks()}
        for task_id, task in self.tasks.items():
            self.end_what_is_used_up(task, runs[task_id])
            rows = [run for run in runs[task_id] if run.trigger == "schedule"]
            last = seconds_of(rows[-1].scheduled_at) if rows else 0
            due_times = task.closed + ([] if task.since is None else list(task.between(task.since, last)))
            position = 0
            for run in rows:
                stands_for = due_times[position : position + run.coalesced + 1]
                assert stands_for[-1:] == [seconds_of(run.scheduled_at)], (task_id, run, due_times, position)
                assert len(stands_for) == run.coalesced + 1
                position += len(stands_for)
            assert position == len(due_times), (task_id, due_times, position)
            is_open = any(run.finished_at is None for run in runs[task_id])
            self.check_listed(task, due_times, listed.get(task_id), is_open)

    def end_what_is_used_up(self, task, runs):
        """Take note that `max_runs` was reached: the last run's due time was the last one."""
        if task.definition is not None and task.since is not None:
            started = self.started(runs)
            if task.is_used_up(started):
                task.close(max(seconds_of(run.scheduled_at) for run in started))

    def check_listed(self, task, due_times, listed, is_open):
        due = None
        if task.since is not None:
            after = max([task.since, *due_times[len(task.closed) :]])
            due = task.next_after(after)
        if task.definition is None:
            assert listed is None
        elif task.paused and not task.is_one_time:
            assert listed is None or listed.paused
        elif due is None:
            # A run by hand of a finished task does not bring it back.
            assert listed is None or (is_open and listed.next_due is None)
        else:
            assert listed is not None
            assert seconds_of(listed.next_due) == due
            assert listed.paused == task.paused

    @invariant()
    def runs_overlap_only_where_they_may(self):
        history = self.runs()
        for task_id, overlap in self.overlaps.items():
            runs = history[task_id]
            if overlap is not OverlapPolicy.ALLOW_ALL:
                assert sum(run.status is RunStatus.RUNNING for run in runs) <= 1
            if overlap in {OverlapPolicy.BUFFER_ONE, OverlapPolicy.CANCEL_OTHER} and not self.gave_back:
                waiting = [run for run in runs if run.status is RunStatus.PENDING and run.attempt == 0]
                assert sum(run.trigger == "schedule" for run in waiting) <= 1

    def teardown(self):
        """In the end, when everything may run, nothing is left waiting."""
        if not hasattr(self, "attempts"):
            return
        self.pass_of(self.face, 1_000)
        self.each_due_time_is_accounted_for_once()
        for listed in self.face.store.list_tasks():
            assert listed.paused or listed.next_due is None or seconds_of(listed.next_due) > self.now
            self.pause(listed.id)
        for _ in range(2_000):
            if not self.has_open_runs():
                break
            self.drain()
        assert not self.has_open_runs()
        self.each_due_time_is_accounted_for_once()
        self.database.close()

    def drain(self):
        self.now += 1
        for process in self.processes:
            for run_id in list(process.running):
                self.end(process, run_id, RunStatus.SUCCEEDED)
            self.pass_of(process, 100)

    def has_open_runs(self):
        return any(run.finished_at is None for runs in self.runs().values() for run in runs)


@functools.cache
def _dead_pid():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
