"""waiting, answer: questions of graphs, and their answers."""

import json
from typing import Annotated, Any

import typer

from scheduler import Decision, Run
from scheduler.cli.errors import CommandError, ExitCode
from scheduler.cli.options import Db, DbUrl, Json, RunId, opened
from scheduler.cli.ui.moments import local
from scheduler.cli.ui.output import cell, note, one_line, say, show_json, show_table
from scheduler.models import RunStatus
from scheduler.shapes import run_shape

_MOST = 100_000


def waiting(db: Db = None, db_url: DbUrl = None, as_json: Json = False) -> None:
    """List the runs that wait for an answer, with their questions."""
    with opened(db, db_url) as scheduler:
        found = scheduler.list_runs(status=RunStatus.WAITING, limit=_MOST)
    if as_json:
        show_json([run_shape(run) for run in found])
    elif found:
        rows = [row for run in found for row in _rows(run)]
        show_table(["RUN_ID", "TASK", "STARTED", "QUESTION_ID", "QUESTION"], rows, keep=["RUN_ID", "QUESTION_ID"])
    else:
        say("No run waits for an answer.")


def _rows(run: Run) -> list[list[Any]]:
    return [
        [run.id, cell(run.task_id, "bold"), local(run.started_at), one_line(each.id), one_line(_text(each.value))]
        for each in run.questions
    ]


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def answer(
    run_id: RunId,
    values: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="VALUE...", help="Give this answer: JSON, such as true or a text in quotes, or plain text."
        ),
    ] = None,
    ids: Annotated[
        list[str] | None,
        typer.Option(
            "--id", metavar="QUESTION_ID", help="Answer this question; give one for each value, in the same order."
        ),
    ] = None,
    as_text: Annotated[bool, typer.Option("--text", help="Treat values as text, even if they look like JSON.")] = False,
    approve: Annotated[bool, typer.Option("--approve", help="Do what the graph proposes.")] = False,
    reject: Annotated[
        str | None,
        typer.Option(metavar="REASON", help="Do not do what the graph proposes; REASON may be empty."),
    ] = None,
    edit: Annotated[str | None, typer.Option(metavar="JSON", help="Do it with these arguments, a JSON object.")] = None,
    respond: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Give this text in place of what the graph proposes.")
    ] = None,
    db: Db = None,
    db_url: DbUrl = None,
    as_json: Json = False,
) -> None:
    """Answer a waiting run. It continues in the process that runs a scheduler on the store."""
    decision = _decision(approve=approve, reject=reject, edit=edit, respond=respond)
    given = _given(values or [], ids, decision, as_text=as_text)
    with opened(db, db_url) as scheduler:
        run_id = scheduler.find_run(run_id).id
        scheduler.answer_run(run_id, given)
        if not scheduler.running_schedulers():
            note("No scheduler is running on this store; the run continues when one does.")
        run = scheduler.get_run(run_id)
    if as_json:
        show_json(run_shape(run))
    else:
        say(f"Answered run {run_id} of {run.task_id}.")


def _decision(*, approve: bool, reject: str | None, edit: str | None, respond: str | None) -> Decision | None:
    """Return the decision that the options give, if any."""
    given: dict[Any, object] = {
        **({"approve": None} if approve else {}),
        **({} if reject is None else {"reject": reject or None}),
        **({} if edit is None else {"edit": _parsed(edit)}),
        **({} if respond is None else {"respond": respond}),
    }
    if len(given) > 1:
        names = " and ".join(f"--{name}" for name in given)
        raise CommandError(f"{names} contradict each other; give one of them", ExitCode.USAGE)
    for kind, content in given.items():
        try:
            return Decision(kind, content)
        except ValueError as error:
            raise CommandError(f"--{kind}: {error}", ExitCode.USAGE) from None
    return None


def _given(values: list[str], ids: list[str] | None, decision: Decision | None, *, as_text: bool) -> object:
    """Return the answer: a decision, or values, by the ids of questions if there are any."""
    if decision is None:
        parsed = [value if as_text else _parsed(value) for value in values]
        return _by_id(ids, parsed) if ids else _single(parsed)
    if values or ids or as_text:
        problem = "a decision is the whole answer, to all that the run asks"
        raise CommandError(f"{problem}; leave VALUE, --id and --text out, or answer by JSON", ExitCode.USAGE)
    return decision


def _parsed(value: str) -> Any:  # noqa: ANN401 (JSON)
    """Return what JSON says, and what is no JSON as text."""
    try:
        return json.loads(value, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return value


def _refuse(name: str) -> None:
    raise ValueError(name)


def _single(values: list[Any]) -> Any:  # noqa: ANN401 (JSON)
    if not values:
        raise CommandError("give a VALUE, --approve, --reject, --edit or --respond", ExitCode.USAGE)
    if len(values) > 1:
        raise CommandError("there are several values; give --id for each, or quote a text with blanks", ExitCode.USAGE)
    return values[0]


def _by_id(ids: list[str], values: list[Any]) -> dict[str, Any]:
    if len(ids) != len(values) or len(set(ids)) != len(ids):
        problem = f"there are {len(values)} values and {len(set(ids))} different ids"
        raise CommandError(f"{problem}; give one --id for each value", ExitCode.USAGE)
    return dict(zip(ids, values, strict=True))
