r"""What people write that the grammar does not have: the reason, and what to write instead.

A hint is looked for when a phrase could not be read, so it never stands in the way of one that can. Its candidates are
templates: `{at}` stands for the times of day of the phrase, `\g<name>` for what the pattern found.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import date, timedelta
from difflib import get_close_matches
from typing import Final

from scheduler.phrases.calendar_days import MONTH_NUMBERS, PLURAL, SINGULAR
from scheduler.phrases.clock_times import UNIT_SECONDS
from scheduler.phrases.cron import WEEK
from scheduler.phrases.description import describe_crontab
from scheduler.phrases.grammar import interval_in_words
from scheduler.phrases.refusal import Refusal, Unreadable

EXAMPLES: Final = (
    "every day at 9am",
    "every weekday at 18:00",
    "every Monday and Thursday at 8:30am",
    "every 5 minutes",
    "every 90 minutes",
    "every 2 hours",
    "every hour at :15",
    "on the 1st of every month at noon",
    "every year on 1 January at 9am",
    "in 30 minutes",
    "tomorrow at 9am",
)
"""A phrase of each kind; the first is what is offered where nothing is nearer."""

_DEFAULT_AT: Final = " at 9am"
_WEEKDAY: Final = "(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_SHORT_WEEKDAY: Final = (
    "(?:mon|tues?|wed|thu(?:rs?)?|fri|sat|sun|monday|tuesday|wednesday|thursday|friday|saturday|sunday)"
)
_NTH: Final = r"(?:\d{1,2}(?:st|nd|rd|th)|first|second|third|fourth|fifth|last|other)"
_NUMERALS: Final = dict(
    zip(
        ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
        map(str, range(2, 13)),
        strict=True,
    )
) | {"fifteen": "15", "twenty": "20", "thirty": "30", "forty-five": "45", "sixty": "60", "ninety": "90"}
_SPOKEN_ORDINALS: Final = {"first": "1st", "second": "2nd", "third": "3rd", "fourth": "4th", "fifth": "5th"}
_SHORT_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_VOCABULARY: Final = tuple(
    sorted(
        {"every", "day", "week", "month", "year", "on", "at", "of", "the", "in", "to", "and", "from", "today"}
        | {"tomorrow", "noon", "midnight", "second", "minute", "hour", "seconds", "minutes", "hours"}
        | {"hourly", "daily", "weekly", "monthly", "yearly"}
        | {name for name in {*SINGULAR, *PLURAL, *MONTH_NUMBERS} if len(name) > len("tues")}
    )
)
_PARTS: Final = {
    "morning": " at 9am",
    "afternoon": " at 3pm",
    "evening": " at 8pm",
    "night": " at 11pm",
    "nightly": " at 11pm",
    "tonight": " at 11pm",
}
ABBREVIATED_ZONES: Final = {
    **dict.fromkeys(("cet", "cest"), ("Europe/Berlin", "Europe/Paris")),
    **dict.fromkeys(("est", "edt", "et", "eastern"), ("America/New_York",)),
    **dict.fromkeys(("cst", "cdt", "ct", "central"), ("America/Chicago",)),
    **dict.fromkeys(("mst", "mdt", "mt", "mountain"), ("America/Denver",)),
    **dict.fromkeys(("pst", "pdt", "pt", "pacific"), ("America/Los_Angeles",)),
    "bst": ("Europe/London",),
    "ist": ("Asia/Kolkata", "Europe/Dublin"),
}
"""The zones that an abbreviation may mean."""
_DAYS: Final = {"month": 30, "year": 365}
_CLOSE: Final = 0.7
_MOST_EXPLAINED: Final = 150
_DATE_PLACE: Final = r"\{(\w+)\}"


def explained(phrase: str, unreadable: Unreadable, today: date) -> Refusal:
    """Return why a phrase cannot be read, by the first hint that knows, else by the word that does not fit."""
    if len(phrase) > _MOST_EXPLAINED:
        return unreadable
    for pattern, reason, candidates in _HINTS:
        if found := re.search(pattern, phrase):
            return Refusal(reason, (_dated(candidate, today) for candidate in candidates(found)))
    return Refusal(unreadable.reason, _nearest(phrase))


def _dated(candidate: str, today: date) -> str:
    """Put the date of the next such weekday in place of `{monday}`, and that of the day after tomorrow."""
    return re.sub(_DATE_PLACE, lambda place: (today + timedelta(_days_until(place[1], today))).isoformat(), candidate)


def _days_until(name: str, today: date) -> int:
    (weekday,) = SINGULAR.get(name, ((today.isoweekday() + 2) % len(WEEK),))
    return (weekday - today.isoweekday() - 1) % len(WEEK) + 1


def _nearest(phrase: str) -> Iterator[str]:
    words = phrase.split()
    yield from (" ".join(_corrected(word, rank) for word in words) for rank in range(2))


def _corrected(word: str, rank: int) -> str:
    if word in _VOCABULARY or any(letter.isdigit() for letter in word):
        return word
    close = get_close_matches(word, _VOCABULARY, n=rank + 1, cutoff=_CLOSE)
    return close[min(rank, len(close) - 1)] if close else word


def _templates(*templates: str) -> Callable[[re.Match[str]], Iterable[str]]:
    def candidates(found: re.Match[str]) -> Iterator[str]:
        for template in templates:
            yield found.expand(template).replace("{at}", _at(found.string))

    return candidates


def _at(phrase: str, default: str = _DEFAULT_AT) -> str:
    """Return the times of day of a phrase, with the word before them."""
    found = re.search(r" at [^a-z]*\d[\w:]*(?:(?: ,| and)+ \d[\w:]*)*| at (?:noon|midnight)\b", phrase)
    return found[0] if found else default


def _replaced(replace: Callable[[re.Match[str]], str]) -> Callable[[re.Match[str]], Iterable[str]]:
    """Replace all that the pattern finds in the phrase."""
    return lambda found: [found.re.sub(replace, found.string).strip()]


def _from_crontab(found: re.Match[str]) -> Iterator[str]:
    try:
        yield describe_crontab(found.string)
    except ValueError:
        return


def _same_length(found: re.Match[str]) -> Iterator[str]:
    """Offer the interval of so many days or weeks, and a calendar's phrase."""
    number = 2 if found["number"] in ("other", "second", "2nd") else int(re.sub(r"\D", "", found["number"]) or 1)
    seconds = number * UNIT_SECONDS.get(found["unit"], 0)
    if seconds:
        yield f"every {interval_in_words(seconds)}"
    yield f"every {'day' if found['unit'] == 'day' else 'monday'}{_at(found.string)}"


def _stepped_months(found: re.Match[str]) -> Iterator[str]:
    quarters = "january, april, july and october"
    halves = "january and july"
    months = halves if found["number"] in ("6", "half") else quarters
    yield from _templates(f"on the 1st of every {months}{{at}}", "on the 1st of every month{at}")(found)


def _fraction(found: re.Match[str]) -> Iterator[str]:
    if found["unit"] in UNIT_SECONDS:
        seconds = round(float(found["number"]) * UNIT_SECONDS[found["unit"]])
        yield f"{found['lead']} {interval_in_words(seconds)}"


def _count(found: re.Match[str]) -> int:
    return int(found["number"]) if found["number"].isdecimal() else 1


def _without_part(found: re.Match[str]) -> Iterator[str]:
    """Offer the phrase without its part of the day, at its own time or at one that lies in that part."""
    at = _at(found.string, _PARTS.get(found["part"], " at noon"))
    rest = found.string.partition(" at ")[0].replace(found[0].strip(), " ")
    if (found["when"] or "").strip() in ("every", "this") or found["part"] in ("tonight", "nightly"):
        rest = "today" if found["part"] == "tonight" or found["when"] == "this " else "every day"
    yield f"{rest.strip().removesuffix('at').strip() or 'every day'}{at}"


def _cut_off(found: re.Match[str]) -> Iterator[str]:
    """Offer the phrase up to what was found, with the times that follow it."""
    head = found.string[: found.start()]
    if " at " in found[0]:
        yield head + _at(found[0])
    yield head


def _dates(text: str, at: str) -> Iterator[str]:
    """Offer each date that the digits may mean."""
    numbers = [part.zfill(2) for part in re.split(r"[/.-]", text)]
    year = next((part for part in numbers if len(part) > len("00")), f"20{numbers[-1]}")
    first, second = numbers[1:] if numbers[0] == year else numbers[:2]
    yield f"on {year}-{first}-{second}{at}"
    yield f"on {year}-{second}-{first}{at}"


def _with_in(phrase: str) -> str:
    return "in " + re.sub(r"\b(?:after|later|from now)\b", "", phrase).strip()


# Patterns, searched in the phrase in this order (and compiled then: an import does not pay for them); the reason that
# each stands for; what makes the candidates.
_HINTS: Final[tuple[tuple[str, str, Callable[[re.Match[str]], Iterable[str]]], ...]] = (
    (
        r"^(?:@\w+|(?:[\d*/,-]+ ){2,}[\w*/,? #-]+)$",
        "it looks like a crontab expression, which is given as cron_expression",
        _from_crontab,
    ),
    (r"[.!?;]+$", "it ends with a sign that is no part of a phrase", _replaced(lambda _: "")),
    (
        r"^(?:run|start|execute|please|do it|schedule)\b ?",
        "a phrase says when, and nothing else",
        _replaced(lambda _: ""),
    ),
    (
        r" ?\b(?:except|unless|excluding|but not|skip|without)\b.*",
        "a phrase cannot leave days or times out: list those that are wanted",
        _cut_off,
    ),
    (
        r" ?\b(?:starting|beginning|until|till|through|ending|for the next|for \d+)\b.*",
        "a phrase has no bounds: give start_at, end_at or max_runs beside it",
        _cut_off,
    ),
    (
        r"(?P<head>.*?),?\b(?:and|then|or|;) (?=every|on\b|in\b|at\b|today|tomorrow).*",
        "it names several schedules: make a task of each",
        lambda found: [
            found["head"],
            re.sub(r"^(?:and|then|or|;) ", "", found.string[found.end("head") :].lstrip(" ,")),
        ],
    ),
    (r"\b(?:after|later|from now)$", "a length of time follows 'in'", lambda found: [_with_in(found.string)]),
    (
        r" ?\b(?:between|from) (?P<first>\S+) (?:and|to) (?P<last>\S+)(?P<rest>.*)",
        "the hours of a day can bound 'every hour' alone, because whether the last of them is included is not clear",
        lambda found: [
            f"every hour from {found['first']} to {found['last']}{found['rest']}",
            found.string.replace(found[0], ""),
        ],
    ),
    (
        r"\b(?:last day|end|last) of (?:the |a )?(?:month|year)|\blast day\b|\bmonth end\b|\bend of every month\b",
        "it may mean once or every month",
        _templates("on the last day of every month{at}"),
    ),
    (
        rf"\b(?P<nth>{_NTH}(?:(?: ,)?(?: and)?(?: the)? {_NTH})*) (?P<day>{_WEEKDAY}|weekday)s? (?:of|in)\b",
        "it may mean once or every month",
        _templates(r"on the \g<nth> \g<day> of every month{at}", r"every \g<day>{at}"),
    ),
    (
        rf"\bevery (?P<number>second|2nd|3rd|third|\d+) (?P<day>{_WEEKDAY})s?\b",
        "it may mean days of the month, or leave out weeks",
        _templates(r"every other \g<day>{at}", r"on the \g<number> \g<day> of every month{at}"),
    ),
    (
        r"\bevery (?P<number>other|second|2nd|\d+(?:st|nd|rd|th)?) (?P<unit>day|week)s?\b",
        "it does not say on which day or at what time",
        _same_length,
    ),
    (
        r"\b(?:every (?P<number>other|second|half|\d+(?:st|nd|rd|th)?) (?:month|year)s?|every quarter|quarterly)\b",
        "which months are meant is not clear: they are listed by their names",
        _stepped_months,
    ),
    (
        rf"\bbi-?weekly\b(?:.*\b(?P<day>{_WEEKDAY}))?",
        "it may be twice a week or every other week",
        lambda found: [f"every other {found['day'] or 'monday'}{_at(found.string)}"],
    ),
    (
        r"\b(?:bi-?monthly|semi-?monthly)\b",
        "it may be twice a month or every second month",
        _templates("on the 1st and 15th of every month{at}"),
    ),
    (
        r"\b(?:twice|two times) (?:a|per|every) day|\btwice daily\b",
        "it does not say at what times",
        _templates("every day at 9am and 5pm"),
    ),
    (
        r"\b(?:\w+ times|twice|thrice) (?:a|per|every) \w+|\btwice \w+ly\b",
        "it does not say at what times",
        _templates("every day at 9am, 1pm and 5pm"),
    ),
    (
        r"\bin (?P<number>\d+|a|an|one) (?P<unit>month|year)s?\b",
        "months and years have no one length",
        lambda found: [f"in {_count(found) * _DAYS[found['unit']]} days"],
    ),
    (
        r"\bonce (?:a|per|every) (?P<unit>day|hour|minute)\b",
        "it is said with 'every'",
        _replaced(lambda found: f"every {found['unit']}"),
    ),
    (
        r"\b(?:a|per) (?P<unit>day|hour|week|month)\b",
        "it is said with 'every'",
        _templates(r"every \g<unit>{at}", "every hour"),
    ),
    (
        r"\bevery (?:business|working) day\b|\bevery workday\b|\bon (?:business|working) days\b|\bworkdays\b",
        "holidays are not known: a weekday is Monday to Friday",
        _templates("every weekday{at}"),
    ),
    (
        r"\b(?:every|on|at|the|this|next)? ?(?:the )?weekends?\b",
        "a weekend has two days: it does not say on which of them",
        _templates("every saturday and sunday{at}"),
    ),
    (
        r" ?\b(?P<when>(?:every|this|in the) )?(?P<part>morning|afternoon|evening|night|nightly|tonight|lunchtime)s?\b",
        "a part of the day is no time",
        _without_part,
    ),
    (
        rf"\b(?:next|this|coming) (?P<day>{_WEEKDAY})\b",
        "which one 'next' or 'this' means is not clear: write the date",
        _templates(r"on {\g<day>}{at}", r"every \g<day>{at}"),
    ),
    (
        rf"^(?:on )?(?P<days>(?:{_SHORT_WEEKDAY}\b(?: ,| and)? ?)+)(?= at\b|$)",
        "it may mean once or every week",
        lambda found: [
            f"every {found['days']}{_at(found.string)}",
            f"on {{{found['days'].strip()}}}{_at(found.string)}",
        ],
    ),
    (
        r"^(?:at )?(?P<time>noon|midnight|\d{1,2}(?::\d{2})?(?:am|pm)?)$",
        "it does not say on which day",
        _templates(r"every day at \g<time>", r"tomorrow at \g<time>"),
    ),
    (
        r"^(?:at )?(?P<time>(?:\d|noon|midnight)\S*) (?P<days>(?:on|every|tomorrow|today|daily|\w+days)\b.*)$",
        "the days stand before the time",
        _templates(r"\g<days> at \g<time>"),
    ),
    (
        r"^(?P<time>in .*?) (?P<day>today|tomorrow)\b.*$",
        "a length of time already says when",
        _templates(r"\g<time>"),
    ),
    (
        r"(?<!from )\b(?P<day>today|tomorrow)$",
        "it does not say at what time",
        _templates(r"\g<day>{at}", "tomorrow{at}"),
    ),
    (
        r"\bday after tomorrow\b",
        "a day is today, tomorrow or a date",
        _templates("on {overmorrow}{at}"),
    ),
    (
        r"\byesterday\b|\bnow\b|\bimmediately\b|\basap\b",
        "a schedule lies in the future",
        _templates("in 1 minute"),
    ),
    (
        r"\b\d{1,2}[/.-]\d{1,2}[/.-](?:\d{4}|\d{2})\b|\b\d{4}[/.]\d{1,2}[/.]\d{1,2}\b|\b\d{4}-\d{1,2}-\d{1,2}\b",
        "a date is written year-month-day, with two digits for the month and the day",
        lambda found: _dates(found[0], _at(found.string)),
    ),
    (
        r"\b(?:half an hour|a half hour|half hour)\b",
        "a half is written in minutes",
        _replaced(lambda _: "30 minutes"),
    ),
    (
        r"\b(?:(?:an|1|one) )?hour and a half\b",
        "a half is written in minutes",
        _replaced(lambda _: "90 minutes"),
    ),
    (
        r"\b(?:a )?quarter of an hour\b",
        "a quarter is written in minutes",
        _replaced(lambda _: "15 minutes"),
    ),
    (
        r"\b(?P<lead>every|in) (?P<number>\d+[.]\d+) (?P<unit>\w+?)s?\b",
        "a number is written without a fraction",
        _fraction,
    ),
    (
        r"\b(?:half|quarter) (?:past|to|after)\b.*|\bo'?clock\b",
        "a time is written in digits",
        _templates("every day at 9am", "every hour at :15"),
    ),
    (
        r"\b(?P<number>\d+) ?(?P<unit>[smhdw])\b",
        "the unit is written out",
        _replaced(lambda found: f"{found['number']} {_SHORT_UNITS[found['unit']]}"),
    ),
    (
        r"\b(?P<number>\d+)(?P<unit>secs?|seconds?|mins?|minutes?|hrs?|hours?)\b",
        "a blank stands between the number and its unit",
        _replaced(lambda found: f"{found['number']} {found['unit']}"),
    ),
    (
        rf"\b(?P<numeral>{'|'.join(_NUMERALS)})\b",
        "numbers are written in digits",
        _replaced(lambda found: _NUMERALS[found["numeral"]]),
    ),
    (
        rf"\bthe (?P<word>{'|'.join(_SPOKEN_ORDINALS)})\b",
        "days of the month are written in digits",
        _replaced(lambda found: f"the {_SPOKEN_ORDINALS[found['word']]}"),
    ),
    (
        r"\bof (?:the|a) month\b",
        "it may mean once or every month",
        _replaced(lambda _: "of every month"),
    ),
    (
        r"^(?:on )?(?:the )?(?P<day>\d{1,2}(?:st|nd|rd|th))(?: of (?:next|this) month)?(?= at\b|$)",
        "it does not say of which month",
        _templates(r"on the \g<day> of every month{at}"),
    ),
    (
        r"\bevery (?:the )?(?P<day>\d{1,2}(?:st|nd|rd|th))(?= at\b|$)",
        "it does not say of which month",
        _templates(r"on the \g<day> of every month{at}"),
    ),
    (
        r" (?P<zone>utc|gmt|[a-z]+/[a-z_/]+)$",
        "a time zone stands in parentheses at the end, or is given as timezone",
        lambda found: [f"{found.string[: found.start()]} ({found['zone']})"],
    ),
    (
        rf" (?:in )?(?P<zone>{'|'.join(ABBREVIATED_ZONES)})(?: time)?$",
        "this is no name of one time zone: give an IANA name, such as 'Europe/Berlin'",
        lambda found: [f"{found.string[: found.start()]} ({zone})" for zone in ABBREVIATED_ZONES[found["zone"]]],
    ),
    (
        r" (?P<zone>utc|gmt)(?P<sign>[+-])0?(?P<hours>\d{1,2})(?::00)?$",
        "an offset from UTC is no time zone: give an IANA name, such as 'Europe/Berlin'",
        lambda found: [
            f"{found.string[: found.start()]} (etc/gmt{'-' if found['sign'] == '+' else '+'}{found['hours']})"
        ],
    ),
    (
        r" (?:in )?(?:the )?local(?: time)?$",
        "times are local to the scheduler's zone unless a zone is named",
        _replaced(lambda _: ""),
    ),
    (
        r"(?P<days>.*)(?P<at> at .*?) (?P<months>in [a-z].*)",
        "the months stand before the time",
        _templates(r"\g<days> \g<months>\g<at>"),
    ),
    (
        r"\bevery$|^every(?: at.*)?$",
        "it does not say how often",
        _templates("every day{at}", "every hour"),
    ),
)
