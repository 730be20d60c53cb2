"""The results as text: the marks beside what was measured, and the medians of every case."""

from collections.abc import Iterable, Sequence
from statistics import median

from benchmarks.model import Mark, Result

Row = Sequence[str]
HEAD: Row = ("workload", "what", "measured", "lowest to highest", "mark", "goal", "")


def marks(results: Iterable[Result]) -> list[Row]:
    """Return a row for each mark."""
    return [_mark_row(result, mark) for result in results for mark in result.workload.marks]


def _mark_row(result: Result, mark: Mark) -> Row:
    values = mark.values(result.rounds)
    if not values:
        return (result.workload.name, mark.text, "not measured", "", _bound(mark, mark.at_most), "", "")
    middle = median(values)
    spread = f"{_number(min(values))} to {_number(max(values))}"
    return (
        result.workload.name,
        mark.text,
        f"{_number(middle)} {mark.unit}",
        spread,
        _bound(mark, mark.at_most),
        _bound(mark, mark.goal),
        _verdict(mark, middle),
    )


def _verdict(mark: Mark, value: float) -> str:
    if mark.goal is not None and value <= mark.goal:
        return "goal met"
    if mark.at_most is None:
        return ""
    return "met" if value <= mark.at_most else "missed"


def _bound(mark: Mark, bound: float | None) -> str:
    return "" if bound is None else f"{_number(bound)} {mark.unit}"


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 10 else f"{value:,.0f}"  # noqa: PLR2004 (two digits tell enough)


CASES_HEAD: Row = ("workload", "case", "medians")


def cases(results: Iterable[Result]) -> list[Row]:
    """Return a row for each case."""
    return [(result.workload.name, case.name, _case(result, case.name)) for result in results for case in _all(result)]


def _all(result: Result) -> Iterable[object]:
    return result.workload.cases


def _case(result: Result, name: str) -> str:
    if name in result.left_out:
        return result.left_out[name]
    return ", ".join(f"{figure} {_number(value)}" for figure, value in result.medians(name).items())


def plain(head: Row, rows: Sequence[Row]) -> str:
    """Return rows as text with aligned columns."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [head, *rows]]
    return "\n".join(line.rstrip() for line in [lines[0], "-" * len(lines[0]), *lines[1:]])


def markdown(head: Row, rows: Sequence[Row]) -> str:
    """Return rows as a table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in lines)
