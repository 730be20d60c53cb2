"""waiting, answer: the questions of graphs, and the answers to them."""

import json

import pytest
from cli_kit import steady
from helpers import hourly, rows

QUESTIONS = [
    {"id": "q1", "value": {"ask": "Go [red]on\x1b[31m?"}, "response_schema": None},
    {"id": "q2", "value": "Which one?", "response_schema": None},
]


BREAKPOINT = {"question": "Continue with 'pay'?", "next": ["pay"]}


@pytest.fixture
def asked(place):
    """Return what makes a run that waits, with so many questions; it returns the run's id."""

    def ask(number, questions=QUESTIONS):
        with place.face() as face:
            face.add_task(hourly("report"))
            run_id = face.trigger_task("report")
        with rows(place.folder / "scheduler.db") as store:
            store.execute(
                "UPDATE scheduler_runs SET status = 'waiting', attempt = 1, started_at = scheduled_at, questions = ?"
                " WHERE id = ?",
                [json.dumps(questions[:number]), run_id],
            )
        return run_id

    return ask


def stored_answer(place, run_id):
    with rows(place.folder / "scheduler.db") as store:
        (row,) = store.execute("SELECT status, answer FROM scheduler_runs WHERE id = ?", [run_id])
        return row["status"], json.loads(row["answer"] or "null")


def test_what_waits_is_listed(place, asked):
    """A line for each question, with the ids that `answer` takes; nothing of it is obeyed by a terminal."""
    with place.face() as face:
        face.add_task(hourly("report"))
    assert place.quick("waiting").stdout == "No run waits for an answer.\n"
    run_id = asked(2)
    lines = place.quick("waiting").stdout.splitlines()
    assert lines[0].split() == ["RUN_ID", "TASK", "STARTED", "QUESTION_ID", "QUESTION"]
    assert [line.split()[:2] for line in lines[1:]] == [[run_id, "report"]] * 2
    assert "q1" in lines[1]
    assert "Go [red]on" in lines[1]
    assert "\x1b" not in lines[1]
    assert lines[2].endswith("Which one?")
    (run,) = place.quick_json("waiting")
    assert (run["id"], run["status"], run["questions"]) == (run_id, "waiting", QUESTIONS)


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        (["Yes, go on."], "Yes, go on."),
        (["true"], True),
        (["--text", "true"], "true"),
        (['{"approved": [1, null]}'], {"approved": [1, None]}),
        (["NaN"], "NaN"),
        (["yes", "--id", "q1"], "yes"),
    ],
)
def test_an_answer(place, asked, value, answer):
    """JSON where it is JSON, text otherwise; it is stored, and a scheduler that is not there is missed."""
    run_id = asked(1)
    shown = place.quick("answer", run_id, *value)
    assert shown.stdout == f"Answered run {run_id} of report.\n"
    assert shown.stderr == "No scheduler is running on this store; the run continues when one does.\n"
    assert stored_answer(place, run_id) == ("pending", {"q1": answer})


def test_several_answers(place, asked):
    """One `--id` for each value, in the same order."""
    run_id = asked(2)
    run = place.json("answer", run_id, "--id", "q2", "the first", "--id", "q1", "7")
    assert steady(run)["status"] == "pending"
    assert stored_answer(place, run_id) == ("pending", {"q1": 7, "q2": "the first"})


@pytest.mark.parametrize(
    ("arguments", "code", "shown"),
    [
        (["yes"], 2, "it asks 2 questions; give a dict of answers by their ids: q1, q2"),
        (["yes", "--id", "q1"], 2, "answers are missing; give one for each id, also for q2"),
        (["yes", "no"], 2, "there are several values; give --id for each"),
        (["yes", "--id", "q1", "--id", "q2"], 2, "there are 1 values and 2 different ids"),
    ],
)
def test_an_answer_that_does_not_fit(place, asked, arguments, code, shown):
    """It is refused in one line, and the run waits on."""
    run_id = asked(2)
    assert shown in place.quick("answer", run_id, *arguments, code=code).stderr
    assert stored_answer(place, run_id) == ("waiting", None)


def test_a_run_that_asks_nothing(place, asked):
    """Unknown, or answered already: the exit codes tell them apart."""
    run_id = asked(1)
    assert "there is no run 'nobody'" in place.quick("answer", "nobody", "yes", code=3).stderr
    place.quick("answer", run_id, "yes")
    assert "nothing is asked" in place.quick("answer", run_id, "yes", code=2).stderr


@pytest.mark.parametrize(
    ("value", "may_continue"), [("yes", True), ("true", True), ("Approve.", True), ("no", False), ("false", False)]
)
def test_a_breakpoint(place, asked, value, may_continue):
    """The question shows what comes next; a yes or a no is stored, in whatever word."""
    run_id = asked(1, [{"id": "breakpoint:1", "value": BREAKPOINT}])
    assert "Continue with 'pay'?" in place.quick("waiting").stdout
    place.quick("answer", run_id, value)
    assert stored_answer(place, run_id) == ("pending", {"breakpoint:1": may_continue})


def test_an_answer_to_a_breakpoint_that_is_not_clear(place, asked):
    """It is refused in one line, and the run still waits: what was not approved is not run."""
    run_id = asked(1, [{"id": "breakpoint:1", "value": BREAKPOINT}])
    told = place.quick("answer", run_id, "perhaps", code=2).stderr
    assert "give True ('yes', 'approve') to continue the run, or False ('no', 'reject') to end it" in told
    assert stored_answer(place, run_id) == ("waiting", None)


REVIEW = {
    "action_requests": [{"name": "send", "args": {"to": "ann"}}],
    "review_configs": [{"action_name": "send", "allowed_decisions": ["approve", "edit", "reject"]}],
}


@pytest.mark.parametrize(
    ("options", "decision"),
    [
        (["--approve"], {"type": "approve"}),
        (["--reject", "not now"], {"type": "reject", "message": "not now"}),
        (["--reject", ""], {"type": "reject"}),
        (["--edit", '{"to": "bob"}'], {"type": "edit", "edited_action": {"name": "send", "args": {"to": "bob"}}}),
    ],
)
def test_a_decision(place, asked, options, decision):
    """It is stored in the shape that the question takes."""
    run_id = asked(1, [{"id": "q1", "value": REVIEW}])
    place.quick("answer", run_id, *options)
    assert stored_answer(place, run_id) == ("pending", {"q1": {"decisions": [decision]}})


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["yes"], 'the answer has another shape than this question takes; give {"decisions"'),
        (["--respond", "hello"], "'respond' is not among what is allowed: approve, edit, reject"),
        ([], "give a VALUE, --approve, --reject, --edit or --respond"),
        (["--approve", "--reject", "no"], "--approve and --reject contradict each other; give one of them"),
        (["yes", "--approve"], "leave VALUE, --id and --text out"),
        (["--edit", "bob"], "--edit: Decision('edit', 'bob'): give the arguments as a dict"),
        (["--respond", ""], "--respond: Decision('respond', ''): give a text"),
    ],
)
def test_a_decision_that_does_not_fit(place, asked, arguments, shown):
    """It is refused in one line, and the run waits on."""
    run_id = asked(1, [{"id": "q1", "value": REVIEW}])
    assert shown in place.quick("answer", run_id, *arguments, code=2).stderr
    assert stored_answer(place, run_id) == ("waiting", None)
