"""What a text mentions, so that what is offered in its place drops no day of it."""

import re
from typing import Final

from scheduler.phrases.calendar_days import PLURAL, SINGULAR
from scheduler.phrases.cron import WEEK, WEEKDAY_NAMES
from scheduler.phrases.reader import join_list

_DATE: Final = r"\d{4}-\d{2}-\d{2}"
_EXCLUSION: Final = r"\b(?:except|excluding|unless|skip|skipping|without|but|not|never|no)\b"
_MONDAY_FIRST: Final = (1, 2, 3, 4, 5, 6, 0)
_MEANINGS: Final = SINGULAR | PLURAL | {"workdays": SINGULAR["weekday"], "workday": SINGULAR["weekday"]}


def weekdays_in(text: str) -> frozenset[int]:
    """Return the days of the week that a text names, alone, in a range, or as weekdays or weekends."""
    words = re.findall(r"[a-z]+|-", text.lower())
    days: set[int] = set()
    for place, word in enumerate(words):
        found = _MEANINGS.get(word, ())
        days.update(found)
        last = _MEANINGS.get(words[place + 2], ()) if place + 2 < len(words) else ()
        if len(found) == len(last) == 1 and words[place + 1] in ("to", "through", "thru", "-"):
            days.update((found[0] + step) % len(WEEK) for step in range((last[0] - found[0]) % len(WEEK)))
    return frozenset(days)


def leaves_out(text: str) -> bool:
    """Tell whether a text excludes days or times."""
    return re.search(_EXCLUSION, text.lower()) is not None


def keeps_days(text: str, candidate: str) -> bool:
    """Tell whether a candidate names every day of the week that the text names, or a date in their place."""
    return bool(re.search(_DATE, candidate)) or weekdays_in(text) <= weekdays_in(candidate)


def example_for(text: str) -> str:
    """Return a phrase that works on the days of the week that a text names."""
    days = weekdays_in(text)
    if leaves_out(text) or not days or days == WEEK:
        return "every day at 9am"
    if days == frozenset(SINGULAR["weekday"]):
        return "every weekday at 9am"
    return f"every {join_list([WEEKDAY_NAMES[day] for day in _MONDAY_FIRST if day in days])} at 9am"
