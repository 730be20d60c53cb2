"""What a schedule does where the clock of its zone jumps: the DST rules of Debian's cron, as tables.

Each case states the zone and the change of its clock, then the expression, the instant asked from, and the exact due
times that follow, one after the other. They were written by hand from cron(8), crontab(5) and the main loop of cron.c.
"""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from scheduler.timing.crontab import parse_crontab

BERLIN_SPRING = "Europe/Berlin"  # 2025-03-30T01:00Z: 02:00+01:00 -> 03:00+02:00
BERLIN_AUTUMN = "Europe/Berlin"  # 2025-10-26T01:00Z: 03:00+02:00 -> 02:00+01:00

FIXED_IN_A_GAP = [
    (BERLIN_SPRING, "30 2 * * *", "2025-03-29T12:00+01:00", "2025-03-30T03:00+02:00 2025-03-31T02:30+02:00"),
    (BERLIN_SPRING, "30 2 * * *", "2025-03-30T01:59:59.999999+01:00", "2025-03-30T03:00+02:00 2025-03-31T02:30+02:00"),
    (BERLIN_SPRING, "30 2 * * *", "2025-03-30T03:00+02:00", "2025-03-31T02:30+02:00"),
    (BERLIN_SPRING, "0,15,30,45 2 * * *", "2025-03-29T12:00+01:00", "2025-03-30T03:00+02:00 2025-03-31T02:00+02:00"),
    (BERLIN_SPRING, "0 2,3 * * *", "2025-03-29T12:00+01:00", "2025-03-30T03:00+02:00 2025-03-31T02:00+02:00"),
    (BERLIN_SPRING, "30 2,3 * * *", "2025-03-29T12:00+01:00", "2025-03-30T03:00+02:00 2025-03-30T03:30+02:00"),
    (
        BERLIN_SPRING,
        "30 0-23 * * *",
        "2025-03-30T01:00+01:00",
        "2025-03-30T01:30+01:00 2025-03-30T03:00+02:00 2025-03-30T03:30+02:00 2025-03-30T04:30+02:00",
    ),
    (BERLIN_SPRING, "1,* 2 * * *", "2025-03-30T01:00+01:00", "2025-03-30T03:00+02:00 2025-03-31T02:00+02:00"),
    (BERLIN_SPRING, "30 2 30 3 *", "2025-01-01T00:00+01:00", "2025-03-30T03:00+02:00 2026-03-30T02:30+02:00"),
    # 2025-03-09T07:00Z: 02:00-05:00 -> 03:00-04:00
    ("America/New_York", "30 2 * * *", "2025-03-08T12:00-05:00", "2025-03-09T03:00-04:00 2025-03-10T02:30-04:00"),
    # The gap is at midnight. 2025-03-29T22:00Z: 00:00+02:00 -> 01:00+03:00
    ("Asia/Beirut", "@daily", "2025-03-29T12:00+02:00", "2025-03-30T01:00+03:00 2025-03-31T00:00+03:00"),
    # The day of the swallowed time counts. 2018-11-04T03:00Z: 00:00-03:00 -> 01:00-02:00, on a Sunday
    ("America/Sao_Paulo", "30 0 * * 0", "2018-11-03T12:00-03:00", "2018-11-04T01:00-02:00 2018-11-11T00:30-02:00"),
    # DST for one week. 2000-10-08T03:00Z: 00:00-03:00 -> 01:00-02:00
    ("America/Recife", "@daily", "2000-10-07T12:00-03:00", "2000-10-08T01:00-02:00 2000-10-09T00:00-02:00"),
    # Half an hour. 2025-10-04T15:30Z: 02:00+10:30 -> 02:30+11:00
    ("Australia/Lord_Howe", "15 2 * * *", "2025-10-04T12:00+10:30", "2025-10-05T02:30+11:00 2025-10-06T02:15+11:00"),
    # Two hours. 2025-03-30T01:00Z: 01:00+00:00 -> 03:00+02:00
    ("Antarctica/Troll", "0,30 1,2 * * *", "2025-03-29T12:00+00:00", "2025-03-30T03:00+02:00 2025-03-31T01:00+02:00"),
    # No DST: the offset of the country. 2016-05-01T07:00Z: 02:30-04:30 -> 03:00-04:00
    ("America/Caracas", "45 2 * * *", "2016-04-30T12:00-04:30", "2016-05-01T03:00-04:00 2016-05-02T02:45-04:00"),
    # The gap ends on the next day. 2018-05-04T15:00Z: 23:30+08:30 -> 00:00+09:00
    ("Asia/Pyongyang", "45 23 * * *", "2018-05-04T12:00+08:30", "2018-05-05T00:00+09:00 2018-05-05T23:45+09:00"),
    # A quarter of an hour. 1985-12-31T18:30Z: 00:00+05:30 -> 00:15+05:45
    ("Asia/Kathmandu", "5 0 1 1 *", "1985-12-31T12:00+05:30", "1986-01-01T00:15+05:45 1987-01-01T00:05+05:45"),
    # An offset with seconds. 1972-01-07T00:44:30Z: 00:00-00:44:30 -> 00:44:30+00:00
    ("Africa/Monrovia", "20 0 * * *", "1972-01-06T12:00+00:00", "1972-01-07T00:44:30+00:00 1972-01-08T00:20+00:00"),
]

FIXED_IN_A_CORRECTED_CALENDAR = [
    # Three hours. 2009-10-17T18:00Z: 02:00+08:00 -> 05:00+11:00
    ("Antarctica/Casey", "30 3 * * *", "2009-10-17T12:00+08:00", "2009-10-19T03:30+11:00"),
    ("Antarctica/Casey", "0 5 * * *", "2009-10-17T12:00+08:00", "2009-10-18T05:00+11:00 2009-10-19T05:00+11:00"),
    # A day. 2011-12-30T10:00Z: 2011-12-30T00:00-10:00 -> 2011-12-31T00:00+14:00
    ("Pacific/Apia", "0 12 * * *", "2011-12-29T13:00-10:00", "2011-12-31T12:00+14:00 2012-01-01T12:00+14:00"),
    ("Pacific/Apia", "0 0 * * *", "2011-12-29T12:00-10:00", "2011-12-31T00:00+14:00 2012-01-01T00:00+14:00"),
    ("Pacific/Apia", "0 12 30 12 *", "2011-12-01T00:00-10:00", "2012-12-30T12:00+14:00"),
    # A day. 1993-08-21T12:00Z: 1993-08-21T00:00-12:00 -> 1993-08-22T00:00+12:00
    ("Pacific/Kwajalein", "0 6 * * *", "1993-08-20T12:00-12:00", "1993-08-22T06:00+12:00 1993-08-23T06:00+12:00"),
]

FIXED_IN_AN_OVERLAP = [
    (BERLIN_AUTUMN, "30 2 * * *", "2025-10-25T12:00+02:00", "2025-10-26T02:30+02:00 2025-10-27T02:30+01:00"),
    (BERLIN_AUTUMN, "30 2 * * *", "2025-10-26T02:30+02:00", "2025-10-27T02:30+01:00"),
    (BERLIN_AUTUMN, "30 2 * * *", "2025-10-26T02:10+01:00", "2025-10-27T02:30+01:00"),
    (BERLIN_AUTUMN, "0 2 * * *", "2025-10-26T02:59:59+02:00", "2025-10-27T02:00+01:00"),
    (BERLIN_AUTUMN, "0 3 * * *", "2025-10-26T02:10+01:00", "2025-10-26T03:00+01:00 2025-10-27T03:00+01:00"),
    (BERLIN_AUTUMN, "30 0-23 * * *", "2025-10-26T01:45+02:00", "2025-10-26T02:30+02:00 2025-10-26T03:30+01:00"),
    (BERLIN_AUTUMN, "1,* 2 * * *", "2025-10-26T02:58+02:00", "2025-10-26T02:59+02:00 2025-10-27T02:00+01:00"),
    # 2025-11-02T06:00Z: 02:00-04:00 -> 01:00-05:00
    ("America/New_York", "30 1 * * *", "2025-11-01T12:00-04:00", "2025-11-02T01:30-04:00 2025-11-03T01:30-05:00"),
    # To the day before. 2025-11-02T05:00Z: 01:00-04:00 -> 00:00-05:00
    ("America/Havana", "@daily", "2025-11-01T12:00-04:00", "2025-11-02T00:00-04:00 2025-11-03T00:00-05:00"),
    # DST for one week. 2000-10-15T02:00Z: 00:00-02:00 -> 23:00-03:00, of the day before
    ("America/Recife", "30 23 * * 6", "2000-10-14T12:00-02:00", "2000-10-14T23:30-02:00 2000-10-21T23:30-03:00"),
    # Winter is the DST. 2025-10-26T01:00Z: 02:00+01:00 -> 01:00+00:00
    ("Europe/Dublin", "30 1 * * *", "2025-10-25T12:00+01:00", "2025-10-26T01:30+01:00 2025-10-27T01:30+00:00"),
    # 2025-04-05T15:00Z: 02:00+11:00 -> 01:30+10:30
    ("Australia/Lord_Howe", "45 1 * * *", "2025-04-05T12:00+11:00", "2025-04-06T01:45+11:00 2025-04-07T01:45+10:30"),
    # 2007-12-09T07:00Z: 03:00-04:00 -> 02:30-04:30
    ("America/Caracas", "45 2 * * *", "2007-12-08T12:00-04:00", "2007-12-09T02:45-04:00 2007-12-10T02:45-04:30"),
    # 2015-08-14T15:00Z: 00:00+09:00 -> 23:30+08:30, of the day before
    ("Asia/Pyongyang", "45 23 * * *", "2015-08-14T12:00+09:00", "2015-08-14T23:45+09:00 2015-08-15T23:45+08:30"),
    # Three hours. 2010-03-04T15:00Z: 2010-03-05T02:00+11:00 -> 2010-03-04T23:00+08:00
    ("Antarctica/Casey", "30 23 * * *", "2010-03-04T12:00+11:00", "2010-03-04T23:30+11:00 2010-03-05T23:30+08:00"),
    ("Antarctica/Casey", "0 1 * * *", "2010-03-04T12:00+11:00", "2010-03-05T01:00+11:00 2010-03-06T01:00+08:00"),
    # Seven hours; cron.c would run the second pass too. 1994-01-31T17:00Z: 1994-02-01T00:00+07:00 -> 17:00+00:00
    ("Antarctica/Vostok", "0 20 * * *", "1994-01-31T19:00+07:00", "1994-01-31T20:00+07:00 1994-02-01T20:00+00:00"),
    ("Antarctica/Vostok", "0 20 * * *", "1994-01-31T18:00+00:00", "1994-02-01T20:00+00:00"),
]

WILDCARD_IN_A_GAP = [
    (
        BERLIN_SPRING,
        "*/30 * * * *",
        "2025-03-30T01:15+01:00",
        "2025-03-30T01:30+01:00 2025-03-30T03:00+02:00 2025-03-30T03:30+02:00",
    ),
    (BERLIN_SPRING, "*/30 2 * * *", "2025-03-29T12:00+01:00", "2025-03-31T02:00+02:00 2025-03-31T02:30+02:00"),
    (BERLIN_SPRING, "30 * * * *", "2025-03-30T01:00+01:00", "2025-03-30T01:30+01:00 2025-03-30T03:30+02:00"),
    (BERLIN_SPRING, "30 */2 * * *", "2025-03-30T00:00+01:00", "2025-03-30T00:30+01:00 2025-03-30T04:30+02:00"),
    (
        BERLIN_SPRING,
        "@hourly",
        "2025-03-30T00:30+01:00",
        "2025-03-30T01:00+01:00 2025-03-30T03:00+02:00 2025-03-30T04:00+02:00",
    ),
    ("Pacific/Apia", "0 */12 * * *", "2011-12-29T11:00-10:00", "2011-12-29T12:00-10:00 2011-12-31T00:00+14:00"),
    # The clock jumps into the minute 00:44, and shows it for half of it.
    ("Africa/Monrovia", "*/22 0 * * *", "1972-01-06T12:00+00:00", "1972-01-07T00:44:30+00:00 1972-01-08T00:00+00:00"),
    ("Africa/Monrovia", "* * * * *", "1972-01-07T00:44+00:00", "1972-01-07T00:44:30+00:00 1972-01-07T00:45+00:00"),
]

WILDCARD_IN_AN_OVERLAP = [
    (
        BERLIN_AUTUMN,
        "*/30 2 * * *",
        "2025-10-25T12:00+02:00",
        "2025-10-26T02:00+02:00 2025-10-26T02:30+02:00 2025-10-26T02:00+01:00 2025-10-26T02:30+01:00",
    ),
    (
        BERLIN_AUTUMN,
        "@hourly",
        "2025-10-26T00:30+02:00",
        "2025-10-26T01:00+02:00 2025-10-26T02:00+02:00 2025-10-26T02:00+01:00 2025-10-26T03:00+01:00",
    ),
    (BERLIN_AUTUMN, "* 2 * * *", "2025-10-26T02:59+02:00", "2025-10-26T02:00+01:00 2025-10-26T02:01+01:00"),
    (
        "Australia/Lord_Howe",
        "45 * * * *",
        "2025-04-06T01:00+11:00",
        "2025-04-06T01:45+11:00 2025-04-06T01:45+10:30 2025-04-06T02:45+10:30",
    ),
    (
        "Antarctica/Casey",
        "*/30 23 * * *",
        "2010-03-04T22:45+11:00",
        "2010-03-04T23:00+11:00 2010-03-04T23:30+11:00 2010-03-04T23:00+08:00 2010-03-04T23:30+08:00",
    ),
]

OFFSETS_WITHOUT_A_CHANGE = [
    # 44 minutes and 30 seconds behind UTC, until 1972
    ("Africa/Monrovia", "0 12 * * *", "1971-06-01T00:00+00:00", "1971-06-01T12:00-00:44:30 1971-06-02T12:00-00:44:30"),
    ("Africa/Monrovia", "* * * * *", "1970-01-02T00:00+00:00", "1970-01-01T23:16-00:44:30 1970-01-01T23:17-00:44:30"),
    ("Asia/Kathmandu", "0 9 * * *", "2025-01-01T00:00+00:00", "2025-01-01T09:00+05:45 2025-01-02T09:00+05:45"),
    ("UTC", "59 23 31 12 *", "2098-12-31T23:59+00:00", "2099-12-31T23:59+00:00"),
]

EVERY_TABLE = [
    *FIXED_IN_A_GAP,
    *FIXED_IN_A_CORRECTED_CALENDAR,
    *FIXED_IN_AN_OVERLAP,
    *WILDCARD_IN_A_GAP,
    *WILDCARD_IN_AN_OVERLAP,
    *OFFSETS_WITHOUT_A_CHANGE,
]


def due_times(expression: str, zone: ZoneInfo, after: datetime, count: int) -> list[str]:
    """Return the next due times, as the clock of the zone shows them."""
    shown = []
    for _ in range(count):
        due = parse_crontab(expression).next_after(after, zone)
        assert due is not None
        shown.append(due.astimezone(zone).isoformat())
        after = due
    return shown


def instants(text: str) -> list[datetime]:
    return [datetime.fromisoformat(each) for each in text.split()]


@pytest.mark.parametrize(("zone", "expression", "after", "expected"), EVERY_TABLE)
def test_next_after(zone: str, expression: str, after: str, expected: str) -> None:
    """The due times that follow an instant are exactly those of the table, also by what the clock shows."""
    wanted = instants(expected)
    found = due_times(expression, ZoneInfo(zone), datetime.fromisoformat(after), len(wanted))
    assert [datetime.fromisoformat(each) for each in found] == wanted
    assert found == [each.isoformat() for each in wanted]


@pytest.mark.parametrize(("zone", "expression", "after", "expected"), EVERY_TABLE)
def test_last_at_or_before(zone: str, expression: str, after: str, expected: str) -> None:
    """Looking back from each due time finds it, and from just before it the one before."""
    wanted, asked_from = instants(expected), datetime.fromisoformat(after) + timedelta(microseconds=1)
    previous = None
    for due in wanted:
        crontab, just_before = parse_crontab(expression), due - timedelta(microseconds=1)
        assert crontab.last_at_or_before(due, ZoneInfo(zone), not_before=asked_from) == due
        assert crontab.last_at_or_before(just_before, ZoneInfo(zone), not_before=asked_from) == previous
        previous = due


@pytest.mark.parametrize(("zone", "expression", "after", "expected"), EVERY_TABLE)
def test_count_between(zone: str, expression: str, after: str, expected: str) -> None:
    """Counting up to each due time, and up to just before it, agrees with the table."""
    for number, due in enumerate(instants(expected), start=1):
        crontab, asked_from = parse_crontab(expression), datetime.fromisoformat(after)
        assert crontab.count_between(asked_from, due, ZoneInfo(zone)) == number
        assert crontab.count_between(asked_from, due - timedelta(microseconds=1), ZoneInfo(zone)) == number - 1


def test_the_zone_of_the_instant_does_not_matter() -> None:
    """The same instant, written in any zone or fold, is followed by the same due time."""
    zone, crontab = ZoneInfo("Europe/Berlin"), parse_crontab("30 2 * * *")
    second_pass = datetime(2025, 10, 26, 2, 10, tzinfo=zone, fold=1)
    expected = datetime.fromisoformat("2025-10-27T01:30+00:00")
    for written_in in ("UTC", "Asia/Tokyo", "Europe/Berlin"):
        assert crontab.next_after(second_pass.astimezone(ZoneInfo(written_in)), zone) == expected
    assert crontab.next_after(second_pass.replace(fold=0), zone) == expected - timedelta(days=1, hours=1)


def test_an_instant_that_the_clock_never_showed() -> None:
    """A datetime within a gap is taken for the instant that Python means by it."""
    zone = ZoneInfo("Europe/Berlin")
    imaginary = datetime(2025, 3, 30, 2, 45, tzinfo=zone)
    assert parse_crontab("50 3 * * *").next_after(imaginary, zone) == datetime.fromisoformat("2025-03-30T03:50+02:00")
