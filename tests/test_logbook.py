"""One record of the log is one line, whatever models, people, graphs and databases say."""

import inspect
import io
import logging
from pathlib import Path

import pytest

from scheduler import logbook
from scheduler.cli.commands.serve import _OneLineFormatter

FORGED = "2026-11-25 22:00:00,000 ERROR Task payroll (payroll) failed: run 01a2"
HOSTILE = "".join(f"ok{end}{FORGED}" for end in "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029") + "\x1b[31m\u202e\ud800\x00"
FUNCTIONS = inspect.getmembers(logbook, inspect.isfunction)
LINES = [each for name, each in FUNCTIONS if each.__module__ == logbook.__name__ and not name.startswith("_")]


class UnprintableError(Exception):
    def __str__(self):
        raise ValueError("nothing to say")


def an_error(text=HOSTILE):
    """Return an exception that was raised, with a note, a cause and others in a group, all with the same text."""
    error = ExceptionGroup(text, [ValueError(text), SyntaxError(text)])
    error.add_note(text)
    error.__cause__ = KeyError(text)
    try:
        raise error
    except ExceptionGroup as raised:
        return raised


def arguments(function, text=HOSTILE, error=None):
    """Return arguments for a function of the log book, by what it says they are; a text for what is not known here."""
    error = an_error() if error is None else error
    given = {
        "Iterable": [(text, text)],
        "int": 3,
        "float": 3.0,
        "bool": True,
        "Path": Path(text),
        "BaseException": error,
        "Exception": error,
    }
    return {
        name: given.get(
            getattr(parameter.annotation, "__name__", str(parameter.annotation)).removesuffix(" | None"), text
        )
        for name, parameter in inspect.signature(function).parameters.items()
    }


@pytest.fixture
def log():
    """Return what is logged, as a handler of the user's own writes it."""
    stream, logger = io.StringIO(), logging.getLogger("scheduler")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(funcName)s %(message)s"))
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield stream
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.mark.parametrize("function", LINES, ids=lambda function: function.__name__)
@pytest.mark.parametrize("error", [an_error(), UnprintableError(HOSTILE), ValueError(HOSTILE * 10_000)], ids=range(3))
def test_one_record_is_one_line(log, function, error):
    """Each further line is one of a traceback, and is indented; nothing in it ends a line or steers a terminal."""
    function(**arguments(function, error=error))
    text = log.getvalue()
    first, *others = text.removesuffix("\n").split("\n")
    assert first.split()[1] == function.__name__, "the record says who made it"
    assert all(line.startswith("  ") for line in others)
    assert text.splitlines() == [first, *others]
    assert not set(text) & set(HOSTILE[2:]).difference(FORGED, "\n[31m")
    assert not [line for line in others if line.startswith(FORGED)]


@pytest.mark.parametrize("function", LINES, ids=lambda function: function.__name__)
def test_a_record_has_an_end(log, function):
    """Texts of megabytes, and errors with a hundred thousand lines, are cut."""
    error = ValueError("line\n" * 100_000)
    function(**arguments(function, "x" * 3_000_000, error))
    assert len(log.getvalue()) < 30_000
    function(**arguments(function, error=UnprintableError()))


def test_the_exception_stays_with_its_record(caplog):
    """What collects errors, such as Sentry, has the object itself."""
    error = an_error("plain")
    logbook.run_failed("T", "t", "1", error)
    (record,) = caplog.records
    assert record.exc_info == (type(error), error, error.__traceback__)
    assert (record.name, record.levelno) == ("scheduler", logging.ERROR)
    assert "an_error" in record.exc_text


def test_a_logger_that_is_off_costs_nothing(monkeypatch):
    """The texts of a record that nobody wants are not looked at."""
    monkeypatch.setattr(logging.getLogger("scheduler"), "disabled", True)
    logbook.run_failed("T", "t", "1", UnprintableError())


def test_serve_makes_one_line_of_the_records_of_all_loggers():
    """Also of those of graphs and libraries, and where another handler has made a traceback before."""
    error = an_error()
    record = logging.LogRecord(
        "other", logging.ERROR, __file__, 1, "%s\n" + HOSTILE, (HOSTILE,), (type(error), error, None)
    )
    record.stack_info = f"Stack (most recent call last):\n{HOSTILE}"
    logging.Formatter().format(record)
    text = _OneLineFormatter("%(levelname)-7s %(message)s").format(record)
    first, *others = text.split("\n")
    assert first.startswith("ERROR   ok")
    assert others
    assert all(line.startswith("  ") for line in others)
    assert text.splitlines() == [first, *others]


class Kept(logging.Handler):
    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        self.records.append(record)


@pytest.fixture
def kept(log):
    handler = Kept()
    logging.getLogger("scheduler").addHandler(handler)
    yield handler.records
    logging.getLogger("scheduler").removeHandler(handler)


@pytest.mark.parametrize("function", LINES, ids=lambda function: function.__name__)
def test_a_record_says_what_happened_and_to_what(kept, function):
    """Its `action` is the name of the function, and its ids are those that the function is given."""
    given = arguments(function, "here")
    function(**given)
    (record,) = kept
    assert record.action == function.__name__
    if function is not logbook.tasks_not_loaded:
        assert record.task_id == given.get("task_id")
    assert record.run_id == given.get("run_id")


def test_the_id_of_tasks_that_cannot_be_loaded(kept):
    """One task is named; of several with one problem, none."""
    logbook.tasks_not_loaded([("a", "no module"), ("b", "no function"), ("c", "no function")])
    assert [record.task_id for record in kept] == ["a", None]


def test_the_docs_list_each_action(kept):
    """With the level of its record, and the ids that it has."""
    page = (Path(__file__).parent.parent / "docs" / "observing.md").read_text(encoding="utf-8")
    table = page.split("| action | level | says | ids |")[1].split("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip(" `") for cell in row.strip("|").split("|")] for row in table]
    for function in LINES:
        function(**arguments(function, "here"))
    documented = [(action, level) for action, level, *_ in rows]
    assert sorted(documented) == sorted((record.action, record.levelname) for record in kept)
    assert len({action for action, _ in documented}) == len(documented)
    for action, _, _, ids in rows:
        named = {name for name in inspect.signature(getattr(logbook, action)).parameters if name.endswith("_id")}
        if action != "tasks_not_loaded":
            assert {name for name in ("task_id", "run_id") if name in ids} == named & {"task_id", "run_id"}
