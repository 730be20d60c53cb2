"""What holds for every schedule, in every zone: the three questions agree with one another and with a brute force.

The brute force knows nothing of calendars or changes of clocks: it looks at the clock of the zone minute by minute, and
keeps a virtual clock as the main loop of cron.c does.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from scheduler.timing.crontab import Crontab, parse_crontab

MICROSECOND = timedelta(microseconds=1)

#: Zones, with an instant at which the clock of each is changed.
CHANGES = [
    ("Africa/Casablanca", "2025-02-23T02:00Z"),
    ("Africa/Monrovia", "1972-01-07T00:44:30Z"),
    ("America/Caracas", "2007-12-09T07:00Z"),
    ("America/Havana", "2025-11-02T05:00Z"),
    ("America/New_York", "2077-11-07T06:00Z"),
    ("America/Sao_Paulo", "2018-11-04T03:00Z"),
    ("America/St_Johns", "2006-10-29T02:31Z"),
    ("Antarctica/Casey", "2009-10-17T18:00Z"),
    ("Antarctica/Casey", "2010-03-04T15:00Z"),
    ("Antarctica/Troll", "2025-03-30T01:00Z"),
    ("Antarctica/Troll", "2025-10-26T01:00Z"),
    ("Antarctica/Vostok", "1994-01-31T17:00Z"),
    ("Antarctica/Vostok", "1994-11-01T00:00Z"),
    ("Asia/Beirut", "2025-03-29T22:00Z"),
    ("Asia/Kathmandu", "1985-12-31T18:30Z"),
    ("Asia/Kolkata", "2025-01-01T00:00Z"),
    ("Asia/Pyongyang", "2018-05-04T15:00Z"),
    ("Australia/Lord_Howe", "2025-04-05T15:00Z"),
    ("Australia/Lord_Howe", "2025-10-04T15:30Z"),
    ("Europe/Berlin", "2025-03-30T01:00Z"),
    ("Europe/Berlin", "2099-10-25T01:00Z"),
    ("Europe/Dublin", "2025-10-26T01:00Z"),
    ("Pacific/Apia", "2011-12-30T10:00Z"),
    ("Pacific/Chatham", "2025-09-27T14:00Z"),
    ("UTC", "1999-12-31T23:59:59Z"),
]
RANGES = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)]


@dataclass(frozen=True)
class Fields:
    """Five fields: their text, and the values that they were drawn from."""

    texts: list[str]
    values: list[set[int]]

    @property
    def expression(self) -> str:
        return " ".join(self.texts)

    @property
    def is_wildcard(self) -> bool:
        return self.texts[0][0] == "*" or self.texts[1][0] == "*"

    def fit_day(self, day: date) -> bool:
        by_date = day.day in self.values[2]
        by_weekday = bool({day.isoweekday(), day.isoweekday() % 7} & self.values[4])
        both = self.texts[2][0] == "*" or self.texts[4][0] == "*"
        return day.month in self.values[3] and (by_date and by_weekday if both else by_date or by_weekday)

    def fit(self, local: datetime) -> bool:
        return local.minute in self.values[0] and local.hour in self.values[1] and self.fit_day(local.date())


@st.composite
def items(draw: st.DrawFn, low: int, high: int) -> tuple[str, set[int]]:
    """Draw one item of a list: its text and its values."""
    kind = draw(st.sampled_from(["*", "*/n", "a", "a", "a-b", "a-b/n"]))
    first = draw(st.integers(low, high))
    last = draw(st.integers(first, high))
    step = draw(st.integers(1, high + 5))
    return {
        "*": ("*", set(range(low, high + 1))),
        "*/n": (f"*/{step}", set(range(low, high + 1, step))),
        "a": (f"{first:02}", {first}),
        "a-b": (f"{first}-{last}", set(range(first, last + 1))),
        "a-b/n": (f"{first}-{last}/{step}", set(range(first, last + 1, step))),
    }[kind]


@st.composite
def fields(draw: st.DrawFn, *, free: tuple[int, ...] = (0, 1, 2, 3, 4)) -> Fields:
    """Draw five fields; those that are not free are `*`."""
    texts, values = [], []
    for number, (low, high) in enumerate(RANGES):
        drawn = draw(st.lists(items(low, high), min_size=1, max_size=3)) if number in free else []
        texts.append(",".join(text for text, _ in drawn) or "*")
        values.append(set().union(*(each for _, each in drawn)) or set(range(low, high + 1)))
    return Fields(texts, values)


@st.composite
def near_changes(draw: st.DrawFn) -> tuple[ZoneInfo, datetime]:
    """Draw a zone, and an instant near a change of its clock."""
    name, change = draw(st.sampled_from(CHANGES))
    away = draw(st.integers(-30 * 3600, 8 * 3600) | st.integers(-240, 240).map(lambda minutes: minutes * 60))
    return ZoneInfo(name), datetime.fromisoformat(change) + timedelta(
        seconds=away, microseconds=draw(st.sampled_from([0, 0, -1, 1]))
    )


def can_come(drawn: Fields) -> bool:
    """Tell whether some day of the years around 2000 fits."""
    return any(drawn.fit_day(date(1990, 1, 1) + timedelta(day)) for day in range(40 * 366))


def brute_force(drawn: Fields, zone: ZoneInfo, after: datetime, until: datetime) -> Iterator[datetime]:
    """Yield the due times after `after`, up to `until`, by looking at the clock every half minute."""
    start = after.replace(minute=0, second=0, microsecond=0) - timedelta(hours=8)
    shown = virtual = local_minute(start, zone)
    for half_minute in range(1, int((until - start).total_seconds()) // 30 + 1):
        instant = start + half_minute * timedelta(seconds=30)
        before, shown = shown, local_minute(instant, zone)
        if shown == before:
            continue
        ahead = (shown - virtual) // timedelta(minutes=1)
        if drawn.is_wildcard or ahead > 180:
            passed = [shown]
        else:
            passed = [virtual + minute * timedelta(minutes=1) for minute in range(1, ahead + 1)]
        virtual = max(virtual, shown)
        if instant > after and any(drawn.fit(minute) for minute in passed):
            yield instant


def local_minute(instant: datetime, zone: ZoneInfo) -> datetime:
    """Return what the clock of a zone shows, without seconds."""
    return instant.astimezone(zone).replace(tzinfo=None, fold=0, second=0, microsecond=0)


def enumerate_due(expression: str, zone: ZoneInfo, after: datetime, until: datetime) -> list[datetime]:
    """Return the due times after `after`, up to `until`, by asking for the next again and again."""
    crontab, found = parse_crontab(expression), []
    due = crontab.next_after(after, zone)
    while due is not None and due <= until:
        found.append(due)
        due = crontab.next_after(due, zone)
    return found


@settings(max_examples=300, deadline=None)
@given(fields(free=(0, 1)) | fields(free=(0, 1, 2, 4)), near_changes(), st.integers(0, 20 * 3600))
def test_equal_to_the_brute_force(drawn: Fields, start: tuple[ZoneInfo, datetime], seconds: int) -> None:
    """Near a change of the clock, all three questions are answered as by looking at the clock minute by minute."""
    assume(can_come(drawn))
    zone, after = start
    until = after + timedelta(seconds=seconds)
    crontab, expected = parse_crontab(drawn.expression), list(brute_force(drawn, zone, after, until))
    assert enumerate_due(drawn.expression, zone, after, until) == expected
    assert crontab.count_between(after, until, zone) == len(expected)
    assert crontab.last_at_or_before(until, zone, not_before=after + MICROSECOND) == (
        expected[-1] if expected else None
    )


@settings(max_examples=200, deadline=None)
@given(fields(free=(2, 3, 4)), st.dates(date(1970, 1, 1), date(2099, 12, 31)))
def test_the_day_is_the_next_that_fits(drawn: Fields, today: date) -> None:
    """In UTC, the next due time after noon is the first midnight whose day fits, within eight years."""
    texts = ["0", "0", *drawn.texts[2:]]
    days = (today + timedelta(day) for day in range(1, 8 * 366))
    expected = next((day for day in days if drawn.fit_day(day)), None)
    if expected is not None:
        noon = datetime(today.year, today.month, today.day, 12, tzinfo=UTC)
        due = parse_crontab(" ".join(texts)).next_after(noon, ZoneInfo("UTC"))
        assert due == datetime(expected.year, expected.month, expected.day, tzinfo=UTC)


@settings(max_examples=150, deadline=None)
@given(
    st.builds(
        lambda minute, drawn: Fields([str(minute), *drawn.texts[1:]], drawn.values), st.integers(0, 59), fields()
    ),
    st.sampled_from([name for name, _ in CHANGES]),
    st.datetimes(datetime(1970, 1, 2), datetime(2098, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.integers(0, 500),
)
def test_the_three_questions_agree(drawn: Fields, name: str, after: datetime, days: int) -> None:
    """Over many days, the count and the last are those of the due times that follow one another."""
    assume(can_come(drawn))
    zone, until = ZoneInfo(name), after + timedelta(days=days, seconds=days)
    found = enumerate_due(drawn.expression, zone, after, until)
    crontab = parse_crontab(drawn.expression)
    assert crontab.count_between(after, until, zone) == len(found)
    assert crontab.last_at_or_before(until, zone, not_before=after + MICROSECOND) == (found[-1] if found else None)


@settings(max_examples=200, deadline=None)
@given(fields(), near_changes())
def test_due_times_rise_and_fit(drawn: Fields, start: tuple[ZoneInfo, datetime]) -> None:
    """Due times rise strictly from the instant asked from; those of a wildcard schedule fit what the clock shows."""
    assume(can_come(drawn))
    zone, after = start
    crontab = parse_crontab(drawn.expression)
    for _ in range(5):
        due = crontab.next_after(after, zone)
        assert due is not None
        assert due > after
        assert due.tzinfo is UTC
        assert crontab.next_after(due - MICROSECOND, zone) == due
        assert crontab.last_at_or_before(due, zone, not_before=due) == due
        assert not drawn.is_wildcard or drawn.fit(due.astimezone(zone))
        after = due


def test_every_change_of_every_zone_in_one_year() -> None:
    """In 2025 `* * * * *` is due every minute in every zone of a sample, whatever its clock does."""
    start, end = datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
    for name, _ in CHANGES:
        assert parse_crontab("* * * * *").count_between(start, end, ZoneInfo(name)) == 365 * 24 * 60


def test_nothing_is_due_in_an_empty_span() -> None:
    """A span that ends where it begins, or before, holds nothing."""
    crontab, zone, noon = parse_crontab("* * * * *"), ZoneInfo("Europe/Berlin"), datetime(2025, 1, 1, 12, tzinfo=UTC)
    assert crontab.count_between(noon, noon, zone) == 0
    assert crontab.count_between(noon, noon - timedelta(days=300), zone) == 0
    assert crontab.last_at_or_before(noon - MICROSECOND, zone, not_before=noon) is None
    assert crontab.last_at_or_before(noon, zone, not_before=noon) == noon


@given(drawn=fields(free=(0, 1, 2, 4)), place=near_changes(), hours=st.integers(1, 48), nearby=st.integers(1, 300))
@settings(max_examples=200, deadline=None)
def test_the_shortest_interval_is_that_of_all_due_times(
    drawn: Fields, place: tuple[ZoneInfo, datetime], hours: int, nearby: int
) -> None:
    """It is never longer than a distance that comes; away from changes of the clock it is one of those that come."""
    crontab = parse_crontab(drawn.expression)
    zone, start = place
    end, close = start + timedelta(hours=hours), timedelta(minutes=nearby)
    shortest = crontab.shortest_interval(close, start, end, zone)
    assert shortest <= min(_distances(crontab, start, end, zone), default=shortest)
    if zone.key == "UTC" and shortest < close:  # a day would be the answer if nothing were due on these days
        assert shortest in _distances(crontab, start - timedelta(days=2), end + timedelta(days=2), zone)


def test_the_shortest_interval_of_days_without_a_due_time_is_a_day() -> None:
    """Where no day matches, no two due times are near each other."""
    new_year = datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC)
    shortest = parse_crontab("* * 4 * *").shortest_interval(
        timedelta(minutes=2), new_year, new_year + timedelta(hours=1), ZoneInfo("UTC")
    )
    assert shortest == timedelta(days=1)


def _distances(crontab: Crontab, after: datetime, until: datetime, zone: ZoneInfo) -> list[timedelta]:
    due_times = []
    due = crontab.next_after(after, zone)
    while due is not None and due <= until:
        due_times.append(due)
        due = crontab.next_after(due, zone)
    return [later - earlier for earlier, later in pairwise(due_times)]
