"""What must hold in every world: the promises, and what follows from them."""

import bisect
from collections import defaultdict

from sim_oracle import TaskModel
from sim_process import SEC

from scheduler.models import TaskDefinition

EARLY = 250_000
"""So long before it comes a due time may be claimed, in microseconds."""
STEPS = ["ask", "one", "two"]
NEVER_STARTED = {"skipped", "missed"}
_DIED, _STOPPED = "its process", "its process died or was stopped"
_LONGEST_RETRY = 5
"""After so many seconds at most a pass that failed is tried again."""


def check(world):
    """Add what is wrong to the faults of a world that has settled."""
    Checks(world).run()
    return world.faults


class Checks:
    """The checks of one world, and what they look at."""

    def __init__(self, world):
        self.world = world
        self.settings = world.script["settings"]
        self.runs = world.rows("SELECT * FROM scheduler_runs ORDER BY task_id, scheduled_at, seq")
        self.by_id = {run["id"]: run for run in self.runs}
        self.of_task = defaultdict(list)
        for run in self.runs:
            self.of_task[run["task_id"]].append(run)
        self.tasks = {task["id"]: task for task in world.rows("SELECT * FROM scheduler_tasks")}
        self.calls_of = defaultdict(list)
        for call in world.calls:
            self.calls_of[call.run_id].append(call)
        self.kinds = {operation[1] for operation in world.script["operations"]}
        self.went_back = any(each[1] == "clock" and each[2] < 0 for each in world.script["operations"])
        self.now = world.clock.now()
        self.slack = round((self.settings["poll"] + 6) * SEC)

    def run(self):
        self.check_starts()
        if self.world.saver is None:
            self.check_attempts()
        else:
            self.check_steps()
        self.check_overlaps()
        self.check_ends()
        self.check_deaths()
        self.check_stored()
        self.check_served()
        self.check_limits()
        self.check_earliness()
        if not self.went_back:
            self.check_accounting()
            self.check_lateness()
        self.check_listing()

    def fault(self, kind, text):
        self.world.fault(kind, text)

    def shown(self, run):
        return f"{run['task_id']} run {run['seq']} ({run['status']}, due {self.world.seconds(run['scheduled_at'])})"

    # --- Promise 1: at most one start ---

    def check_starts(self):
        started = defaultdict(set)
        for run_id, calls in self.calls_of.items():
            run = self.by_id.get(run_id)
            if run is None:
                self.fault(
                    "no-history",
                    f"the graph was called for {calls[0].task_id} {calls[0].due}, of which nothing is kept",
                )
            elif run["trigger"] == "schedule" or (run["trigger"] == "backfill" and not self.went_back):
                started[run["task_id"], calls[0].due].add(run_id)
        for (task_id, due), run_ids in started.items():
            if len(run_ids) > 1:
                self.fault("twice", f"{task_id} {due} was started by {len(run_ids)} runs")

    def check_attempts(self):
        """A graph is called once an attempt, and only a run that has called it has ended by it."""
        for run in self.runs:
            calls = self.calls_of[run["id"]]
            if len(calls) > run["attempt"]:
                self.fault("attempts", f"{self.shown(run)}: {len(calls)} calls in {run['attempt']} attempts")
            if run["status"] in NEVER_STARTED and calls:
                self.fault("not-started", f"{self.shown(run)}: its graph was called")
            if run["status"] in {"succeeded", "failed", "timed_out"} and not calls:
                self.fault("no-call", f"{self.shown(run)}: its graph was never called")
            self._check_failures(run, calls)

    def _check_failures(self, run, calls):
        model = self.world.models.get(run["task_id"])
        if model is None or self.kinds & {"suspend", "commit", "crash"}:
            return
        failed = sum(call.error == "ValueError" for call in calls)
        limits = {task.max_attempts for task in model.definitions}
        if failed > max(limits):
            self.fault("failures", f"{self.shown(run)}: {failed} failed attempts of {max(limits)}")
        is_over = run["status"] == "failed" and len(limits) == 1 and not model.was_removed
        is_over = is_over and not run["cancel_requested"]
        if (
            is_over
            and len(calls) < min(limits)
            and not any(call.is_killed for call in calls)
            and not self.kinds & {"crash", "stop"}
        ):
            self.fault("gave-up", f"{self.shown(run)}: {len(calls)} attempts of {min(limits)}")

    def check_steps(self):
        """Runs take turns on a thread, and no step is made again once the next one has begun."""
        of_thread = defaultdict(list)
        for call in self.world.calls:
            of_thread[call.thread_id].append(call)
        for thread_id, calls in of_thread.items():
            for one, other in _at_once(calls, self.world.now):
                if not self._may_overlap(one, other):
                    what = f"{one.task_id} from {one.begin / SEC} and {other.task_id} from {other.begin / SEC}"
                    self.fault("thread", f"{thread_id}: two runs at once, {what}")
        for run_id, calls in self.calls_of.items():
            steps = [STEPS.index(call.step) for call in calls]
            if steps != sorted(steps) and not self.kinds & {"suspend", "clock"}:
                self.fault("steps", f"{calls[0].task_id} run {run_id}: the steps {[call.step for call in calls]}")

    # --- Overlap, slots, limits ---

    def check_overlaps(self):
        """Runs of a task go one at a time, unless it allows overlaps."""
        exclusive = defaultdict(list)
        for call in self.world.calls:
            run = self.by_id.get(call.run_id)
            if run is not None and run["exclusive"]:
                exclusive[call.task_id].append(call)
        for task_id, calls in exclusive.items():
            if any(task.overlap == "allow_all" for task in self._definitions(task_id)):
                continue
            for one, other in _at_once(calls, self.world.now):
                if not self._may_overlap(one, other):
                    what = (
                        f"{one.process.name} from {one.begin / SEC} and {other.process.name} from {other.begin / SEC}"
                    )
                    self.fault("overlap", f"{task_id}: two graphs at once, {what}")

    def _definitions(self, task_id):
        model = self.world.models.get(task_id)
        return [] if model is None else model.definitions

    def _may_overlap(self, one, other):
        """Tell whether one's process was silent for so long that its lease was over; on waking it has to notice."""
        lease = self.settings["lease"] * SEC
        notice = (min(self.settings["poll"], self.settings["lease"] / 3) + 8) * SEC + self._longest_trouble()
        return (
            any(
                end - begin > lease / 4 and begin <= (call.end or self.world.now) and end + notice >= rest.begin
                for call, rest in ((one, other), (other, one))
                for begin, end in call.process.suspensions
            )
            or self._lease_may_end()
        )

    def _longest_trouble(self):
        seconds = [each[2] for each in self.world.script["operations"] if each[1] in {"lock", "slow", "commit"}]
        return round(max(seconds, default=0) * SEC)

    def _lease_may_end(self):
        """Tell whether a process could not renew its lease in time although it was awake."""
        return self._longest_trouble() > self.settings["lease"] * SEC / 3 or ("clock" in self.kinds)

    def check_limits(self):
        """No more runs start than `max_runs` says; a changed schedule counts from zero."""
        for task_id, model in self.world.models.items():
            limits = [task.max_runs for task in model.definitions]
            if not limits or None in limits or len({schedule for schedule, _, _ in model.spans}) > 1:
                continue
            scheduled = [
                run for run in self.of_task[task_id] if run["trigger"] == "schedule" and self.calls_of[run["id"]]
            ]
            if len(scheduled) > max(limits):
                self.fault("max-runs", f"{task_id}: {len(scheduled)} runs of {max(limits)}")

    # --- Promise 4: a crashed run is noticed ---

    def check_ends(self):
        """Nothing stays open that nobody works on."""
        working = {call.run_id for call in self.world.calls if call.end is None}
        for run in self.runs:
            if (
                run["status"] == "running"
                and run["id"] not in working
                and self.now - (run["started_at"] or 0) > 2 * SEC
            ):
                self.fault("stuck", f"{self.shown(run)} is running, and nobody works on it")
            if run["status"] == "pending" and run["ready_at"] < self.now - self.slack and not self._is_unusable(run):
                self.fault("stuck", f"{self.shown(run)} could start since {(self.now - run['ready_at']) / SEC} s")
        for run in self.runs:
            calls = self.calls_of[run["id"]]
            if calls and calls[-1].is_killed and run["status"] in {"succeeded", "failed", "timed_out"}:
                self.fault("killed", f"{self.shown(run)}: its last attempt was killed")
            may_repeat = any(task.rerun_after_crash for task in self._definitions(run["task_id"]))
            may_repeat |= self.world.saver is not None
            if any(call.is_killed for call in calls[:-1]) and not may_repeat:
                self.fault("repeated", f"{self.shown(run)} was repeated after a crash without rerun_after_crash")
            if self.world.saver is None:
                self._check_repeated(run, calls)
            # A process that wakes up may begin one more step before its next pass says that its run was taken over.
            if (
                self.world.saver is None
                and "clock" not in self.kinds
                and any(self._begins_after_end(call, run) for call in calls)
            ):
                self.fault("after-end", f"{self.shown(run)} was over when its graph was called")

    def _check_repeated(self, run, calls):
        """A run that may be repeated is, unless its task is gone."""
        model, definitions = self.world.models.get(run["task_id"]), self._definitions(run["task_id"])
        must_repeat = definitions and all(task.rerun_after_crash for task in definitions) and not model.was_removed
        must_repeat = must_repeat and not run["cancel_requested"]
        if must_repeat and run["status"] == "interrupted" and run["attempt"] == 1 and calls and calls[0].is_killed:
            self.fault("not-repeated", f"{self.shown(run)}: {run['error']}, and its task has rerun_after_crash")

    def _begins_after_end(self, call, run):
        return run["finished_at"] is not None and call.begin + self.world.start > run["finished_at"] + 2_000

    def _is_unusable(self, run):
        task = self.tasks.get(run["task_id"])
        return task is None or task["problem"] is not None

    def check_deaths(self):
        """Nobody is taken for dead who lives and could renew the lease, or could not for want of the store."""
        if "clock" in self.kinds or self.settings["lease"] < _LONGEST_RETRY + self.settings["poll"]:
            return
        for run in self.runs:
            texts = f"{run['error']} {run['earlier_attempts']}".replace(_STOPPED, "")
            calls = self.calls_of[run["id"]]
            # A process may have been lost before it could call the graph; with checkpoints, a call is a step.
            never_called = run["attempt"] > len(calls) or (self.world.saver is not None and self._lost_a_process())
            if _DIED in texts and not never_called and all(self._was_alive(call) for call in calls):
                self.fault("false-death", f"{self.shown(run)}: {texts[:200]}, and its process was alive and awake")

    def _lost_a_process(self):
        return any(
            process.suspensions or (process.died_at is not None and not process.ended_well)
            for process in self.world.processes
        )

    def _was_alive(self, call):
        """Tell whether the process of a call was neither killed nor silent for a while, and did not stop."""
        lease, process = self.settings["lease"] * SEC, call.process
        is_silent = any(end - begin > lease / 4 for begin, end in process.suspensions)
        return process.died_at is None and not process.is_stopping and not is_silent and not process.has_restarted

    # --- Promise 3: a returned call is durable ---

    def check_stored(self):
        for task_id, model in self.world.models.items():
            task = self.tasks.get(task_id)
            if model.definition is None:
                if task is not None and not task["removed"]:
                    self.fault("durable", f"{task_id} was removed, and is there")
            elif task is None or task["removed"]:
                self.fault("durable", f"{task_id} was added, and is not there")
            else:
                stored = TaskDefinition.model_validate_json(task["definition"])
                if stored != model.definition and not model.may_be_left_out:
                    self.fault("durable", f"{task_id} has another definition than the last one")
                is_open = task["finished_at"] is None
                if is_open and bool(task["paused"]) != model.is_paused and not model.is_loose:
                    self.fault("durable", f"{task_id}: paused is {task['paused']}, expected {model.is_paused}")

    # --- Promise 2: every due time is accounted for ---

    def check_served(self):
        """No task goes silent."""
        for task in self.tasks.values():
            is_served = task["finished_at"] is None and not task["paused"] and task["problem"] is None
            if is_served and task["next_due"] is not None and task["next_due"] < self.now - self.slack:
                self.fault("silent", f"{task['id']} was due {(self.now - task['next_due']) / SEC} s ago")
            elif is_served and task["next_due"] is not None and self.went_back:
                self._check_after_step_back(task)

    def _check_after_step_back(self, task):
        """After the clock was set back, the due times that come again and were not served are served."""
        model = self.world.models.get(task["id"])
        if model is None or model.definition is None or not model.spans or model.spans[-1][2] is not None:
            return
        definition, schedule = model.definition, model.spans[-1][0]
        if definition.interval_seconds and not definition.start_at:
            if task["next_due"] - self.now > (definition.interval_seconds + (definition.jitter_seconds or 0)) * SEC:
                self.fault("silent", f"{task['id']} is due in {(task['next_due'] - self.now) / SEC} s only")
        elif not definition.jitter_seconds and not definition.run_at:
            served = {run["scheduled_at"] for run in self.of_task[task["id"]]}
            ahead = [due for due in schedule.between(self.now + EARLY, task["next_due"] - 1) if due not in served]
            if ahead:
                self.fault("silent", f"{task['id']} is due at {self.world.seconds(ahead[0])}, and will not be served")

    def check_accounting(self):
        for task_id, model in self.world.models.items():
            self._account(task_id, model)

    def _account(self, task_id, model):
        dues = model.due_times(self.now + EARLY)
        times = [due for due, _ in dues]
        rows = [run for run in self.of_task[task_id] if run["trigger"] == "schedule"]
        has_ended = any(task.max_runs for task in model.definitions)
        if any(task.jitter_seconds for task in model.definitions):
            return
        position = 0
        for row in rows:
            index = bisect.bisect_left(times, row["scheduled_at"], position)
            if index >= len(times) or times[index] != row["scheduled_at"]:
                if not self._is_claimed_early(model, row["scheduled_at"]):
                    self.fault("not-due", f"{self.shown(row)}: it is no due time, or was accounted for")
                return
            passed, count = dues[position : index + 1], row["coalesced"] + 1
            least = sum(is_open or due >= row["scheduled_at"] for due, is_open in passed)
            if not model.is_loose and not (least <= count <= len(passed)):
                expected = f"{least} to {len(passed)}" if least < len(passed) else least
                self.fault("count", f"{self.shown(row)} stands for {count} due times, expected {expected}")
                return
            position = index + 1
        rest = [due for due, is_open in dues[position:] if is_open]
        if rest and not has_ended and not model.is_loose and not model.is_paused:
            self._check_rest(task_id, rest)

    def _is_claimed_early(self, model, due):
        """Tell whether a due time was claimed a moment before a call that has ended its span."""
        for schedule, after, end in model.spans:
            if end is not None and end < due <= end + EARLY and due in schedule.between(after, end + EARLY):
                return True
        return False

    def _check_rest(self, task_id, rest):
        """Check that the due times after the last row are still to come."""
        task = self.tasks.get(task_id)
        next_due = None if task is None or task["finished_at"] is not None else task["next_due"]
        if next_due is None:
            self.fault(
                "lost", f"{task_id}: {len(rest)} due times from {self.world.seconds(rest[0])} on, and no next one"
            )
        elif next_due > rest[0]:
            self.fault(
                "lost",
                f"{task_id}: due at {self.world.seconds(rest[0])}, the next one is {self.world.seconds(next_due)}",
            )

    # --- On time ---

    def check_earliness(self):
        """Nothing starts before it is due, not even by a millisecond."""
        if "clock" in self.kinds:
            return
        for run_id, calls in self.calls_of.items():
            run = self.by_id.get(run_id)
            for call in calls if run is not None and run["trigger"] == "schedule" else ():
                early = run["scheduled_at"] - (call.begin + self.world.start)
                if early > 0:
                    self.fault("early", f"{self.shown(run)} was started {early / SEC} s before it was due")

    def check_lateness(self):
        """A due time starts within a poll, unless something was in its way."""
        bound = round((self.settings["poll"] + 0.5) * SEC)
        free = sorted([*self._troubles(), *self._full()])
        for run in self.runs:
            calls = self.calls_of[run["id"]]
            is_simple = run["trigger"] == "schedule" and run["attempt"] == 1 and not run["earlier_attempts"]
            if not calls or not is_simple or "suspend" in self.kinds or self.world.saver is not None:
                continue
            due, begin = max(0, self._true_time(run["scheduled_at"])), calls[0].begin
            if begin - due <= bound or self._was_in_its_way(run, begin) or self._was_changed(run):
                continue
            late = _outside(due, begin, free)
            if late > bound:
                self.fault("late", f"{self.shown(run)} began {late / SEC} s late without a reason")

    def _troubles(self):
        return [(begin, end + round((5.5 + self.settings["poll"]) * SEC)) for begin, end in self.world.unserved]

    def _full(self):
        """Return when all slots of some process were taken."""
        changes = []
        for call in self.world.calls:
            changes += [(call.begin, 1, call.process), (call.end or self.world.now, -1, call.process)]
        running, since, found = defaultdict(int), {}, []
        for at, change, process in sorted(changes, key=lambda each: each[:2]):
            running[process] += change
            if running[process] >= self.settings["slots"]:
                since.setdefault(process, at)
            elif process in since:
                found.append((since.pop(process), at + SEC))
        return found + [(at, self.world.now) for at in since.values()]

    def _true_time(self, instant):
        """Return when the wall clock showed an instant first, in virtual time."""
        steps = self.world.steps
        for (since, ahead), following in zip(steps, [*steps[1:], (None, 0)], strict=True):
            at = max(since, instant - ahead)
            if following[0] is None or at < following[0]:
                return at
        return self.world.now

    def _was_in_its_way(self, run, begin):
        due = self._true_time(run["scheduled_at"])
        return any(
            other["id"] != run["id"]
            and other["status"] not in NEVER_STARTED
            and self._true_time(other["scheduled_at"]) <= begin
            and (other["finished_at"] is None or self._true_time(other["finished_at"]) > due - SEC)
            for other in self.of_task[run["task_id"]]
        )

    def _was_changed(self, run):
        """Tell whether the task was paused or changed: what came due before may start after that."""
        model = self.world.models.get(run["task_id"], TaskModel())
        return (
            model.was_paused
            or len(model.spans) != 1
            or model.spans[0][2] is not None
            or model.spans[0][1] > run["scheduled_at"]
        )

    # --- What people see ---

    def check_listing(self):
        """`list_tasks` shows what is there, and what happens next."""
        listed = {each["id"]: each for each in self.world.cli.scheduler.list_tasks()}
        for task_id, model in self.world.models.items():
            shown, task = listed.get(task_id), self.tasks.get(task_id)
            is_there = task is not None and task["finished_at"] is None
            if is_there != (shown is not None):
                self.fault("listing", f"{task_id} is {'not ' if shown is None else ''}listed")
            elif shown is not None and shown["next_run"] == "paused" and not task["paused"]:
                self.fault("listing", f"{task_id} is listed as paused")
            elif shown is not None and model.definition is not None and not model.definition.jitter_seconds:
                self._check_next(task_id, model, task)

    def _check_next(self, task_id, model, task):
        is_plain = not task["paused"] and not model.is_paused and task["next_due"] is not None and not self.went_back
        if is_plain and model.spans and model.spans[-1][2] is None and task["next_due"] > self.now + EARLY:
            schedule, after, _ = model.spans[-1]
            newest = max(
                (run["scheduled_at"] for run in self.of_task[task_id] if run["trigger"] == "schedule"), default=0
            )
            ahead = schedule.between(max(after, self.now, newest), task["next_due"])
            if not ahead or ahead[0] != task["next_due"]:
                expected = [self.world.seconds(due) for due in ahead[:2]]
                self.fault(
                    "next", f"{task_id}: next due at {self.world.seconds(task['next_due'])}, expected {expected}"
                )


def _at_once(calls, now):
    ordered = sorted(calls, key=lambda call: call.begin)
    for number, one in enumerate(ordered):
        for other in ordered[number + 1 :]:
            if other.begin >= (now + 1 if one.end is None else one.end):
                break
            yield one, other


def _outside(begin, end, spans):
    """Return how much of a time lies outside of spans, which are sorted."""
    outside, at = 0, begin
    for first, last in spans:
        if first >= end:
            break
        outside += max(0, first - at)
        at = max(at, last)
    return outside + max(0, end - at)
