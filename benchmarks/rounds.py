"""Runs the cases of a workload: each in a fresh process, all of them in turn, round after round."""

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.case import POSTGRES_VARIABLE
from benchmarks.model import Case, Figures, Result, Workload
from benchmarks.postgres import Server

TIMEOUT = 300
"""A case that takes longer than so many seconds has failed."""
ROOT = Path(__file__).parent.parent


class CaseError(Exception):
    """A case did not come to its end."""


@dataclass(slots=True)
class Runner:
    """Runs cases below one folder."""

    folder: Path
    scale: float
    with_peers: bool
    tell: Callable[[str], None]
    server: Server

    def run(self, workload: Workload, rounds: int) -> Result:
        """Run all cases of a workload in turn, so many times; a case that fails is left out from then on."""
        result = Result(workload, left_out=self._missing(workload))
        for number in range(rounds):
            cases = [case for case in workload.cases if case.name not in result.left_out]
            # Each round starts with another case, so that no case always runs on a warm machine.
            turn = number % len(cases) if cases else 0
            result.rounds.append(self._round(workload, cases[turn:] + cases[:turn], result))
        return result

    def _round(self, workload: Workload, cases: list[Case], result: Result) -> dict[str, Figures]:
        found: dict[str, Figures] = {}
        for case in cases:
            began = time.perf_counter()
            try:
                found[case.name] = self._figures(workload, case)
            except CaseError as error:
                result.left_out[case.name] = str(error)
            said = result.left_out.get(case.name) or shown(found[case.name])
            self.tell(f"{workload.name}: {case.name}: {said}  [{time.perf_counter() - began:.1f} s]")
        return found

    def _missing(self, workload: Workload) -> dict[str, str]:
        missing = {}
        for case in workload.cases:
            if case.is_peer and not self.with_peers:
                missing[case.name] = "peers were not asked for"
            elif case.needs and importlib.util.find_spec(case.needs) is None:
                missing[case.name] = f"{case.needs} is not installed"
        return missing

    def _figures(self, workload: Workload, case: Case) -> Figures:
        place = self.folder / workload.name / case.name.replace(" ", "-")
        place.mkdir(parents=True, exist_ok=True)
        request = {"folder": str(place), "scale": self.scale, "arguments": dict(case.arguments)}
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        if case.uses_postgres:
            environment[POSTGRES_VARIABLE] = self.server.new_database()
        return _in_a_process([case.entry, json.dumps(request)], environment)


def _in_a_process(arguments: list[str], environment: dict[str, str]) -> Figures:
    command = [sys.executable, "-m", "benchmarks.case", *arguments]
    try:
        done = subprocess.run(  # noqa: S603 (this interpreter)
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        raise CaseError(f"it took longer than {TIMEOUT} s") from None
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        errors = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
        raise CaseError(f"failed: {errors[-1]}")
    figures: Figures = json.loads(lines[-1])
    return figures


def shown(figures: Figures) -> str:
    """Return figures on one line."""
    return ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
