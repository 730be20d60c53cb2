"""The pages in a real browser: what people see, press and type, with and without a script, on a desk and on a phone.

They need the extra `web-test` and Debian's `chromium-headless-shell`, and are skipped without them.
"""

import asyncio
import os
import shutil
import threading
from concurrent.futures import Future
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec

import pytest
from helpers import PATIENCE, hourly
from langgraph.checkpoint.memory import InMemorySaver
from web_kit import ASKED, GRAPH, HOSTILE

from scheduler import RunStatus, TaskDefinition, TaskScheduler, parse_schedule, web

NAMES = ("chromium-headless-shell", "chromium", "google-chrome")
BROWSER = next((found for name in NAMES if (found := shutil.which(name))), None)
HAS_TOOLS = find_spec("playwright") is not None and find_spec("axe_playwright_python") is not None
pytestmark = [
    pytest.mark.skipif(not HAS_TOOLS, reason="it needs the extra web-test"),
    pytest.mark.skipif(BROWSER is None, reason="there is no browser: apt-get install chromium-headless-shell"),
    pytest.mark.timeout(300),
]
PATIENT = PATIENCE * 1_000
"""In milliseconds: it decides nothing but when a test that hangs is ended."""
DAILY = TaskDefinition(
    id="daily", name="Daily", prompt="What is new?", **parse_schedule("every day at 9am", timezone="Asia/Tokyo")
)
TOO_WIDE = """() => {
    const [width, root] = [window.innerWidth, document.documentElement];
    if (root.scrollWidth <= width) return [];
    const wide = [...document.querySelectorAll("main *")].filter((each) => each.getBoundingClientRect().right > width);
    return [root.scrollWidth, ...wide.map((each) => each.outerHTML.slice(0, 200))];
}"""
"""Returns what makes a page wider than the screen."""
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


class Site:
    """A scheduler that runs in a thread, and its pages."""

    def __init__(self, folder):
        self.scheduler = TaskScheduler(
            db_path=folder / "scheduler.db", graph=GRAPH, checkpointer=InMemorySaver(), poll_interval=0.05
        )
        self.view = Future()
        self.ids = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=[self._serve()])

    async def _serve(self):
        self._stopping = asyncio.Event()
        try:
            await self._seed()
            async with web.served(self.scheduler, port=0, title="Acme agents", zone="Europe/Berlin") as view:
                self.view.set_result(view)
                await self._stopping.wait()
            await self.scheduler.stop()
        except BaseException as error:
            if not self.view.done():
                self.view.set_exception(error)
            raise

    async def _seed(self):
        prompts = {"fails": "Fail: 429", "sends": "Ask to send.", "orders": "Ask for an order.", "fine": "Hello."}
        self.scheduler.add_tasks([hourly(name, prompt=prompt) for name, prompt in prompts.items()])
        self.scheduler.add_tasks([DAILY, hourly("approves", prompt="Ask to send."), hourly("paused")])
        hostile = HOSTILE.replace("\x00", "").replace("\x1b", "")
        self.scheduler.add_task(hourly("hostile", name=hostile, prompt=f"Fail: {hostile}", metadata={"<b>": hostile}))
        self.scheduler.pause_task("paused", note="the provider is down")
        self.scheduler.start()
        self.ids = {name: self.scheduler.trigger_task(name) for name in [*prompts, "approves", "hostile"]}
        over = {RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.WAITING}
        while any(self.scheduler.get_run(each).status not in over for each in self.ids.values()):
            await self.scheduler.scheduler.pass_done.wait()

    def __enter__(self):
        self._thread.start()
        self.view.result(PATIENCE)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(PATIENCE)
        self._loop.close()

    def wait(self, run_id, status):
        """Return a run once it has a status."""
        asyncio.run_coroutine_threadsafe(self._until(run_id, status), self._loop).result(PATIENCE)
        return self.scheduler.get_run(run_id)

    async def _until(self, run_id, status):
        while self.scheduler.get_run(run_id).status is not status:
            await self.scheduler.scheduler.pass_done.wait()

    @property
    def pages(self):
        runs = [f"run?id={self.ids[name]}" for name in ("fails", "sends", "orders", "hostile")]
        tasks = ["task?id=daily", "task?id=hostile", "edit-task?id=daily", "remove-task?id=daily"]
        lists = [
            "",
            "tasks",
            "runs",
            "inbox",
            "calendar",
            "health",
            "zone",
            "new-task",
            "preview?schedule=every+day+at+9am",
        ]
        return [*lists, *tasks, *runs]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("SCHEDULER_WEB_TOKEN", raising=False)
        with Site(tmp_path_factory.mktemp("site")) as site:
            yield site


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright

    sandbox = ["--no-sandbox"] if os.name == "posix" and os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=sandbox, timeout=4 * PATIENT)
        yield browser
        browser.close()


@contextmanager
def opened(chromium, site, **options):
    """Return a page that is signed in, and what the browser complains about."""
    context = chromium.new_context(**{"viewport": DESK, "timezone_id": "Europe/Berlin", **options})
    context.set_default_timeout(PATIENT)
    page, complaints = context.new_page(), []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message) or dialog.dismiss())
    page.goto(site.view.result().sign_in_url)
    try:
        yield page, complaints
    finally:
        context.close()


def goto(page, site, path):
    response = page.goto(site.view.result().url + path)
    assert response.status == 200, path
    return response


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_can_be_used_by_everybody(chromium, site, scheme, size):
    """Axe finds no violation of WCAG 2.2 AA, the browser has no complaint, and nothing is wider than the screen."""
    from axe_playwright_python.sync_playwright import Axe

    axe, options = Axe(), {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
    with opened(chromium, site, viewport=size, color_scheme=scheme) as (page, complaints):
        for path in site.pages:
            goto(page, site, path)
            found = axe.run(page, options=options)
            problems = [
                f"{each['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
                for each in found.response["violations"]
                for node in each["nodes"]
            ]
            assert problems == [], path
            assert page.evaluate(TOO_WIDE) == [], path
        assert complaints == []


def test_the_pages_work_without_a_script(chromium, site):
    """Each can be read; a task is added with a preview by its button."""
    with opened(chromium, site, java_script_enabled=False) as (page, complaints):
        for path in site.pages:
            goto(page, site, path)
            assert page.locator("h1").count() == 1
        goto(page, site, "new-task")
        page.get_by_label("Name", exact=True).fill("Without script")
        page.get_by_label("Prompt").fill("x")
        page.get_by_label("Schedule", exact=False).first.fill("every Monday at 8:30am")
        page.get_by_role("button", name="Preview").click()
        assert "Every Monday at 08:30" in page.locator("#preview").inner_text()
        page.get_by_role("button", name="Add the task").click()
        page.wait_for_url("**/task?id=without-script**")
        assert complaints == []


def test_a_run_that_failed_is_found_and_run_again(chromium, site):
    """From the first page: why it failed, when it runs next, and the button that runs it again."""
    with opened(chromium, site) as (page, complaints):
        goto(page, site, "")
        item = page.locator(".wrong li", has_text="fails")
        assert "ValueError: Fail: 429" in item.inner_text()
        item.get_by_role("link", name="Look at it").click()
        assert "The task is due next" in page.locator("main").inner_text()
        page.get_by_role("button", name="Run again").click()
        page.wait_for_url("**done=retry**")
        assert "repeats" in page.locator(".done").inner_text()
        assert complaints == []


def test_a_schedule_is_previewed_while_it_is_typed(chromium, site):
    """The words and the due times follow the field, and so does what is wrong with it."""
    with opened(chromium, site) as (page, complaints):
        goto(page, site, "edit-task?id=daily")
        field, preview = page.locator("#schedule"), page.locator("#preview")
        field.fill("every weekday at 7am")
        preview.get_by_text("Every weekday at 07:00 (Asia/Tokyo)").wait_for()
        assert preview.locator("tbody tr").count() == 5
        field.fill("every mondey")
        preview.locator(".bad").wait_for()
        assert complaints == []


def test_proposals_are_approved_and_edited(chromium, site):
    """With one press in the inbox; or on the run's page, with another value."""
    with opened(chromium, site) as (page, complaints):
        goto(page, site, "inbox")
        page.locator("section", has_text="Approves").get_by_role("button", name="Approve").click()
        run = site.wait(site.ids["approves"], RunStatus.SUCCEEDED)
        assert "'approve'" in run.response
        goto(page, site, f"run?id={site.ids['sends']}")
        page.get_by_label("Edit: do it with other values").check()
        page.get_by_text("The values").click()
        page.get_by_label("to", exact=True).fill("bob")
        page.get_by_role("button", name="Send the answer").click()
        page.wait_for_url("**done=answer**")
        run = site.wait(site.ids["sends"], RunStatus.SUCCEEDED)
        assert "'to': 'bob', 'count': 3, 'urgent': False" in run.response
        assert complaints == []


def test_a_form_of_a_schema_is_filled_in(chromium, site):
    """The graph gets the types of the schema."""
    with opened(chromium, site) as (page, complaints):
        goto(page, site, f"run?id={site.ids['orders']}")
        assert ASKED["Ask for an order."] in page.locator("main").inner_text()
        page.get_by_label("item").fill("tea")
        page.get_by_label("number").fill("2")
        page.get_by_label("size").select_option("large")
        page.get_by_role("button", name="Send the answer").click()
        run = site.wait(site.ids["orders"], RunStatus.SUCCEEDED)
        assert "{'item': 'tea', 'number': 2, 'size': 'large', 'gift': False}" in run.response
        assert complaints == []


@contextmanager
def page_of_somebody_else(target):
    """Serve a page on another port that sends a form to a view, with whatever cookies the browser has."""
    content = f'<form method="post" action="{target}"><button>win</button></form>'.encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_page_on_another_port_cannot_act(chromium, site):
    """The browser sends the cookie there: ports are one site. The view refuses the form all the same."""
    before = len(site.scheduler.list_runs("fine"))
    with opened(chromium, site) as (page, _), page_of_somebody_else(f"{site.view.result().url}run-task?id=fine") as url:
        page.goto(url)
        with page.expect_response("**/run-task?id=fine") as answered:
            page.get_by_role("button").click()
        assert answered.value.status == 403
    assert len(site.scheduler.list_runs("fine")) == before


def test_the_clock_is_that_of_the_browser(chromium, site):
    """Its zone is preset, once, and another one can be chosen."""
    with opened(chromium, site, timezone_id="Asia/Tokyo") as (page, complaints):
        page.get_by_text("Times are in Asia/Tokyo").wait_for()
        page.get_by_role("link", name="Asia/Tokyo").click()
        page.get_by_label("Zone").select_option("Europe/Paris")
        page.get_by_role("button", name="Use it").click()
        page.get_by_text("Times are in Europe/Paris").wait_for()
        assert complaints == []


def test_a_page_follows_what_happens(chromium, site):
    """Without a reload, and without a word of what a person is typing."""
    with opened(chromium, site) as (page, complaints):
        goto(page, site, "task?id=fine")
        runs = page.locator("section[aria-labelledby=runs] tbody tr")
        before = runs.count()
        page.evaluate("window.isSame = true")
        site.wait(site.scheduler.trigger_task("fine"), RunStatus.SUCCEEDED)
        runs.nth(before).wait_for()
        note = page.get_by_label("because")
        note.fill("on holiday")
        with page.expect_response(lambda each: "x-live" in each.request.headers):
            site.wait(site.scheduler.trigger_task("fine"), RunStatus.SUCCEEDED)
        assert note.input_value() == "on holiday"
        note.fill("")
        note.blur()
        runs.nth(before + 1).wait_for()
        assert page.evaluate("window.isSame")
        assert complaints == []


def test_a_lost_connection_is_said(chromium, site):
    """After the second look that fails; it is gone when one succeeds."""
    with opened(chromium, site) as (page, _):
        goto(page, site, "runs")
        page.route("**/runs", lambda route: route.abort())
        page.locator("#lost").wait_for(state="visible", timeout=3 * PATIENT)
        page.unroute("**/runs")
        page.locator("#lost").wait_for(state="hidden", timeout=3 * PATIENT)


def test_keys_lead_through_the_pages(chromium, site):
    """And can be switched off, as people who speak to their computer need it."""
    with opened(chromium, site) as (page, complaints):
        goto(page, site, "")
        page.keyboard.press("g")
        page.keyboard.press("k")
        page.wait_for_url("**/tasks")
        page.keyboard.press("j")
        page.keyboard.press("j")
        assert page.evaluate("document.activeElement.getAttribute('href')").startswith("task?id=")
        page.keyboard.press("/")
        assert page.evaluate("document.activeElement.name") == "search"
        page.locator("h1").click()
        page.keyboard.press("?")
        page.get_by_label("Use these keys").uncheck()
        page.get_by_role("button", name="Close").click()
        page.keyboard.press("g")
        page.keyboard.press("r")
        page.keyboard.press("?")
        assert page.locator("dialog").is_visible()
        assert page.url.endswith("/tasks")
        assert complaints == []
