"""The command: `python -m benchmarks [workload …]`."""

import argparse
import datetime as dt
import json
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import table, workloads
from benchmarks.model import Result, Workload
from benchmarks.postgres import Server
from benchmarks.rounds import Runner

ROUNDS = 3
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the workloads that were asked for, and write what came of them; return 1 if one of our cases failed."""
    asked = _parser().parse_args(arguments)
    names = [] if asked.only_report else asked.names or workloads.USUAL
    chosen = [each for each in workloads.ALL if each.name in names]
    results = _earlier(asked.json, chosen) if asked.keep or asked.only_report else []
    with tempfile.TemporaryDirectory(prefix="benchmarks-", dir=asked.folder) as folder, Server() as server:
        runner = Runner(Path(folder), asked.scale, not asked.no_peers, _tell, server)
        for workload in chosen:
            result = runner.run(workload, asked.rounds)
            result.conditions = conditions(asked)
            results.append(result)
            results.sort(key=lambda result: workloads.ALL.index(result.workload))
            _write(asked, results)
    if asked.only_report:
        asked.json = None
        _write(asked, results)
    print(report(results))
    return int(any(result.failed for result in results))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure the scheduler beside its peers.")
    names = [workload.name for workload in workloads.ALL]
    parser.add_argument("names", nargs="*", choices=[*names, []], metavar="workload", help=f"of {', '.join(names)}")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often each case is run (%(default)s)")
    parser.add_argument("--scale", type=float, default=1.0, help="the part of the full sizes (%(default)s)")
    parser.add_argument("--no-peers", action="store_true", help="leave other schedulers out")
    parser.add_argument("--folder", help="where stores are kept meanwhile; a disk like the one that counts")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure of every round")
    parser.add_argument("--keep", action="store_true", help="keep what that file has of workloads that are not run now")
    parser.add_argument("--only-report", action="store_true", help="measure nothing: show what that file has")
    parser.add_argument("--note", default="", help="what else is to be known of the machine, for the first line")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the storm and the growth (PNG)")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="put the tables between this page's marks")
    return parser


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def report(results: Sequence[Result]) -> str:
    """Return the tables as text."""
    marks = table.plain(table.HEAD, table.marks(results))
    return "\n\n".join([*measured(results), marks, table.plain(table.CASES_HEAD, table.cases(results))])


def conditions(asked: argparse.Namespace) -> str:
    """Return when and where this is measured."""
    day = dt.datetime.now(dt.UTC).date().isoformat()
    load = f"load {os.getloadavg()[0]:.1f} at the end" if hasattr(os, "getloadavg") else "load unknown"
    size = [] if asked.scale == 1 else [f"scale {asked.scale:g}"]
    machine = [f"Python {platform.python_version()}", platform.system(), f"{os.cpu_count()} cores", load]
    return ", ".join([day, *machine, *size, *([asked.note] if asked.note else [])])


def measured(results: Sequence[Result]) -> list[str]:
    """Return a line for the workloads that were measured together."""
    found: dict[str, list[str]] = {}
    for result in results:
        found.setdefault(result.conditions, []).append(result.workload.name)
    return [f"{', '.join(names)}: measured {where}." for where, names in found.items()]


def _write(asked: argparse.Namespace, results: Sequence[Result]) -> None:
    """Write after each workload, so that a run that is broken off has left something."""
    if asked.json:
        asked.json.write_text(json.dumps(_all_figures(results), indent=1) + "\n")
    if asked.markdown:
        _replace(asked.markdown, results)
    if asked.plot:
        try:
            from benchmarks import plot  # noqa: PLC0415 (matplotlib may not be installed)
        except ImportError:
            _tell("no plot: matplotlib is not installed")
        else:
            plot.draw(results, asked.plot)


def _all_figures(results: Sequence[Result]) -> dict[str, object]:
    return {
        result.workload.name: {
            "conditions": result.conditions,
            "rounds": result.rounds,
            "left_out": result.left_out,
        }
        for result in results
    }


def _earlier(path: Path | None, chosen: Sequence[Workload]) -> list[Result]:
    """Return the results of an earlier run, but for the workloads that are run again."""
    if path is None or not path.exists():
        return []
    found = json.loads(path.read_text())
    return [Result(each, **found[each.name]) for each in workloads.ALL if each.name in found and each not in chosen]


def _replace(page: Path, results: Sequence[Result]) -> None:
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    tables = [
        *measured(results),
        table.markdown(table.HEAD, table.marks(results)),
        "The medians of all cases:",
        table.markdown(table.CASES_HEAD, table.cases(results)),
    ]
    text = "\n\n".join(tables)
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
