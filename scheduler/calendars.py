"""Calendar: when runs may not start, and what becomes of due times then. In pydantic; computes nothing."""

from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from scheduler._field_types import Identifier, Zone
from scheduler._limits import EXCEPTION_LIMIT
from scheduler._texts import shown
from scheduler.timing.closed_times import closed_days, is_never_open, quiet_windows

EVERY_DAY: Final = "mon-sun"
"""The days of quiet hours that name none."""
_ENTRIES: Final = Field(max_length=EXCEPTION_LIMIT)


class OnClosed(StrEnum):
    """What becomes of a due time at which a calendar is closed."""

    #: No run starts; the history says so in a `skipped` row with the holiday's name.
    SKIP = "skip"
    #: It moves to the same time on the next day that is open, and out of quiet hours to their end.
    NEXT_OPEN = "next_open"
    #: It moves to the same time on the last open day before, and out of quiet hours to a minute before they begin.
    PREVIOUS_OPEN = "previous_open"


def _listed(value: object) -> object:
    """Take a single text for a list of one."""
    return (value,) if isinstance(value, str) else value


def _dates(value: object) -> object:
    """Take a dict of dates and names for a list of texts, and a single text for a list of one."""
    if isinstance(value, dict):
        return tuple(f"{day} {name}".strip() for day, name in value.items())
    return tuple(str(each) for each in value) if isinstance(value, list | tuple) else _listed(value)


def _hours(value: object) -> object:
    """Take a text for the hours of every day."""
    return {EVERY_DAY: value} if isinstance(value, str) else value


class Calendar(BaseModel):
    """Days and hours at which the tasks that use it are closed.

    Raises `pydantic.ValidationError`, which is a `ValueError`; each line of it names the field, the value and the hint.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: Identifier | None = None
    """Under which name a scheduler or a tasks file has it; None: it was written into the task itself."""
    holidays: Annotated[tuple[str, ...], BeforeValidator(_dates), _ENTRIES] = ()
    """Whole days that are closed: codes of countries (`"DE"`), of parts of them (`"DE-BY"`, `"US-CA"`) and of stock
    exchanges (`"NYSE"`), which need the extra `calendars`; and dates, with a name if you like
    (`"2026-12-24 Company holiday"`, or a dict of dates and names)."""
    closed: Annotated[tuple[str, ...], BeforeValidator(_dates), _ENTRIES] = ()
    """Further whole days: weekdays and ranges of them (`"sun"`, `"sat-sun"`), dates and ranges of them
    (`"2026-12-24/2027-01-06"`), and days of each year (`"12-24"`)."""
    quiet_hours: Annotated[dict[str, str], BeforeValidator(_hours), _ENTRIES] = Field(default_factory=dict)
    """Hours that are closed: `"22:00-07:00"`, several with commas; or a dict from weekdays to hours, which belong to
    the day on which they begin: `{"mon-fri": "22:00-07:00", "sat": "20:00-10:00"}`. The end is open again."""
    on_closed: OnClosed = OnClosed.SKIP
    """What becomes of a due time at which it is closed."""
    zone: Zone | None = None
    """The IANA zone of its days and hours; None: that of the task."""

    @model_validator(mode="wrap")
    @classmethod
    def _check(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:  # noqa: ANN401 (pydantic's own signature)
        try:
            calendar = handler(data)
        except ValidationError as error:
            raise _refused([_sentence(dict(line), cls) for line in error.errors(include_url=False)]) from None
        try:
            days = closed_days(calendar.holidays, calendar.closed)
            windows = quiet_windows(tuple(calendar.quiet_hours.items()))
        except ValueError as error:
            raise _refused([str(error)]) from None
        if is_never_open(days, windows):
            raise _refused(["closed and quiet_hours close the whole week; leave some of it open"])
        if calendar.is_only_a_name and (calendar.zone or calendar.on_closed is not OnClosed.SKIP):
            hint = "give holidays, closed or quiet_hours, or the name alone"
            raise _refused([f"name={shown(calendar.name)} closes nothing, so zone and on_closed do nothing; {hint}"])
        return calendar

    @property
    def is_only_a_name(self) -> bool:
        """Whether it closes nothing itself, and stands for the calendar that a scheduler has under its name."""
        return self.name is not None and not (self.holidays or self.closed or self.quiet_hours)

    def __str__(self) -> str:
        """Return what people are shown of it."""
        return self.name or "the task's own"


def named_calendar(name: str, given: object) -> Calendar:
    """Return a calendar under its name, from one without it or from its fields.

    Raises `ValueError`, also for a calendar that has another name.
    """
    what = f"calendars.{name}" if name.isidentifier() else f"calendars[{shown(name)}]"
    if not isinstance(given, Calendar | dict):
        message = f"{what} is a {type(given).__name__}; give a Calendar"
        raise ValueError(message)  # noqa: TRY004 (every wrong argument is a `ValueError`)
    fields = given if isinstance(given, dict) else given.model_dump(exclude_unset=True)
    if fields.get("name", name) != name:
        message = f"{what} has name={shown(fields['name'])}; leave it out"
        raise ValueError(message)
    try:
        calendar = Calendar.model_validate({**fields, "name": name})
    except ValidationError as error:
        raise ValueError(f"{what}: {'; '.join(line['msg'] for line in error.errors(include_url=False))}") from None
    if calendar.is_only_a_name:
        message = f"{what} closes nothing; give holidays, closed or quiet_hours"
        raise ValueError(message)
    return calendar


def calendar_from(value: object) -> object:
    """Return the `calendar` of a task as a `Calendar`; a text becomes one that is only a name.

    Raises `PydanticCustomError` of the type "calendar", whose text is a whole sentence.
    """
    if not isinstance(value, str | dict):
        return value
    try:
        return Calendar(name=value) if isinstance(value, str) else Calendar.model_validate(value)
    except ValidationError as error:
        sentences = "; ".join(line["msg"] for line in error.errors(include_url=False))
        raise PydanticCustomError("calendar", "{reason}", {"reason": f"calendar: {sentences}"}) from None


def _sentence(line: dict[str, Any], model: type[BaseModel]) -> str:
    field = str(line["loc"][0]) if line["loc"] else "calendar"
    if line["type"] == "extra_forbidden":
        return f"{field} is no field of a calendar; the fields are {', '.join(model.model_fields)}"
    hints = {"on_closed": f"give one of {', '.join(repr(str(each)) for each in OnClosed)}", "zone": "give an IANA zone"}
    hint = hints.get(field, "give text, or a list of texts")
    return f"{field}={shown(line['input'])}: {line['msg']}; {hint}"


def _refused(sentences: list[str]) -> ValidationError:
    details = [
        InitErrorDetails(type=PydanticCustomError("calendar", "{reason}", {"reason": each}), input=None)
        for each in sentences
    ]
    return ValidationError.from_exception_data("Calendar", details, hide_input=True)
