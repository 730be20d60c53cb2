"""Tools with which an agent schedules for itself: LangChain tools over a `TaskScheduler`, bounded, for one owner each.

`callers` finds out who calls, `requests` is what the model may say, `timetable` reads when, `guards` sets the bounds,
`actions` does it, `wording` says what was done, `refusal` what was not. This package imports LangChain's core and
LangGraph; nothing of the scheduler imports this package.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar

from langchain_core.tools import BaseTool, StructuredTool, ToolException
from langgraph.prebuilt import ToolRuntime

from scheduler import logbook
from scheduler.errors import InvalidTaskError, StoreError, TaskNotFoundError
from scheduler.models import TaskDefinition, TaskType
from scheduler.task_scheduler import TaskScheduler
from scheduler.tools.actions import Actions
from scheduler.tools.callers import Caller, OwnerOf, caller_of, is_owner
from scheduler.tools.guards import Guards, default_rate
from scheduler.tools.refusal import Refusal, invalid_arguments
from scheduler.tools.requests import HistoryRequest, ListRequest, Request, ScheduleRequest, TaskRequest, UpdateRequest

__all__ = ["scheduling_tools"]

_R = TypeVar("_R", bound=Request)

_OURS: Final = frozenset(
    {
        "id",
        "name",
        "prompt",
        "session_id",
        "metadata",
        "task_type",
        "cron_expression",
        "interval_seconds",
        "run_at",
        "rrule",
    }
    | {"timezone", "start_at", "end_at", "max_runs", "enabled"}
)
"""The fields of a task that the tools fill in."""


def scheduling_tools(  # noqa: PLR0913 (keywords, each with a default)
    task_scheduler: TaskScheduler,
    *,
    owner: OwnerOf = None,
    timezone: str | None = None,
    max_tasks: int = 20,
    min_interval_seconds: int = 300,
    max_lifetime_days: float | None = 90,
    max_prompt_length: int = 4000,
    allow_in_scheduled_runs: bool = False,
    max_runs_per_hour: int | None = None,
    task_fields: Mapping[str, Any] | None = None,
) -> list[BaseTool]:
    """Return tools for `create_agent` or a `ToolNode` with which an agent schedules tasks for whom it works for.

    An agent sees and touches the tasks of its own owner only. Owner, conversation and run come from the `ToolRuntime`,
    never from the model. What is refused is an answer that says why, and what to do instead.

    Args:
        task_scheduler: where the tasks are kept.
        owner: whose tasks these are: a text, or a function from the `ToolRuntime` to it. None: the user that a
            LangGraph server has authenticated, else `user_id` of the run's context, `configurable` or metadata. It is
            a text, and compared exactly.
        timezone: the IANA zone of local times where the model names none; None: the scheduler's.
        max_tasks: how many unfinished tasks an owner may have.
        min_interval_seconds: the least time between two runs of a task.
        max_lifetime_days: after how long a recurring task ends at the latest; None: never.
        max_prompt_length: how many characters a prompt may have; it may have three bytes a character.
        allow_in_scheduled_runs: whether a scheduled run may schedule, resume and run tasks.
        max_runs_per_hour: how many runs all of an owner's tasks may have together, counted over the past and the coming
            hour; removed tasks count too. None: as many as `max_tasks` tasks have that run every
            `min_interval_seconds`.
        task_fields: further fields of each task, such as `graph`, `result_callback` or `timeout_seconds`.

    Raises:
        ValueError: an argument is out of its range, or a further field cannot be used.
    """
    guards = Guards(
        max_tasks=max_tasks,
        min_interval_seconds=min_interval_seconds,
        max_lifetime_days=max_lifetime_days,
        max_prompt_length=max_prompt_length,
        allow_in_scheduled_runs=allow_in_scheduled_runs,
        max_runs_per_hour=default_rate(max_tasks, min_interval_seconds)
        if max_runs_per_hour is None
        else max_runs_per_hour,
    )
    zone = timezone or str(getattr(task_scheduler.scheduler.timezone, "key", "UTC"))
    fields = dict(task_fields or {})
    _check_fields(fields, zone)
    if isinstance(owner, str) and not is_owner(owner):
        raise ValueError(f"owner={owner[:60]!r}; give a text that is not blank, printable, and short")
    actions = Actions(task_scheduler, guards, zone, fields)
    bench = _Bench(task_scheduler, owner)
    return [
        bench.tool(
            "schedule_task", _SCHEDULE.format(zone=zone, limits=guards.in_words), ScheduleRequest, actions.schedule
        ),
        bench.tool("list_scheduled_tasks", _LIST, ListRequest, actions.show),
        bench.tool("cancel_scheduled_task", _CANCEL, TaskRequest, actions.cancel),
        bench.tool("update_scheduled_task", _UPDATE, UpdateRequest, actions.update),
        bench.tool("pause_scheduled_task", _PAUSE, TaskRequest, actions.pause),
        bench.tool("resume_scheduled_task", _RESUME, TaskRequest, actions.resume),
        bench.tool("run_scheduled_task", _RUN, TaskRequest, actions.run_now),
        bench.tool("list_scheduled_runs", _HISTORY, HistoryRequest, actions.history),
    ]


_SCHEDULE: Final = (
    "Schedule a task: at each due time you are invoked with its prompt. Give exactly one of schedule, cron, "
    "interval_seconds, run_at and rrule. Local times are those of timezone, without it of {zone}. {limits} The answer "
    "says the schedule in words and the next due times: compare them with what the user wants."
)
_LIST: Final = "List the user's scheduled tasks with their ids, schedules and next due times, and tell what time it is."
_CANCEL: Final = "Cancel one of the user's scheduled tasks for good."
_UPDATE: Final = (
    "Change the prompt, the name or the schedule of one of the user's scheduled tasks. Give only what is to change; a "
    "new schedule is exactly one of schedule, cron, interval_seconds and run_at."
)
_PAUSE: Final = "Pause one of the user's scheduled tasks: it does not run until it is resumed."
_RESUME: Final = "Resume one of the user's paused tasks, from its next due time on."
_RUN: Final = "Run one of the user's scheduled tasks now, as well as on schedule."
_HISTORY: Final = "Show the latest runs of one of the user's scheduled tasks: when, with what status, and the answer."


class _Bench:
    """Makes tools: finds out who calls, and turns what goes wrong into an answer."""

    def __init__(self, task_scheduler: TaskScheduler, owner: OwnerOf) -> None:
        self._scheduler = task_scheduler
        self._owner = owner

    def tool(self, name: str, description: str, takes: type[_R], action: Callable[[Caller, _R], str]) -> BaseTool:
        """Return a tool, for synchronous and for asynchronous graphs."""

        def call(runtime: ToolRuntime[Any, Any], **arguments: Any) -> str:  # noqa: ANN401 (what `takes` says)
            with _refused_in_words():
                caller = caller_of(runtime, self._owner, self._scheduler)
                return action(caller, takes.model_validate(arguments))

        async def call_in_thread(runtime: ToolRuntime[Any, Any], **arguments: Any) -> str:  # noqa: ANN401
            return await asyncio.to_thread(call, runtime, **arguments)

        return StructuredTool(
            name=name,
            description=description,
            args_schema=takes,
            func=call,
            coroutine=call_in_thread,
            handle_tool_error=True,
            handle_validation_error=invalid_arguments,
        )


@contextlib.contextmanager
def _refused_in_words() -> Iterator[None]:
    """Let the model read of the errors that it can do something about; the details of a store are not for it."""
    try:
        yield
    except TaskNotFoundError:
        raise Refusal("There is no such task any more; list_scheduled_tasks shows the ids that exist.") from None
    except InvalidTaskError:
        raise Refusal("Not done: this task cannot be used any more. Cancel it and schedule it again.") from None
    except StoreError as error:
        logbook.tool_store_failed(error)
        raise Refusal(
            "Not done: the scheduler's store cannot be used just now. Try again later, and tell the user."
        ) from None
    except ToolException:
        raise
    except Exception as error:  # noqa: BLE001 (said next)
        # Whatever goes wrong here must not end the graph of the user's conversation.
        logbook.tool_store_failed(error)
        raise Refusal("Not done: the tool failed for a reason of its own. Tell the user; the log says why.") from None


def _check_fields(fields: Mapping[str, Any], zone: str) -> None:
    if ours := sorted(_OURS & fields.keys()):
        raise ValueError(f"task_fields: {', '.join(ours)}: the tools fill this in; leave it out")
    TaskDefinition(
        id="task_fields", name="-", prompt="-", task_type=TaskType.INTERVAL, interval_seconds=1, timezone=zone, **fields
    )
