"""Who gets in, and what a page of somebody else, a stored text or a stolen address cannot do."""

import re

import httpx
import pytest
from helpers import hourly
from web_kit import HERE, HOSTILE, OWN, Browser, Elements, ran, text_of, until_run

from scheduler import web
from scheduler.models import RunStatus
from scheduler.web import Access, Action
from scheduler.web.actions import ACTIONS
from scheduler.web.application import PAGES

TOKEN = "a-token-that-nobody-guesses"
PATHS = [*PAGES, *ACTIONS, "no", "a/b", "today.json", "tasks.json"]
BEARER = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def guarded(browse, monkeypatch):
    """Return a browser of pages that ask for a token."""
    monkeypatch.setenv("SCHEDULER_WEB_TOKEN", TOKEN)
    return browse(auth=None)


@pytest.mark.parametrize("path", PATHS)
async def test_no_page_is_there_without_a_token(guarded, path):
    """401 for each, also for those that there are not; no redirect, and nothing of the store."""
    response = await guarded.get(path)
    assert response.status_code == 401
    assert "location" not in response.headers
    assert (await guarded.post(path)).status_code == 401


async def test_the_address_with_the_token_signs_in_and_loses_the_token(guarded, scheduler):
    """The cookie is for the browser alone, the token is gone from the address, and the rest of the query stays."""
    scheduler.add_task(hourly())
    response = await guarded.get(f"task?id=hourly&token={TOKEN}&a=b%26c")
    assert (response.status_code, response.headers["location"]) == (303, "./task?id=hourly&a=b%26c")
    cookie = response.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "path=" not in cookie  # the browser takes the folder that it sees, behind any proxy
    assert "secure" not in cookie
    assert TOKEN not in cookie
    assert "8745" in cookie.partition("=")[0]  # ports share cookies, so the name tells them apart
    assert "Hourly" in text_of(await guarded.get("task?id=hourly"))
    again = await guarded.get("?token=wrong")
    assert (again.status_code, again.headers["location"]) == (303, "./")


async def test_over_https_the_cookie_is_sent_over_https_only(scheduler, monkeypatch):
    """It is marked as secure."""
    monkeypatch.setenv("SCHEDULER_WEB_TOKEN", TOKEN)
    browser = Browser(web.app(scheduler), base="https://127.0.0.1/")
    assert "secure" in (await browser.get(f"?token={TOKEN}")).headers["set-cookie"].lower()


@pytest.mark.parametrize("query", ["?token=", "?token=wrong", f"?token={TOKEN[:-1]}", "?token=%ff%00"])
async def test_a_wrong_token_does_not_sign_in(guarded, query):
    """401, and no cookie."""
    response = await guarded.get(query)
    assert response.status_code == 401
    assert "set-cookie" not in response.headers


async def test_the_token_as_cookie_value_does_not_sign_in(guarded):
    """Nor does another cookie; of several with the name, one that is right is enough."""
    name = "scheduler_web_8745"
    assert (await guarded.get(headers={"cookie": f"{name}={TOKEN}"})).status_code == 401
    right = (await guarded.get(f"?token={TOKEN}")).headers["set-cookie"].partition(";")[0]
    guarded.client.cookies.clear()
    assert (await guarded.get(headers={"cookie": f"{name}=other; {right}"})).status_code == 200


async def test_a_program_gives_the_token_as_bearer(guarded):
    """Without cookies; such a request may also act, as no site can have a browser send it."""
    assert (await guarded.get("runs.json", headers=BEARER)).json() == []
    assert (await guarded.get("runs.json", headers={"authorization": "Bearer wrong"})).status_code == 401
    assert (await guarded.post("run-task?id=no", headers=BEARER)).status_code == 404


async def test_without_a_variable_a_token_is_made_and_logged(scheduler, monkeypatch, caplog):
    """A new one for each application; the log has it, as nothing else could tell it."""
    monkeypatch.delenv("SCHEDULER_WEB_TOKEN", raising=False)
    tokens = [web.app(scheduler).state.token for _ in range(2)]
    assert tokens[0] != tokens[1]
    assert len(tokens[0]) > 40
    assert [record.action for record in caplog.records] == ["web_token_made"] * 2
    assert tokens[0] in caplog.text


@pytest.mark.parametrize("token", ["short", "has a blank in the middle", "\u00e4" * 20])
async def test_a_token_that_can_be_guessed_or_not_be_typed_is_refused(scheduler, monkeypatch, token):
    """When the application is made, with what would be right; the token itself is not shown."""
    monkeypatch.setenv("SCHEDULER_WEB_TOKEN", token)
    with pytest.raises(ValueError, match="SCHEDULER_WEB_TOKEN") as caught:
        web.app(scheduler)
    assert token not in str(caught.value)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},  # another port of the same host: browsers send the cookie there
        {"sec-fetch-site": "none"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:8746"},
        {"origin": "http://["},
        {"origin": "http://127.0.0.1:8745", "sec-fetch-site": "cross-site"},
    ],
)
@pytest.mark.parametrize("path", ["run-task?id=hourly", "", "no/such/page", "healthz", "static/style.css"])
async def test_another_site_cannot_send_a_form(scheduler, browse, headers, path):
    """403 whatever the path, before anything else is looked at; nothing is done."""
    scheduler.add_task(hourly())
    assert (await browse().post(path, headers=headers)).status_code == 403
    assert scheduler.list_runs() == []


@pytest.mark.parametrize("headers", [OWN, {"origin": "http://127.0.0.1:8745"}, {"origin": "https://jobs.example.com"}])
async def test_an_own_page_sends_a_form(scheduler, browse, headers):
    """Also over plain http, where browsers do not say which site, and from an origin that is trusted."""
    scheduler.add_task(hourly())
    browser = browse(trusted_origins=["https://jobs.example.com/"])
    assert (await browser.post("run-task?id=hourly", headers=headers)).status_code == 303


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8745", "localhost.evil.example", "127.0.0.1.evil.example", ""]
)
async def test_a_name_that_is_not_ours_is_refused(browse, host):
    """421: a site whose name was pointed at this address reads nothing (DNS rebinding)."""
    browser = browse()
    assert (await browser.get(headers={"host": host})).status_code == 421
    assert (await browser.get("healthz", headers={"host": host})).status_code == 421


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8745", "[::1]:8745", "10.1.2.3", "jobs.example.com"])
async def test_an_address_or_a_name_of_ours_is_answered(browse, host):
    """Addresses cannot be pointed elsewhere."""
    assert (await browse(allowed_hosts=["Jobs.example.com"]).get(headers={"host": host})).status_code == 200


async def test_a_mounted_view_relies_on_its_auth_for_names(guarded):
    """Without `allowed_hosts`, it answers under the name of the program; cookies belong to a name."""
    assert (await guarded.get(headers={"host": "jobs.example.com", **BEARER})).status_code == 200


@pytest.mark.parametrize("path", ["", "no", "healthz", "static/style.css", "today.json"])
async def test_every_response_says_what_browsers_may_do_with_it(browse, path):
    """Also errors, JSON and files: own scripts and styles alone, no frames, no guessing of types."""
    headers = (await browse().get(path)).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cache-control"] == ("no-cache" if path.startswith("static") else "no-store")


async def test_what_is_stored_is_text_on_every_page(scheduler, browse):
    """Markup, links and handlers do nothing; characters that hide or turn a text around are shown by their names."""
    safe = HOSTILE.replace("\x00", "")
    task = hourly("<b>id</b>", name=safe.replace("\x1b", ""), prompt=f"Fail: {safe}", metadata={"<i>": safe})
    scheduler.add_task(task)
    scheduler.start()
    (run,) = await ran(scheduler, "<b>id</b>")
    scheduler.pause_task("<b>id</b>", note=safe)
    browser = browse(title=safe)
    id_of_task = "%3Cb%3Eid%3C%2Fb%3E"
    for path in (
        "",
        "tasks",
        f"task?id={id_of_task}",
        f"remove-task?id={id_of_task}",
        "runs",
        f"run?id={run.id}",
        "zone",
    ):
        page = await browser.get(path)
        assert page.status_code == 200
        elements = Elements(page.text).elements
        assert not [tag for tag, _ in elements if tag in {"img", "b", "i", "iframe", "style", "base"}]
        assert len([tag for tag, _ in elements if tag == "script"]) == 1
        shown = re.sub("<textarea.*?</textarea>", "", page.text, flags=re.DOTALL)  # what is sent back stays as it is
        assert not re.search("[\u202a-\u202e\u2066-\u2069\x00\x1b]", shown)
        attributes = {name for _, given in elements for name in given}
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        links = [given.get("href", given.get("action", "")) for _, given in elements]
        assert not [link for link in links if link.lower().lstrip().startswith(("javascript:", "data:", "//", "http"))]
    assert "\\u202egpj.exe" in text_of(await browser.get(f"run?id={run.id}"))


async def test_a_form_says_where_it_sends(scheduler, browse):
    """A relative address: one without it would send to an address that an attacker may have chosen."""
    scheduler.add_task(hourly(prompt="Ask."))
    scheduler.start()
    run = await until_run(scheduler, scheduler.trigger_task("hourly"), RunStatus.WAITING)
    for path in ("", "tasks", "task?id=hourly", "remove-task?id=hourly", "runs", f"run?id={run.id}", "zone"):
        elements = Elements((await browse().get(path)).text)
        forms = [given for tag, given in elements.elements if tag == "form" and given["method"] != "dialog"]
        assert all(re.match(r"[a-z-]+(\?|$)", given["action"]) for given in forms), path


async def test_a_read_only_view_offers_nothing_and_does_nothing(scheduler, browse):
    """No buttons, and 403 for each action."""
    scheduler.add_task(hourly())
    browser = browse(read_only=True)
    for path in ("", "tasks", "task?id=hourly"):
        assert 'method="post"' not in (await browser.get(path)).text
    for path in ACTIONS:
        assert (await browser.post(f"{path}?id=hourly")).status_code == 403
    assert (await browser.get("remove-task?id=hourly")).status_code == 403
    assert scheduler.list_runs() == []


def rights(**given):
    """Return an `auth` that knows one user."""

    async def auth(request: httpx.Request):
        return Access("ann", **given) if request.headers.get("x-user") == "ann" else None

    return auth


async def test_a_program_decides_who_gets_in(scheduler, browse):
    """Its function gets the request; None is 401."""
    browser = browse(auth=rights())
    assert (await browser.get()).status_code == 401
    assert "Signed in as ann" in text_of(await browser.get(headers={"x-user": "ann"}))


async def test_a_person_does_only_what_the_access_has(scheduler, browse):
    """The other buttons are not there, and their actions are refused."""
    scheduler.add_task(hourly())
    browser = browse(auth=rights(actions=["run"]))
    browser.client.headers["x-user"] = "ann"
    page = (await browser.get("task?id=hourly")).text
    assert {each.partition("?")[0] for each in Elements(page).all("form", "action")} == {"run-task"}
    for path in ACTIONS:
        assert (await browser.post(f"{path}?id=hourly")).status_code == (303 if path == "run-task" else 403)


async def test_a_person_sees_only_the_tasks_of_the_access(scheduler, browse):
    """The others are as if they were not there: in lists, alone, as JSON, and for actions."""
    scheduler.add_tasks([hourly(f"{team}-{number:02}") for team in ("ours", "theirs") for number in range(70)])
    scheduler.start()
    for number in range(5):
        await ran(scheduler, f"theirs-{number:02}")
    (own,) = await ran(scheduler, "ours-03")
    (hidden,) = await ran(scheduler, "theirs-01")
    browser = browse(auth=rights(sees=lambda task_id: task_id.startswith("ours")))
    browser.client.headers["x-user"] = "ann"
    for path in (
        "",
        "tasks",
        "tasks?after=ours-60",
        "runs",
        f"run?id={own.id}",
        "today.json",
        "tasks.json",
        "runs.json",
    ):
        response = await browser.get(path)
        assert response.status_code == 200
        assert "theirs" not in response.text, path
    assert len((await browser.get("tasks.json")).json()) == 50
    assert len((await browser.get("tasks.json?after=ours-49")).json()) == 20
    assert [each["id"] for each in (await browser.get("runs.json")).json()] == [own.id]
    paths = ["task?id=theirs-01", "task.json?id=theirs-01", f"run?id={hidden.id}", f"run?id={hidden.id[:8]}"]
    for path in [*paths, "run?id=theirs-01%23last", "remove-task?id=theirs-01", "task?id=nobody"]:
        assert (await browser.get(path)).status_code == 404, path
    for path in ACTIONS:
        given = hidden.id if path.endswith("run") else "theirs-01"
        assert (await browser.post(f"{path}?id={given}")).status_code == (400 if path == "new-task" else 404), path
    assert scheduler.task_view("theirs-01").state == "scheduled"


def test_an_action_that_there_is_not_is_refused():
    """A wrong name would take away a right that was meant to be given."""
    with pytest.raises(ValueError, match="trigger"):
        Access("ann", actions=["trigger"])
    assert set(Access("ann").actions) == set(Action)


async def test_an_auth_that_returns_something_else_lets_nobody_in(scheduler, browse):
    """True is no access."""

    async def auth(request):
        return True

    with pytest.raises(TypeError, match="Access"):
        await browse(auth=auth).get()


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        ("a=" + "b" * 2_100_000, "application/x-www-form-urlencoded", 413),
        ("&".join(f"a{number}=b" for number in range(5_000)), "application/x-www-form-urlencoded", 400),
        ("prompt=%ff%fe", "application/x-www-form-urlencoded", 400),
        ('{"prompt": "x"}', "application/json", 415),
    ],
)
async def test_a_form_of_any_size_and_make_is_answered(scheduler, browse, content, kind, status):
    """With what is wrong about it; nothing is done."""
    scheduler.add_task(hourly())
    headers = {**OWN, "content-type": kind}
    response = await browse().client.post("run-task?id=hourly", content=content, headers=headers)
    assert response.status_code == status
    assert scheduler.list_runs() == []


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
async def test_other_methods_are_not_allowed(browse, method):
    """405 from an own page."""
    assert (await browse().client.request(method, HERE, headers=OWN)).status_code == 405
