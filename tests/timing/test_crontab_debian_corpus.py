"""The corpus: due times made with Debian's own cron, compiled, must be found again.

`debian_corpus.csv` was made from the source package of cron 3.0pl1-162, as it comes, except that the type that counts
minutes got 64 bits (it overflows in 2038). Its `entry.c` parsed each expression; its `cron.c` ran its main loop in the
zone of the row, with `time` and `sleep` replaced by a simulated clock that was started two days before the instant
asked from, so that it knew which pass of an overlap was running; each job that it started after that instant was noted,
several in one minute as one. The rows are random expressions around random changes of clocks (those of zones with odd
ones more often), then calendar dates in few zones, then expressions that its parser refuses (`refused`). Left out are
the expressions that it takes and that mean nothing or not what they say - reversed ranges, text after a value, dates
that never come, `@reboot` -, and Antarctica/Vostok, whose clock went back by seven hours in 1994: from more than three
hours on, it runs fixed schedules in both passes of an overlap.
"""

import csv
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from scheduler.timing.crontab import parse_crontab

with (Path(__file__).parent / "debian_corpus.csv").open(newline="", encoding="utf-8") as file:
    ROWS = list(csv.DictReader(file))
DUE = [row for row in ROWS if row["due"] != "refused"]
REFUSED = [row["expression"] for row in ROWS if row["due"] == "refused"]


def test_due_times_are_those_of_debian() -> None:
    """Asked again and again from the instant of a row, a schedule is due when Debian's cron would run it."""
    wrong = []
    for row in DUE:
        crontab, zone = parse_crontab(row["expression"]), ZoneInfo(row["zone"])
        after: datetime | None = datetime.fromisoformat(row["after"])
        for expected in row["due"].split():
            assert after is not None
            after = crontab.next_after(after, zone)
            if after != datetime.fromisoformat(expected):
                wrong.append((row, after))
                break
    assert wrong == []


def test_looking_back_and_counting_agree_with_debian() -> None:
    """From the last due time of a row back to its instant, there are as many due times as the row has."""
    wrong = []
    for row in DUE:
        crontab, zone = parse_crontab(row["expression"]), ZoneInfo(row["zone"])
        after = datetime.fromisoformat(row["after"])
        expected = [datetime.fromisoformat(each) for each in row["due"].split()]
        count = crontab.count_between(after, expected[-1], zone)
        last = crontab.last_at_or_before(expected[-1], zone, not_before=after)
        if (count, last) != (len(expected), expected[-1]):
            wrong.append((row, count, last))
    assert wrong == []


@pytest.mark.parametrize("expression", REFUSED)
def test_what_debian_refuses_is_refused(expression: str) -> None:
    """Nothing that Debian's parser refuses is accepted."""
    with pytest.raises(ValueError, match=r"^cron_expression "):
        parse_crontab(expression)


def test_the_corpus_is_whole() -> None:
    """The corpus covers both kinds of rows, and many zones."""
    assert len(DUE) > 1_200
    assert len(REFUSED) > 100
    assert len({row["zone"] for row in DUE}) > 100
