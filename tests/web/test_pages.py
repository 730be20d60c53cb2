"""What the pages show: of tasks, of runs, of what went wrong, on which clock."""

import json
import re
from contextlib import chdir
from datetime import UTC, datetime, timedelta

import pytest
from helpers import hourly, one_time, rows
from typer.testing import CliRunner
from web_kit import ASKED, Elements, link_to, ran, text_of, until_run

from scheduler import TaskDefinition, next_due_times, parse_schedule
from scheduler.cli import app as command_line
from scheduler.web.application import PAGES


def in_words(task_id, words, zone="Europe/Berlin", **fields):
    fields = {"name": task_id.title(), "prompt": f"Prompt of {task_id}", **fields}
    return TaskDefinition(id=task_id, **fields, **parse_schedule(words, timezone=zone))


DAILY = in_words("daily", "every day at 9am")
DAILY_IN_TOKYO = in_words("daily", "every day at 9am", zone="Asia/Tokyo")
DAILY_IN_UTC = in_words("daily", "every day at 9am", zone="UTC")


async def test_the_first_page_says_what_runs_next_asks_and_went_wrong(scheduler, browse):
    """One look: the question, the runs that failed in the same way as one line, what is running, what comes next."""
    tasks = [hourly("asks", prompt="Ask."), hourly("waits", prompt="Wait."), hourly("one", prompt="Fail: 429 of 17")]
    scheduler.add_tasks([*tasks, hourly("two", prompt="Fail: 429 of 2345"), DAILY])
    scheduler.start()
    await ran(scheduler, "one", 2)
    await ran(scheduler, "two")
    await until_run(scheduler, scheduler.trigger_task("asks"), "waiting")
    await until_run(scheduler, scheduler.trigger_task("waits"), "running")
    text = text_of(await browse().get())
    assert ASKED["Ask."] in text
    assert "3\u00d7 two , one" in text
    assert text.count("ValueError: Fail") == 1
    assert "waits running" in text
    assert "Every day at 09:00 (Europe/Berlin)" in text
    assert "Inbox 1" in text


async def test_what_went_wrong_before_yesterday_is_not_on_the_first_page(scheduler, browse, db_path):
    """It shows the last 24 hours, and the page of runs the rest."""
    scheduler.add_task(hourly("fails", prompt="Fail."))
    scheduler.start()
    (run,) = await ran(scheduler, "fails")
    assert "ValueError" in text_of(await browse().get())
    later = scheduler.now() + timedelta(hours=25)
    scheduler._clock.now = lambda: int(later.timestamp() * 1_000_000)
    assert "ValueError" not in text_of(await browse().get())
    assert run.error in text_of(await browse().get("runs?status=went_wrong"))


async def test_a_banner_says_that_no_scheduler_runs(scheduler, browse):
    """As long as none does: nobody wonders why nothing starts."""
    assert "No scheduler is running on this store" in text_of(await browse().get())
    scheduler.start()
    assert "No scheduler is running" not in text_of(await browse().get())


async def test_a_run_that_failed_is_found_from_the_first_page_and_run_again(scheduler, browse):
    """Its error is on the first page; its own page says the same in full, and has the button."""
    scheduler.add_task(hourly("fails", prompt="Fail: no such city"))
    scheduler.start()
    (run,) = await ran(scheduler, "fails")
    browser = browse()
    page = await browser.get(link_to(await browser.get(), "Look at it"))
    assert "ValueError: Fail: no such city" in text_of(page)
    again = await browser.do(next(each for each in Elements(page.text).all("form", "action") if "retry-run" in each))
    assert "This run repeats the other one." in text_of(again)
    assert scheduler.list_runs("fails", limit=1)[0].retry_of == run.id


async def test_tasks_are_searched_and_paged(scheduler, browse):
    """Fifty a page, each task once; by words, state and tag."""
    scheduler.add_tasks([hourly(f"task-{number:03}", tags=["odd"] if number % 2 else []) for number in range(120)])
    scheduler.pause_task("task-007")
    browser, seen = browse(), []
    page = await browser.get("tasks")
    while True:
        seen += [each for each in Elements(page.text).all("a", "href") if each.startswith("task?")]
        if "Next page" not in page.text:
            break
        page = await browser.get(link_to(page, "Next page"))
    assert seen == [f"task?id=task-{number:03}" for number in range(120)]
    assert "Task-007" in text_of(await browser.get("tasks?state=paused"))
    found = await browser.get("tasks?search=task-11&tag=odd")
    assert [f"Task-{number}" in found.text for number in (110, 111, 112)] == [False, True, False]
    assert "No task is found." in text_of(await browser.get("tasks?search=nothing"))


async def test_a_task_is_shown_with_its_due_times_in_both_zones(scheduler, browse):
    """On the viewer's clock, and beside it on the task's own."""
    scheduler.add_task(DAILY_IN_TOKYO)
    browser = browse(zone="America/New_York")
    text = text_of(await browser.get("task?id=daily"))
    assert "Every day at 09:00 (Asia/Tokyo)" in text
    assert "America/New_York Asia/Tokyo" in text
    due = next_due_times(DAILY_IN_TOKYO, 1, scheduler.now())[0]
    assert f"{due:%a %Y-%m-%d %H:%M}" in text
    times = Elements((await browser.get("task.json?id=daily")).text)
    assert len(json.loads(times.texts[0])["due_times"]) == 5


async def test_a_task_says_why_it_does_not_run(scheduler, browse):
    """A pause with its note and end; a definition that cannot be used; an end."""
    scheduler.add_tasks([hourly("paused"), one_time("over", scheduler.now() + timedelta(milliseconds=50))])
    scheduler.pause_task("paused", until=scheduler.now() + timedelta(days=400), note="the provider is down")
    text = text_of(await browse().get("task?id=paused"))
    assert "the provider is down" in text
    assert "Paused since" in text
    assert "until" in text
    scheduler.start()
    await ran(scheduler, "paused")
    await until_run(scheduler, scheduler.trigger_task("over"), "succeeded")
    assert "Finished" in text_of(await browse().get("task?id=over"))


async def test_the_outcomes_of_a_task_are_counted(scheduler, browse):
    """As numbers, and as a picture whose label says the same."""
    scheduler.add_task(hourly("flaky", prompt="Fail."))
    scheduler.start()
    await ran(scheduler, "flaky", 2)
    scheduler.update_task("flaky", prompt="Fine.")
    await ran(scheduler, "flaky", 3)
    page = await browse().get("task?id=flaky")
    assert "3 of 5 (60 %)" in text_of(page)
    assert 'aria-label="last 5 runs: 3 succeeded, 2 failed"' in page.text


async def test_older_runs_are_reached_page_by_page(scheduler, browse):
    """Each run once, newest first, with any filter."""
    scheduler.add_tasks([hourly("a"), hourly("b")])
    expected = [scheduler.trigger_task("a" if number % 3 else "b") for number in range(160)][::-1]
    browser = browse()
    for query, wanted in (("runs", expected), ("runs?task=b", [each.id for each in scheduler.list_runs("b")])):
        seen, page = [], await browser.get(query)
        while True:
            seen += [each for each in Elements(page.text).all("a", "href") if each.startswith("run?")]
            if ">Older<" not in page.text:
                break
            page = await browser.get(link_to(page, "Older"))
        assert seen == [f"run?id={each}" for each in wanted]


@pytest.mark.parametrize("query", ["runs?status=no", "runs?since=7", "tasks?state=no", "task", "run", "zone?name=Mars"])
async def test_a_wrong_address_says_what_would_be_right(scheduler, browse, query):
    """400, with a sentence, for filters that there are not and ids that are missing."""
    response = await browse().get(query)
    assert response.status_code == 400
    assert "That cannot be" in response.text


@pytest.mark.parametrize("query", ["task?id=no", "run?id=no", "no", "a/b/c", "run/"])
async def test_what_there_is_not_is_not_found(scheduler, browse, query):
    """404, on a page whose links lead back, however deep the address is."""
    response = await browse().get(query)
    assert response.status_code == 404
    assert response.url.join(Elements(response.text).all("a", "href")[0]).path == "/"


async def test_a_run_shows_its_whole_answer(scheduler, browse):
    """Also what is longer than the beginning that lists have."""
    scheduler.add_task(hourly("long", prompt="x" * 5_000 + " the end"))
    scheduler.start()
    (run,) = await ran(scheduler, "long")
    page = await browse().get(f"run?id={run.id}")
    assert page.text.count("the end") == 2  # in the prompt and in the answer
    assert "Run #1 succeeded" in text_of(page)


async def test_the_attempts_of_a_run_are_listed_with_their_errors(scheduler, browse):
    """As bars, and as a table."""
    scheduler.add_task(hourly("tries", prompt="Fail.", max_attempts=2, retry_delay_seconds=0))
    scheduler.start()
    (run,) = await ran(scheduler, "tries")
    page = await browse().get(f"run?id={run.id}")
    assert "2 attempts on one line of time" in page.text
    assert text_of(page).count("ValueError: Fail.") == 3  # the run's, and one for each attempt


def printed(db_path, *arguments):
    """Return what a command prints with --json."""
    with chdir(db_path.parent):
        done = CliRunner().invoke(command_line, [*arguments, "--json"], env={"SCHEDULER_DB": str(db_path)})
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


async def test_each_page_has_its_twin_as_json_in_the_shape_of_the_command_line(scheduler, browse, db_path):
    """Programs read one shape, from the command line and from the pages."""
    scheduler.add_tasks([hourly("fine"), hourly("other")])
    scheduler.start()
    (run,) = await ran(scheduler, "fine")
    await scheduler.stop()
    browser = browse()
    assert (await browser.get("tasks.json")).json() == printed(db_path, "list", "--limit", "50")
    assert (await browser.get("runs.json")).json() == printed(db_path, "runs")
    assert (await browser.get(f"run.json?id={run.id}")).json() == printed(db_path, "run", run.id, "--full")
    shown = printed(db_path, "show", "fine")
    assert (await browser.get("task.json?id=fine")).json().items() <= shown.items()
    assert (await browser.get("today.json")).json()["next"][0]["id"] == "fine"
    assert (await browser.get("zone.json")).status_code == 404
    problem = await browser.get("task.json?id=no")
    assert (problem.status_code, "error" in problem.json()) == (404, True)


async def test_every_link_of_every_page_leads_somewhere(scheduler, browse):
    """From the first page on, each address that a page names is there."""
    scheduler.add_tasks(
        [hourly("a/b ?#%&\u00e4", tags=["x:y"]), hourly("fails", prompt="Fail."), hourly("asks", prompt="Ask.")]
    )
    scheduler.start()
    await ran(scheduler, "fails")
    await ran(scheduler, "a/b ?#%&\u00e4")
    await until_run(scheduler, scheduler.trigger_task("asks"), "waiting")
    browser, todo, seen = browse(), ["http://127.0.0.1:8745/"], set()
    while todo:
        address = todo.pop()
        response = await browser.get(address)
        assert response.status_code == 200, address
        seen.add(response.url.path)
        if not response.headers["content-type"].startswith("text/html"):
            continue
        page = Elements(response.text)
        for each in [*page.all("a", "href"), *page.all("link", "href"), *page.all("script", "src")]:
            assert "://" not in each
            assert not each.startswith("/")
            found = str(response.url.join(each)).partition("#")[0]
            if found not in seen and "from=" not in str(response.url):  # weeks lead to further weeks
                seen.add(found)
                todo.append(found)
    assert {f"/{name}" for name in PAGES if name != "preview"} <= seen  # the script asks for that one


async def test_times_are_on_the_clock_that_the_viewer_chooses(scheduler, browse):
    """It is kept in a cookie, named on the page, and survives the next request."""
    scheduler.add_task(DAILY_IN_UTC)
    browser = browse()
    assert "Times are in UTC" in text_of(await browser.get())
    response = await browser.get("zone?name=Asia/Kolkata")
    assert (response.status_code, response.headers["location"]) == (303, "./")
    text = text_of(await browser.get("task?id=daily"))
    assert "Times are in Asia/Kolkata" in text
    assert " 14:30 " in text  # 9:00 in UTC
    browser.client.cookies.set("scheduler_zone", "Mars/Olympus")
    assert (await browse(zone="Europe/Paris").get()).text.count("Europe/Paris") > 0


async def test_a_zone_that_there_is_not_is_refused(scheduler, browse):
    """When the application is made, and not at the first page."""
    with pytest.raises(ValueError, match="Mars"):
        browse(zone="Mars/Olympus")


async def test_health_is_open_and_says_whether_a_scheduler_lives(scheduler, browse):
    """For load balancers, without a token: 503 until one runs."""
    browser = browse(auth=None)
    assert (await browser.get("healthz")).status_code == 503
    scheduler.start()
    response = await browser.get("healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


async def test_pages_stay_small(scheduler, browse):
    """At most 50 rows, compressed: nothing grows with the number of tasks or with the history."""
    scheduler.add_tasks([hourly(f"task-{number}") for number in range(300)])
    for number in range(300):
        scheduler.trigger_task(f"task-{number}")
    browser = browse()
    for page in ("", "tasks", "runs"):
        response = await browser.get(page)
        assert response.headers["content-encoding"] == "gzip"
        assert response.text.count("<tr>") <= 52
        assert int(response.headers["content-length"]) < 50_000


async def test_the_moment_that_a_page_was_made_is_the_schedulers(scheduler, browse):
    """The pages ask the clock that decides what is due."""
    scheduler._clock.now = lambda: int(datetime(2031, 5, 1, 12, tzinfo=UTC).timestamp() * 1_000_000)
    assert (await browse().get("today.json")).json()["now"] == "2031-05-01T12:00:00+00:00"


async def test_hours_back_and_ahead_are_one_picture(scheduler, browse):
    """A row for each task, whose label says what is in it; with many due times, the rest is a line."""
    scheduler.add_tasks([hourly("fails", prompt="Fail."), hourly("often", interval_seconds=30), hourly("rare")])
    scheduler.add_task(one_time("far", scheduler.now() + timedelta(days=3)))
    scheduler.start()
    await ran(scheduler, "fails", 2)
    page = await browse().get()
    labels = [label for label in Elements(page.text).all("svg", "aria-label") if "due times ahead" in label]
    assert labels == [
        "0 runs, of which 0 succeeded and 0 went wrong; 60 or more due times ahead",
        "2 runs, of which 0 succeeded and 2 went wrong; 12 due times ahead",
        "0 runs, of which 0 succeeded and 0 went wrong; 12 due times ahead",
    ]
    assert page.text.count("due-on") == 1


async def test_health_says_what_keeps_tasks_from_running(scheduler, browse, db_path):
    """No scheduler, a task whose row is damaged, a due time that is late; and nothing when all is fine."""
    scheduler.add_tasks([hourly("broken"), one_time("late", scheduler.now() + timedelta(milliseconds=20))])
    with rows(db_path) as store:
        store.execute("UPDATE scheduler_tasks SET definition = 'x' WHERE id = 'broken'")
    scheduler._clock.now = lambda: int((datetime.now(UTC) + timedelta(minutes=10)).timestamp() * 1_000_000)
    browser = browse()
    report = (await browser.get("health.json")).json()
    assert report["ok"] is False
    assert {each["name"] for each in report["checks"] if not each["ok"]} == {
        "schedulers",
        "tasks",
        "task broken",
        "task late",
    }
    page = await browser.get("health")
    assert "task?id=late" in page.text
    assert "no scheduler is running" in text_of(page)


async def test_health_is_fine_when_a_scheduler_runs(scheduler, browse):
    """Each check says what it has found."""
    scheduler.add_task(hourly())
    scheduler.start()
    report = (await browse().get("health.json")).json()
    assert report["ok"] is True
    assert [each["name"] for each in report["checks"]] == ["schedulers", "tasks", "due times", "clock", "time zones"]


async def test_a_week_is_seen_by_day_and_hour(scheduler, browse):
    """What ran and what went wrong, and what is due, in the hours of the viewer's clock."""
    scheduler.add_tasks([DAILY_IN_TOKYO, hourly("fails", prompt="Fail.")])
    scheduler.start()
    await ran(scheduler, "fails", 2)
    browser = browse(zone="UTC")
    now = scheduler.now()
    page = await browser.get(f"calendar?from={now.date()}")
    past = [re.match(r"(\d) runs, (\d) went wrong", title) for title in Elements(page.text).all("td", "title")]
    assert sum(int(found[1]) for found in past if found) == sum(int(found[2]) for found in past if found) == 2
    assert len(Elements(page.text).all("td", "class")) == 7 * 24
    cells = page.text.split("<td ")[1:]
    assert all("due" in cell.partition("</td>")[0] for cell in cells[now.hour + 2 :])  # the interval, each hour
    assert sum("2 due" in cell for cell in cells[now.hour + 2 :]) >= 6  # and the task of 9:00 in Tokyo, 0:00 UTC
    twin = (await browser.get(f"calendar.json?from={now.date()}")).json()
    assert twin["due_number"] > 7 * 24 - now.hour
    assert twin["due"][0]["task_id"] == "fails"


async def test_weeks_before_and_after_are_reached(scheduler, browse):
    """Each has seven days, in which a daily task is due seven times; what has passed is not due."""
    scheduler.add_task(DAILY_IN_TOKYO)
    browser = browse(zone="Asia/Tokyo")
    page = await browser.get("calendar")
    later = await browser.get(link_to(page, "7 days later"))
    assert "Due in these days 7" in text_of(later)
    assert "From today" in text_of(later)
    assert "Due in these days 0" in text_of(await browser.get(link_to(page, "7 days earlier")))


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31", "2027-02-30", "x", "<b>"])
async def test_a_day_that_there_is_not_is_refused(scheduler, browse, day):
    """Also one at an end of the calendar."""
    response = await browse(zone="Asia/Tokyo").get("calendar", params={"from": day})
    assert response.status_code == 400


async def test_due_times_of_the_clocks_change_are_shown_on_their_days(scheduler, browse):
    """A day of 23 hours has no due time at two o'clock, and all others."""
    scheduler._clock.now = lambda: int(datetime(2027, 3, 27, 22, 30, tzinfo=UTC).timestamp() * 1_000_000)
    scheduler.add_task(hourly())
    page = await browse(zone="Europe/Berlin").get("calendar?from=2027-03-28")
    cells = [cell.partition("</td>")[0] for cell in page.text.split("<td ")[1:25]]
    assert [number for number, cell in enumerate(cells) if "due" not in cell] == [2]
