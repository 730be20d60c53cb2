"""What every request passes before a page sees it: host, origin, and who asks; and what every response says of itself.

The order matters. A POST from another site is refused whatever its path, so it learns nothing; who is not known gets
401 for any page, also for one that there is not.
"""

import ipaddress
from collections.abc import Awaitable, Callable, Collection
from typing import Final
from urllib.parse import urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scheduler.web.access import Access, Auth, TokenAuth
from scheduler.web.links import path_of

_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OPEN: Final = ("/healthz", "/static/")
"""What everybody may ask for: whether it is alive, and files that are in the wheel."""
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}

Refuse = Callable[[Request, int, str], Response]
"""Makes the page that says why a request is refused: of the request, the status and the reason."""


class Guard:
    """Lets requests through to the pages, or refuses them."""

    def __init__(  # noqa: PLR0913 (what it decides by)
        self,
        pages: ASGIApp,
        auth: Auth,
        *,
        refuse: Refuse,
        allowed_hosts: Collection[str],
        checks_host: bool,
        trusted_origins: Collection[str],
    ) -> None:
        """Take the pages behind it."""
        self._pages, self._auth, self._refuse = pages, auth, refuse
        self._allowed_hosts = frozenset(each.lower() for each in allowed_hosts) | {"localhost"}
        self._checks_host = checks_host
        self._trusted_origins = frozenset(each.lower().rstrip("/") for each in trusted_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._pages(scope, receive, send)
            return
        request = Request(scope, receive)
        refused = self._refused(request)
        if refused is None and not path_of(scope).startswith(_OPEN):
            refused = await self._unless_known(request)
        await (self._pages if refused is None else refused)(scope, receive, _with_headers(send))

    def _refused(self, request: Request) -> Response | None:
        if self._checks_host and not self._is_host(request.headers.get("host", "")):
            reason = "This host name is not one of the web view's. Give it with allowed_hosts, or --allowed-host."
            return self._refuse(request, 421, reason)
        if request.method not in _SAFE_METHODS and not self._is_own(request.headers):
            reason = (
                "This request comes from another page than this view's own. Where a proxy changes the host name, "
                "give the address that browsers see with trusted_origins."
            )
            return self._refuse(request, 403, reason)
        return None

    def _is_host(self, host: str) -> bool:
        """Tell whether a host is one by which nobody else can lead a browser here: an address, or a name of ours."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in self._allowed_hosts
        return True

    def _is_own(self, headers: Headers) -> bool:
        """Tell whether a page of this view sends a request, or a program: no site can have a browser send this."""
        origin = headers.get("origin")
        if origin is not None and origin.lower() in self._trusted_origins:
            return True
        site = headers.get("sec-fetch-site")
        if site is not None:
            return site == "same-origin"
        if origin is not None:
            return _netloc(origin) == headers.get("host", "").lower()
        # No browser adds a bearer token by itself, and no site may have it added here: nothing allows it (CORS).
        return headers.get("authorization", "").lower().startswith("bearer ")

    async def _unless_known(self, request: Request) -> Response | None:
        """Refuse who is not known; put who is known into the scope; take the token out of an address."""
        access: object = await self._auth(request)
        if isinstance(self._auth, TokenAuth) and "token" in request.query_params and request.method in _SAFE_METHODS:
            if self._auth.is_token(request.query_params["token"]):
                return _signed_in(request, self._auth)
            if access is not None:
                return _without_token(request)
        if access is None:
            return self._refuse(request, 401, _sign_in_hint(self._auth))
        if not isinstance(access, Access):
            message = f"auth returned a {type(access).__name__}; return a scheduler.web.Access, or None"
            raise TypeError(message)
        request.scope["scheduler.web.access"] = access
        return None


def _sign_in_hint(auth: Auth) -> str:
    if not isinstance(auth, TokenAuth):
        return "You are not signed in, or may not see these pages."
    return (
        "Open the address that the program printed or logged when it started: it has ?token=… at its end. "
        "If SCHEDULER_WEB_TOKEN was set there, its value is the token."
    )


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _without_token(request: Request) -> Response:
    left = urlencode([(key, value) for key, value in request.query_params.multi_items() if key != "token"])
    page = path_of(request.scope).rpartition("/")[2]
    return RedirectResponse(f"./{page}{'?' if left else ''}{left}", status_code=303)


def _signed_in(request: Request, auth: TokenAuth) -> Response:
    response = _without_token(request)
    # Without a path: the browser takes the folder of the address that it sees, which is right behind any proxy, and
    # keeps the cookie from other applications of the host.
    response.set_cookie(
        auth.cookie_name(request),
        auth.cookie,
        path=None,
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",  # with "strict", a link in a chat or a mail would lead to a page that says 401
    )
    return response


def _with_headers(send: Send) -> Callable[[Message], Awaitable[None]]:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return send_with_headers
