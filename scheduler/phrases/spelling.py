"""A text as it was typed -> words of one spelling: lower case, digits, one word for each thing.

Nothing here decides what a phrase means. `normalised` changes only what has one meaning wherever it stands: `five` is
`5`, `mon-fri` is `mon to fri`, `2h` is `2 h`, `9 p.m.` is `9pm`.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from scheduler.phrases.refusal import Refusal

MAX_LENGTH: Final = 1_000
"""The longest phrase that is read, in characters."""

_ONES: Final = {
    word: number
    for number, word in enumerate(
        (
            *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
            *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
        )
    )
}
_TENS: Final = {
    "twenty": 20,
    "thirty": 30,
    "forty": 40,
    "fifty": 50,
    "sixty": 60,
    "seventy": 70,
    "eighty": 80,
    "ninety": 90,
}
# `second` is missing: it may be a unit, so the grammar decides by where it stands.
_ORDINALS: Final = {
    word: f"{number}{ending}"
    for word, number, ending in (
        ("first", 1, "st"), ("third", 3, "rd"), ("fourth", 4, "th"), ("fifth", 5, "th"), ("sixth", 6, "th"),
        ("seventh", 7, "th"), ("eighth", 8, "th"), ("ninth", 9, "th"), ("tenth", 10, "th"), ("eleventh", 11, "th"),
        ("twelfth", 12, "th"), ("thirteenth", 13, "th"), ("fourteenth", 14, "th"), ("fifteenth", 15, "th"),
        ("twentieth", 20, "th"), ("thirtieth", 30, "th"),
    )
}  # fmt: skip
_SAME: Final = {
    "each": "every",
    "&": "and",
    "@": "at",
    "midday": "noon",
    "thru": "through",
    "till": "until",
    "-": "to",
    "oclock": "o'clock",
    "workdays": "weekdays",
    "workday": "weekday",
    "everyday": "every day",
    "hourly": "every hour",
    "daily": "every day",
    "weekly": "every week",
    "monthly": "every month",
    "yearly": "every year",
    "annually": "every year",
    "nightly": "every night",
    "fortnightly": "every 2 weeks",
    "fortnight": "2 weeks",
    "fortnights": "2 weeks",
    "quarterly": "every quarter",
    "half-hourly": "every 30 minutes",
    "half-hour": "half hour",
    "quarter-hour": "quarter hour",
    "bi-weekly": "biweekly",
    "bi-monthly": "bimonthly",
}
UNIT_NAMES: Final = {
    **dict.fromkeys(("second", "seconds", "sec", "secs", "s"), "second"),
    **dict.fromkeys(("minute", "minutes", "min", "mins", "m"), "minute"),
    **dict.fromkeys(("hour", "hours", "hr", "hrs", "h"), "hour"),
    **dict.fromkeys(("day", "days", "d"), "day"),
    **dict.fromkeys(("week", "weeks", "w", "wk", "wks"), "week"),
}
"""The names of the units of a length of time, long and short."""

_SIGNS: Final = str.maketrans(
    {"\u2013": "-", "\u2014": "-", "\u2011": "-", "\u2019": "'", "\u2018": "'", "\xa0": " ", "\u202f": " "}
)
_COURTESIES: Final = r"^(?:please|pls|kindly) | ,? ?(?:please|pls|thanks|thank you)$"
_LEAD: Final = (
    r"^(?:(?:run|execute|schedule)(?: (?:it|this|that|this task|the task))?) (?=every|at|on|in|once|today|tom|from|\d)"
)
_DATE_AND_TIME: Final = r"\b(\d{4}-\d{2}-\d{2})t(?=\d)"
_MERIDIEM: Final = r"(?<=[\d\s])([ap])\.m\b\.?|\b([ap])\.m\.(?!\w)"
_SPACED_MERIDIEM: Final = r"\b(\d{1,2}(?:[:.]\d{2})?) (?:o'?clock )?(am|pm)\b"
_LONE_O_CLOCK: Final = r"\bo clock\b"
_GLUED: Final = re.compile(
    r"(?:\d+(?:\.\d+)?(?:seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d|weeks?|wks?|w))+"
)
_GLUED_PART: Final = re.compile(r"(\d+(?:\.\d+)?)([a-z]+)")
_QUOTES: Final = ("'", '"', "`")


def normalised(text: str) -> str:
    """Return a phrase in lower case, with one blank between its words, commas being words.

    Raises `Refusal` if it is empty, too long, or not in plain English letters.
    """
    if len(text) > MAX_LENGTH:
        raise Refusal(f"it has {len(text):,} characters; at most {MAX_LENGTH:,} are read")
    if not text.isascii():
        text = text.translate(_SIGNS)
        if foreign := next((letter for letter in text if not letter.isascii()), None):
            raise Refusal(f"{foreign!r} is no plain English letter, digit or sign", [text.replace(foreign, " ")])
    words = _unquoted(" ".join(text.lower().replace(",", " , ").split()))
    if not words.strip(".! "):
        raise Refusal("it is empty")
    words = _without_courtesies(_shortened(words))
    return " ".join(_spelt_out(words.split()))


def _unquoted(phrase: str) -> str:
    is_quoted = len(phrase) > 1 and phrase[0] in _QUOTES and phrase[-1] == phrase[0]
    return phrase[1:-1].strip() if is_quoted else phrase


def _shortened(words: str) -> str:
    """Write a time and its half of the day as one word: `9pm`."""
    if "." in words:
        words = re.sub(_MERIDIEM, lambda found: f"{found[1] or found[2]}m", words).rstrip(".! ")
    if "t" in words and "-" in words:
        words = re.sub(_DATE_AND_TIME, r"\1 ", words)
    if "clock" in words:
        words = re.sub(_LONE_O_CLOCK, "o'clock", words)
    if " am" in words or " pm" in words:
        words = re.sub(_SPACED_MERIDIEM, r"\1\2", words)
    return words.rstrip(".! ")


def _without_courtesies(words: str) -> str:
    if "please" in words or "pls" in words or "thank" in words or "kindly" in words:
        words = re.sub(_COURTESIES, "", words).rstrip(".!, ").lstrip(", ")
    return re.sub(_LEAD, "", words) if words[:1] in ("r", "e", "s") else words


def _spelt_out(words: list[str]) -> Iterator[str]:
    """Yield each word as the grammar knows it; numbers that are words become digits."""
    tens = 0
    for word in (part for each in words for part in _parts(each)):
        if tens:
            if word in _ONES and 0 < _ONES[word] < 10:  # noqa: PLR2004 - twenty five
                yield str(tens + _ONES[word])
                tens = 0
                continue
            if word in _ORDINALS or word == "second":
                one = {"second": "2nd"}.get(word) or _ORDINALS[word]
                if int(one[:-2]) < 10:  # noqa: PLR2004 - twenty fifth
                    yield f"{tens + int(one[:-2])}{one[-2:]}"
                    tens = 0
                    continue
            yield str(tens)
            tens = 0
        if word in _TENS:
            tens = _TENS[word]
        else:
            yield str(_ONES[word]) if word in _ONES else _ORDINALS.get(word) or _SAME.get(word, word)
    if tens:
        yield str(tens)


def _parts(word: str) -> Iterable[str]:
    """Take apart what is written without blanks: `mon-fri`, `9am-5pm`, `1h30m`, `@9am`, `mon/wed`, `twenty-five`."""
    if word.isalpha() or word.isdigit() or word in _SAME:
        return (word,)
    if word[0].isdigit():
        return _parts_of_number(word)
    if word[0] == "@" and len(word) > 1:
        return ("at", *_parts(word[1:]))
    word = word.rstrip(".") if word[:-1].isalpha() else word
    if "-" in word and word.replace("-", "").isalpha():
        first, _, second = word.partition("-")
        if second.isalpha():
            return (first, second) if first in _TENS or first == "mid" else (first, "to", second)
    if "/" in word and word.replace("/", "").isalpha() and max(map(len, word.split("/"))) <= len("thurs"):
        return " , ".join(word.split("/")).split()
    return (word,)


def _parts_of_number(word: str) -> Iterable[str]:
    if _GLUED.fullmatch(word):
        return [part for found in _GLUED_PART.finditer(word) for part in found.groups()]
    first, dash, second = word.partition("-")
    if dash and second and "-" not in second and (first.endswith(_ENDINGS) or second.endswith(_ENDINGS)):
        return (*_parts(first), "to", *_parts(second))
    unit = second
    if dash and first.isdigit() and unit in UNIT_NAMES:  # a 5-minute step
        return (first, unit)
    return (word,)


_ENDINGS: Final = ("am", "pm", "st", "nd", "rd", "th")
