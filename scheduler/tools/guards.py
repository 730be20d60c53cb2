"""What an agent may ask of the scheduler at most."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final

from scheduler.models import Run, RunStatus, TaskDefinition
from scheduler.schedule import next_due_times
from scheduler.tools.callers import Caller
from scheduler.tools.refusal import Refusal
from scheduler.tools.wording import duration, moment
from scheduler.words import describe

_LOOKED_AT: Final = 1_000
"""So many due times of a schedule are looked at for the shortest distance."""
_LONGEST_DAYS: Final = 36_500


@dataclass(frozen=True, slots=True)
class Guards:
    """The limits of each owner."""

    max_tasks: int
    min_interval_seconds: int
    max_lifetime_days: float | None
    max_prompt_length: int
    allow_in_scheduled_runs: bool

    def __post_init__(self) -> None:
        """Raise `ValueError` for a limit that is none."""
        for name in ("max_tasks", "min_interval_seconds", "max_prompt_length"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name}={value!r}; give a whole number, 1 or more")
        days = self.max_lifetime_days
        if days is not None and (isinstance(days, bool) or not math.isfinite(days) or not 0 < days <= _LONGEST_DAYS):
            raise ValueError(f"max_lifetime_days={days!r}; give days above 0, up to {_LONGEST_DAYS:,}, or None")

    @property
    def in_words(self) -> str:
        """The limits, for the description of the tool."""
        expiry = (
            "" if self.max_lifetime_days is None else f" A recurring task ends after {self._lifetime} at the latest."
        )
        return (
            f"At most {self.max_tasks} tasks at a time, each run at least {self._interval} after the one before."
            f"{expiry} The prompt has at most {self.max_prompt_length:,} characters."
        )

    @property
    def _interval(self) -> str:
        return duration(self._least)

    @property
    def _lifetime(self) -> str:
        return f"{self.max_lifetime_days:g} day{'' if self.max_lifetime_days == 1 else 's'}"

    def check_place(self, caller: Caller) -> None:
        """Refuse what would let scheduled runs bring about further runs."""
        if caller.scheduled_run is not None and not self.allow_in_scheduled_runs:
            raise Refusal(
                "Not done: this is a scheduled run, and in one of these nothing can be scheduled, resumed or run. "
                "Do what the prompt asks now; listing, pausing and cancelling are possible."
            )

    def check_prompt(self, prompt: str) -> None:
        """Refuse a prompt that is too long."""
        if len(prompt) > self.max_prompt_length:
            raise Refusal(
                f"Not done: the prompt has {len(prompt):,} characters, at most {self.max_prompt_length:,} are allowed. "
                "Shorten it."
            )

    def check_room(self, tasks: int) -> None:
        """Refuse a task beyond the highest number."""
        if tasks >= self.max_tasks:
            raise Refusal(
                f"Not done: there are {tasks} tasks already, and at most {self.max_tasks} are allowed. "
                "Ask the user which one to give up, and use cancel_scheduled_task."
            )

    def end(self, asked: datetime | None, now: datetime) -> datetime | None:
        """Return when a recurring task ends: when the model asked for, else as late as is allowed."""
        if asked is not None and asked <= now:
            raise Refusal(f"Not done: until lies in the past, now it is {moment(now, asked.tzinfo)}. Give a later one.")
        if self.max_lifetime_days is None:
            return asked
        latest = (now + timedelta(days=self.max_lifetime_days)).replace(second=0, microsecond=0)
        if asked is not None and asked > latest:
            raise Refusal(
                f"Not done: a recurring task may go on for {self._lifetime}, until {moment(latest, asked.tzinfo)}. "
                "Give an earlier until, or leave it out."
            )
        return asked or latest

    def check_due_times(self, task: TaskDefinition, caller: Caller, now: datetime) -> None:
        """Refuse a schedule that never comes, or comes too often."""
        due_times = next_due_times(task.model_copy(update={"jitter_seconds": 0}), _LOOKED_AT, now)
        if not due_times:
            raise Refusal(f"Not done: {describe(task)!r} has no due time before it ends. Choose another schedule.")
        instants = [due.astimezone(UTC) for due in due_times]  # datetimes of one zone are subtracted by its clock
        shortest = min((after - before for before, after in pairwise(instants)), default=None)
        if shortest is not None and shortest < self._least:
            raise Refusal(
                f"Not done: {describe(task)!r} has due times {duration(shortest)} apart; "
                f"between two runs there must be at least {self._interval}. Choose a less frequent schedule."
            )
        if caller.scheduled_run is not None and due_times[0] - now < self._least:
            raise Refusal(f"Not done: out of a scheduled run, the earliest due time is {self._interval} from now.")

    def check_run_now(self, newest: Run | None, now: datetime) -> None:
        """Refuse a run beside, or right after, another run of the task."""
        if newest is None:
            return
        if newest.status in {RunStatus.PENDING, RunStatus.RUNNING, RunStatus.WAITING}:
            raise Refusal(f"Not done: a run of this task is {newest.status} already; list_scheduled_runs shows it.")
        if now - newest.scheduled_at < self._least:
            raise Refusal(
                f"Not done: the task has just had a run, and between two runs there must be at least {self._interval}. "
                "list_scheduled_runs shows what came of it."
            )

    @property
    def _least(self) -> timedelta:
        return timedelta(seconds=self.min_interval_seconds)
