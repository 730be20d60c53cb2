"""Where the pages are: mounted under a prefix, behind proxies, on an address of their own, in real processes."""

import asyncio
import signal
import sys
from contextlib import contextmanager

import httpx
import pytest
from cli_kit import Place, wait_for
from helpers import EchoGraph, hourly
from starlette.applications import Starlette
from starlette.routing import Mount
from web_kit import Browser, Elements, link_to, text_of

from scheduler import web


async def visit_all(browser, start):
    """Follow links and a form from a page on; return the addresses that were answered."""
    page = await browser.get(start)
    tasks = await browser.get(str(page.url.join(link_to(page, "Tasks"))))
    task = await browser.get(str(tasks.url.join(link_to(tasks, "Hourly"))))
    action = next(each for each in Elements(task.text).all("form", "action") if each.startswith("run-task"))
    run = await browser.do(str(task.url.join(action)))
    style = await browser.get(str(run.url.join(Elements(run.text).all("link", "href")[1])))
    assert "Run #1" in text_of(run)
    assert style.headers["content-type"].startswith("text/css")
    assert "immutable" in style.headers["cache-control"]
    return [each.url.path for each in (page, tasks, task, run)]


async def test_it_is_mounted_under_a_prefix(scheduler):
    """In any Starlette or FastAPI application."""
    scheduler.add_task(hourly())
    outer = Starlette(routes=[Mount("/deep/jobs", web.app(scheduler, auth=web.anyone))])
    paths = await visit_all(Browser(outer), "http://127.0.0.1:8745/deep/jobs/")
    assert paths == ["/deep/jobs/", "/deep/jobs/tasks", "/deep/jobs/task", "/deep/jobs/run"]


async def test_a_proxy_may_strip_a_prefix_and_tell_nobody(scheduler):
    """Links lead back through the proxy, because they are relative."""
    scheduler.add_task(hourly())
    inner = web.app(scheduler, auth=web.anyone)

    async def proxy(scope, receive, send):
        assert scope["path"].startswith("/strip/ped/")
        await inner({**scope, "path": scope["path"].removeprefix("/strip/ped"), "root_path": ""}, receive, send)

    paths = await visit_all(Browser(proxy), "http://127.0.0.1:8745/strip/ped/")
    assert paths == ["/strip/ped/", "/strip/ped/tasks", "/strip/ped/task", "/strip/ped/run"]


async def test_it_is_served_in_the_loop_of_a_program(scheduler, monkeypatch):
    """On a free port; it asks for its token, and ends with the block, also while a connection is open."""
    monkeypatch.delenv("SCHEDULER_WEB_TOKEN", raising=False)
    async with httpx.AsyncClient() as client:
        async with web.served(scheduler, port=0, title="Ours") as view:
            assert (await client.get(view.url)).status_code == 401
            signed_in = await client.get(view.sign_in_url, follow_redirects=True)
            assert "Ours" in signed_in.text
            assert "token" not in str(signed_in.url)
            other = await client.get(view.url, headers={"host": "evil.example"})
            assert other.status_code == 421
        with pytest.raises(httpx.ConnectError):
            await client.get(view.url)


async def test_an_address_that_is_taken_is_named(scheduler):
    """With what to do about it."""
    async with web.served(scheduler, port=0, auth=web.anyone) as view:
        port = httpx.URL(view.url).port
        with pytest.raises(OSError, match=f"port {port}.*another address"):
            async with web.served(scheduler, port=port, auth=web.anyone):
                pass


@contextmanager
def signed_in(process):
    """Return a client that has opened the address which a process prints."""
    address = wait_for(process, "Web view: ").split("Web view: ")[1].strip()
    with httpx.Client(follow_redirects=True, timeout=20) as client:
        assert client.get(address).status_code == 200
        client.base_url = address.partition("?")[0]
        yield client


SERVED = ("--web", "127.0.0.1:0", "--web-allowed-host", "jobs.example.com", "--poll-interval", "0.05")


def test_a_process_shows_a_store_and_another_one_runs_it(tmp_path):
    """`web` has only the store: what is triggered there, `serve` runs and shows, too; Ctrl+C ends both."""
    place = Place(tmp_path)
    with place.face() as face:
        face.add_task(hourly(prompt="Hello."))
    with (
        place.start("-m", "scheduler", "web", "--port", "0") as pages,
        signed_in(pages) as client,
        place.start("-m", "scheduler", "serve", *SERVED) as serve,
        signed_in(serve) as other,
    ):
        wait_for(serve, "Scheduler running")
        assert "No scheduler is running" not in client.get("").text
        assert [each.get("healthz", headers={"host": "jobs.example.com"}).status_code for each in (client, other)] == [
            421,
            200,
        ]
        done = client.post("run-task?id=hourly", headers={"origin": str(client.base_url).rstrip("/")})
        run_id = done.url.params["id"]
        while other.get(f"run.json?id={run_id}").json()["status"] != "succeeded":
            pass
        assert "Echo: Hello." in client.get(f"run?id={run_id}").text
        for process in (pages, serve):
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0


def test_a_store_that_there_is_not_is_not_made(tmp_path):
    """`web` says so, and leaves the folder as it is."""
    place = Place(tmp_path)
    before = set(tmp_path.iterdir())
    done = place.quick("web", code=3)
    assert "there is no store" in done.stderr
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize("address", ["x", "127.0.0.1", "127.0.0.1:70000", "127.0.0.1:"])
def test_an_address_that_is_none_is_a_wrong_argument(tmp_path, address):
    """With what would be right."""
    done = Place(tmp_path).quick("serve", "--web", address, code=2)
    assert "127.0.0.1:8745" in done.stderr


def test_a_host_name_for_no_web_view_is_a_mistake(tmp_path):
    """It goes with the address of the web view."""
    assert "give both" in Place(tmp_path).quick("serve", "--web-allowed-host", "jobs.example.com", code=1).stderr


def test_without_the_extra_the_command_says_what_to_install(tmp_path, monkeypatch):
    """One line, with the name of the extra."""
    place = Place(tmp_path)
    with place.face():
        pass
    for name in [each for each in sys.modules if each.startswith("scheduler.web")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    done = place.quick("web", "--port", "0", code=1)
    assert "langgraph-task-scheduler[web]" in done.stderr


async def test_the_event_loop_is_free_while_pages_are_made(new_scheduler):
    """A thread makes them: the loop turns meanwhile."""
    scheduler = new_scheduler(EchoGraph())
    scheduler.add_tasks([hourly(f"task-{number}") for number in range(200)])
    browser, turns = Browser(web.app(scheduler, auth=web.anyone)), 0

    async def turn():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    turning = asyncio.create_task(turn())
    await browser.get()
    turning.cancel()
    assert turns > 100
