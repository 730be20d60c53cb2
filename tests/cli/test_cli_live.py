"""Every command as a process, on a store that a running scheduler uses at the same time."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress

import pytest
from cli_kit import end, environment, steady

pty = pytest.importorskip("pty")
pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="the signals and terminals are POSIX ones"),
    pytest.mark.timeout(120),
]

RUN = {
    "id": "str",
    "task_id": "hello",
    "scheduled_at": "str",
    "started_at": "str",
    "finished_at": "str",
    "status": "succeeded",
    "attempt": 1,
    "coalesced": 0,
    "trigger": "manual",
    "thread_id": "scheduler-task:hello",
    "response": "Echo: Say hello.",
    "error": None,
    "earlier_attempts": [],
    "resumed": False,
    "questions": [],
    "current_step": None,
    "usage": None,
    "prompt": None,
    "metadata": None,
    "retry_of": None,
    "number": "int",
    "pending_reason": None,
    "duration_seconds": "float",
}

DEFINITION = {
    "id": "hello",
    "name": "Hello",
    "task_type": "cron",
    "enabled": True,
    "prompt": "Say hello.",
    "session_id": "scheduler",
    "session_mode": "task",
    "session_keep_runs": None,
    "thread_id": None,
    "session_retention": None,
    "metadata": {"team": "ops", "n": 1},
    "tags": [],
    "cron_expression": "0 9 1 1 *",
    "interval_seconds": None,
    "run_at": None,
    "rrule": None,
    "calendar": None,
    "exdates": [],
    "result_callback": None,
    "timezone": "Europe/Berlin",
    "start_at": None,
    "end_at": None,
    "jitter_seconds": 0,
    "max_runs": None,
    "overlap": "skip",
    "misfire_grace_seconds": None,
    "coalesce": True,
    "timeout_seconds": 300.0,
    "max_attempts": 1,
    "retry_delay_seconds": 1.0,
    "retry_max_delay_seconds": 300.0,
    "rerun_after_crash": False,
    "retry_from_start": False,
    "expire_waiting_after_seconds": None,
    "recursion_limit": None,
    "durability": None,
    "context": None,
    "input": None,
    "configurable": None,
    "input_builder": None,
    "stream": False,
    "pause_after_failures": None,
    "graph": None,
}

TASK = {
    "id": "hello",
    "name": "Hello",
    "state": "scheduled",
    "next_due": "str",
    "timezone": "Europe/Berlin",
    "schedule": "On the 1st of every January at 09:00 (Europe/Berlin)",
    "pause_reason": None,
    "paused_since": None,
    "paused_until": None,
    "problem": None,
    "source": None,
    "finished_at": "NoneType",
    "finish_reason": None,
    "last_run": None,
    "definition": DEFINITION,
}

HELLO = (
    *("add", "--id", "hello", "--name", "Hello", "--prompt", "Say hello.", "--cron", "0 9 1 1 *"),
    *("--timezone", "Europe/Berlin", "--metadata", "team=ops", "--metadata", '{"n": 1}', "--timeout", "5m"),
)


@pytest.fixture(scope="module", autouse=True)
def tasks(live):
    """Tasks that are due when they are triggered, and nearly never else; the first is added by the command line."""
    assert steady(live.json(*HELLO)) == TASK
    yearly = ("--schedule", "on the 1st of every month at noon")
    live.quick("add", "--id", "failing", "--prompt", "Fail.", *yearly)
    live.quick("add", "--id", "endless", "--prompt", "Wait.", *yearly, "--session", "alone")


def test_a_life_of_a_task(live):
    """Added, listed, shown, paused, resumed, removed: each is seen by the next command, and by the scheduler."""
    added = live.run("add", "--id", "short", "--prompt", "Go.", "--every", "1h30m")
    assert added.stdout.startswith("Added short; next due 20")
    assert live.quick("add", "--id", "short", "--prompt", "Go.", "--every", "1h", code=1).stderr == (
        "error: task 'short' exists; give --replace to replace it, or another --id\n"
    )
    replaced = live.quick("add", "--id", "short", "--prompt", "Go on.", "--every", "1h", "--replace")
    assert replaced.stdout.startswith("Replaced short; next due 20")
    lines = live.run("list").stdout.splitlines()
    assert lines[0].split("  ")[0] == "ID"
    (line,) = [line for line in lines if line.startswith("short ")]
    assert "Every 60 minutes" in line
    assert "UTC" in line
    assert live.json("pause", "short")["state"] == "paused"
    assert "paused" in live.quick("list").stdout
    assert "Resumed short; next due 20" in live.run("resume", "short").stdout
    shown = live.run("show", "short").stdout
    assert "Go on." in shown
    assert shown.count(" UTC") == 5, "the next five due times"
    assert "--yes" in live.quick("remove", "short", code=2).stderr
    assert live.run("remove", "short", "--yes").stdout == "Removed short.\n"
    assert live.run("show", "short", code=3).stderr == (
        "error: there is no task 'short'; task-scheduler list shows those that there are\n"
    )


def test_triggering_and_what_it_leaves(live):
    """`trigger --wait` follows the run that the scheduler picks up; the history then has it, in the same shape."""
    output = live.quick("trigger", "hello", "--wait").stdout
    assert output.startswith("succeeded run ")
    assert output.endswith("Echo: Say hello.\n")
    run = live.json("trigger", "hello", "--wait", "--timeout", "30s")
    assert steady(run) == RUN
    assert live.quick_json("runs", "hello", "--limit", "1") == [run]
    assert live.json("run", run["id"]) == {**run, "prompt": "Say hello."}
    shown = live.quick_json("show", "hello")
    conversation = shown.pop("conversation")
    assert conversation == {"thread_id": "scheduler-task:hello", "shared_with": [], "runs": len(shown["runs"])}
    assert steady({**shown, "runs": shown["runs"][:1]}) == {**TASK, "last_run": RUN, "due_times": "list", "runs": [RUN]}
    assert len(shown["due_times"]) == 5
    (listed,) = [task for task in live.quick_json("list") if task["id"] == "hello"]
    assert steady(listed) == {**TASK, "last_run": RUN}
    table = live.run("runs", "--since", "1h").stdout
    assert run["id"] in table
    text = live.quick("run", run["id"]).stdout
    assert "Say hello." in text
    assert "manual" in text


def test_a_run_that_fails(live):
    """Its exit code is 1, its error is printed, and `runs --status` finds it."""
    output = live.run("trigger", "failing", "--wait", code=1).stdout
    assert output.startswith("failed run ")
    assert output.endswith("ValueError: no such city\n")
    (run,) = live.quick_json("runs", "--status", "failed")
    assert (run["task_id"], run["error"]) == ("failing", "ValueError: no such city")
    assert live.quick("runs", "nobody", code=3).stderr.startswith("error: there is no task 'nobody'")
    assert live.quick("run", "nobody", code=3).stderr.startswith("error: there is no run 'nobody'")


def test_following_the_history(live):
    """`runs --follow --json` prints a line for each change of status, and ends with Ctrl+C."""
    command = ("-m", "scheduler", "runs", "hello", "--follow", "--json", "--limit", "1")
    with live.face() as face:
        asyncio.run(face.run_task("hello"))
    with live.face() as face, live.start(*command) as process:
        known = json.loads(process.stdout.readline())  # the newest of before: from here on it follows
        run_id = face.trigger_task("hello")
        seen = []
        while not seen or seen[-1]["status"] != "succeeded":
            seen.append(json.loads(process.stdout.readline()))
        assert {run["id"] for run in seen} == {run_id}
        assert run_id != known["id"]
        assert steady(seen[-1]) == RUN
        code, rest = end(process, signal.SIGINT)
        assert (code, rest) == (0, "")


def test_a_wait_that_takes_too_long(live):
    """`--timeout` ends the wait with exit code 1, not the run; `watch` shows it."""
    late = live.quick("trigger", "endless", "--wait", "--timeout", "0.5s", code=2)
    assert "no duration" in late.stderr
    late = live.run("trigger", "endless", "--wait", "--timeout", "1s", code=1)
    assert "is still running after 1 s; it continues" in late.stderr
    screen = live.json("watch")
    assert list(screen) == ["at", "schedulers", "now", "next", "lately"]
    assert screen["schedulers"] == 1
    assert [(run["task_id"], run["status"]) for run in screen["now"]] == [("endless", "running")]
    assert "hello" in {task["id"] for task in screen["next"]}
    printed = live.quick("watch").stdout
    assert "schedulers: 1 running" in printed
    assert "endless" in printed


TOML = """
[[task]]
id = "from-file"
name = "From a file"
prompt = "Go."
schedule = "every weekday at 9am"
result_callback = "graph.notify"
"""


def test_applying_and_exporting(live):
    """A dry run changes nothing; a second apply keeps; what is exported can be applied; `--prune` removes."""
    file = live.folder / "tasks.toml"
    file.write_text(TOML)
    nothing = {key: [] for key in ("changed", "kept", "removed", "left_out", "adopted", "orphaned")}
    changes = {"added": ["from-file"], **nothing}
    code = [{"task_id": "from-file", "field": "result_callback", "path": "graph.notify"}]
    dry = live.run("apply", "tasks.toml", "--dry-run")
    assert dry.stdout == "+ from-file\n1 would be added\n"
    assert dry.stderr == "New code will be called: result_callback='graph.notify' of task from-file\n"
    assert live.json("apply", "tasks.toml") == {**changes, "new_code": code, "dry_run": False}
    assert live.run("apply", "tasks.toml").stdout == "1 kept\n"

    exported = live.run("export", "from-file").stdout
    file.write_text(exported)
    assert live.run("apply", "tasks.toml").stdout == "1 kept\n"
    assert live.quick_json("export", "hello") == [DEFINITION]

    file.write_text("task = []\n")
    assert live.run("apply", "tasks.toml", "--prune").stdout == "- from-file\n1 removed\n"
    live.quick("show", "from-file", code=3)
    file.write_text(TOML.replace("[[task]]", "[[task]").lstrip())
    broken = live.quick("apply", "tasks.toml", code=1).stderr
    assert "tasks.toml" in broken
    assert broken.count("\n") == 1


def test_checking(live):
    """Exit code 0 where all is well, 1 where something is not; the shape names each check."""
    found = live.json("check", "--graph", "graph:graph")
    assert found["ok"] is True
    assert [check["name"] for check in found["checks"]] == [
        *("time zones", "clock", "graph", "store", "schedulers", "tasks", "files"),
    ]
    assert all(list(check) == ["name", "ok", "detail"] for check in found["checks"])
    assert "NOT OK  graph" in live.run("check", "--graph", "graph:nothing", code=1).stdout


def read_terminal(live, *arguments, until, **extra):
    """Run a command on a terminal until its output holds a text, then press Ctrl+C; return the output."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "scheduler", *arguments]
    env = environment(TERM="xterm-256color", COLUMNS="200", LINES="50", **extra)
    with subprocess.Popen(command, cwd=live.folder, env=env, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        output = b""
        with suppress(OSError):  # EIO: the command has ended
            while until not in output:
                output += os.read(ours, 65536)
            process.send_signal(signal.SIGINT)
            while True:
                output += os.read(ours, 65536)
        os.close(ours)
    assert until in output, output
    return process.returncode, output


def test_a_live_screen_and_colours(live):
    """`watch` draws on a terminal until Ctrl+C; colours are for terminals, and not where NO_COLOR is set."""
    live.run("trigger", "hello", "--wait")
    code, output = read_terminal(live, "watch", until=b"Lately")
    assert code == 0
    assert b"\x1b[?1049l" in output, "the screen of before is back"
    assert b"\x1b[32msucceeded" in read_terminal(live, "runs", until=b"succeeded")[1]
    assert b"\x1b[32m" not in read_terminal(live, "runs", until=b"succeeded", NO_COLOR="1")[1]


def test_completion_of_task_ids(live):
    """The shell asks the command line, which asks the store."""
    asked = {"_TASK_SCHEDULER_COMPLETE": "complete_bash", "COMP_CWORD": "2"}
    assert live.run(COMP_WORDS="task-scheduler show he", **asked).stdout.split() == ["hello"]
    assert live.run(COMP_WORDS="task-scheduler sho", **{**asked, "COMP_CWORD": "1"}).stdout.split() == ["show"]
    elsewhere = {**asked, "COMP_WORDS": "task-scheduler show --db missing.db ", "COMP_CWORD": "4"}
    assert live.run(**elsewhere).stdout.split() == []
    assert not (live.folder / "missing.db").exists()
