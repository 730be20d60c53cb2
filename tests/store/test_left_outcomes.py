"""Outcomes that a stop could not write: a file keeps them, the next scheduler writes them, and nothing else can."""

import dataclasses
import hashlib
import json
import logging
import os
import random
import stat
import uuid

import pytest
from store_kit import Process, every, instant, once

from scheduler import RunStatus
from scheduler.models import Question, TokenUsage
from scheduler.store import Outcome, database_at, outcome_file
from scheduler.store.left_outcomes import LeftOutcomes
from scheduler.store.outcome_file import SIZE_LIMIT, left_outcome, read_file

HEADER = "langgraph-task-scheduler outcomes 1 sha256 "
USAGE = TokenUsage(input_tokens=1, output_tokens=2, total_tokens=3)
ME = {os.geteuid()} if hasattr(os, "geteuid") else {0}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "scheduler.db"


@pytest.fixture
def new_process(path):
    """Return what starts a process on one file."""
    databases = []

    def start(now=0):
        databases.append(database_at(path, None))
        return Process(databases[-1]).begin(now)

    yield start
    for database in databases:
        database.close()


@pytest.fixture
def process(new_process):
    return new_process()


def files_of(path):
    return sorted(each.name for each in path.parent.iterdir() if "outcomes" in each.name)


def leave(process, *outcomes):
    """Leave what has ended in a process, which is not used any more then; return the file."""
    left = outcomes or process._ended
    file = process.session.leave(left)
    process._ended, process.running = [], {}
    return file


def owner_of(process):
    return process.session._owner.id


# --- What becomes of them ---


def test_the_next_start_writes_what_was_left(process, new_process, path):
    """In its first pass, before it looks for runs of dead processes; then the file is gone."""
    process.add(once(5))
    process.run_pass(5)
    process.end(8, response="done", usage=USAGE)
    file = leave(process)
    assert files_of(path) == [file.name]
    later = new_process(100)
    result = later.run_pass(100)
    assert result.recovered == []
    [run] = later.runs()
    assert (str(run.status), run.response, run.usage, run.error) == ("succeeded", "done", USAGE, None)
    assert run.finished_at.second == 8
    assert files_of(path) == []
    assert later.listed() is None, "a one-time task is over"


def test_a_process_that_runs_already_writes_what_was_left(process, new_process, path):
    """It need not know that the owner is dead: nobody but the owner leaves such a file."""
    process.add(once(5, rerun_after_crash=True))
    process.run_pass(5)
    other = new_process(5)
    other.run_pass(6)
    process.end(8)
    leave(process)
    assert other.run_pass(9).recovered == []
    assert [(str(run.status), run.attempt) for run in other.runs()] == [("succeeded", 1)]
    assert files_of(path) == []


@pytest.mark.parametrize(
    ("status", "task", "fields", "found"),
    [
        (RunStatus.FAILED, {}, {"error": "ValueError: no"}, ("failed", 1, "ValueError: no")),
        (RunStatus.FAILED, {"max_attempts": 2}, {"error": "ValueError: no"}, ("pending", 1, "ValueError: no")),
        (RunStatus.FAILED, {"max_attempts": 2}, {"error": "E: no", "is_last": True}, ("failed", 1, "E: no")),
        (RunStatus.TIMED_OUT, {}, {"error": "late"}, ("timed_out", 1, "late")),
        (RunStatus.CANCELLED, {}, {"error": "why"}, ("cancelled", 1, "why")),
        (RunStatus.INTERRUPTED, {}, {"error": "the scheduler was stopped"}, ("interrupted", 1, None)),
        (RunStatus.INTERRUPTED, {"rerun_after_crash": True}, {"error": "x"}, ("pending", 1, "x")),
        (RunStatus.PENDING, {}, {}, ("pending", 0, None)),
        (RunStatus.WAITING, {}, {"questions": (Question(id="q", value={"ask": "?"}),)}, ("waiting", 1, None)),
    ],
)
def test_each_outcome_is_written_as_its_owner_would_have(process, new_process, status, task, fields, found):  # noqa: PLR0917
    """Retries, questions and runs that were not launched included."""
    process.add(every(60, **task))
    process.run_pass(60, slots=1)
    process.end(61, status, **fields)
    leave(process)
    later = new_process(62)
    later.run_pass(62, slots=0)
    [run] = later.runs()
    assert (str(run.status), run.attempt) == found[:2]
    assert found[2] in {None, run.error}
    assert run.questions == fields.get("questions", ())


def test_a_run_that_is_another_owners_by_now_is_left_alone(process, new_process, path):
    """Neither an attempt that is running nor an outcome is written over."""
    process.add(once(5, "goes-on", rerun_after_crash=True), once(5, "is-over"))
    process.run_pass(5)
    claims = list(process.running.values())
    other = new_process(5)
    for now in range(10, 80, 5):
        other.run_pass(now)
    assert sorted(other.statuses("goes-on") + other.statuses("is-over")) == ["interrupted", "running"]
    before = other.runs(None)
    process.end(81)
    leave(process)
    later = new_process(82)
    later.run_pass(82, slots=0)
    assert later.runs(None) == before
    assert [claim.attempt for claim in claims] == [1, 1]
    assert files_of(path) == []


def test_a_later_attempt_of_the_same_owner_is_left_alone(process, new_process, path):
    """The file tells of another one."""
    process.add(once(5, max_attempts=3, retry_delay_seconds=0))
    process.run_pass(5)
    [first] = process.running.values()
    process.complete(6, RunStatus.FAILED)
    assert [claim.attempt for claim in process.running.values()] == [2]
    leave(process, Outcome(first, RunStatus.SUCCEEDED, instant(6), "late"))
    new_process(7).run_pass(7, slots=0)
    assert files_of(path) == []
    [run] = process.runs()
    assert (str(run.status), run.attempt, run.response) == ("running", 2, None)


def test_a_file_stays_until_it_is_committed(process, new_process, path):
    """A pass that fails is made again."""
    process.add(once(5))
    process.run_pass(5)
    process.end(8)
    leave(process)
    later = new_process(100)
    claim, later.session._claimer = later.session._claimer, lambda: 1 / 0
    with pytest.raises(ZeroDivisionError):
        later.run_pass(100)
    assert len(files_of(path)) == 1
    later.session._claimer = claim
    later.run_pass(101)
    assert later.statuses() == ["succeeded"]
    assert files_of(path) == []


def test_a_file_that_was_committed_and_not_deleted_does_no_harm(process, new_process, path):
    """As after a crash between both: the next start finds nothing to write, and deletes it."""
    process.add(once(5))
    process.run_pass(5)
    process.end(8, response="first")
    content = leave(process).read_bytes()
    new_process(9).run_pass(9)
    (path.parent / f"scheduler.db-outcomes-{owner_of(process)}.json").write_bytes(content)
    before = process.runs()
    new_process(10).run_pass(10)
    assert process.runs() == before
    assert files_of(path) == []


def test_listeners_hear_of_what_was_left(process, new_process):
    """As of the outcomes of the process itself."""
    process.add(once(5))
    process.run_pass(5)
    process.end(8)
    leave(process)
    later = new_process(100)
    later.is_observed = lambda: True
    assert [str(run.status) for run in later.run_pass(100).committed.changed] == ["succeeded"]


# --- Files ---


def test_a_file_keeps_every_field_of_an_outcome(process, path):
    """But for the claim, which the database has, and the exception, which is for those who listen in its process."""
    process.add(once(5))
    [claim] = process.run_pass(5).claims
    outcome = Outcome(
        claim,
        RunStatus.WAITING,
        7,
        response="answer",
        error="problem",
        questions=(Question(id="q", value=[1]),),
        resumed=True,
        is_last=True,
        usage=USAGE,
    )
    given = {field.name for field in dataclasses.fields(outcome)} - {"claim", "exception"}
    kept = left_outcome(outcome).model_dump()
    assert set(kept) == given | {"run_id", "attempt"}
    assert all(getattr(outcome, name) for name in given), "each field has a value of its own here"
    [read] = read_file(process.session.leave([outcome]), ME).outcomes
    assert read.model_dump() == kept
    assert (read.run_id, read.attempt) == (claim.run_id, 1)


def test_texts_of_any_kind_can_be_left(process, new_process):
    """What no encoder takes is replaced, what is too long is cut."""
    process.add(once(5))
    process.run_pass(5)
    process.end(8, RunStatus.FAILED, error="\ud800\0\x1b" + "x" * 1_000_000)
    leave(process)
    new_process(100).run_pass(100)
    assert process.runs()[0].error.startswith("\ufffd\ufffd\x1bxxx")


@pytest.mark.skipif(os.name != "posix", reason="there are no such modes here")
def test_only_the_owner_can_read_a_file(process, path):
    """Responses may be confidential, whatever the umask."""
    process.add(once(5))
    process.run_pass(5)
    process.end(8)
    before = os.umask(0)
    try:
        file = leave(process)
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.name == f"scheduler.db-outcomes-{owner_of(process)}.json"


def test_a_file_lies_beside_the_file_that_a_link_leads_to(process, path, tmp_path):
    """As SQLite's own files do: a process that takes another path finds it."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    link = folder / "link.db"
    link.symlink_to(path)
    linked = Process(database_at(link, None)).begin(0)
    linked.add(once(5))
    linked.run_pass(5)
    linked.end(8)
    assert leave(linked).parent == path.parent
    process.run_pass(9)
    assert process.statuses() == ["succeeded"]
    linked.database.close()


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_file_that_cannot_be_written_is_not_there_at_all(process, path, monkeypatch, function):
    """Neither is a part of it."""
    process.add(once(5))
    process.run_pass(5)
    process.end(8)

    def fail(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(outcome_file.os if function == "fsync" else outcome_file.Path, function, fail)
    with pytest.raises(OSError, match="No space left"):
        process.session.leave(process._ended)
    assert files_of(path) == []


@pytest.mark.parametrize("database", [None, "postgresql+psycopg://nobody@localhost/none"])
def test_where_the_store_is_no_file_nothing_is_left(database, tmp_path, monkeypatch):
    """In memory, and on PostgreSQL."""
    monkeypatch.chdir(tmp_path)
    assert LeftOutcomes(database_at(None, database).file, random.random).leave(str(uuid.uuid4()), ["outcome"]) is None
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_of_nothing(process, path):
    """There is no empty file."""
    assert process.session.leave([]) is None
    assert files_of(path) == []


# --- Files that somebody else has written ---

OWNER = "11111111-1111-4111-8111-111111111111"
RUN = "01a20000-0000-7000-8000-000000000000"


def content(owner=OWNER, outcomes=None, **fields):
    """Return the content of a file whose checksum is right."""
    entry = {"run_id": RUN, "attempt": 1, "status": "succeeded", "finished_at": 7, **fields}
    return signed(json.dumps({"owner": owner, "outcomes": [entry] if outcomes is None else outcomes}).encode())


def signed(text):
    return HEADER.encode() + hashlib.sha256(text).hexdigest().encode() + b"\n" + text


GOOD = content()
BAD = {
    "empty": b"",
    "torn": GOOD[:-1],
    "torn in the header": GOOD[:50],
    "changed": GOOD.replace(b"succeeded", b"cancelled"),
    "longer": GOOD + b"\n",
    "another format": GOOD.replace(b"outcomes 1", b"outcomes 2"),
    "no header": GOOD.partition(b"\n")[2],
    "no JSON": signed(b"{"),
    "not UTF-8": signed(b'{"owner": "\xff"}'),
    "a list": signed(b"[]"),
    "no outcomes": signed(json.dumps({"owner": OWNER}).encode()),
    "another owner": content(owner="22222222-2222-4222-8222-222222222222"),
    "an owner of any kind": content(owner="../../etc/passwd"),
    "a deep list": signed(b"[" * 100_000),
    "a deep value": content(outcomes=[]).replace(b"[]", b"[" * 5000 + b"]" * 5000),
    "a long integer": signed(GOOD.partition(b"\n")[2].replace(b'"attempt": 1', b'"attempt": ' + b"9" * 5000)),
    "a run that is no text": content(run_id=["x"]),
    "a run that never ends": content(status="running"),
    "a status of no attempt": content(status="skipped"),
    "an unknown status": content(status="excellent"),
    "attempt 0": content(attempt=0),
    "an attempt beyond the column": content(attempt=2**31),
    "an attempt as text": content(attempt="1"),
    "an end before 1970": content(finished_at=-1),
    "an end beyond the column": content(finished_at=2**63),
    "a flag as text": content(resumed="yes"),
    "a long response": content(response="x" * 100_001),
    "tokens of any kind": content(usage={"input_tokens": "many"}),
}


@pytest.fixture
def running(process):
    """Return a process of the owner that the files name, which has one run."""
    process.add(once(5))
    process.run_pass(5)
    process.sql("UPDATE scheduler_runs SET id = :run, owner = :owner", run=RUN, owner=OWNER)
    process.sql("UPDATE scheduler_owners SET id = :owner", owner=OWNER)
    return process


def file_of(path, owner=OWNER):
    return path.with_name(f"scheduler.db-outcomes-{owner}.json")


def test_a_file_of_the_right_form_is_written(running, new_process, path):
    """The counterpart of the next test."""
    file_of(path).write_bytes(GOOD)
    new_process(9).run_pass(9)
    assert running.statuses() == ["succeeded"]


@pytest.mark.parametrize("name", BAD)
def test_a_file_of_another_form_is_ignored(running, new_process, path, caplog, name):
    """With one log line, at the start and in passes; the run goes its usual way, and the file stays to be looked at."""
    file_of(path).write_bytes(BAD[name])
    later = new_process(9)
    for now in (9, 10, 11):
        later.run_pass(now)
    assert running.statuses() == ["running"]
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert file_of(path).name in record.getMessage()
    assert len(record.getMessage()) < 500
    assert "\n" not in record.getMessage()
    assert file_of(path).exists()


def test_a_file_that_is_too_long_is_not_read(running, new_process, path, caplog):
    """It might not fit into memory."""
    with file_of(path).open("wb") as file:
        file.truncate(SIZE_LIMIT * 100)
    new_process(9).run_pass(9)
    assert "bytes" in caplog.text
    assert running.statuses() == ["running"]


def test_outcomes_that_are_too_long_are_not_left(process, path, monkeypatch):
    """What could not be read is not written."""
    process.add(once(5))
    process.run_pass(5)
    process.end(8, response="x" * 1000)
    monkeypatch.setattr(outcome_file, "SIZE_LIMIT", 500)
    with pytest.raises(OSError, match="500 are allowed"):
        process.session.leave(process._ended)
    assert files_of(path) == []


@pytest.mark.skipif(os.name != "posix", reason="there are no such files here")
@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "device"])
def test_what_is_no_plain_file_is_ignored(running, new_process, path, caplog, kind):
    """No link is followed, and nobody is waited for."""
    if kind == "link":
        path.with_name("target").write_bytes(GOOD)
        file_of(path).symlink_to(path.with_name("target"))
    elif kind == "pipe":
        os.mkfifo(file_of(path))
    elif kind == "folder":
        file_of(path).mkdir()
    else:
        file_of(path).symlink_to("/dev/zero")
    new_process(9).run_pass(9)
    assert len(caplog.records) == 1
    assert running.statuses() == ["running"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_is_ignored(running, new_process, path, caplog):
    """In a folder where others may write, they cannot say how runs ended; the user whose the store is can."""
    file_of(path).write_bytes(GOOD)
    os.chown(file_of(path), 12345, -1)
    new_process(9).run_pass(9)
    assert "another user" in caplog.text
    assert running.statuses() == ["running"]
    os.chown(path, 12345, -1)
    new_process(10).run_pass(10)
    assert running.statuses() == ["succeeded"]


def test_names_that_are_no_owners_are_not_looked_at(process, new_process, path, caplog):
    """Neither in the folder nor in the table of runs."""
    letters = OWNER.replace("1", "a", 5)
    for owner in ("", "x", "..", letters.upper(), letters.replace("-", ""), f"{{{letters}}}"):
        file_of(path, owner).write_bytes(b"rubbish")
    process.add(once(5))
    process.run_pass(5)
    process.sql("UPDATE scheduler_runs SET owner = :owner", owner=f"/../../{OWNER}")
    later = new_process(9)
    later.run_pass(9)
    assert caplog.records == []
    assert len(files_of(path)) == 6


def test_a_folder_that_cannot_be_listed_stops_nothing(process, new_process, path, monkeypatch):
    """The files of running runs are found by their names."""
    process.add(once(5))
    process.run_pass(5)
    process.end(8)
    leave(process)

    def fail(_path):
        raise PermissionError(13, "no")

    monkeypatch.setattr("pathlib.Path.iterdir", fail)
    new_process(9).run_pass(9)
    assert process.statuses() == ["succeeded"]
