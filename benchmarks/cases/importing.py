"""`import scheduler` in fresh interpreters, beside the packages that it stands on."""

import os
import statistics
import subprocess
import sys

from benchmarks.model import Figures, Setting

INTERPRETERS = 15
OURS = "from scheduler import TaskDefinition, TaskScheduler"
STANDS_ON = "import sqlalchemy, apscheduler.schedulers.asyncio; from pydantic import BaseModel"
"""`import pydantic` alone imports next to nothing: its names come when they are asked for."""
PROGRAM = """
import sys, time
began = time.process_time()
{statement}
print(time.process_time() - began, sum(name.startswith(("langgraph", "langchain")) for name in sys.modules))
"""


def ours(setting: Setting) -> Figures:
    """Import the scheduler; none of LangGraph's modules may come with it."""
    return _measure(OURS, setting.sized(INTERPRETERS, least=3))


def stands_on(setting: Setting) -> Figures:
    """Import SQLAlchemy, APScheduler and pydantic."""
    return _measure(STANDS_ON, setting.sized(INTERPRETERS, least=3))


def _measure(statement: str, interpreters: int) -> Figures:
    # The first one may have to compile.
    times = [_seconds(statement) for _ in range(interpreters + 1)][1:]
    return {"cpu_ms": statistics.median(times) * 1e3}


def _seconds(statement: str) -> float:
    command = [sys.executable, "-c", PROGRAM.format(statement=statement)]
    # An installed package is compiled once; a checkout would be compiled each time where that is forbidden.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)  # noqa: S603 (this interpreter)
    seconds, foreign = done.stdout.split()
    assert foreign == "0", f"{statement} imports {foreign} modules of LangGraph"
    return float(seconds)
