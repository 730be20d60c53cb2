"""Pages that follow what happens: a look that changed nothing costs nothing, and many tabs share one look."""

import asyncio
import re
from collections import Counter

import pytest
from helpers import hourly
from web_kit import Elements, ran, until_run

from scheduler import RunStatus
from scheduler.web import Access
from scheduler.web.application import PAGES
from scheduler.web.live import LIVE_PAGES, Snapshots

LIVE = {"x-live": "1"}


def user(name, **given):
    """Return an `auth` for who says so."""

    async def auth(request):
        return Access(request.headers["x-user"], **given)

    return auth


@pytest.fixture
def looks(scheduler, monkeypatch):
    """Return how often pages have looked whether a scheduler runs, which each page does once."""
    count, look = Counter(), scheduler.running_schedulers

    def counted():
        count["looks"] += 1
        return look()

    monkeypatch.setattr(scheduler, "running_schedulers", counted)
    return count


async def test_an_unchanged_page_is_not_sent_again(scheduler, browse):
    """304 without a body, as long as the store is the same; then the whole page."""
    scheduler.add_task(hourly())
    browser = browse()
    first = await browser.get("tasks", headers=LIVE)
    known = {**LIVE, "if-none-match": first.headers["etag"]}
    again = await browser.get("tasks", headers=known)
    assert (again.status_code, again.content) == (304, b"")
    await browser.do("pause-task?id=hourly")
    changed = await browser.get("tasks", headers=known)
    assert changed.status_code == 200
    assert "paused" in changed.text


async def test_fifty_tabs_share_one_look(scheduler, browse, looks, monkeypatch):
    """At the same moment and a little later; a browser that opens the page itself always has the latest."""
    scheduler.add_task(hourly())
    monkeypatch.setattr("scheduler.web.live.KEPT_SHARE", 3_600)
    browser = browse()
    pages = await asyncio.gather(*(browser.get(headers=LIVE) for _ in range(50)))
    assert {page.headers["etag"] for page in pages} == {pages[0].headers["etag"]}
    assert looks["looks"] == 1
    await browser.get()
    assert looks["looks"] == 2


async def test_a_look_is_shared_by_those_who_see_the_same(scheduler, browse, looks, monkeypatch):
    """Not by another person, on another clock, with another filter."""
    monkeypatch.setattr("scheduler.web.live.KEPT_SHARE", 3_600)
    scheduler.add_task(hourly())
    browser = browse(auth=user("ann"))
    for number, (path, headers) in enumerate(
        [
            ("tasks", {"x-user": "ann"}),
            ("tasks", {"x-user": "bob"}),
            ("tasks", {"x-user": "ann", "cookie": "scheduler_zone=Asia/Tokyo"}),
            ("tasks?state=paused", {"x-user": "ann"}),
        ],
        start=1,
    ):
        page = await browser.get(path, headers={**LIVE, **headers})
        assert headers["x-user"] in page.text
        assert looks["looks"] == number
    await browser.get("tasks", headers={**LIVE, "x-user": "ann"})
    assert looks["looks"] == 4


async def test_who_sees_other_tasks_has_a_look_of_their_own(scheduler, browse, monkeypatch):
    """Even under the same name, as a program may call all its guests."""
    monkeypatch.setattr("scheduler.web.live.KEPT_SHARE", 3_600)
    scheduler.add_tasks([hourly("ours"), hourly("theirs")])

    async def auth(request):
        team = request.headers["x-team"]
        return Access("guest", sees=lambda task_id: task_id == team)

    browser = browse(auth=auth)
    for team, other in (("ours", "theirs"), ("theirs", "ours")):
        page = await browser.get("tasks", headers={**LIVE, "x-team": team})
        assert f"task?id={team}" in page.text
        assert f"task?id={other}" not in page.text


def test_a_look_is_kept_for_a_part_of_the_time_until_the_next():
    """By a clock that is never set back."""
    now = 100.0
    kept = Snapshots(lambda: now)
    kept.keep("a", "text", 2, None)
    assert kept.fresh("a")
    assert kept.fresh("b") is None
    now = 101.5
    assert kept.fresh("a") is None


def test_only_so_many_pages_are_kept():
    """Addresses with any query do not fill the memory."""
    kept = Snapshots(lambda: 0.0)
    for number in range(10_000):
        kept.keep(number, "text", 2, None)
    assert len([number for number in range(10_000) if kept.fresh(number)]) <= 256


async def test_the_next_look_is_soon_while_something_runs(scheduler, browse):
    """Every two seconds; else when the next task is due, after ten seconds at the latest."""
    scheduler.add_tasks([hourly(), hourly("waits", prompt="Wait.")])
    browser = browse()
    assert (await browser.get(headers=LIVE)).headers["x-next-look"] == "10"
    scheduler.start()
    await until_run(scheduler, scheduler.trigger_task("waits"), RunStatus.RUNNING)
    assert (await browser.get("runs", headers=LIVE)).headers["x-next-look"] == "2"


async def test_forms_do_not_follow(scheduler, browse):
    """Nothing changes under what is typed; the other pages say that they do."""
    scheduler.add_task(hourly())
    run_id = scheduler.trigger_task("hourly")
    browser = browse()
    for name in PAGES:
        page = await browser.get(f"{name}?id={run_id if name == 'run' else 'hourly'}")
        assert ('data-live="yes"' in page.text) == (name in LIVE_PAGES)
    assert "etag" not in (await browser.get("new-task", headers=LIVE)).headers


async def test_a_look_needs_the_token_like_any_page(scheduler, browse):
    """401, and errors are pages here, too."""
    assert (await browse(auth=None).get(headers=LIVE)).status_code == 401
    assert (await browse().get("task?id=no", headers=LIVE)).status_code == 404


async def test_metrics_are_gauges_of_the_store(scheduler, browse):
    """For who has the token; ids of tasks are escaped as Prometheus reads them."""
    scheduler.add_tasks([hourly('a"b\\c'), hourly("waits", prompt="Wait.")])
    scheduler.start()
    (run,) = await ran(scheduler, 'a"b\\c')
    await until_run(scheduler, scheduler.trigger_task("waits"), RunStatus.RUNNING)
    response = await browse().get("metrics")
    assert response.headers["content-type"].startswith("text/plain")
    lines = response.text.splitlines()
    assert "task_scheduler_schedulers 1" in lines
    assert 'task_scheduler_open_runs{status="running"} 1' in lines
    assert "task_scheduler_overdue_tasks 0" in lines
    name = 'task_scheduler_last_success_timestamp_seconds{task_id="a\\"b\\\\c"}'
    (value,) = [line.removeprefix(name) for line in lines if line.startswith(name)]
    assert float(value) == pytest.approx(run.finished_at.timestamp())
    assert all(re.fullmatch(r"# (HELP|TYPE) \w+ .+|\w+(\{\w+=\".*\"\})? [0-9.e+-]+", line) for line in lines)
    assert (await browse(auth=None).get("metrics")).status_code == 401


async def test_the_script_and_the_style_are_files_of_the_wheel(browse):
    """Small ones, without a word of other servers."""
    page = Elements((await browse().get()).text)
    (script,) = page.all("script", "src")
    text = (await browse().get(script)).text
    assert len(text) < 10_000
    assert "://" not in text
