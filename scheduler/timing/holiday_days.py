"""Holidays of countries and stock exchanges, from the package `holidays`, imported only where one is asked."""

from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_EXTRA = "pip install 'langgraph-task-scheduler[calendars]'"
_LANGUAGE = "en_US"


class UnknownHolidaysError(ValueError):
    """No holidays are known by this code; the sentence says what to write, or to install."""


@lru_cache(maxsize=1_024)
def holiday_names(code: str, year: int) -> Mapping[date, str]:
    """Return the holidays of a year, with their names in English where these are known.

    `code` is a country (`DE`), a part of it (`DE-BY`), or a stock exchange (`NYSE`). Raises `UnknownHolidaysError`.
    """
    calendar = _maker(code)(year)
    return {day: str(name) for day, name in calendar.items() if day.year == year}


def check_holidays(code: str) -> None:
    """Raise `UnknownHolidaysError` if no holidays are known by this code."""
    _maker(code)


@lru_cache(maxsize=256)
def _maker(code: str) -> "Callable[[int], Mapping[date, str]]":
    """Return what makes the holidays of a year."""
    try:
        import holidays  # noqa: PLC0415 (a tenth of a second, for those who name holidays)
    except ImportError as error:
        message = f"holidays={code!r} needs the package holidays; {_EXTRA}, or list the dates"
        raise UnknownHolidaysError(message) from error
    place, _, part = code.partition("-")
    countries, exchanges = holidays.list_supported_countries(), holidays.list_supported_financial()
    if place in countries and (not part or part in countries[place]):
        country: Any = holidays.country_holidays
        kind = country(place, subdiv=part or None, years=())
        language = _LANGUAGE if _LANGUAGE in kind.supported_languages else None
        return lambda year: country(place, subdiv=part or None, years=year, language=language)
    if place in exchanges and not part:
        exchange: Any = holidays.financial_holidays
        return lambda year: exchange(place, years=year)
    raise UnknownHolidaysError(_unknown(code, place, part, countries))


def _unknown(code: str, place: str, part: str, countries: Mapping[str, list[str]]) -> str:
    if part and place in countries:
        parts = ", ".join(countries[place][:60]) or "none"
        return f"holidays={code!r}: {place} has no part {part!r}; the parts are {parts}"
    hint = "give a country such as 'DE', a part of one such as 'DE-BY' or 'US-CA', an exchange such as 'NYSE', or dates"
    return f"holidays={code!r} is no country, part of one or stock exchange that is known; {hint}"
