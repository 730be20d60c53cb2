"""The clauses of a phrase, in the order in which the grammar reads them: the days, the months, the hours, the time.

People say them in any order, and say some of them twice over (`every night at 11pm`). What cannot be arranged, because
a clause is unknown or there are two of a kind, stays as it is; the grammar then says what is wrong with it.
"""

import re
from typing import Final

from scheduler.phrases.calendar_days import MONTH_NUMBERS, PLURAL, SINGULAR
from scheduler.phrases.clock_times import PARTS
from scheduler.phrases.cron import MONTH_NAMES, WEEKDAY_NAMES
from scheduler.phrases.reader import join_list

_PLURAL_PARTS: Final = {f"{part}s": part for part in PARTS}
_PART_OF: Final = {**_PLURAL_PARTS, **{part: part for part in PARTS}}
_STARTERS: Final = frozenset({"every", "on", "at", "in", "from", "between", "today", "tomorrow", "tonight", "this"})
_MONDAY_FIRST: Final = (1, 2, 3, 4, 5, 6, 0)
_TIME: Final = r"(?:\d{1,2}(?:[:.]\d{2})?(?:am|pm)|\d{2}:\d{2}|noon|midnight)"
_HOLD_TOGETHER: Final = frozenset(
    ("and", "or", "but", "then", "of", "to", "through", "every", "the", "on", "between", "from")
)
_MONTH: Final = "|".join(sorted(MONTH_NUMBERS, key=len, reverse=True))
_ONE_NTH: Final = r"(?:1st|second|2nd|3rd|4th|5th|last)"
_NTH: Final = rf"{_ONE_NTH}(?:(?: , and| and| ,)(?: the)? {_ONE_NTH})*"
_DATE: Final = r"\b(\d{1,2})[./](\d{1,2})[./](\d{4})\b"
_DECIMAL: Final = r"\b(every|in) (\d{1,6}\.\d{1,2}) (hours?|h|minutes?|m)\b"
_EXCEPT: Final = (
    r"^(?P<before>.*?)\bevery (?P<days>day|weekday)\b(?P<between>.*?) (?:, )?"
    r"(?:except|excluding|but(?: not)?)(?: for)?(?: on)? (?P<left>(?:(?:\w+day|weekend)s?(?: , | and )?)+)"
    r"(?P<after>| at .*)$"
)

# What is one word in another place, with the words that the grammar has for it.
_PHRASES: Final[tuple[tuple[str, str, str], ...]] = (
    ("day", r"\b(?:working|business) day(s?)\b", r"weekday\1"),
    ("single", r"\bevery single\b", "every"),
    ("week", r"\bevery day of the week\b", "every day"),
    ("once", r"\bonce (?:an? |per |every )(day|hour|minute|week|month|year)\b", r"every \1"),
    ("once", r"\bonce every\b", "every"),
    ("other", r"\bevery (?:other|second|2nd) (hour|minute)\b", r"every 2 \1s"),
    ("second", r"\bevery second (hour|minute)\b", r"every 2 \1s"),
    ("half", r"\b(every|in) (?:half an|a half|half) hour\b", r"\1 30 minutes"),
    ("quarter", r"\b(every|in) (?:a )?quarter (?:of an )?hour\b", r"\1 15 minutes"),
    ("half", r"\b(?:(?:an|1) )?hour and a half\b", "90 minutes"),
    ("half", r"\b(\d{1,6}) and a half hours\b", r"\1 hours 30 minutes"),
    ("half", r"\b(\d{1,6}) hours and a half\b", r"\1 hours 30 minutes"),
    ("now", r"^(.*) from now$", r"in \1"),
    ("of the month", rf"\bevery ({_NTH} \w+day) of the month\b", r"on the \1 of every month"),
    ("every month", rf"^(?:every )?({_NTH} \w*day) of (?=every month\b)", r"on the \1 of "),
    ("every month", rf"^the (?={_NTH} \w*day of every month\b)", "on the "),
    ("every month", rf"\bevery month on the ({_NTH} \w*day)\b", r"on the \1 of every month"),
    ("last day", r"\bevery last day of the month\b", "on the last day of every month"),
    ("the second", r"\bthe second(?= of every\b| and )", "the 2nd"),
    (":00 noon", r"\b12:00 noon\b", "noon"),
    ("from today", r"^(.*) from today (?=at )", r"in \1 "),
    ("of", r"\bof (?:the )?(?=every month\b)", "of "),
    ("and", r"(?<=day )(and|,) every (?=\w+day\b)", r"\1 "),
    ("and", r"(?<=days )(and|,) on (?=\w+days\b)", r"\1 "),
    ("hour", r"\bevery hour on the hour\b", "every hour"),
    ("every", rf"\bevery (?:the )?(\d{{1,2}}(?:st|nd|rd|th)?) (?:of )?({_MONTH})\b", r"every year on \1 \2"),
    ("every", rf"\bevery ({_MONTH}) (\d{{1,2}}(?:st|nd|rd|th)?)(?= at\b|$)", r"every year on \1 \2"),
    (
        "every",
        r"\bevery ((?:\d{1,2}(?:st|nd|rd|th)(?: and | , )?)+)(?: of (?:the|every) month)?(?= at\b|$)",
        r"on the \1 of every month",
    ),
    ("every", r"^the (?=\d{1,2}(?:st|nd|rd|th)\b.* every )", "on the "),
    ("every", r"^(?=\d{1,2}(?:st|nd|rd|th)\b.* of every )", "on the "),
)


def arranged(phrase: str) -> str:
    """Return a normalised phrase with its clauses in the order of the grammar."""
    for key, pattern, replacement in _PHRASES:
        if key in phrase:
            phrase = re.sub(pattern, replacement, phrase)
    if "." in phrase or "/" in phrase:
        phrase = re.sub(_DATE, _iso, phrase)
    if "." in phrase:
        phrase = re.sub(_DECIMAL, _whole, phrase)
    if "exc" in phrase or "but " in phrase:
        phrase = _without_some(phrase)
    words = _counted(phrase).split()
    clauses = _clauses(words)
    placed = _placed(clauses) if clauses else None
    return " ".join(words) if placed is None else placed


def _iso(found: re.Match[str]) -> str:
    """Return `15.03.2027` as `2027-03-15`, if the two can be exchanged for no other date."""
    first, second = int(found[1]), int(found[2])
    day, month = (first, second) if first > second else (second, first)
    has_one_meaning = first == second or day > len(MONTH_NAMES)
    return f"{found[3]}-{month:02}-{day:02}" if has_one_meaning else found[0]


def _whole(found: re.Match[str]) -> str:
    """Return `every 1.5 hours` in minutes, if these are whole."""
    hundredths = round(float(found[2]) * 100) * (60 if found[3][0] == "h" else 1)
    return found[0] if hundredths % 100 or not hundredths else f"{found[1]} {hundredths // 100} minutes"


def _without_some(phrase: str) -> str:
    """Read `every day except Sunday`, as the days that are left."""
    found = re.match(_EXCEPT, phrase)
    if found is None or ("at" in found["between"].split() and found["after"]):
        return phrase
    names = re.findall(r"\w+day|weekend", found["left"])
    if not all(name in SINGULAR for name in names):
        return phrase
    every = SINGULAR["weekday"] if found["days"] == "weekday" else tuple(_MONDAY_FIRST)
    out = {day for name in names for day in SINGULAR[name]}
    left = [WEEKDAY_NAMES[day].lower() for day in every if day not in out]
    if not left or not out <= set(every):
        return phrase
    return f"{found['before']}every {join_list(left).replace(',', ' ,')}{found['between']}{found['after']}"


def _counted(phrase: str) -> str:
    """Read `twice every day at 9am and 9pm`, if there are as many times."""
    found = re.fullmatch(r"(twice|(\d) times) (?:a|per|every) day (at .+)", phrase)
    if found is None:
        return phrase
    number = 2 if found[1] == "twice" else int(found[2])
    times = re.split(r" , and | , | and ", found[3].removeprefix("at "))
    return f"every day {found[3]}" if len(times) == number else phrase


def _clauses(words: list[str]) -> list[list[str]]:
    """Take a phrase apart before each word that begins a clause."""
    clauses: list[list[str]] = []
    for place, word in enumerate(words):
        if not clauses or _begins(words, place, clauses[-1]):
            clauses.append([word])
        else:
            clauses[-1].append(word)
    for clause in clauses:
        if clause[-1] == ",":
            clause.pop()
    return [clause for clause in clauses if clause]


def _begins(words: list[str], place: int, clause: list[str]) -> bool:
    """Tell whether a word begins a clause, after the words of the one before."""
    word, before = words[place], words[place - 1]
    if _begins_part(words, place):
        return clause[0] != "at" or words[place + 2 : place + 3] not in ([part] for part in PARTS)
    if word == "at" and before in ("and", ","):
        return before == "," and "at" not in clause
    if before in _HOLD_TOGETHER:
        return False
    return word in _STARTERS or _begins_bare(word, before, clause)


def _begins_part(words: list[str], place: int) -> bool:
    """Tell whether `in the morning` or `at night` comes next."""
    following = words[place + 1 : place + 3]
    if words[place] == "in":
        return following[:1] == ["the"] and following[-1] in _PART_OF
    return words[place] == "at" and following[:1] == ["night"]


def _begins_bare(word: str, before: str, clause: list[str]) -> bool:
    """Tell whether a day or a time begins a clause without `on` or `at`."""
    if word in PLURAL or word in SINGULAR:
        is_other = clause[0] in ("at", "from", "between") or (clause[0] == "in" and clause[-1] in MONTH_NUMBERS)
        return before != "," and is_other
    if word in _PART_OF:
        return clause[0] in ("every", "on", "today", "tomorrow") or clause[0] in SINGULAR
    return bool(re.fullmatch(_TIME, word)) and clause[0] not in ("at", "from", "between", "in")


def _placed(clauses: list[list[str]]) -> str | None:
    """Put the clauses in order; None if there are two of a kind, or one of no kind."""
    kinds: dict[str, list[str]] = {}
    for clause in clauses:
        kind, words = _kind(clause)
        if not kind or kind in kinds:
            return _joined_days(clauses)
        kinds[kind] = words
    return _composed(kinds, starts_at=clauses[0][0] in ("at", "in"))


def _joined_days(clauses: list[list[str]]) -> str | None:
    """Arrange two clauses of days that together say which: `every 15 minutes`, `every month` `on the 1st`."""
    kinds: dict[str, list[str]] = {}
    for clause in clauses:
        kind, words = _kind(clause)
        if kind == "days" and "days" in kinds:
            first, second = sorted((kinds["days"], words), key=lambda each: each[0] != "every")
            if not _is_completed(first) or second[0] == "every" or "tail" in kinds:
                return None
            kinds["days"] = first
            kinds["tail"] = second if second[0] == "on" else ["on", *second]
        elif not kind or kind in kinds:
            return None
        else:
            kinds[kind] = words
    return _composed(kinds, starts_at=clauses[0][0] in ("at", "in"))


def _is_completed(clause: list[str]) -> bool:
    """Tell whether other days may follow: after a week, month or year, or a step of the clock."""
    return clause[1:] in (["week"], ["month"], ["year"]) or clause[-1] in _STEPS or clause[-1] in ("week", "weeks")


_STEPS: Final = frozenset(
    {"second", "seconds", "minute", "minutes", "mins", "min", "m", "hour", "hours", "hrs", "h", "s"}
)


def _kind(clause: list[str]) -> tuple[str, list[str]]:
    """Return what a clause says, and its words; no kind if it is not known."""
    part = _part(clause)
    if part:
        return ("parts" if clause[-1] in _PLURAL_PARTS else "part"), [part]
    first, rest = clause[0], clause[1:]
    if first == "at" and rest and not re.match(r"\d{4}-|weekends?$|the$", rest[0]):
        return "times", rest
    if re.fullmatch(_TIME, first):
        return "times", clause
    if first == "in" and rest and rest[0] in MONTH_NUMBERS:
        return "months", clause
    if first == "from" and rest and rest[0] in SINGULAR:
        return "days", ["every", *rest]
    return ("window", clause) if first in ("from", "between") else ("days", _days(clause))


def _part(clause: list[str]) -> str:
    """Return the part of the day that a clause names and nothing else: `in the morning`, `mornings`, `at night`."""
    if clause[:2] == ["in", "the"]:
        clause = clause[2:]
    elif clause[:1] == ["at"]:
        clause = ["night"] if clause[1:] == ["night"] else []
    return _PART_OF.get(clause[0], "") if len(clause) == 1 else ""


def _days(clause: list[str]) -> list[str]:
    """Return days as the grammar says them: a range comes every week."""
    first = clause[0]
    if first == "at" and clause[1:] == ["weekends"]:
        return ["on", "weekends"]
    start = 1 if first == "on" else 0
    is_range = len(clause) == start + 3 and clause[start + 1] in ("to", "through")
    if is_range and clause[start] in SINGULAR and clause[start + 2] in SINGULAR:
        return ["every", *clause[start:]]
    return clause


def _composed(kinds: dict[str, list[str]], *, starts_at: bool) -> str | None:
    days = kinds.get("days", [])
    part = (kinds.get("part") or kinds.get("parts") or [""])[0]
    if "part" in kinds and "parts" in kinds:
        return None
    plain, part = _without_part(days, part)
    said = _repeated(plain) if "parts" in kinds else plain
    if said is None:
        return None
    days = said
    times = _with_part(kinds.get("times", []), part)
    if (part and not times) or (
        not days and not any(clause in kinds for clause in ("tail", "window")) and not starts_at
    ):
        return None
    at = ["at", *times] if times else []
    tail, window, months = (kinds.get(kind, []) for kind in ("tail", "window", "months"))
    order = [days, tail, months, window, at]
    if days[:1] == ["every"] and days[-1] in _STEPS:
        is_marked = bool(times) and times[0].startswith(":")
        order = [days, at, window, tail, months] if is_marked else [days, window, tail, months, at]
    return " ".join(word for clause in order for word in clause)


def _without_part(days: list[str], part: str) -> tuple[list[str] | None, str]:
    """Take a part of the day out of the clause of days: `every morning`, `tonight`, `this evening`."""
    if days == ["tonight"]:
        return (None, part) if part else (["today"], "evening")
    if days[:1] == ["this"] and len(days) == 2 and days[1] in PARTS:  # noqa: PLR2004
        return ["today"], days[1]
    if days[:1] == ["every"] and len(days) == 2 and days[1] in PARTS:  # noqa: PLR2004
        return ["every", "day"], days[1]
    return days, part


def _repeated(days: list[str] | None) -> list[str] | None:
    """Return the days of `mornings` or `Monday mornings`, which come again."""
    if not days:
        return ["every", "day"]
    bare = days[1:] if days[0] == "on" else days
    if days[0] == "every" or bare[0] in PLURAL:
        return days
    return ["every", *bare] if bare[0] in SINGULAR else None


def _with_part(times: list[str], part: str) -> list[str]:
    """Say the part of the day beside each time."""
    if not part or not times:
        return times
    beside = ["at", "night"] if part == "night" else ["in", "the", part]
    said: list[str] = []
    for place, word in enumerate([*times, ","]):
        if word in (",", "and") and (place == len(times) or said[-1:] not in ([","], ["and"])):
            said += beside
        if place < len(times):
            said.append(word)
    return said
