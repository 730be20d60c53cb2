"""Requests and responses: fields of forms, compression, redirects, and what an error becomes."""

import gzip
from typing import Final
from urllib.parse import parse_qsl, quote

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from scheduler import logbook
from scheduler.errors import AmbiguousRunError, RunNotFoundError, StoreError, TaskNotFoundError
from scheduler.web.visit import Redirect, Refused

HTML: Final = "text/html; charset=utf-8"
YEAR: Final = 365 * 86_400
"""In seconds."""
_MOST_BYTES: Final = 2_000_000
"""A longer form is refused."""
_MOST_FIELDS: Final = 2_000
_WORTH_ZIPPING: Final = 1_000
_PROBLEMS: Final[list[tuple[type[Exception], int, str | None]]] = [
    (TaskNotFoundError, 404, "There is no such task, or you may not see it."),
    (RunNotFoundError, 404, "There is no such run, it is too old to be kept, or you may not see it."),
    (AmbiguousRunError, 409, None),
    (StoreError, 503, None),
    (ValueError, 409, None),
]
"""What an error becomes: a status, and a sentence in place of its own."""


async def form_of(request: Request) -> dict[str, str]:
    """Return the fields of a form. Raises `Refused`."""
    kind = request.headers.get("content-type", "application/x-www-form-urlencoded").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise Refused(415, "Send the fields of a form: application/x-www-form-urlencoded.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_BYTES:
            raise Refused(413, f"This is more than {_MOST_BYTES:,} bytes.")
    try:
        text = body.decode("ascii")
        return dict(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS))
    except ValueError:
        raise Refused(400, "These are not the fields of a form.") from None


def last_values(query: QueryParams) -> dict[str, str]:
    """Return the values of a query by their names, as text that can be encoded."""
    return {key: value.encode(errors="replace").decode() for key, value in query.multi_items()}


def redirect(answer: Redirect) -> Response:
    """Return what leads the browser on."""
    response = RedirectResponse(answer.to, status_code=303)
    if answer.cookie is not None:
        name, value = answer.cookie
        response.set_cookie(name, quote(value, safe="/+-_"), max_age=YEAR, path=None, samesite="lax")
    return response


def zipped(request: Request, text: str, media_type: str, status: int) -> Response:
    """Return a response, compressed if the browser takes it; here, because long ones take time."""
    content, headers = text.encode(errors="replace"), {"Vary": "Accept-Encoding, Cookie"}
    if len(content) > _WORTH_ZIPPING and "gzip" in request.headers.get("accept-encoding", ""):
        content, headers = gzip.compress(content, 5), {**headers, "Content-Encoding": "gzip"}
    return Response(content, status, headers, media_type)


def problem_of(error: Exception) -> tuple[int, str]:
    """Return the status and the sentence of what was raised; what nobody expected is logged."""
    if isinstance(error, Refused):
        return error.status, error.sentence
    for kind, status, sentence in _PROBLEMS:
        if isinstance(error, kind):
            return status, sentence or str(error)
    logbook.web_page_failed(error)
    return 500, "The page failed; the log of the program has the reason."
