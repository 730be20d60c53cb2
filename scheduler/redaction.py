"""Takes secrets out of what is shown, logged or stored: out of URLs by taking them apart, out of other texts by value.

Nothing here looks for what a secret may look like. Of a URL, only the parts are shown that name a place: scheme, host,
port and path. A text that comes from elsewhere, such as a driver's or a server's error, may repeat what it was given;
there, the secrets that this process has used are replaced wherever they occur.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final
from urllib.parse import parse_qsl, quote, quote_plus, unquote, unquote_plus

HIDDEN: Final = "…"
_PLAIN_PARAMETERS: Final = frozenset(
    {"sslmode", "connect_timeout", "application_name", "target_session_attrs", "gssencmode", "channel_binding"}
    | {"client_encoding", "keepalives", "sslnegotiation", "prepare_threshold", "mode", "cache", "uri", "timeout"}
)
"""Parameters of a URL whose values everybody may see; the values of all others are secrets."""
_SHORTEST: Final = 4
"""Shorter secrets are not looked for in texts: a `1` would be found everywhere."""
_SCHEME_LETTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-")
_ENDS: Final = frozenset("\"'`<>()[]{}|\\^,;")


def shown_url(url: str) -> str:
    """Return a URL as it may be shown: without user, password, parameters and fragment.

    A URL that is not well formed loses more, never less: where a `?` or `#` stands before the last `@`, nobody can say
    where the password ends, so only the scheme stays.
    """
    scheme, colon, rest = url.partition(":")
    if not colon or not _is_scheme(scheme):
        return _shown_rest(url)
    place = rest.lstrip("/")
    return f"{scheme}:{'/' * min(len(rest) - len(place), 4)}{_shown_rest(place)}"


def _is_scheme(text: str) -> bool:
    return bool(text) and _SCHEME_LETTERS.issuperset(text)


def _shown_rest(rest: str) -> str:
    """Return what follows the scheme: host, port and path."""
    credentials, at, place = rest.rpartition("@")
    if any(mark in credentials for mark in "?#"):
        return HIDDEN
    cut = min((place.find(mark) for mark in "?#" if mark in place), default=len(place))
    parameters = f"{place[cut]}{HIDDEN}" if cut < len(place) else ""
    return f"{HIDDEN if at else ''}{at}{place[:cut]}{parameters}"


def secrets_in(url: str) -> frozenset[str]:
    """Return the secrets that a URL holds: password, or a user without one; values of parameters; fragment.

    Each as it stands there and as it is meant (`%2F` and `/`).
    """
    _, _, rest = url.partition(":")
    credentials, _, place = rest.lstrip("/").rpartition("@")
    user, colon, password = credentials.partition(":")
    found = {password if colon else user}
    tail = place if "?" in place or "#" in place else ""
    fragment = tail.partition("#")[2]
    query = tail.partition("#")[0].partition("?")[2]
    found |= {fragment, *_values_of(query)}
    if any(mark in credentials for mark in "?#"):  # nobody can say where the password ends
        found |= {credentials, place, *_values_of(rest.partition("?")[2])}
    return frozenset(each for text in found for each in (text, unquote(text), unquote_plus(text)) if each)


def _values_of(query: str) -> Iterator[str]:
    for part in query.split("&"):
        name, equals, value = part.partition("=")
        if not equals:
            yield name  # a value without a name, such as a token
        elif unquote_plus(name).lower() not in _PLAIN_PARAMETERS:
            yield value
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name.lower() not in _PLAIN_PARAMETERS:
            yield value


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a text as it may be shown: without the secrets, in whatever form, and with URLs as `shown_url` has them.

    The longest secrets go first, so that none leaves a part of another one behind. Secrets of fewer than four
    characters are replaced in URLs only.
    """
    for form in _longest_first(secrets):
        text = text.replace(form, HIDDEN)
    return _without_urls(text)


def beginning(text: str, most: int, secrets: Sequence[str] = ()) -> str:
    """Return at most `most` characters of a text, as `redact` shows it; the work does not grow with the text.

    Where the text is cut, no beginning of a secret or of a URL is left, which nobody could recognise any more.
    """
    longest = max(map(len, _longest_first(secrets)), default=0)
    window = text[: most + longest]
    if len(window) == len(text):
        return redact(text, secrets)[:most]
    kept = redact(window[: _end_of_whole_urls(window)], secrets)
    return kept[: max(0, len(kept) - longest)][:most]


def _end_of_whole_urls(text: str) -> int:
    """Return where a URL begins that runs to the end of a text, else the length of the text."""
    found = text.rfind(":/")
    if found < 0 or any(letter.isspace() or letter in _ENDS for letter in text[found:]):
        return len(text)
    while found > 0 and text[found - 1] in _SCHEME_LETTERS:
        found -= 1
    return found


def _longest_first(secrets: Iterable[str]) -> list[str]:
    forms = {form for secret in secrets if len(secret) >= _SHORTEST for form in _forms(secret)}
    return sorted(forms, key=len, reverse=True)


def _forms(secret: str) -> Iterator[str]:
    """Yield how a text may repeat a secret: as it is, as a part of a URL, and as Python or JSON quote it."""
    yield secret
    yield quote(secret, safe="", errors="replace")
    yield quote(secret, errors="replace")
    yield quote_plus(secret, errors="replace")
    yield repr(secret)[1:-1]
    yield secret.replace("\\", "\\\\").replace('"', '\\"')


def _without_urls(text: str) -> str:
    """Return a text in which each URL is shown without its secrets."""
    parts, done = [], 0
    while (found := text.find(":/", done)) >= 0:
        start = found
        while start > done and text[start - 1] in _SCHEME_LETTERS:
            start -= 1
        end = found + 1
        while end < len(text) and not text[end].isspace() and text[end] not in _ENDS:
            end += 1
        url = text[start:end]
        parts += [text[done:start], shown_url(url) if start < found else url]
        done = end
    return "".join([*parts, text[done:]])
