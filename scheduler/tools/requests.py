"""What the model may say: the arguments of the tools, and not one more."""

from typing import Annotated, Any, ClassVar

from langgraph.prebuilt import ToolRuntime
from pydantic import BaseModel, ConfigDict, Field, model_validator

from scheduler._limits import INTERVAL_LIMIT

MOST_RUNS_SHOWN = 20
"""The most runs that a call shows."""


class Request(BaseModel):
    """The arguments of a call. An argument that is not here is refused, not ignored."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _leave_out_what_is_empty(cls, data: Any) -> Any:  # noqa: ANN401 (pydantic's own signature)
        """Drop the runtime, which is LangGraph's and not the model's, and texts that models send for nothing."""
        if not isinstance(data, dict):
            return data
        said = {name: value for name, value in data.items() if not isinstance(value, ToolRuntime)}
        return {name: value for name, value in said.items() if not _is_left_out(cls, name, value)}


def _is_left_out(of: type[BaseModel], name: str, value: object) -> bool:
    field = of.model_fields.get(name)
    return field is not None and not field.is_required() and (value is None or value == "")


class ListRequest(Request):
    """How the tasks are shown."""

    timezone: Annotated[
        str | None,
        Field(max_length=100, description="The IANA zone of the user, to tell the time in; optional."),
    ] = None


class ScheduleRequest(Request):
    """What to do, and when. Give exactly one of schedule, cron, interval_seconds, run_at and rrule."""

    name: Annotated[str, Field(max_length=100, description="A short title that the user recognises.")]
    prompt: Annotated[
        str,
        Field(
            max_length=1_000_000,
            description="The instruction that you will be given at each due time. It must say all that is needed: "
            "you may not remember this conversation then.",
        ),
    ]
    schedule: Annotated[
        str | None,
        Field(
            max_length=1000,
            description="The schedule in plain English, such as 'every Monday at 8:30am', 'every weekday at 18:00', "
            "'every 2 hours', 'on the 1st of every month at noon', 'in 30 minutes', 'tomorrow at 9am'. Prefer it.",
        ),
    ] = None
    cron: Annotated[
        str | None,
        Field(max_length=1000, description="Or a cron expression of five fields, such as '30 8 * * 1-5'."),
    ] = None
    interval_seconds: Annotated[
        int | None,
        Field(
            ge=1,
            le=INTERVAL_LIMIT,
            description="Or so many seconds from one run to the next, the first one after that.",
        ),
    ] = None
    run_at: Annotated[
        str | None,
        Field(max_length=100, description="Or one instant in ISO 8601, such as '2027-03-15T14:00' or with an offset."),
    ] = None
    rrule: Annotated[
        str | None,
        Field(
            max_length=1000,
            description="Or a recurrence rule of RFC 5545, for what the others cannot say, such as "
            "'FREQ=WEEKLY;INTERVAL=2;BYDAY=MO;BYHOUR=9' (every other Monday, from the next one on). "
            "Give the end as until or max_runs, not in the rule.",
        ),
    ] = None
    timezone: Annotated[
        str | None,
        Field(
            max_length=100,
            description="The IANA zone of the user, such as 'Europe/Berlin'. Without it, the scheduler's.",
        ),
    ] = None
    until: Annotated[
        str | None,
        Field(max_length=100, description="The end of a recurring task, a date or an instant in ISO 8601; optional."),
    ] = None
    max_runs: Annotated[
        int | None, Field(ge=1, le=1_000_000, description="A recurring task ends after so many runs; optional.")
    ] = None


class TaskRequest(Request):
    """One of the user's tasks."""

    task_id: Annotated[str, Field(max_length=300, description="The task's id, as list_scheduled_tasks shows it.")]


class UpdateRequest(ScheduleRequest):
    """One of the user's tasks, and what is to be changed of it."""

    task_id: Annotated[str, Field(max_length=300, description="The task's id, as list_scheduled_tasks shows it.")]
    name: Annotated[str | None, Field(max_length=100, description="A new title; optional.")] = None  # type: ignore[assignment]
    prompt: Annotated[str | None, Field(max_length=1_000_000, description="A new instruction; optional.")] = None  # type: ignore[assignment]


class HistoryRequest(TaskRequest):
    """One of the user's tasks, and how much of its history."""

    limit: Annotated[int, Field(ge=1, le=MOST_RUNS_SHOWN, description="How many runs are shown, the newest first.")] = 5
