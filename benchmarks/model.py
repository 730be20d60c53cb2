"""What a benchmark is made of: workloads, their cases, and the marks that are set to their figures."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

Figures = Mapping[str, float]
"""What a case measured, by name; the end of a name is its unit."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a case runs, and how large it is."""

    folder: Path
    """A folder of the case's own; it stays from round to round."""
    scale: float = 1.0
    """The part of the full size."""
    postgres_url: str | None = None
    """An empty database, for cases that ask for one."""

    def sized(self, full: int, least: int = 10) -> int:
        """Return a number of tasks, rows or calls at this scale."""
        return max(min(full, least), round(full * self.scale))

    def fresh_store(self, name: str = "store.db") -> str:
        """Return the path of a store that does not exist yet."""
        for left in self.folder.glob(f"{name}*"):
            left.unlink()
        return str(self.folder / name)


CaseFunction = Callable[..., Figures]
"""Takes a `Setting` and the case's arguments."""


@dataclass(frozen=True, slots=True)
class Case:
    """One way to do a workload: ours, a floor, or a peer."""

    name: str
    entry: str
    """`module:function` below `benchmarks.cases`."""
    arguments: Mapping[str, object] = field(default_factory=dict)
    needs: str | None = None
    """The module that must be installed."""
    is_peer: bool = False
    uses_postgres: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """What a figure should be at most: by itself, or as a ratio to (or difference from) another case's."""

    text: str
    case: str
    figure: str
    against: str | None = None
    against_figure: str | None = None
    is_difference: bool = False
    at_most: float | None = None
    goal: float | None = None
    unit: str = "×"  # noqa: RUF001 (times, not the letter x)

    def values(self, rounds: Sequence[Mapping[str, Figures]]) -> list[float]:
        """Return the value of each round that has what it takes."""
        return [value for each in rounds if (value := self._value(each)) is not None]

    def _value(self, cases: Mapping[str, Figures]) -> float | None:
        own = cases.get(self.case, {}).get(self.figure)
        if own is None or self.against is None:
            return own
        other = cases.get(self.against, {}).get(self.against_figure or self.figure)
        if other is None:
            return None
        if self.is_difference:
            return own - other
        return own / other if other else None


@dataclass(frozen=True, slots=True)
class Workload:
    """One thing that is measured, in several ways."""

    name: str
    text: str
    cases: Sequence[Case]
    marks: Sequence[Mark]
    only_by_name: bool = False
    """Whether it is left out unless it is asked for."""


@dataclass(slots=True)
class Result:
    """What came of a workload: the figures of each round, and why cases were left out."""

    workload: Workload
    rounds: list[dict[str, Figures]] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    conditions: str = ""
    """When and where it was measured."""

    @property
    def failed(self) -> list[str]:
        """The cases that are not peers and did not come to their end."""
        return [case.name for case in self.workload.cases if not case.is_peer and case.name in self.left_out]

    def medians(self, case: str) -> dict[str, float]:
        """Return the median of each figure of a case."""
        found = [each[case] for each in self.rounds if case in each]
        names = dict.fromkeys(name for figures in found for name in figures)
        return {name: median(figures[name] for figures in found if name in figures) for name in names}
