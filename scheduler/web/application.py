"""The application: routes, the thread in which pages are made, and what becomes of errors."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Hashable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, TypeVar
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from scheduler import TaskScheduler, logbook
from scheduler.errors import StoreError
from scheduler.models import RunStatus
from scheduler.web.access import Access, Action, Auth, TokenAuth, anyone, new_token, token_from_environment
from scheduler.web.actions import ACTIONS
from scheduler.web.guard import Guard
from scheduler.web.links import base_of
from scheduler.web.live import LIVE_HEADER, LIVE_PAGES, Snapshot, Snapshots, next_look
from scheduler.web.lookup import find_runs
from scheduler.web.metrics import MEDIA_TYPE, metrics_text
from scheduler.web.pages.calendar import calendar
from scheduler.web.pages.edit import edit_task, new_task, preview
from scheduler.web.pages.health import health
from scheduler.web.pages.inbox import inbox
from scheduler.web.pages.runs import run, runs
from scheduler.web.pages.tasks import confirm_removal, task, tasks
from scheduler.web.pages.today import today
from scheduler.web.pages.zone import ZONE_COOKIE, zone
from scheduler.web.rendering import environment, json_text, static_files
from scheduler.web.responses import HTML, YEAR, form_of, last_values, problem_of, redirect, zipped
from scheduler.web.times import zone_named
from scheduler.web.visit import Answer, Page, Redirect, Refused, Visit

T = TypeVar("T")
Handler = Callable[[TaskScheduler, Visit], Answer]

PAGES: Final[dict[str, Handler]] = {
    "": today,
    "tasks": tasks,
    "task": task,
    "new-task": new_task,
    "edit-task": edit_task,
    "remove-task": confirm_removal,
    "runs": runs,
    "run": run,
    "inbox": inbox,
    "calendar": calendar,
    "health": health,
    "zone": zone,
    "preview": preview,
}
"""The pages by their addresses; those with a shape have a twin that ends with `.json`."""
_FIRST: Final = "today"
"""What the first page is called where a name is needed: in `today.json`."""
_BADGE: Final = 99
DONE: Final[dict[str, str]] = {
    Action.RUN: "The run was added. It starts when its turn comes.",
    Action.PAUSE: "Paused.",
    Action.RESUME: "Resumed.",
    Action.EDIT: "Saved.",
    Action.REMOVE: "Removed. The history of its runs stays.",
    Action.CANCEL: "The run is being stopped.",
    Action.RETRY: "This run repeats the other one.",
    Action.ANSWER: "Answered. The run continues when its turn comes.",
}
"""What a page says after an action."""


def app(  # noqa: PLR0913 (keywords, each with a default)
    task_scheduler: TaskScheduler,
    *,
    auth: Auth | None = None,
    read_only: bool = False,
    allowed_hosts: Collection[str] = (),
    trusted_origins: Collection[str] = (),
    title: str = "",
    zone: str | None = None,
) -> Starlette:
    """Return the web view of a scheduler, to be mounted under any path: `app.mount("/jobs", web.app(scheduler))`.

    Open it with a slash at the end, `/jobs/`. The scheduler may be one that runs, or one that only opens a store.

    Args:
        task_scheduler: what is shown.
        auth: an async function from a Starlette request to the `Access` of who asks, or None for nobody. Without it,
            the pages ask for a token: that of the variable `SCHEDULER_WEB_TOKEN`, or a new one, which is logged as a
            warning. `auth=web.anyone` lets everybody in.
        read_only: True: nothing can be changed.
        allowed_hosts: the host names under which the pages are reached, beside addresses and `localhost`. Without them,
            the host is checked only with `auth=web.anyone`.
        trusted_origins: further origins whose pages may send forms, such as `https://jobs.example.com`; needed where a
            proxy changes the host name and the pages are not served over https.
        title: what stands at the top of each page.
        zone: the IANA zone of the clock of viewers whose browser does not say another one; default: UTC.

    Raises:
        ValueError: there is no such zone, or the token of the environment is too short.
    """
    found = zone_named(zone or "UTC")
    if found is None:
        message = f"zone={zone!r}: there is no time zone of this name; give one such as 'Europe/Berlin'"
        raise ValueError(message)
    auth = _token_auth() if auth is None else auth
    site = _Site(task_scheduler, read_only=read_only, title=title or "Scheduled tasks", zone=found)
    guard = Middleware(
        Guard,
        auth=auth,
        refuse=site.refuse,
        allowed_hosts=allowed_hosts,
        checks_host=bool(allowed_hosts) or auth is anyone,
        trusted_origins=trusted_origins,
    )
    made = Starlette(
        routes=site.routes(), middleware=[guard], exception_handlers={404: site.no_page, 405: site.no_page}
    )
    made.router.redirect_slashes = False  # its redirects are absolute, which is wrong behind a proxy
    made.state.token = auth.token if isinstance(auth, TokenAuth) else None
    return made


def _token_auth() -> TokenAuth:
    given = token_from_environment()
    auth = TokenAuth(given or new_token())
    if given is None:
        logbook.web_token_made(auth.token)
    return auth


class _Site:
    """The pages of one scheduler."""

    def __init__(self, scheduler: TaskScheduler, *, read_only: bool, title: str, zone: ZoneInfo) -> None:
        self._scheduler, self._read_only, self._title, self._zone = scheduler, read_only, title, zone
        self._templates, self._static = environment(), static_files()
        # Pages wait for the store and take milliseconds to be made; one thread, so that many viewers leave time for
        # the event loop and the scheduler. Not the loop's executor: nodes of graphs may hold all its threads.
        self._snapshots = Snapshots()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="scheduler: web view")

    def routes(self) -> list[BaseRoute]:
        """Return where everything is."""
        found: list[BaseRoute] = [
            Route("/healthz", self._health),
            Route("/metrics", self._metrics),
            Route("/static/{name}", self._file),
        ]
        for name, handler in PAGES.items():
            found.append(Route(f"/{name}", self._endpoint(name, handler)))
            found.append(Route(f"/{name or _FIRST}.json", self._endpoint(name, handler, as_json=True)))
        found += [Route(f"/{name}", self._endpoint(name, each), methods=["POST"]) for name, each in ACTIONS.items()]
        return found

    def _endpoint(
        self, name: str, handler: Handler, *, as_json: bool = False
    ) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            try:
                form = await form_of(request) if request.method == "POST" else {}
            except Refused as refused:
                return self.refuse(request, refused.status, refused.sentence)
            if name in LIVE_PAGES and not as_json and LIVE_HEADER in request.headers:
                return await self._live(request, name, handler)
            return await self._in_thread(partial(self._respond, request, name, handler, form, as_json=as_json))

        return endpoint

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    async def _live(self, request: Request, name: str, handler: Handler) -> Response:
        """Return a page for a browser that looks again."""
        access: Access = request.scope["scheduler.web.access"]
        zone = request.cookies.get(ZONE_COOKIE, "")
        key = name, str(request.query_params), zone, access.user, frozenset(access.actions), id(access.sees)
        found: Snapshot | Response | None = self._snapshots.fresh(key)
        if found is None:
            found = await self._in_thread(lambda: self._snapshot(request, name, handler, key))
        return found.response(request) if isinstance(found, Snapshot) else found

    def _snapshot(self, request: Request, name: str, handler: Handler, key: Hashable) -> Snapshot | Response:
        """Look at the store, unless somebody has done so since; in the thread, so one look at a time."""
        if (found := self._snapshots.fresh(key)) is not None:
            return found
        try:
            visit = self._visit(request, name, {})
            page = handler(self._scheduler, visit)
            if isinstance(page, Redirect):
                return redirect(page)
            return self._snapshots.keep(key, self._html(page, visit), next_look(self._scheduler, visit), visit.access)
        except Exception as error:  # noqa: BLE001 (each becomes a page)
            return self.refuse(request, *problem_of(error))

    def _respond(
        self, request: Request, name: str, handler: Handler, form: dict[str, str], *, as_json: bool
    ) -> Response:
        """Make a page, or do an action; in the thread."""
        try:
            visit = self._visit(request, name, form)
            answer = handler(self._scheduler, visit)
            if request.method == "POST":
                self._snapshots.forget()
            if isinstance(answer, Redirect):
                return redirect(answer)
            if not as_json:
                return zipped(request, self._html(answer, visit), HTML, answer.status)
            if answer.shape is None:
                return self.refuse(request, 404, "This page has no JSON.")
            return zipped(request, json_text(answer.shape()), "application/json", answer.status)
        except Exception as error:  # noqa: BLE001 (each becomes a page)
            return self.refuse(request, *problem_of(error))

    def _visit(self, request: Request, name: str, form: dict[str, str]) -> Visit:
        chosen = zone_named(unquote(request.cookies.get(ZONE_COOKIE, "")))
        return Visit(
            page=name,
            access=request.scope["scheduler.web.access"],
            zone=chosen or self._zone,
            is_zone_chosen=chosen is not None,
            now=self._scheduler.now(),
            read_only=self._read_only,
            query=last_values(request.query_params),
            form=form,
            base=base_of(request.scope),
        )

    def _html(self, page: Page, visit: Visit) -> str:
        asking = len(find_runs(self._scheduler, visit, _BADGE, before=None, status=RunStatus.WAITING).runs)
        common = {
            "visit": visit,
            "title": page.title,
            "site_title": self._title,
            "static": {name: each.version for name, each in self._static.items()},
            "schedulers": self._scheduler.running_schedulers(),
            "asking_number": asking,
            "done": DONE.get(visit.query.get("done", "")),
            "is_live": visit.page in LIVE_PAGES,
            "twin": f"{visit.page or _FIRST}.json" if page.shape is not None else None,
        }
        return self._templates.get_template(page.template).render({**common, **page.values})

    def refuse(self, request: Request, status: int, sentence: str) -> Response:
        """Return the page of a request that is refused; it reads nothing from the store."""
        if request.url.path.endswith(".json") or "application/json" in request.headers.get("accept", ""):
            return JSONResponse({"error": sentence}, status)
        values = {
            "status": status,
            "sentence": sentence,
            "site_title": self._title,
            "base": base_of(request.scope),
            "static": {name: each.version for name, each in self._static.items()},
            "is_known": "scheduler.web.access" in request.scope,
        }
        text = self._templates.get_template("problem.html").render(values)
        return Response(text, status, media_type=HTML)

    async def no_page(self, request: Request, error: Exception) -> Response:
        """Return the page of an address that there is not."""
        status = getattr(error, "status_code", 404)
        if status == 405:  # noqa: PLR2004 (the method is not allowed)
            return self.refuse(request, 405, "This address does not take such a request.")
        return self.refuse(request, 404, "There is no such page.")

    async def _health(self, _request: Request) -> Response:
        """Say whether a scheduler lives, without a word about the store."""

        def look() -> int:
            try:
                return self._scheduler.running_schedulers()
            except StoreError:
                return 0

        number = await self._in_thread(look)
        return JSONResponse({"status": "ok" if number else "no scheduler"}, 200 if number else 503)

    async def _metrics(self, request: Request) -> Response:
        """Return gauges of the store."""

        def measure() -> Response:
            try:
                text = metrics_text(self._scheduler, self._visit(request, "metrics", {}))
            except StoreError as error:
                return self.refuse(request, *problem_of(error))
            return Response(text, media_type=MEDIA_TYPE)

        return await self._in_thread(measure)

    async def _file(self, request: Request) -> Response:
        file = self._static.get(request.path_params["name"])
        if file is None:
            return self.refuse(request, 404, "There is no such file.")
        is_this = request.query_params.get("v") == file.version
        headers = {"Cache-Control": f"public, max-age={YEAR}, immutable" if is_this else "no-cache"}
        return Response(file.content, media_type=file.media_type, headers=headers)


def token_of(made: Starlette) -> str | None:
    """Return the token that an application asks for; None if `auth` decides."""
    token: Any = made.state.token
    return None if token is None else str(token)
