"""main.py as people run it: a process of its own, in a folder of its own, ended by signals."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from main import create_checkpoints
from scheduler import RunStatus, TaskDefinition, TaskScheduler, TaskType

ROOT = Path(__file__).parent.parent
BANNER = "Scheduler running. Press Ctrl+C to stop."
OTHER = TaskDefinition(id="other", name="Other", task_type=TaskType.INTERVAL, interval_seconds=1, prompt="Go on.")
COMPLETED = "Task Heartbeat completed. Response: Echo: Say that you are alive."

pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="the signals are POSIX ones"),
    pytest.mark.timeout(180),
]


WAIT_FOR_GO = """import asyncio
    print("the node began", flush=True)
    await asyncio.to_thread(open, "go")  # a pipe: opening it waits for the one who opens the other end
    return {"messages": [AIMessage(f"Echo:"""


class Project:
    """A user's project: copies of main.py and graph.py in an empty folder, and the processes started in it."""

    def __init__(self, folder):
        self.folder = folder
        self.processes = []
        for name in ("main.py", "graph.py", "tasks.toml"):
            shutil.copy(ROOT / name, folder)

    @property
    def db_path(self):
        return self.folder / "scheduler.db"

    def edit(self, file, old, new):
        """Change a file, as its user would."""
        path = self.folder / file
        source = path.read_text()
        assert source.count(old) == 1
        path.write_text(source.replace(old, new))

    def hold(self):
        """Let the graph wait in its node until `let_go`."""
        os.mkfifo(self.folder / "go")
        self.edit("graph.py", 'return {"messages": [AIMessage(f"Echo:', WAIT_FOR_GO)

    def let_go(self):
        """Let the waiting node return."""
        (self.folder / "go").open("w").close()

    def run(self, *arguments, **environment):
        """Start `python main.py`, or python with other arguments."""
        process = Process([sys.executable, *(arguments or ["main.py"])], self.folder, environment)
        self.processes.append(process)
        return process

    @contextmanager
    def face(self):
        """Open the project's store from this process, without starting a scheduler."""
        face = TaskScheduler(db_path=str(self.db_path))
        try:
            yield face
        finally:
            face.stop()

    def next_runs(self):
        """Return the next due time of each task in the store, as text."""
        with self.face() as face:
            return {task["id"]: task["next_run"] for task in face.list_tasks()}

    def runs(self):
        """Return the history of the heartbeat."""
        with self.face() as face:
            return face.list_runs("heartbeat")


class Process:
    """A running program whose output is read line by line; waiting is reading."""

    def __init__(self, command, folder, environment):
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SCHEDULER_")}
        self.output = []
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env={**inherited, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def wait_for(self, text, times=1):
        """Read on until so many further lines hold the text."""
        for line in self._process.stdout:
            self.output.append(line)
            times -= text in line
            if not times:
                return line
        pytest.fail(f"the program ended before it printed {text!r}:\n{self.text}")

    def send(self, number):
        self._process.send_signal(number)

    def wait_for_end(self):
        """Read the rest of the output; return the exit code."""
        self.output.extend(self._process.stdout)
        return self._process.wait()

    def end(self):
        with suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()
        self._process.stdout.close()

    @property
    def text(self):
        return "".join(self.output)


@pytest.fixture
def project(tmp_path):
    project = Project(tmp_path)
    yield project
    for process in project.processes:
        process.end()


@pytest.fixture
def quick_project(project):
    """The same project with a heartbeat each second."""
    project.edit("tasks.toml", "every 10 seconds", "every 1 second")
    return project


def test_it_fires_stops_and_finds_its_tasks_again(project):
    """The main job: start, see the 10 s task fire, stop by a signal with exit code 0, restart, the tasks are there."""
    first = project.run()
    first.wait_for(BANNER)
    first.wait_for(COMPLETED)
    first.send(signal.SIGTERM)
    assert first.wait_for_end() == 0, first.text
    assert "Traceback" not in first.text
    stored = project.next_runs()
    assert set(stored) == {"heartbeat", "daily-summary"}
    assert stored["heartbeat"].endswith("0+00:00"), "due on a round ten seconds"
    assert stored["daily-summary"].endswith(" 09:00:00+00:00")

    second = project.run()
    second.wait_for(BANNER)
    assert project.next_runs()["daily-summary"] == stored["daily-summary"]
    second.wait_for(COMPLETED)
    second.send(signal.SIGINT)
    assert second.wait_for_end() == 0, second.text
    assert "Traceback" not in second.text
    runs = project.runs()
    assert [run.status for run in runs] == [RunStatus.SUCCEEDED] * len(runs)
    assert len({run.scheduled_at for run in runs}) == len(runs) >= 2


def test_a_task_is_paused_and_resumed_from_another_process(quick_project):
    """A pause holds while another task runs, and ends with a resume: only through the store."""
    program = quick_project.run()
    program.wait_for(COMPLETED)
    with quick_project.face() as face:
        face.add_task(OTHER)
        face.pause_task("heartbeat")
    assert quick_project.next_runs()["heartbeat"] == "paused"

    program.wait_for("Task Other completed")  # whatever was running at the pause has ended with this pass
    before = quick_project.runs()
    program.wait_for("Task Other completed", times=3)
    assert quick_project.runs() == before

    with quick_project.face() as face:
        face.resume_task("heartbeat")
    program.wait_for("Task Heartbeat completed", times=2)
    assert len(quick_project.runs()) >= len(before) + 2
    program.send(signal.SIGTERM)
    assert program.wait_for_end() == 0, program.text


def test_a_pause_outlives_a_restart(quick_project):
    """main.py adds its tasks at every start; that does not resume a paused one."""
    first = quick_project.run()
    first.wait_for(COMPLETED)
    with quick_project.face() as face:
        face.pause_task("heartbeat")
    first.send(signal.SIGTERM)
    assert first.wait_for_end() == 0
    second = quick_project.run()
    second.wait_for(BANNER)
    assert quick_project.next_runs()["heartbeat"] == "paused"


def test_a_run_that_is_going_may_end_after_the_signal(quick_project):
    """The first signal stops firing and lets the running graph end."""
    quick_project.hold()
    program = quick_project.run()
    program.wait_for("the node began")
    program.send(signal.SIGTERM)
    program.wait_for("Scheduler stopping")
    quick_project.let_go()
    program.wait_for(COMPLETED)
    assert program.wait_for_end() == 0, program.text


ENDLESS = {
    "a coroutine": "import asyncio; await asyncio.Event().wait()",
    "a thread": "import asyncio, threading; await asyncio.to_thread(threading.Event().wait)",
}


@pytest.mark.parametrize("wait", ENDLESS.values(), ids=ENDLESS)
def test_a_second_ctrl_c_stops_at_once(quick_project, wait):
    """A run that never ends does not hold the program: its run is continued at the next start."""
    quick_project.edit(
        "graph.py",
        'return {"messages": [AIMessage(f"Echo:',
        f"""print("the node began", flush=True); {wait}
    return {{"messages": [AIMessage(f"Echo:""",
    )
    program = quick_project.run()
    program.wait_for("the node began")
    program.send(signal.SIGINT)
    program.wait_for("press Ctrl+C again")
    program.send(signal.SIGINT)
    assert program.wait_for_end() == 130, program.text
    assert "Traceback" not in program.text
    # On a busy machine the next due time may have come, and have been skipped, before the signal.
    (run,) = [each for each in quick_project.runs() if each.status is not RunStatus.SKIPPED]
    assert run.status is RunStatus.PENDING
    assert [attempt.status for attempt in run.earlier_attempts] == [RunStatus.INTERRUPTED]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_comes_twice_at_once_is_one(quick_project, number):
    """`timeout` and `uv run` send a signal to the program and to its group: the running graph may end all the same."""
    quick_project.hold()
    program = quick_project.run()
    program.wait_for("the node began")
    program.send(number)
    program.send(number)
    program.wait_for("press Ctrl+C again")
    quick_project.let_go()
    program.wait_for(COMPLETED)
    assert program.wait_for_end() == 0, program.text


def test_ctrl_c_ends_it_well_where_loops_take_no_signal_handlers(quick_project):
    """On Windows asyncio cancels main() at Ctrl+C: the scheduler is stopped all the same."""
    program = quick_project.run(
        "-c",
        "import asyncio, runpy\n"
        "def refuse(*_): raise NotImplementedError\n"
        "asyncio.SelectorEventLoop.add_signal_handler = refuse\n"
        "runpy.run_path('main.py', run_name='__main__')",
    )
    program.wait_for(COMPLETED)
    program.send(signal.SIGINT)
    assert program.wait_for_end() == 0, program.text
    assert "Traceback" not in program.text


def test_a_missing_graph_is_told_in_one_line(project):
    """A slip of the user ends the program with a sentence, not with a traceback."""
    project.edit("main.py", "TaskScheduler(db_path=", 'TaskScheduler(graph="no_such_module:graph", db_path=')
    program = project.run()
    assert program.wait_for_end() == 1
    assert "Traceback" not in program.text
    assert BANNER not in program.text
    assert program.output[-1].startswith("error: graph='no_such_module:graph': ")


def test_a_broken_store_is_told_in_one_line_and_left_as_it_is(project):
    """The same for a store that cannot be used."""
    project.db_path.write_bytes(b"this is no database" * 100)
    program = project.run()
    assert program.wait_for_end() == 1
    assert "Traceback" not in program.text
    assert program.output[-1].startswith("error: Store ")
    assert project.db_path.read_bytes() == b"this is no database" * 100


def test_the_store_can_be_elsewhere(project):
    """SCHEDULER_DB names the file."""
    program = project.run(SCHEDULER_DB="elsewhere.db")
    program.wait_for(BANNER)
    program.send(signal.SIGTERM)
    assert program.wait_for_end() == 0, program.text
    assert (project.folder / "elsewhere.db").exists()
    assert not project.db_path.exists()


EACH_SECOND = """
[[task]]
id = "new"
name = "New"
schedule = "every 1 second"
prompt = "Go on."
"""


def test_an_edit_is_applied_while_it_runs(quick_project):
    """A changed task, a new one, and one that is gone, also where the editor puts a new file in place of the old."""
    program = quick_project.run()
    program.wait_for(COMPLETED)
    quick_project.edit("tasks.toml", "Say that you are alive.", "Say it loudly.")
    program.wait_for("tasks.toml applied: 0 added, 1 changed, 1 kept, 0 removed")
    program.wait_for("Task Heartbeat completed. Response: Echo: Say it loudly.")

    file = quick_project.folder / "tasks.toml"
    kept, cut, _ = file.read_text().partition('\n[[task]]\nid = "daily-summary"')
    assert cut
    edited = quick_project.folder / "tasks.toml~"
    edited.write_text(kept + EACH_SECOND)
    edited.replace(file)
    program.wait_for("tasks.toml applied: 1 added, 0 changed, 1 kept, 1 removed")
    program.wait_for("Task New completed")
    assert set(quick_project.next_runs()) == {"heartbeat", "new"}
    program.send(signal.SIGTERM)
    assert program.wait_for_end() == 0, program.text
    assert "Traceback" not in program.text


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('id = "heartbeat"', 'id = "heartbeat', "line 4: "),
        ("every 1 second", "every so often", "line 6: Task heartbeat: schedule 'every so often': "),
        ("start_at = ", 'result_callback = "no.such"\nstart_at = ', "Task heartbeat: result_callback='no.such'"),
    ],
    ids=["no TOML", "a wrong schedule", "a callback that is not there"],
)
def test_a_broken_edit_changes_nothing(quick_project, old, new, words):
    """It is logged in one line, the old tasks continue, and the fixed file is applied."""
    program = quick_project.run()
    program.wait_for(BANNER)
    quick_project.edit("tasks.toml", old, new)
    assert words in program.wait_for("The tasks stay as they were")
    assert set(quick_project.next_runs()) == {"heartbeat", "daily-summary"}
    program.wait_for(COMPLETED)
    quick_project.edit("tasks.toml", new, old)
    program.wait_for("tasks.toml applied: 0 added, 0 changed, 2 kept, 0 removed")
    program.send(signal.SIGTERM)
    assert program.wait_for_end() == 0, program.text
    assert "Traceback" not in program.text


def test_a_broken_file_is_told_in_one_line_at_the_start(project):
    """The program ends before anything is stored."""
    project.edit("tasks.toml", "every day at 9am", "tomorrow at 9am")
    program = project.run()
    assert program.wait_for_end() == 1
    assert "Traceback" not in program.text
    assert program.output[-1].startswith("error: ")
    assert "line 15: Task daily-summary: schedule='tomorrow at 9am' is relative to now" in program.output[-1]
    assert project.next_runs() == {}


def test_a_real_model_is_not_called_every_ten_seconds(project):
    """With SCHEDULER_MODEL the heartbeat is left out, also when an earlier start stored it, and the log says so."""
    offline = project.run()
    offline.wait_for(BANNER)
    offline.send(signal.SIGTERM)
    assert offline.wait_for_end() == 0, offline.text
    langchain = project.folder / "langchain"
    langchain.mkdir()
    (langchain / "__init__.py").touch()
    (langchain / "chat_models.py").write_text(
        "from langchain_core.language_models import FakeListChatModel\n"
        "def init_chat_model(name): return FakeListChatModel(responses=['Yes.'])\n"
    )
    program = project.run(SCHEDULER_MODEL="openai:gpt-5-mini")
    program.wait_for("is left out")
    program.wait_for(BANNER)
    assert set(project.next_runs()) == {"daily-summary"}
    program.send(signal.SIGTERM)
    assert program.wait_for_end() == 0, program.text


def test_the_conversations_are_not_created_through_a_link(tmp_path):
    """Whoever put the link there would choose where they lie; what is there already is used as it is."""
    link, elsewhere = tmp_path / "link.db", tmp_path / "elsewhere.db"
    link.symlink_to(elsewhere)
    with pytest.raises(sqlite3.OperationalError, match="link"):
        create_checkpoints(link)
    assert not elsewhere.exists()
    create_checkpoints(elsewhere)
    assert elsewhere.stat().st_mode & 0o777 == 0o600
    create_checkpoints(link)
