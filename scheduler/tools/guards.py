"""What an agent may ask of the scheduler at most."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from scheduler.models import Run, RunStatus, TaskDefinition
from scheduler.phrases import describe
from scheduler.timing.schedule import next_due_times, shortest_interval
from scheduler.tools.callers import Caller
from scheduler.tools.rates import busiest_hour
from scheduler.tools.refusal import Refusal
from scheduler.tools.wording import duration, moment

_BYTES_PER_CHARACTER: Final = 3
"""What a prompt's characters may take on average: enough for every script in daily use."""
_NAME_BYTES: Final = 255
_LONGEST_DAYS: Final = 36_500


@dataclass(frozen=True, slots=True)
class Guards:
    """The limits of each owner."""

    max_tasks: int
    min_interval_seconds: int
    max_lifetime_days: float | None
    max_prompt_length: int
    allow_in_scheduled_runs: bool
    max_runs_per_hour: int

    def __post_init__(self) -> None:
        """Raise `ValueError` for a limit that is none."""
        for name in ("max_tasks", "min_interval_seconds", "max_prompt_length", "max_runs_per_hour"):
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
            f"{expiry} At most {self.max_runs_per_hour} runs an hour for all tasks together. "
            f"The prompt has at most {self.max_prompt_length:,} characters."
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

    def check_texts(self, name: str, prompt: str) -> None:
        """Refuse a name or a prompt that is too long, in characters or in bytes."""
        _check_bytes("name", name, _NAME_BYTES)
        if len(prompt) > self.max_prompt_length:
            raise Refusal(
                f"Not done: the prompt has {len(prompt):,} characters, at most {self.max_prompt_length:,} are allowed. "
                "Shorten it."
            )
        _check_bytes("prompt", prompt, self.max_prompt_length * _BYTES_PER_CHARACTER)

    def check_rate(self, runs: int) -> None:
        """Refuse what would bring the owner's runs, of the past hour and the coming one, above the limit."""
        if runs > self.max_runs_per_hour:
            raise Refusal(
                f"Not done: with this there would be {runs} runs between an hour ago and an hour from now, and at most "
                f"{self.max_runs_per_hour} are allowed. Choose a less frequent schedule, or try again later."
            )

    def check_busiest_hour(self, tasks: Iterable[TaskDefinition], now: datetime) -> None:
        """Refuse tasks that together would have more due times in some later hour than the limit."""
        hour = busiest_hour(tasks, now, self.max_runs_per_hour)
        if hour.due_times > self.max_runs_per_hour and hour.begin is not None:
            raise Refusal(
                f"Not done: with this there would be {hour.due_times} runs in the hour from {moment(hour.begin, UTC)}, "
                f"and at most {self.max_runs_per_hour} are allowed. Choose a less frequent schedule, or another time."
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
                f"Not done: a recurring task may continue for {self._lifetime}, until {moment(latest, asked.tzinfo)}. "
                "Give an earlier until, or leave it out."
            )
        return asked or latest

    def check_due_times(self, task: TaskDefinition, caller: Caller, now: datetime) -> None:
        """Refuse a schedule that never comes, or comes too often at any time of its life."""
        task = task.model_copy(update={"jitter_seconds": 0})
        first = next(iter(next_due_times(task, 1, now)), None)
        if first is None:
            raise Refusal(f"Not done: {describe(task)!r} has no due time before it ends. Choose another schedule.")
        shortest = None if task.max_runs == 1 else shortest_interval(task, self._least, now)
        if shortest is not None and shortest < self._least:
            raise Refusal(
                f"Not done: {describe(task)!r} has due times {duration(shortest)} apart; "
                f"between two runs there must be at least {self._interval}. Choose a less frequent schedule."
            )
        if caller.scheduled_run is not None and first - now < self._least:
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


def default_rate(max_tasks: int, min_interval_seconds: int) -> int:
    """Return how many runs an hour `max_tasks` tasks have that run every `min_interval_seconds`; 1 or more each."""
    try:
        return max_tasks * max(1, 3600 // min_interval_seconds)
    except (TypeError, ZeroDivisionError):  # `Guards` says what is wrong with them
        return 1


def _check_bytes(what: str, text: str, most: int) -> None:
    size = len(text.encode(errors="replace"))
    if size > most:
        raise Refusal(f"Not done: the {what} has {size:,} bytes, at most {most:,} are allowed. Shorten it.")
