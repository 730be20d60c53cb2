"""Adding and changing tasks by a form, with a preview; what somebody else has stored meanwhile is not overwritten."""

from datetime import UTC, datetime, timedelta

import pytest
from helpers import hourly
from web_kit import Browser, Elements, between, link_to, shown_in, text_of

from scheduler import TaskDefinition, TaskNotFoundError, next_due_times, parse_schedule, web
from scheduler.web import Access

DAILY = TaskDefinition(
    id="daily",
    name="Daily",
    prompt="What is new?\nTell me. \u202e",
    tags=["news"],
    timeout_seconds=90.5,
    metadata={"a": 1},
    **parse_schedule("every day at 9am", timezone="Europe/Berlin"),
)
IN_A_YEAR = datetime.now(UTC).replace(microsecond=0) + timedelta(days=365)


def form_in(page):
    """Return what the form of a task has, as a browser would send it without a change."""
    text = page.text.partition('id="task-form"')[2].partition("</form>")[0]
    fields = {}
    for tag, given in Elements(text).elements:
        if tag == "input" and given.get("type") != "checkbox":
            fields[given["name"]] = given["value"]
    for tag, ending in (("textarea", "</textarea>"), ("select", "</select>")):
        for part in text.split(f"<{tag} ")[1:]:
            inside = part.partition(ending)[0]
            chosen = next((each for each in inside.split("<option") if " selected" in each), "")
            typed = "".join(Elements(f"<p>{inside.partition('>')[2]}</p>").texts).removeprefix("\n")
            fields[between(part, 'name="')] = typed if tag == "textarea" else between(chosen, 'value="')
    return fields


async def saved(browser, path, **changes):
    """Fill a form in, save it, and return the response."""
    page = await browser.get(path)
    return await browser.post(path, **{**form_in(page), "step": "save", **changes})


async def test_a_task_is_added_in_words(scheduler, browse):
    """Its id is made of its name, its zone is the viewer's, and what is left empty has its default."""
    browser = browse(zone="Europe/Berlin")
    fields = {"name": "Morning news!", "prompt": "What is new?", "schedule": "every weekday at 9am", "tags": "a, b"}
    response = await saved(browser, link_to(await browser.get("tasks"), "New task"), **fields)
    assert response.headers["location"] == "./task?id=morning-news&done=edit"
    task = scheduler.get_task("morning-news")
    assert (task.name, task.prompt, task.cron_expression) == ("Morning news!", "What is new?", "0 9 * * 1-5")
    assert (task.timezone, task.tags, task.max_attempts, task.timeout_seconds) == ("Europe/Berlin", ("a", "b"), 1, None)
    assert "Saved." in text_of(await browser.get("task?id=morning-news&done=edit"))


async def test_a_task_that_is_there_is_not_replaced(scheduler, browse):
    """Whether it has the same id by its name or by the field."""
    scheduler.add_task(hourly())
    for fields in ({"name": "Hourly"}, {"name": "Other", "id": "hourly"}):
        response = await saved(browse(), "new-task", prompt="x", schedule="every day at 9am", **fields)
        assert response.status_code == 400
        assert "A task has the id hourly already." in shown_in(response)
    assert scheduler.get_task("hourly").prompt == "Prompt of hourly"


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"schedule": ""}, "Give a schedule"),
        ({"schedule": "whenever you like"}, "whenever"),
        ({"schedule": "0 9 * *"}, "0 9 * *"),
        ({"schedule": "once on 3 May 2020 at 9am"}, "2020"),
        ({"timezone": "Mars/Olympus"}, "Mars/Olympus"),
        ({"prompt": "  "}, "prompt"),
        ({"max_attempts": "0"}, "max_attempts"),
        ({"max_attempts": "two"}, "Give a number."),
        ({"timeout_seconds": "nan"}, "timeout_seconds"),
        ({"tags": "a b\u202e"}, "tags"),
        ({"overlap": "never"}, "overlap"),
        ({"name": "", "id": ""}, "id"),
        ({"id": "a\x1bb"}, "id"),
    ],
)
async def test_what_is_wrong_is_said_beside_the_field(scheduler, browse, fields, problem):
    """What was typed stays, and nothing is stored."""
    fields = {"name": "New", "prompt": "x", "schedule": "every day at 9am", **fields}
    response = await saved(browse(), "new-task", **fields)
    assert response.status_code == 400
    page = shown_in(response)
    assert problem in page
    assert 'role="alert"' in response.text
    assert form_in(response)["schedule"] == fields["schedule"]
    assert scheduler.find_tasks() == []


async def test_a_form_that_is_saved_as_it_is_changes_nothing(scheduler, browse):
    """Each kind of schedule is shown as a text that means it, and stays to the microsecond."""
    tasks = [
        DAILY,
        hourly("interval", metadata={"x": 1}),
        TaskDefinition(id="once", name="o", prompt="x", task_type="one_time", run_at=IN_A_YEAR),
        TaskDefinition(
            id="rule", name="r", prompt="x", task_type="rrule", rrule="FREQ=WEEKLY;INTERVAL=2;BYDAY=MO;BYHOUR=9"
        ),
        TaskDefinition(id="odd", name="d", prompt="x", task_type="cron", cron_expression="*/7 3-5 1,15 * *"),
        hourly("input", prompt=None, input={"messages": []}),
    ]
    scheduler.add_tasks(tasks)
    browser = browse()
    for task in tasks:
        before = scheduler.task_view(task.id)
        response = await saved(browser, f"edit-task?id={task.id}")
        assert response.status_code == 303, (task.id, shown_in(response))
        assert scheduler.task_view(task.id) == before
    assert form_in(await browser.get("edit-task?id=daily"))["schedule"] == "Every day at 09:00"


async def test_a_task_is_changed(scheduler, browse):
    """Only what was changed; the due times of an unchanged schedule stay."""
    scheduler.add_task(DAILY)
    browser = browse()
    page = await browser.get("task?id=daily")
    await saved(browser, link_to(page, "Edit"), prompt="Short.", timeout_seconds="", max_attempts="3", tags="")
    task = scheduler.get_task("daily")
    assert (task.prompt, task.timeout_seconds, task.max_attempts, task.tags) == ("Short.", None, 3, ())
    assert (task.metadata, task.cron_expression) == ({"a": 1}, DAILY.cron_expression)
    await saved(browser, "edit-task?id=daily", schedule="every 45 minutes")
    task = scheduler.get_task("daily")
    assert (task.task_type, task.interval_seconds, task.cron_expression) == ("interval", 2700, None)
    await saved(browser, "edit-task?id=daily", schedule="every day at 9am", timezone="Asia/Tokyo")
    assert scheduler.task_view("daily").next_due.strftime("%H:%M %Z") == "09:00 JST"
    await saved(browser, "edit-task?id=daily", timezone="UTC")
    assert scheduler.task_view("daily").next_due.strftime("%H:%M %Z") == "09:00 UTC"


async def test_code_cannot_be_changed(scheduler, browse):
    """Fields that name it are shown, and what is sent for them is ignored."""
    scheduler.add_task(hourly(context={"a": "secret"}))
    browser = browse()
    assert "context" in text_of(await browser.get("edit-task?id=hourly"))
    code = {"graph": "os:system", "input_builder": "os.system", "result_callback": "os.system", "context": "{}"}
    assert (await saved(browser, "edit-task?id=hourly", name="New", **code)).status_code == 303
    task = scheduler.get_task("hourly")
    assert (task.name, task.graph, task.input_builder, task.result_callback) == ("New", None, None, None)
    assert task.context == {"a": "secret"}
    response = await saved(browser, "new-task", name="n", prompt="x", schedule="every day at 9am", **code)
    assert response.status_code == 303
    assert scheduler.get_task("n").graph is None


async def test_what_somebody_else_has_stored_is_not_overwritten_unseen(scheduler, browse):
    """409 shows both, and can be sent again."""
    scheduler.add_task(DAILY)
    browser = browse()
    sent = {**form_in(await browser.get("edit-task?id=daily")), "prompt": "Mine.", "step": "save"}
    scheduler.update_task("daily", prompt="Theirs.", max_attempts=2)
    response = await browser.post("edit-task?id=daily", **sent)
    assert response.status_code == 409
    assert "Theirs. Mine." in shown_in(response)
    assert scheduler.get_task("daily").prompt == "Theirs."
    assert form_in(response)["prompt"] == "Mine."
    again = await browser.post("edit-task?id=daily", **form_in(response), step="save")
    assert again.status_code == 303
    assert scheduler.get_task("daily").prompt == "Mine."


async def test_a_task_of_a_file_is_changed_only_if_that_is_confirmed(scheduler, browse):
    """The file brings its own values again when it is applied."""
    scheduler.apply_tasks([DAILY], source="/somewhere/tasks.toml")
    browser = browse()
    assert "/somewhere/tasks.toml" in text_of(await browser.get("edit-task?id=daily"))
    response = await saved(browser, "edit-task?id=daily", prompt="New.")
    assert response.status_code == 400
    assert "Confirm" in shown_in(response)
    assert (await saved(browser, "edit-task?id=daily", prompt="New.", confirmed="yes")).status_code == 303
    view = scheduler.task_view("daily")
    assert (view.definition.prompt, view.source) == ("New.", "/somewhere/tasks.toml")


async def test_a_schedule_is_previewed_while_it_is_typed(scheduler, browse):
    """In words, with its next five due times in both zones, and the tasks that are due at the same time."""
    scheduler.add_task(DAILY)
    browser = browse(zone="America/New_York")
    page = await browser.get("preview", params={"schedule": "0 9 * * *", "timezone": "Europe/Berlin"})
    text = text_of(page)
    assert "Every day at 09:00 (Europe/Berlin)" in text
    assert "Due (Europe/Berlin) America/New_York Note" in text
    assert "1 other task is due at its next time: Daily" in text
    due = next_due_times(DAILY, 5, scheduler.now())
    assert [f"{each:%a %Y-%m-%d %H:%M}" in text for each in due] == [True] * 5
    problem = await browser.get("preview", params={"schedule": "every mondey"})
    assert "every mondey" in shown_in(problem)
    twin = await browser.get("preview.json", params={"schedule": "every day at 9am"})
    assert twin.json()["schedule"] == "Every day at 09:00 (UTC)"
    assert len(twin.json()["explained"]) == 5


async def test_a_preview_says_what_the_change_of_the_clock_does(scheduler, browse):
    """In the night in which the hour is missing."""
    scheduler._clock.now = lambda: int(datetime(2027, 3, 27, 12, tzinfo=UTC).timestamp() * 1_000_000)
    page = await browse().get("preview", params={"schedule": "every day at 2:30am", "timezone": "Europe/Berlin"})
    assert "02:30 does not exist on this day: runs at 03:00" in text_of(page)


async def test_without_a_script_a_button_previews_the_form(scheduler, browse):
    """What was typed stays, and nothing is stored."""
    scheduler.add_task(DAILY)
    browser = browse()
    for path in ("new-task", "edit-task?id=daily"):
        fields = {"name": "N", "prompt": "New.", "schedule": "every Monday at 8:30am", "step": "preview"}
        response = await saved(browser, path, **fields)
        assert "Every Monday at 08:30" in text_of(response)
        assert form_in(response)["prompt"] == "New."
    assert [task.id for task in scheduler.find_tasks()] == ["daily"]
    assert scheduler.get_task("daily") == DAILY


async def test_who_may_not_edit_has_no_form(scheduler, browse):
    """Nor a link to it; a task that the person does not see cannot be added either."""
    scheduler.add_task(DAILY)
    for options in ({"read_only": True}, {"auth": rights(actions=["run"])}):
        browser = browse(**options)
        for path in ("new-task", "edit-task?id=daily", "preview?schedule=x"):
            assert (await browser.get(path)).status_code == 403
        assert "new-task" not in (await browser.get("tasks")).text
        assert "edit-task" not in (await browser.get("task?id=daily")).text
    browser = browse(auth=rights(sees=lambda task_id: task_id.startswith("ours")))
    assert (await browser.get("edit-task?id=daily")).status_code == 404
    response = await saved(browser, "new-task", name="daily", prompt="x", schedule="every day at 9am")
    assert "Your access does not include" in shown_in(response)
    response = await saved(browser, "new-task", name="ours 1", prompt="x", schedule="every day at 9am")
    assert response.status_code == 303
    assert scheduler.get_task("ours-1")


def rights(**given):
    """Return an `auth` that gives everybody the same rights."""

    async def auth(request):
        return Access("ann", **given)

    return auth


async def test_a_task_that_was_removed_meanwhile_is_not_brought_back(scheduler, browse):
    """404 for its form, also for one that is open already."""
    scheduler.add_task(DAILY)
    browser = Browser(web.app(scheduler, auth=web.anyone))
    sent = form_in(await browser.get("edit-task?id=daily"))
    scheduler.remove_task("daily")
    assert (await browser.post("edit-task?id=daily", **sent)).status_code == 404
    with pytest.raises(TaskNotFoundError):
        scheduler.get_task("daily")


async def test_a_change_at_the_same_moment_is_not_overwritten(scheduler, browse, monkeypatch):
    """Between the look at the task and the change: nothing is stored, and the page shows both."""
    scheduler.add_task(DAILY)
    browser, transaction = browse(), scheduler.transaction

    def overtaken():
        monkeypatch.setattr(scheduler, "transaction", transaction)
        scheduler.update_task("daily", prompt="Theirs.")
        return transaction()

    page = await browser.get("edit-task?id=daily")
    monkeypatch.setattr(scheduler, "transaction", overtaken)
    response = await browser.post("edit-task?id=daily", **{**form_in(page), "prompt": "Mine.", "step": "save"})
    assert response.status_code == 409
    assert "Theirs. Mine." in shown_in(response)
    assert scheduler.get_task("daily").prompt == "Theirs."
