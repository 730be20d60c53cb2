"""Small pictures as SVG, made here: no script, no library; their colours come from the style sheet."""

from collections.abc import Sequence
from datetime import datetime

from markupsafe import Markup

from scheduler.models import Run, RunStatus

_BAR, _GAP, _HEIGHT = 5, 2, 20
_HEIGHTS = {
    RunStatus.SUCCEEDED: 14,
    RunStatus.FAILED: 20,
    RunStatus.TIMED_OUT: 20,
    RunStatus.INTERRUPTED: 20,
    RunStatus.CANCELLED: 8,
    RunStatus.SKIPPED: 4,
    RunStatus.MISSED: 8,
    RunStatus.PENDING: 10,
    RunStatus.RUNNING: 10,
    RunStatus.WAITING: 14,
}
"""How high the bar of a run is: the outcome is seen without colours, too."""
_WIDE = 600


def strip(runs: Sequence[Run]) -> Markup:
    """Return the outcomes of runs, given newest first, as bars from the oldest to the newest."""
    if not runs:
        return Markup('<span class="muted">no runs yet</span>')
    bars = Markup().join(_bar(place, run) for place, run in enumerate(reversed(runs)))
    width = len(runs) * (_BAR + _GAP) - _GAP
    return Markup(
        '<svg class="strip" role="img" aria-label="{}" width="{}" height="{}" viewBox="0 0 {} {}">{}</svg>'
    ).format(outcomes_in_words(runs), width, _HEIGHT, width, _HEIGHT, bars)


def _bar(place: int, run: Run) -> Markup:
    height = _HEIGHTS[run.status]
    return Markup('<rect class="bar {}" x="{}" y="{}" width="{}" height="{}" rx="1"></rect>').format(
        run.status, place * (_BAR + _GAP), _HEIGHT - height, _BAR, height
    )


def outcomes_in_words(runs: Sequence[Run]) -> str:
    """Return how many runs ended how: `last 12 runs: 11 succeeded, 1 failed`."""
    counts = {status: sum(1 for run in runs if run.status is status) for status in RunStatus}
    parts = [f"{number} {str(status).replace('_', ' ')}" for status, number in counts.items() if number]
    return f"last {len(runs)} runs: {', '.join(parts)}"


def attempts_picture(run: Run, now: datetime) -> Markup:
    """Return the attempts of a run as bars on one line of time; nothing if it has not started."""
    if run.started_at is None:
        return Markup()
    spans = [(each.started_at, each.finished_at, each.status) for each in run.earlier_attempts]
    spans.append((run.started_at, run.finished_at or now, run.status))
    start, end = spans[0][0], max(finish for _, finish, _ in spans)
    whole = max((end - start).total_seconds(), 0.001)
    bars = Markup().join(
        Markup('<rect class="bar {}" x="{:.1f}" y="{}" width="{:.1f}" height="10" rx="2"></rect>').format(
            status,
            _WIDE * (begin - start).total_seconds() / whole,
            place * 14,
            max(_WIDE * (finish - begin).total_seconds() / whole, 2),
        )
        for place, (begin, finish, status) in enumerate(spans)
    )
    height = len(spans) * 14
    label = f"{len(spans)} attempts on one line of time; the table below has their times"
    return Markup(
        '<svg class="attempts" role="img" aria-label="{}" viewBox="0 0 {} {}" preserveAspectRatio="none" '
        'height="{}">{}</svg>'
    ).format(label, _WIDE, height, height, bars)
