"""Templates and static files. What comes from the store is text: it is escaped, and what is invisible is shown."""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape

from scheduler._texts import escaped, escaped_lines
from scheduler.shapes import shown_seconds
from scheduler.timing.local_time import on_clock_of
from scheduler.web.answering import summary_of
from scheduler.web.links import link
from scheduler.web.pictures import attempts_picture, strip
from scheduler.web.times import date_and_clock, day_and_clock, exact, from_now, has_other_clock, zone_named

_FOLDER: Final = Path(__file__).parent
_TYPES: Final = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


@cache
def environment() -> Environment:
    """Return what makes pages of templates; one for all applications of the process."""
    made = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,  # a wrong name in a template fails instead of leaving a gap
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_visible,
    )
    made.filters |= {
        "clock": _clock,
        "clock_there": _clock_there,
        "clock_only": _clock_only,
        "seconds": shown_seconds,
        "text": _text,
        "line": _line,
        "summary": summary_of,
        "exact": _unchanged,
        "words": lambda value: str(value).replace("_", " "),
    }
    made.globals |= {"link": link, "strip": strip, "attempts_picture": attempts_picture}
    for name in made.list_templates():
        made.get_template(name)  # now, so that no page has to read files
    return made


def _visible(value: object) -> object:
    """Show control characters and those that change the direction of writing, in whatever a template shows."""
    return escaped_lines(value) if type(value) is str else value


def _unchanged(value: object) -> Markup:
    """Return a value as it is, for a field of a form: what is shown there is sent back."""
    return escape(str(value))


def _line(value: object, length: int = 160) -> str:
    """Return a text as one line of at most so many characters."""
    text = escaped(" ".join(str(value or "").split()))
    return text if len(text) <= length else f"{text[:length]}…"


def _text(value: object) -> str:
    """Return a value as a person reads it: a text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2, default=str)


@pass_context
def _clock(context: Context, moment: datetime | None, *, away: bool = False) -> Markup:
    """Return an instant on the viewer's clock, with its distance from now if wanted."""
    if moment is None:
        return Markup("&ndash;")
    visit = context["visit"]
    text = day_and_clock(moment, visit.now, visit.zone)
    shown = _time(moment, text, visit.zone)
    return shown + Markup(' <span class="away">{}</span>').format(from_now(moment, visit.now)) if away else shown


@pass_context
def _clock_there(context: Context, moment: datetime | None, zone_name: str | None) -> Markup:
    """Return an instant on the clock of a task's zone, with the zone's name, where it is not the viewer's clock."""
    visit, zone = context["visit"], zone_named(zone_name)
    if moment is None or zone is None or not has_other_clock(moment, zone, visit.zone):
        return Markup()
    text = f"{date_and_clock(moment, visit.now, zone)} {zone_name}"
    return Markup('<span class="there">{}</span>').format(_time(moment, text, zone))


@pass_context
def _clock_only(context: Context, moment: datetime) -> str:
    """Return the time of an instant on the viewer's clock, without its day."""
    return f"{on_clock_of(moment, context['visit'].zone):%H:%M}"


def _time(moment: datetime, text: str, zone: ZoneInfo) -> Markup:
    return Markup('<time datetime="{}" title="{}">{}</time>').format(moment.isoformat(), exact(moment, zone), text)


class StaticFile:
    """A file that browsers load beside the pages."""

    def __init__(self, path: Path) -> None:
        """Read it."""
        self.content = path.read_bytes()
        self.media_type = _TYPES[path.suffix]
        self.version = hashlib.sha256(self.content).hexdigest()[:12]


@cache
def static_files() -> Mapping[str, StaticFile]:
    """Return the static files by their names; they are small, and stay in memory."""
    return {path.name: StaticFile(path) for path in sorted((_FOLDER / "static").iterdir()) if path.suffix in _TYPES}


def json_text(shape: Any) -> str:  # noqa: ANN401 (JSON)
    """Return JSON in ASCII, as the command line prints it."""
    return json.dumps(shape, indent=2)
