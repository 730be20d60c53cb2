"""What people do on the pages, from the form to the store; each action leaves a line in the log."""

import logging
from datetime import timedelta

import pytest
from helpers import hourly, one_time, wait_until
from web_kit import ASKED, Elements, link_to, ran, shown_in, text_of, until_run

from scheduler import TaskNotFoundError
from scheduler.models import RunStatus
from scheduler.web import Access, Action


def form_to(response, name):
    """Return where a page's form sends that leads to an action."""
    return next(each for each in Elements(response.text).all("form", "action") if each.startswith(name))


async def test_a_task_is_run_now(scheduler, browse):
    """The browser is led to the new run."""
    scheduler.add_task(hourly())
    browser = browse()
    page = await browser.do(form_to(await browser.get(), "run-task"))
    (run,) = scheduler.list_runs("hourly")
    assert str(page.url).endswith(f"run?id={run.id}&done=run")
    assert "The run was added" in text_of(page)
    assert "Run #1 pending" in text_of(page)


async def test_a_task_is_run_with_another_prompt(scheduler, browse):
    """For this run alone; its lines arrive as they were typed."""
    scheduler.add_task(hourly())
    browser = browse()
    page = await browser.get("task?id=hourly")
    await browser.do(form_to(page, "run-task"), prompt="One.\r\nTwo. \u202e")
    assert scheduler.list_runs("hourly")[0].prompt == "One.\nTwo. \u202e"


async def test_a_task_is_paused_and_resumed(scheduler, browse):
    """With a note and an end, if they are given."""
    scheduler.add_task(hourly())
    browser = browse()
    page = await browser.do(form_to(await browser.get("task?id=hourly"), "pause-task"), hours="4", note="down")
    view = scheduler.task_view("hourly")
    assert (view.state, view.pause_reason) == ("paused", "down")
    assert timedelta(hours=3) < view.paused_until - scheduler.now() < timedelta(hours=5)
    assert "Paused. " in text_of(page)
    await browser.do(form_to(page, "resume-task"))
    assert scheduler.task_view("hourly").state == "scheduled"
    await browser.do("pause-task?id=hourly")
    assert scheduler.task_view("hourly").paused_until is None


async def test_a_task_is_removed_after_a_question(scheduler, browse):
    """The question names the task; only its answer removes it."""
    scheduler.apply_tasks([hourly()], source="/somewhere/tasks.toml")
    browser = browse()
    page = await browser.get(link_to(await browser.get("task?id=hourly"), "Remove"))
    assert "Remove Hourly ?" in text_of(page)
    assert "/somewhere/tasks.toml" in text_of(page)
    assert scheduler.get_task("hourly")
    assert "Removed." in text_of(await browser.do(form_to(page, "remove-task")))
    with pytest.raises(TaskNotFoundError):
        scheduler.get_task("hourly")
    assert (await browser.post("remove-task?id=hourly")).status_code == 404


async def test_a_running_run_is_stopped(scheduler, browse):
    """Its error says by whom."""
    scheduler.add_task(hourly(prompt="Wait."))
    scheduler.start()
    run_id = scheduler.trigger_task("hourly")
    await until_run(scheduler, run_id, RunStatus.RUNNING)
    browser = browse()
    await browser.do(form_to(await browser.get(f"run?id={run_id}"), "cancel-run"))
    run = await until_run(scheduler, run_id, RunStatus.CANCELLED)
    assert "anyone" in run.error


async def test_a_run_that_is_over_is_not_stopped(scheduler, browse):
    """409, with the reason."""
    scheduler.add_task(hourly())
    scheduler.start()
    (run,) = await ran(scheduler, "hourly")
    response = await browse().post(f"cancel-run?id={run.id}")
    assert response.status_code == 409
    assert run.id in shown_in(response)


async def asks(scheduler, prompt="Ask."):
    """Return a run that waits for an answer."""
    scheduler.add_task(hourly(prompt=prompt))
    scheduler.start()
    return await until_run(scheduler, scheduler.trigger_task("hourly"), RunStatus.WAITING)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"q0": "Yes,\r\nsend it.", "q0-kind": "text"}, "'Yes,\\nsend it.'"),
        ({"q0": "true", "q0-kind": "text"}, "'true'"),
        ({"q0": "true", "q0-kind": "json"}, "True"),
        ({"q0": '{"ok": [1, 2.5, null]}', "q0-kind": "json"}, "{'ok': [1, 2.5, None]}"),
    ],
)
async def test_a_question_is_answered_as_text_or_as_json(scheduler, browse, fields, said):
    """The graph gets what was typed, with its type, and the run succeeds."""
    run = await asks(scheduler)
    browser = browse()
    page = await browser.get(f"run?id={run.id}")
    assert ASKED["Ask."] in text_of(page)
    assert "Answered." in text_of(await browser.do(form_to(page, "answer-run"), **fields))
    assert (await until_run(scheduler, run.id, RunStatus.SUCCEEDED)).response == f"You said {said}"


@pytest.mark.parametrize("typed", ["{not json", "NaN", "[" * 100_000, "  ", ""])
async def test_a_wrong_answer_is_shown_again_with_what_is_wrong(scheduler, browse, typed):
    """Nothing is lost of what was typed, and the run still waits."""
    run = await asks(scheduler)
    response = await browse().post(f"answer-run?id={run.id}", **{"q0": typed, "q0-kind": "json"})
    assert response.status_code == 400
    assert typed.strip() in response.text
    assert 'aria-invalid="true"' in response.text
    assert scheduler.get_run(run.id).status is RunStatus.WAITING


async def test_what_a_person_typed_is_kept_as_it_is(scheduler, browse):
    """Also invisible characters, in the field that is sent back."""
    run = await asks(scheduler)
    typed = 'line one\n</textarea><script>alert(1)</script> \u202e "quoted'
    response = await browse().post(f"answer-run?id={run.id}", **{"q0": typed, "q0-kind": "json"})
    assert "".join(Elements(response.text).texts).count(typed) == 1
    assert "<script>alert" not in response.text


@pytest.mark.parametrize("prompt", ["Ask about a record.", "Ask hostile."])
async def test_any_question_is_shown_as_text(scheduler, browse, prompt):
    """A dict as JSON; markup and characters that turn the text around as they are called."""
    run = await asks(scheduler, prompt)
    page = await browse().get(f"run?id={run.id}")
    assert ('"city": "Bern"' in text_of(page)) == (prompt == "Ask about a record.")
    assert "<script>alert" not in page.text
    assert "\u202e" not in page.text


async def test_each_action_is_logged_with_who_has_done_it(scheduler, browse, caplog):
    """One line, with the ids as attributes."""
    caplog.set_level(logging.INFO, logger="scheduler")

    async def eve(request):
        return Access("eve\nforged line")

    scheduler.add_task(hourly())
    browser = browse(auth=eve)
    await browser.do("run-task?id=hourly")
    await browser.do("pause-task?id=hourly")
    await browser.do("resume-task?id=hourly")
    run = scheduler.list_runs()[0]
    await browser.do(f"cancel-run?id={run.id}")
    await browser.do(f"retry-run?id={run.id}")
    await browser.do("remove-task?id=hourly")
    logged = [each for each in caplog.records if each.action == "web_action"]
    verbs = [next(action for action in Action if f" {action} by" in each.getMessage()) for each in logged]
    assert verbs == [Action.RUN, Action.PAUSE, Action.RESUME, Action.CANCEL, Action.RETRY, Action.REMOVE]
    assert {each.task_id for each in logged} == {"hourly"}
    assert logged[0].run_id == run.id
    assert all(r"eve\nforged line" in each.getMessage() for each in logged)


async def test_an_action_that_is_refused_is_not_logged_as_done(scheduler, browse, caplog):
    """What the store refuses changes nothing."""
    caplog.set_level(logging.INFO, logger="scheduler")
    assert (await browse().post("run-task?id=nobody")).status_code == 404
    assert not [each for each in caplog.records if each.action == "web_action"]


@pytest.mark.parametrize("hours", ["-1", "9999999999", "x", "1.5"])
async def test_a_pause_of_another_length_is_refused(scheduler, browse, hours):
    """Only those of the form."""
    scheduler.add_task(hourly())
    assert (await browse().post("pause-task?id=hourly", hours=hours)).status_code == 400
    assert scheduler.task_view("hourly").state == "scheduled"


async def test_a_page_that_fails_says_so_and_logs_why(scheduler, browse, caplog, monkeypatch):
    """500 without a word of the reason, which is in the log."""
    monkeypatch.setattr(scheduler, "list_runs", lambda **_: 1 / 0)
    response = await browse().get("runs")
    assert response.status_code == 500
    assert "division" not in response.text
    assert "division by zero" in caplog.text


async def test_a_store_that_cannot_be_read_is_said_to_be_so(scheduler, browse, db_path):
    """503, with the sentence that the command line has."""
    browser = browse()
    assert (await browser.get()).status_code == 200
    await scheduler.stop()
    db_path.write_bytes(b"no database at all" * 1000)
    response = await browser.get()
    assert response.status_code == 503
    assert "scheduler.db" in response.text
    assert (await browser.get("healthz")).status_code == 503


async def test_a_finished_task_offers_no_pause(scheduler, browse):
    """Buttons are only where they do something."""
    scheduler.add_task(one_time())
    scheduler.start()
    await wait_until(lambda: scheduler.task_view("once").state == "finished", scheduler)
    actions = Elements((await browse().get("task?id=once")).text).all("form", "action")
    assert {each.partition("?")[0] for each in actions} <= {"run-task"}
