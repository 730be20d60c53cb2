"""Phrases as people and models write them, in two files: what each means, or why it is refused and what to write.

All are read on Monday, 1 June 2026, at 10:00 UTC, without a zone. A column ends at a tab.
"""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler import TaskDefinition, describe, next_due_times, parse_schedule
from scheduler.phrases import is_relative, names_zone
from scheduler.phrases.mentions import leaves_out, weekdays_in

NOW = datetime(2026, 6, 1, 10, 0, tzinfo=UTC)
HERE = Path(__file__).parent


def rows(name):
    return [line.split("\t") for line in (HERE / name).read_text(encoding="utf-8").splitlines()]


UNDERSTOOD = rows("understood.tsv")
REFUSED = rows("refused.tsv")


def shown(fields):
    values = [value for name, value in fields.items() if name != "task_type"]
    return " | ".join(
        value.isoformat(" ", "seconds") if isinstance(value, datetime) else str(value) for value in values
    )


@pytest.mark.parametrize(("phrase", "meaning"), UNDERSTOOD)
def test_a_phrase_means(phrase, meaning):
    """Just what a careful reader would take it for."""
    assert shown(parse_schedule(phrase, now=NOW)) == meaning


def test_what_is_understood_can_be_said_back():
    """The description is a phrase of the same schedule; a crontab expression may be spelt otherwise."""
    for phrase, _ in UNDERSTOOD:
        fields = parse_schedule(phrase, now=NOW)
        words = describe(TaskDefinition(id="t", name="T", prompt="Go.", **fields))
        again = parse_schedule(words, now=NOW)
        assert again == fields or phrase[0] in "@*0123456789", phrase
        assert describe(TaskDefinition(id="t", name="T", prompt="Go.", **again)) == words


@pytest.mark.parametrize(("phrase", "reason", "instead"), REFUSED)
def test_a_phrase_is_refused(phrase, reason, instead):
    """With the reason, and with phrases that work."""
    with pytest.raises(ValueError, match="; write '") as caught:
        parse_schedule(phrase, now=NOW)
    assert str(caught.value) == f"schedule {phrase!r}: {reason}; write {instead}"


def test_a_hint_works_and_drops_no_day():
    """It names each day of the week that was named, or a date; or a task for each; or the rest is a calendar's."""
    for phrase, _, instead in REFUSED:
        check_hint(phrase, instead)


def check_hint(phrase, instead):
    offered = re.findall(r"'([^']+)'", instead)
    assert offered
    for hint in offered:
        parse_schedule(hint, now=NOW)
    if leaves_out(phrase):
        assert instead.endswith("calendar")
        return
    has_date = any(re.search(r"\d{4}-\d{2}-\d{2}", hint) for hint in offered)
    assert has_date or weekdays_in(phrase) <= frozenset().union(*map(weekdays_in, offered))


def test_the_files_are_long_enough():
    """Each phrase is there once."""
    phrases = [row[0] for row in UNDERSTOOD + REFUSED]
    assert len(phrases) == len(set(phrases))
    assert len(UNDERSTOOD) >= 250
    assert len(REFUSED) >= 150


def test_case_blanks_and_a_full_stop_change_nothing():
    """Also a courtesy."""
    plain = [row[0] for row in UNDERSTOOD if row[0][0].isalpha() and not re.search("thanks|please|kindly", row[0])]
    for phrase in plain:
        fields = parse_schedule(phrase, now=NOW)
        for other in (
            phrase.upper(),
            f"  {phrase.replace(' ', '   ')} ",
            f"{phrase.rstrip('.!')}.",
            f"please {phrase}",
        ):
            assert parse_schedule(other, now=NOW) == fields, other


# --- Clauses in any order ---

weekly = st.sampled_from(["every weekday", "on weekdays", "every Monday", "Mondays and Fridays", "Mon-Fri", "weekends"])
monthly = st.sampled_from(["on the 1st of every month", "every month on the 15th", "every year on 24 December"])
days = weekly | monthly | st.sampled_from(["every day", "daily", "every weekend"])
months = st.sampled_from(["", "in June", "in June and July"])
times = st.sampled_from(["at 9am", "at 09:00 and 17:00", "at noon", "at 8:15 p.m.", "at half past 9am", "at nine am"])
steps = st.sampled_from(["every 15 minutes", "every hour", "every other hour", "every half hour", "every 10m"])
windows = st.sampled_from(["", "between 9am and 5pm", "between 10:00 and noon"])


@given(st.tuples(days, months, times).filter(lambda each: not each[1] or "month" not in each[0] + each[0]), st.data())
def test_the_order_of_clauses_is_free(clauses, data):
    """Days, months and time mean the same in each order, and can be said back."""
    said = [clause for clause in clauses if clause and not (clause.startswith("in ") and "year" in clauses[0])]
    fields = parse_schedule(" ".join(said), now=NOW)
    assert parse_schedule(" ".join(data.draw(st.permutations(said))), now=NOW) == fields
    words = describe(TaskDefinition(id="t", name="T", prompt="Go.", **fields))
    assert parse_schedule(words, now=NOW) == fields


@given(steps, windows, st.sampled_from(["", "on weekdays", "on Mondays and Fridays"]), months, st.data())
def test_the_order_of_a_step_and_its_bounds_is_free(step, window, on, bound, data):
    """As for days and times."""
    if window and ("other" in step):
        return
    said = [clause for clause in (step, window, on, bound) if clause]
    fields = parse_schedule(" ".join(said), now=NOW)
    assert parse_schedule(" ".join(data.draw(st.permutations(said))), now=NOW) == fields
    words = describe(TaskDefinition(id="t", name="T", prompt="Go.", **fields))
    assert parse_schedule(words, now=NOW) == fields


counted = st.builds("every {} {} at".format, st.integers(2, 400), st.sampled_from(["days", "weeks on Friday"]))
others = st.sampled_from(["day", "Monday", "weekend", "week on Monday and Thursday", "week on weekdays"])
nth = st.sampled_from(["first", "second", "third", "fourth", "last", "1st", "2nd"])
kinds = st.sampled_from(["Monday", "Sunday", "weekday", "working day"])
rule_days = (
    counted.map(lambda words: words.removesuffix(" at"))
    | others.map("every other {}".format)
    | st.builds("on the {} {} of every month".format, nth, kinds)
    | st.just("on the last day of every month")
)


@given(rule_days, st.sampled_from(["at 9am", "at noon", "at 17:30"]))
def test_what_cron_cannot_say_can_be_said_in_either_order(days, at):
    """As a recurrence rule, which can be said back."""
    fields = parse_schedule(f"{days} {at}", now=NOW)
    assert fields["rrule"].startswith("FREQ=")
    assert parse_schedule(f"{at} {days}", now=NOW) == fields
    words = describe(TaskDefinition(id="t", name="T", prompt="Go.", **fields))
    assert parse_schedule(words, now=NOW) == fields


# --- Changed phrases ---

parsed = st.sampled_from([row[0] for row in UNDERSTOOD if row[0][0].isalpha() and "/" not in row[0]])
strange = st.sampled_from(["not", "except", "or", "foo", "until", "unless", "next", "about", "biweekly", "ago", "half"])


@given(parsed, strange, st.data())
def test_a_strange_word_is_never_passed_over(phrase, word, data):
    """Wherever it stands, the phrase is refused, or the word changes what it means in a way of its own."""
    words = phrase.split()
    place = data.draw(st.integers(0, len(words)))
    mutated = " ".join([*words[:place], word, *words[place:]])
    try:
        fields = parse_schedule(mutated, now=NOW)
    except ValueError:
        return
    assert word in ("half", "except")
    assert fields != parse_schedule(phrase, now=NOW)


@given(parsed, parsed)
def test_two_phrases_in_one_are_refused(first, second):
    """Unless the one completes the other: a length of time, or days, and a time of day."""
    try:
        fields = parse_schedule(f"{first} {second}", now=NOW)
    except ValueError:
        return
    assert fields not in (parse_schedule(first, now=NOW), parse_schedule(second, now=NOW))


@given(parsed, st.data())
def test_a_day_is_never_dropped(phrase, data):
    """A phrase without one of its words is refused, or its days are those that it still names."""
    words = phrase.split()
    place = data.draw(st.integers(0, len(words) - 1))
    shorter = " ".join(words[:place] + words[place + 1 :])
    try:
        fields = parse_schedule(shorter, now=NOW)
    except ValueError:
        return
    named = weekdays_in(shorter)
    expression = fields.get("cron_expression", "")
    if named and expression and not leaves_out(shorter) and "but" not in shorter:
        assert not expression.endswith("* *") or len(named) == 7


@pytest.mark.parametrize("text", ["every monday and " * 600, "(" * 10_000, "at 9am " * 1_400, "\u2013" * 10_000])
def test_ten_thousand_characters_are_refused_for_their_length(text):
    """Before they are looked at."""
    with pytest.raises(ValueError, match=r"at most 1,000 are read|no time zone|\d{2},\d{3} characters"):
        parse_schedule(text, now=NOW)


@pytest.mark.parametrize(
    ("phrase", "relative"),
    [
        ("at 6pm", True),
        ("tonight at 9pm", True),
        ("this evening at 7", True),
        ("9pm tonight", True),
        ("on Friday at noon", True),
        ("at noon on Friday", True),
        ("on 24 December at 6pm", True),
        ("30 minutes from now", True),
        ("the day after tomorrow at 9am", True),
        ("on 24 December 2026 at 6pm", False),
        ("every Friday at noon", False),
        ("Mon-Fri at 9am", False),
        ("at 9am every day", False),
        ("every year on 24 December at 6pm", False),
        ("@daily", False),
        ("in June every day at 9am", False),
    ],
)
def test_a_file_may_hold_what_does_not_depend_on_the_present(phrase, relative):
    """Whatever the order of its words is."""
    assert is_relative(phrase) is relative


@pytest.mark.parametrize(
    ("phrase", "named"),
    [
        ("every day at 9am (Europe/Berlin)", True),
        ("every day at 9am UTC", True),
        ("every day at 9am Europe/Berlin.", True),
        ("every day at 9am EST", True),
        ("every day at 9am", False),
        ("every Monday", False),
    ],
)
def test_a_phrase_may_name_its_zone(phrase, named):
    """A default zone is not for it."""
    assert names_zone(phrase) is named


def test_every_other_monday_starts_when_it_is_added():
    """The words name no start, so the same words mean the same schedule on each day, and a file may hold them."""
    fields = parse_schedule("every other Monday at 9am", now=NOW)
    assert fields == parse_schedule("every other Monday at 9am", now=NOW.replace(day=10))
    assert not is_relative("every other Monday at 9am")
    definition = TaskDefinition(id="t", name="T", prompt="Go.", **fields)
    days = [due.date().isoformat() for due in next_due_times(definition, 3, after=NOW)]
    assert days == ["2026-06-08", "2026-06-22", "2026-07-06"]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO;BYHOUR=9", "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO;BYHOUR=9"),
        (" rrule:freq=daily;interval=3;byhour=9. ", "FREQ=DAILY;INTERVAL=3;BYHOUR=9"),
    ],
)
def test_a_recurrence_rule_is_taken_as_one(text, rule):
    """As a crontab expression is, with the zone after it."""
    assert parse_schedule(text) == {"task_type": "rrule", "rrule": rule}
    assert parse_schedule(f"{text.strip(' .')} (Europe/Berlin)")["timezone"] == "Europe/Berlin"
