"""Fixtures that all tests share: schedulers on files of their own, graphs, and a loop that nothing may block."""

import asyncio
import compileall
import inspect
import signal
from pathlib import Path

import hypothesis  # else its pytest plugin imports it in the summary, deep in the stack: CPython 3.11 may fail there
import pytest
from blockbuster import blockbuster_ctx
from helpers import PATIENCE, BlockingGraph, EchoGraph, FailingGraph

from scheduler import TaskScheduler

# A shell without job control lets what it starts in the background ignore Ctrl+C; programs that tests start would, too.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGQUIT"):
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)

# On a busy machine an example may take any time: no property is about speed.
hypothesis.settings.register_profile("any-speed", deadline=None)
hypothesis.settings.load_profile("any-speed")


def pytest_configure(config):
    """Compile the package once, where the environment keeps Python from it: hundreds of processes import it."""
    if not hasattr(config, "workerinput"):
        compileall.compile_dir(Path(inspect.getfile(TaskScheduler)).parent, quiet=2)


_FACE = {name for name, value in vars(TaskScheduler).items() if inspect.isfunction(value)}
_ALLOWED = [
    # The calls of the face block their caller for one transaction, and so does what a reader of APScheduler's jobs
    # asks of the job store; passes and runs ask neither.
    ("scheduler/task_scheduler.py", _FACE),
    ("scheduler/apscheduler_adapter/store_scheduler.py", {"start"}),
    ("scheduler/apscheduler_adapter/jobstore.py", {"get_all_jobs", "lookup_job", "remove_job"}),
    # Whoever names holidays by a code has their package imported, once; passes build theirs in the store's thread.
    ("scheduler/timing/holiday_days.py", {"_maker", "holiday_names"}),
    # A file of tasks is read where its caller asks for it.
    ("scheduler/tasks_file.py", {"load_tasks", "watch_tasks"}),
    # Building a definition looks a time zone up; passes build theirs in the store's thread.
    ("scheduler/_field_types.py", {"_zone"}),
    # The names of all zones are read once, where a phrase may name a city.
    ("scheduler/phrases/parsing.py", {"_known_zones"}),
    # Who first asks for a name that is imported late imports its module.
    ("scheduler/__init__.py", {"__getattr__"}),
    # Who makes the web view reads its templates, once; its pages are made in a thread.
    ("scheduler/web/application.py", {"app"}),
    # Who imports the tools of agents imports LangGraph, which reads its files.
    ("scheduler/tools/__init__.py", {"<module>"}),
]


@pytest.fixture(autouse=True)
def nothing_blocks_the_loop(request):
    """Fail a test in which code of the scheduler blocks the event loop."""
    if not inspect.iscoroutinefunction(getattr(request, "function", None)):
        yield
        return
    with blockbuster_ctx("scheduler") as blockbuster:
        for function in blockbuster.functions.values():
            for file, names in _ALLOWED:
                function.can_block_in(file, names)
        yield


@pytest.fixture
def db_path(tmp_path):
    """Return where `new_scheduler` keeps its store."""
    return tmp_path / "scheduler.db"


@pytest.fixture
async def new_scheduler(db_path):
    """Return what makes schedulers that look often and give runs no grace; they are stopped when the test is over."""
    made = []

    def make(graph=None, **options):
        options = {"db_path": db_path, "shutdown_grace_seconds": 0, "poll_interval": 0.05, **options}
        made.append(TaskScheduler(graph=EchoGraph() if graph is None else graph, **options))
        return made[-1]

    yield make
    for scheduler in made:
        async with asyncio.timeout(PATIENCE):
            await scheduler.stop()


@pytest.fixture
def echo():
    """Return a graph that answers at once."""
    return EchoGraph()


@pytest.fixture
def blocking():
    """Return a graph that answers when it is released."""
    return BlockingGraph()


@pytest.fixture
def failing():
    """Return a graph that raises."""
    return FailingGraph()
