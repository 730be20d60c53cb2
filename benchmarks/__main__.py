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
from benchmarks.model import Result
from benchmarks.postgres import Server
from benchmarks.rounds import Runner

ROUNDS = 3
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the workloads that were asked for, and write what came of them; return 1 if one of our cases failed."""
    asked = _parser().parse_args(arguments)
    chosen = [each for each in workloads.ALL if each.name in (asked.names or workloads.USUAL)]
    results = []
    with tempfile.TemporaryDirectory(prefix="benchmarks-", dir=asked.folder) as folder, Server() as server:
        runner = Runner(Path(folder), asked.scale, not asked.no_peers, _tell, server)
        for workload in chosen:
            results.append(runner.run(workload, asked.rounds))
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
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the storm and the growth (PNG)")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="put the tables between this page's marks")
    return parser


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def report(results: Sequence[Result]) -> str:
    """Return the tables as text."""
    marks = table.plain(table.HEAD, table.marks(results))
    return "\n\n".join([conditions(), marks, table.plain(table.CASES_HEAD, table.cases(results))])


def conditions() -> str:
    """Return when and where this was measured."""
    day = dt.datetime.now(dt.UTC).date().isoformat()
    load = f"load {os.getloadavg()[0]:.1f} at the end" if hasattr(os, "getloadavg") else "load unknown"
    return f"{day}, Python {platform.python_version()}, {platform.system()}, {os.cpu_count()} cores, {load}"


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
    measured = {result.workload.name: {"rounds": result.rounds, "left_out": result.left_out} for result in results}
    return {"conditions": conditions(), "workloads": measured}


def _replace(page: Path, results: Sequence[Result]) -> None:
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    tables = [
        f"Measured on {conditions()}.",
        table.markdown(table.HEAD, table.marks(results)),
        "The medians of all cases:",
        table.markdown(table.CASES_HEAD, table.cases(results)),
    ]
    text = "\n\n".join(tables)
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
