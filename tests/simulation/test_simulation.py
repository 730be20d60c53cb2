"""Random worlds: the real engine and store, in virtual time, under faults, against an independent oracle."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import sim_checks
import sim_generate
import sim_mutations
import sim_oracle
import sim_run

HERE = Path(__file__).parent
WORLDS = range(1_000_000, 1_000_200)
"""The seeds of the test command; `python -m tests.simulation` runs others, as many as wanted."""


def test_worlds():
    """In none of them a promise is broken."""
    found = {seed: faults for seed in WORLDS if (faults := sim_run.run_seed(seed).faults)}
    assert not found, "python -m tests.simulation --shrink --seed " + " or ".join(map(str, found))


@pytest.mark.parametrize("size", sim_generate.SIZES)
def test_the_same_seed_gives_the_same_history(size):
    """In each detail, so that a fault can be looked at again."""
    seeds = range(3)
    first, second = (
        [sim_run.history(sim_run.run(sim_generate.make(seed, size), trace=True)) for seed in seeds] for _ in range(2)
    )
    assert first == second
    assert all(first)


def test_another_interpreter_gives_the_same_history():
    """Nothing depends on the hashes of texts, or on addresses."""
    run = "sim_run.history(sim_run.run_seed(19, trace=True))"
    code = f"import sys; sys.path.insert(0, sys.argv[1]); import sim_run; print({run}, end='')"
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(HERE)], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout == sim_run.history(sim_run.run_seed(19, trace=True))


QUICK = ["everybody else counts as dead", "one attempt too many", "one slot too many"]


@pytest.mark.parametrize("name", QUICK)
def test_a_planted_bug_is_found(name):
    """The others are hunted by `python -m tests.simulation --mutations`."""
    assert sim_mutations.hunt(name, 200) is not None


def test_a_script_that_fails_is_made_smaller():
    """What is left shows the fault, and nothing else."""
    with sim_mutations.planted("one slot too many"):
        seed, kinds = sim_mutations.hunt("one slot too many", 200)
        script = sim_generate.make(seed)
        small = sim_run.shrink(script, kinds[0])
        report = sim_run.report(small, kinds[0])
    assert len(small["operations"]) <= len(script["operations"])
    assert re.search(rf"^{kinds[0]}: ", report, flags=re.MULTILINE)


@pytest.mark.parametrize("line", (HERE / "cron.txt").read_text(encoding="utf-8").splitlines(), ids=str)
def test_the_oracle_knows_the_cron_of_the_documentation(line):
    """It is not the scheduler's own code: so it is held against examples that were written by hand."""
    expression, zone, day, *times = line.split("|")
    ordinal = sim_oracle.date.fromisoformat(day.strip()).toordinal()
    found = sim_oracle.cron_day(expression.strip(), zone.strip(), ordinal)
    shown = [f"{sim_oracle.moment_of(due):%H:%M}" for due in found]
    assert shown == times[0].split()


def test_the_page_on_reliability_lists_each_planted_bug():
    """With how soon it is found."""
    page = (HERE.parents[1] / "docs" / "reliability.md").read_text(encoding="utf-8")
    table = page.split("\n| planted bug |")[1].split("\n\n")[0]
    assert re.findall(r"^\| (.*?) \| [\d,]+ \|", table, flags=re.MULTILINE) == list(sim_mutations.MUTATIONS)


def test_every_kind_of_fault_has_a_check():
    """A check that can find nothing would be of no use: each is found by a planted bug, or is listed here."""
    source = (HERE / "sim_checks.py").read_text(encoding="utf-8")
    assert len(set(re.findall(r'self\.fault\(\s*"([\w-]+)"', source))) >= 18
    assert sim_checks.EARLY < sim_oracle.SEC
