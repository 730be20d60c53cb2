"""The plot: the storm beside its floors and peers, and growth."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.model import Result

mpl.use("Agg")
LARGE = 100
"""From here on, digits behind the point say nothing."""
OURS, OTHERS = "#1f6f8b", "#b8c4cc"
PLOTTED = {"storm": ("seconds", "seconds for the storm"), "growth": ("cpu_us_per_run", "µs of CPU for a run")}
"""The figure that is drawn of a workload, and what its axis says."""


def draw(results: Sequence[Result], path: Path) -> None:
    """Write the plot of what there is."""
    shown = [result for result in results if result.workload.name in PLOTTED]
    if not shown:
        return
    figure = Figure(figsize=(9, 3.2 * len(shown)), layout="constrained")
    for result, axes in zip(shown, figure.subplots(len(shown), 1, squeeze=False).flat, strict=True):
        _bars(axes, result, *PLOTTED[result.workload.name])
    figure.savefig(path, dpi=120)


def _bars(axes: Axes, result: Result, figure: str, label: str) -> None:
    values = {case.name: result.medians(case.name).get(figure) for case in result.workload.cases}
    known = {name: value for name, value in values.items() if value is not None}
    is_growth = result.workload.name == "growth"
    colours = [OURS if is_growth or name == "ours" else OTHERS for name in known]
    bars = axes.barh(list(known), list(known.values()), color=colours)
    axes.bar_label(
        bars, labels=[f"{value:,.3g}" if value < LARGE else f"{value:,.0f}" for value in known.values()], padding=3
    )
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.set_xlabel(label)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(result.workload.name, loc="left")
