"""What an expression may say, what it means, and how it is refused (entry.c of Debian's cron 3.0pl1, and stricter)."""

from dataclasses import FrozenInstanceError
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim

from scheduler.timing.crontab import Crontab, parse_crontab

ZONE = ZoneInfo("UTC")
NEW_YEAR = datetime(2025, 1, 1, tzinfo=UTC)

SAME_MEANING = [
    ("007 08 * * *", "7 8 * * *"),
    ("*,5 9 * * *", "* 9 * * *"),
    ("5-5 9 * * *", "5 9 * * *"),
    ("5-5/10 9 * * *", "5 9 * * *"),
    ("*/70 9 * * *", "0 9 * * *"),
    ("*/99999999999999999999 9 * * *", "0 9 * * *"),
    ("*/15 9 * * *", "0,15,30,45 9 * * *"),
    ("*/0015 9 * * *", "0,15,30,45 9 * * *"),
    ("10-40/15 9 * * *", "10,25,40 9 * * *"),
    ("10-40/100 9 * * *", "10 9 * * *"),
    ("5,1-3,*/20,5 9 * * *", "0,1,2,3,5,20,40 9 * * *"),
    ("0 0 */10 * *", "0 0 1,11,21,31 * *"),
    ("0 0 1 */5 *", "0 0 1 1,6,11 *"),
    ("0 0 1 jan,FEB,Mar *", "0 0 1 1-3 *"),
    ("0 0 1 nov-DEC *", "0 0 1 11,12 *"),
    ("0 0 1 2-aug/3 *", "0 0 1 2,5,8 *"),
    ("0 0 * * mon-fri", "0 0 * * 1-5"),
    ("0 0 * * Sun-2", "0 0 * * 0,1,2"),
    ("0 0 * * 7", "0 0 * * 0"),
    ("0 0 * * 7-7", "0 0 * * sun"),
    ("0 0 * * 5-7", "0 0 * * fri,sat,sun"),
    ("0 0 * * 0-7", "0 0 * * *"),
    ("0 0 * * 1-7/3", "0 0 * * 1,4,7"),
    ("0 0 * * */2", "0 0 * * 0,2,4,6"),
    ("0 0 * * */3", "0 0 * * 0,3,6"),
    ("0 0 * * */5", "0 0 * * 0,5"),
    ("0 0 * * */7", "0 0 * * 0"),
    ("0 0 * * 0-7/7", "0 0 * * 0"),
    ("  0\t0 \t 1  1\t*  ", "0 0 1 1 *"),
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    (" @daily\t", "0 0 * * *"),
]

DAYS = [
    # One of the two fields begins with `*`: both must match.
    ("0 0 13 * *", ["2025-01-13", "2025-02-13"]),
    ("0 0 * * 5", ["2025-01-03", "2025-01-10"]),
    ("0 0 */2 * 5", ["2025-01-03", "2025-01-17"]),
    ("0 0 13 * */5", ["2025-04-13", "2025-06-13"]),
    ("0 0 *,13 * 5", ["2025-01-03", "2025-01-10"]),
    ("0 0 */28 2 1", ["2027-02-01", "2038-02-01", "2044-02-01", "2044-02-29"]),
    # Neither does: either of them.
    ("0 0 13 * 5", ["2025-01-03", "2025-01-10", "2025-01-13"]),
    ("0 0 1-31 * 5", ["2025-01-02", "2025-01-03"]),
    ("0 0 13 * 5,*", ["2025-01-02", "2025-01-03"]),
    ("0 0 30 2 1", ["2025-02-03", "2025-02-10"]),
    # Rare, and yet they come.
    ("0 0 29 2 *", ["2028-02-29", "2032-02-29"]),
    ("0 0 29 2 */7", ["2032-02-29", "2060-02-29", "2088-02-29", "2128-02-29"]),
    ("0 0 31 2,3 *", ["2025-03-31", "2026-03-31"]),
]

WILDCARD = {
    "* * * * *": True,
    "*/5 3 * * *": True,
    "*,5 3 * * *": True,
    "5 * * * *": True,
    "5 */3 * * *": True,
    "@hourly": True,
    "1,* 3 * * *": False,
    "0-59 0-23 * * *": False,
    "5 3 * * *": False,
    "@daily": False,
    "@weekly": False,
}

FIVE = "write five: minute hour day-of-month month day-of-week (no seconds, no year, no command)"
BLANK = "does not separate fields; put spaces or tabs between them, and write one line"
ITEM = "write a number, 'a-b', '*', 'a-b/n' or '*/n'"
ALIASES = "@hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually"

REFUSED = {
    "": f"it has 0 fields; {FIVE}",
    " \t ": f"it has 0 fields; {FIVE}",
    "* * * *": f"it has 4 fields; {FIVE}",
    "0 * * * * *": f"it has 6 fields; {FIVE}",
    "* * * * *\n": rf"'\n' {BLANK}",
    "* *\r* * *": rf"'\r' {BLANK}",
    "*\N{NO-BREAK SPACE}* * * *": rf"'\xa0' {BLANK}",
    "60 * * * *": "minute '60' is outside 0-59; write a number from 0 to 59",
    "* 24 * * *": "hour '24' is outside 0-23; write a number from 0 to 23",
    "* * 0 * *": "day-of-month '0' is outside 1-31; write a number from 1 to 31",
    "* * 32 * *": "day-of-month '32' is outside 1-31; write a number from 1 to 31",
    "* * * 13 *": "month '13' is outside 1-12; write a number from 1 to 12, or a name from jan to dec",
    "* * * * 8": "day-of-week '8' is outside 0-7; write a number from 0 to 7, or a name from sun to sat",
    "4294967296 * * * *": "minute '4294967296' is outside 0-59; write a number from 0 to 59",
    "5-64/30 * * * *": "minute '64' is outside 0-59; write a number from 0 to 59",
    "mon * * * *": "minute 'mon' is not a number; write a number from 0 to 59",
    "* * * mon *": "month 'mon' is not a number; write a number from 1 to 12, or a name from jan to dec",
    "* * * * jan": "day-of-week 'jan' is not a number; write a number from 0 to 7, or a name from sun to sat",
    "* * * * monday": "day-of-week 'monday' is not a number; write a number from 0 to 7, or a name from sun to sat",
    "* * L * *": "day-of-month 'L' is not a number; write a number from 1 to 31",
    "* * 15W * *": "day-of-month '15W' is not a number; write a number from 1 to 31",
    "R * * * *": "minute 'R' is not a number; write a number from 0 to 59",
    "H * * * *": "minute 'H' is not a number; write a number from 0 to 59",
    "* * ? * *": "day-of-month '?' is not known to cron; write '*'",
    "* * * * 5#2": f"day-of-week '5#2' is not understood; {ITEM}",
    "H(0-29) * * * *": f"minute 'H(0-29)' is not understood; {ITEM}",
    "0~30 * * * *": f"minute '0~30' is not understood; {ITEM}",
    "*5 * * * *": f"minute '*5' is not understood; {ITEM}",
    "*-5 * * * *": f"minute '*-5' is not understood; {ITEM}",
    "** * * * *": f"minute '**' is not understood; {ITEM}",
    "1-2-3 * * * *": f"minute '1-2-3' is not understood; {ITEM}",
    "-5 * * * *": f"minute '-5' is not understood; {ITEM}",
    "5- * * * *": f"minute '5-' is not understood; {ITEM}",
    "*/ * * * *": f"minute '*/' is not understood; {ITEM}",
    "*/x * * * *": f"minute '*/x' is not understood; {ITEM}",
    "*/-5 * * * *": f"minute '*/-5' is not understood; {ITEM}",
    "*/2/3 * * * *": f"minute '*/2/3' is not understood; {ITEM}",
    "1.5 * * * *": f"minute '1.5' is not understood; {ITEM}",
    "\N{ARABIC-INDIC DIGIT FIVE} * * * *": f"minute '\N{ARABIC-INDIC DIGIT FIVE}' is not understood; {ITEM}",
    "*\N{ZERO WIDTH SPACE} * * * *": f"minute '*\\u200b' is not understood; {ITEM}",
    ",5 * * * *": "minute has an empty item; write a value on both sides of each comma",
    "5, * * * *": "minute has an empty item; write a value on both sides of each comma",
    "1,,5 * * * *": "minute has an empty item; write a value on both sides of each comma",
    "*/0 * * * *": "minute '*/0' has the step 0; write a step of 1 or more",
    "* 1-5/00 * * *": "hour '1-5/00' has the step 0; write a step of 1 or more",
    "5/15 * * * *": "minute '5/15' has a step without a range; did you mean '5-59/15'?",
    "* 3/2 * * *": "hour '3/2' has a step without a range; did you mean '3-23/2'?",
    "* * * jan/3 *": "month 'jan/3' has a step without a range; did you mean 'jan-12/3'?",
    "* 22-2 * * *": "hour '22-2' runs backwards; write '22-23,0-2'",
    "* 22-0 * * *": "hour '22-0' runs backwards; write '22-23,0'",
    "* 22-2/2 * * *": "hour '22-2/2' runs backwards; write its values one by one",
    "* * * * sat-sun": "day-of-week 'sat-sun' runs backwards; write 'sat-7,0'",
    "* * * * fri-Mon": "day-of-week 'fri-Mon' runs backwards; write 'fri-7,0-Mon'",
    "0 0 30 2 *": "day-of-month '30' never comes in month '2'; write a day that a month has",
    "0 0 31 2,Apr,06 *": "day-of-month '31' never comes in month '2,Apr,06'; write a day that a month has",
    "0 0 30-31 feb */2": "day-of-month '30-31' never comes in month 'feb'; write a day that a month has",
    "@Daily": "alias '@Daily' is not in lower case; write '@daily'",
    "@reboot": "alias '@reboot' means no time of day; trigger the task when your program starts instead",
    "@every 5m": f"alias '@every 5m' is unknown; write one of {ALIASES}, or five fields",
    "@daily now": f"alias '@daily now' is unknown; write one of {ALIASES}, or five fields",
    "@": f"alias '@' is unknown; write one of {ALIASES}, or five fields",
}


def due_times(expression: str, count: int) -> list[datetime]:
    """Return the next due times in UTC."""
    found, after = [], NEW_YEAR
    for _ in range(count):
        due = parse_crontab(expression).next_after(after, ZONE)
        assert due is not None
        found.append(due)
        after = due
    return found


@pytest.mark.parametrize(("expression", "plain"), SAME_MEANING)
def test_expressions_of_the_same_meaning(expression: str, plain: str) -> None:
    """Both are due at the same times; the expression is kept as it was written."""
    assert due_times(expression, 60) == due_times(plain, 60)
    assert parse_crontab(expression).expression == expression


@pytest.mark.parametrize(("expression", "days"), DAYS)
def test_day_of_month_and_day_of_week(expression: str, days: list[str]) -> None:
    """Both fields must match if one of them begins with `*`, else either."""
    assert [due.date().isoformat() for due in due_times(expression, len(days))] == days


@pytest.mark.parametrize(("expression", "wildcard"), WILDCARD.items())
def test_wildcard(expression: str, wildcard: bool) -> None:  # noqa: FBT001
    """A schedule is wildcard if its minute or hour field begins with `*`, and so is @hourly."""
    assert parse_crontab(expression).is_wildcard is wildcard


@pytest.mark.parametrize(("expression", "reason"), REFUSED.items())
def test_refused(expression: str, reason: str) -> None:
    """The error names the expression, the field and its value, and says how to fix it."""
    with pytest.raises(ValueError, match=r"^cron_expression ") as refusal:
        parse_crontab(expression)
    assert str(refusal.value) == f"cron_expression {expression!r}: {reason}"


def test_a_refused_step_is_mended_as_said() -> None:
    """The expressions that the errors propose are accepted, and mean what was meant."""
    assert due_times("* 22-23,0-2 * * *", 200) == due_times("* 22,23,0,1,2 * * *", 200)
    assert due_times("0 0 * * sat-7,0", 9) == due_times("0 0 * * 6,0", 9)
    assert due_times("5-59/15 * * * *", 9) == due_times("5,20,35,50 * * * *", 9)


def test_the_longest_expression() -> None:
    """A thousand characters are accepted, one more is refused, and shown cut."""
    expression = ",".join(["0"] * 496) + " 0 * * *"
    assert parse_crontab(f"{expression:<1000}").next_after(NEW_YEAR, ZONE) == datetime(2025, 1, 2, tzinfo=UTC)
    with pytest.raises(ValueError, match=r"^cron_expression '0,.{60}: it has 1,001 characters; write at most 1,000$"):
        parse_crontab(f"{expression:<1001}")


def test_a_date_that_never_comes_is_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """30 February is refused by arithmetic, without a step through the calendar."""

    def step(_: CronSim) -> None:
        pytest.fail("the calendar was walked")

    monkeypatch.setattr(CronSim, "__next__", step)
    with pytest.raises(ValueError, match="never comes"):
        parse_crontab("59 23 30 2 *")


def test_equal_by_expression() -> None:
    """Crontabs are equal, and hash alike, if their expressions are the same; parsing again returns the same object."""
    crontab = parse_crontab("0 9 * * 1")
    assert crontab is parse_crontab("0 9 * * 1")
    parse_crontab.cache_clear()
    again = parse_crontab("0 9 * * 1")
    assert again is not crontab
    assert {crontab, again} == {crontab}
    assert crontab != parse_crontab("0 9 * * mon")
    assert repr(crontab) == "Crontab(expression='0 9 * * 1', is_wildcard=False)"


def test_immutable() -> None:
    """A crontab cannot be changed, and asking it changes nothing."""
    crontab: Crontab = parse_crontab("0 9 * * 1")
    first = crontab.next_after(NEW_YEAR, ZONE)
    crontab.next_after(datetime(2050, 1, 1, tzinfo=UTC), ZONE)
    assert crontab.next_after(NEW_YEAR, ZONE) == first
    with pytest.raises(FrozenInstanceError):
        crontab.expression = "0 10 * * 1"  # type: ignore[misc]


def test_naive_datetimes_are_refused() -> None:
    """An instant without a zone is no instant, in every question that can be asked."""
    crontab, naive = parse_crontab("* * * * *"), datetime(2025, 1, 1)  # noqa: DTZ001
    message = r"^2025-01-01T00:00:00 has no time zone; pass an aware datetime, such as datetime.now\(UTC\)$"
    with pytest.raises(ValueError, match=message):
        crontab.next_after(naive, ZONE)
    with pytest.raises(ValueError, match=message):
        crontab.last_at_or_before(NEW_YEAR, ZONE, not_before=naive)
    with pytest.raises(ValueError, match=message):
        crontab.count_between(naive, NEW_YEAR, ZONE)


def test_the_horizon() -> None:
    """Nothing is due from the year 2200 on."""
    crontab = parse_crontab("0 0 29 2 *")
    assert crontab.next_after(datetime(2195, 1, 1, tzinfo=UTC), ZONE) == datetime(2196, 2, 29, tzinfo=UTC)
    assert crontab.next_after(datetime(2196, 2, 29, tzinfo=UTC), ZONE) is None
    assert parse_crontab("@yearly").next_after(datetime(2198, 1, 1, tzinfo=UTC), ZONE) == datetime(
        2199, 1, 1, tzinfo=UTC
    )
    assert parse_crontab("@yearly").next_after(datetime(2199, 1, 1, tzinfo=UTC), ZONE) is None
    assert parse_crontab("* * * * *").next_after(datetime(9999, 12, 31, tzinfo=UTC), ZONE) is None
