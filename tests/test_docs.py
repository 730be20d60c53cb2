"""The pages under docs/ are executed, and the reference knows every public name."""

import ast
import inspect
import re
import shutil
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from pydantic import BaseModel

import scheduler as package
from scheduler import (
    OverlapPolicy,
    Run,
    RunEvent,
    RunEventKind,
    RunStatus,
    TaskDefinition,
    TaskEvent,
    TaskEventKind,
    TaskScheduler,
    TaskType,
    TokenUsage,
    errors,
    models,
    next_due_times,
    observing,
)

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").glob("*.md"))
REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
BERLIN = ZoneInfo("Europe/Berlin")


def rows(page):
    """The cells of each table row, those in code quotes as a list of them."""
    for line in (ROOT / "docs" / page).read_text(encoding="utf-8").splitlines():
        if line.startswith("| `"):
            yield [re.findall(r"`([^`]*)`", cell) for cell in line.strip("|").split("|")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
async def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch):
    """From top to bottom, in a folder that holds the example graph."""
    shutil.copy(ROOT / "graph.py", tmp_path)
    monkeypatch.chdir(tmp_path)
    names = {}
    for code in re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL):
        compiled = compile(code, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if (awaitable := eval(compiled, names)) is not None:
            await awaitable
    if isinstance(left_open := names.get("scheduler"), TaskScheduler):
        await left_open.stop()


@pytest.mark.parametrize(("expression", "after", "due"), list(rows("cron.md")), ids=str)
def test_the_due_times_that_the_page_on_cron_shows(expression, after, due):
    """Each row of its tables, in the zone that the page names."""
    task = TaskDefinition(
        id="t",
        name="T",
        prompt="Go.",
        task_type=TaskType.CRON,
        cron_expression=expression[0],
        timezone=BERLIN.key,
    )
    start = datetime.fromisoformat(after[0]).replace(tzinfo=BERLIN)
    shown = [moment.isoformat(" ", "minutes") for moment in next_due_times(task, len(due), start)]
    assert shown == due


PUBLIC_NAMES = sorted(package.__all__)
ARGUMENTS = [name for name in inspect.signature(TaskScheduler).parameters if name != "self"]
METHODS = [name for name in vars(TaskScheduler) if not name.startswith("_")]
FIELDS = [field for model in (TaskDefinition, Run, TokenUsage, RunEvent, TaskEvent) for field in model.model_fields]


@pytest.mark.parametrize("name", [*PUBLIC_NAMES, *ARGUMENTS, *METHODS, *FIELDS, *RunStatus])
def test_the_reference_knows(name):
    """Every public name, argument, method and field."""
    assert re.search(rf"\b{re.escape(name)}\b", REFERENCE)


def first_column(page, header):
    """The names in code quotes in the first column of a table, which begins with this header."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    table = text.split(f"\n| {header} |", maxsplit=1)[1].split("\n\n")[0]
    return [name for row in table.splitlines()[2:] for name in re.findall(r"`([^`]+)`", row.split("|")[1])]


PUBLIC_ENUMS = {
    each
    for module in (models, observing)
    for each in vars(module).values()
    if isinstance(each, type) and issubclass(each, StrEnum) and each is not StrEnum
}


@pytest.mark.parametrize("enum", sorted(PUBLIC_ENUMS, key=lambda enum: enum.__name__), ids=lambda enum: enum.__name__)
def test_a_table_of_the_reference_lists_the_members_of_an_enum(enum):
    """All of them, in their order, and nothing else: a new member is not published without its meaning."""
    assert first_column("reference.md", f"`{enum.__name__}`") == [str(member) for member in enum]


def test_the_page_on_events_lists_each_kind():
    """Its table says when each is sent."""
    assert first_column("observing.md", "kind") == list(RunEventKind)
    assert first_column("observing.md", "kind of a task's event") == list(TaskEventKind)


def test_the_page_on_tasks_lists_each_overlap_policy():
    """Its table says what happens under each."""
    assert first_column("tasks.md", "`overlap`") == [f"OverlapPolicy.{policy.name}" for policy in OverlapPolicy]


def test_the_reference_lists_each_error():
    """But for their base, which is named above the table."""
    public = {name for name, each in vars(errors).items() if isinstance(each, type) and not name.startswith("_")}
    assert set(first_column("reference.md", "error")) == public - {"SchedulerError"}


def defaults(of):
    if issubclass(of, BaseModel):
        fields = of.model_fields.items()
        return {name: field.get_default(call_default_factory=True) for name, field in fields if not field.is_required()}
    parameters = inspect.signature(of).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}


@pytest.mark.parametrize(("title", "of"), [("TaskScheduler", TaskScheduler), ("TaskDefinition", TaskDefinition)])
def test_the_reference_states_the_defaults(title, of):
    """As they are in the code."""
    section = REFERENCE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    real = defaults(of)
    for names, default in re.findall(r"^\| (`[^|]*`) \| `([^|]*)` \|", section, flags=re.MULTILINE):
        for name in re.findall(r"`(\w+)`", names):
            assert real[name] == eval(default, {each: getattr(package, each) for each in package.__all__}), name
