"""Schedules in words, as tables: what each phrase means, and what is refused, why, and with what in its place.

All are read on Monday, 1 June 2026, at 10:00 UTC (12:00 in Berlin), unless a case says otherwise.
"""

import itertools
import re
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from scheduler import TaskDefinition, TaskType, parse_schedule
from scheduler.phrases import is_relative

NOW = datetime(2026, 6, 1, 10, 0, tzinfo=UTC)
PAGE = (Path(__file__).parents[2] / "docs" / "words.md").read_text(encoding="utf-8")

CRON = [
    # Days
    ("every day at 9am", "0 9 * * *"),
    ("Every Day At 9AM", "0 9 * * *"),
    ("  every   day\tat 9am ", "0 9 * * *"),
    ("each day at 9am", "0 9 * * *"),
    ("daily at 9am", "0 9 * * *"),
    ("every weekday at 18:00", "0 18 * * 1-5"),
    ("on weekdays at 18:00", "0 18 * * 1-5"),
    ("weekdays at 18:00", "0 18 * * 1-5"),
    ("every Monday at 8:30am", "30 8 * * 1"),
    ("every mon at 8:30am", "30 8 * * 1"),
    ("every Sunday at 23:59", "59 23 * * 0"),
    ("every Tues at 1pm", "0 13 * * 2"),
    ("every Wed at 1pm", "0 13 * * 3"),
    ("every Thurs at 1pm", "0 13 * * 4"),
    ("Mondays at 9am", "0 9 * * 1"),
    ("on Mondays at 9am", "0 9 * * 1"),
    ("on Mondays and Fridays at 9am", "0 9 * * 1,5"),
    ("every Monday and Thursday at 8:30am", "30 8 * * 1,4"),
    ("every Thursday and Monday at 8:30am", "30 8 * * 1,4"),
    ("every Monday, Wednesday and Friday at 7am", "0 7 * * 1,3,5"),
    ("every Monday, Wednesday, and Friday at 7am", "0 7 * * 1,3,5"),
    ("every Monday, Tuesday and Wednesday at 7am", "0 7 * * 1-3"),
    ("every Saturday and Sunday at 10am", "0 10 * * 0,6"),
    ("every weekday and Saturday at 10am", "0 10 * * 1-6"),
    ("every Monday to Friday at 9am", "0 9 * * 1-5"),
    ("every Friday to Monday at 9am", "0 9 * * 0,1,5,6"),
    ("every Monday to Sunday at 9am", "0 9 * * *"),
    ("on Mondays to Thursdays at 9am", "0 9 * * 1-4"),
    ("every week on Monday at 9am", "0 9 * * 1"),
    ("every week on Mondays at 9am", "0 9 * * 1"),
    ("weekly on Friday at 17:00", "0 17 * * 5"),
    ("every day in July at 9am", "0 9 * 7 *"),
    ("every weekday in July and August at 9am", "0 9 * 7,8 1-5"),
    ("every Monday in jan, feb and mar at 9am", "0 9 * 1-3 1"),
    ("on Mondays in June at 9am", "0 9 * 6 1"),
    # Times of day
    ("every day at 09:00", "0 9 * * *"),
    ("every day at 9 am", "0 9 * * *"),
    ("every day at 9 a.m.", "0 9 * * *"),
    ("every day at 9:05pm", "5 21 * * *"),
    ("every day at 9:05 p.m.", "5 21 * * *"),
    ("every day at 00:00", "0 0 * * *"),
    ("every day at 12:30am", "30 0 * * *"),
    ("every day at 12:30pm", "30 12 * * *"),
    ("every day at 12:00", "0 12 * * *"),
    ("every day at noon", "0 12 * * *"),
    ("every day at midnight", "0 0 * * *"),
    ("every day at 11pm", "0 23 * * *"),
    ("every day at 9am and 5pm", "0 9,17 * * *"),
    ("every day at 9am, noon and 18:00", "0 9,12,18 * * *"),
    ("every day at 9am, 10am and 11am", "0 9-11 * * *"),
    ("every day at 9am, 9:30am, 5pm and 5:30pm", "0,30 9,17 * * *"),
    ("every Monday at 17:00 and 09:00", "0 9,17 * * 1"),
    # Days of a month, and of a year
    ("on the 1st of every month at noon", "0 12 1 * *"),
    ("on the 1st of each month at noon", "0 12 1 * *"),
    ("on the 1st and 15th of every month at 9am", "0 9 1,15 * *"),
    ("on the 1st and the 15th of every month at 9am", "0 9 1,15 * *"),
    ("on the 2nd, 3rd and 22nd of every month at 9am", "0 9 2,3,22 * *"),
    ("on the 1st to 7th of every month at 9am", "0 9 1-7 * *"),
    ("on the 1st to the 7th of every month at 9am", "0 9 1-7 * *"),
    ("on the 28th of every month at 00:00", "0 0 28 * *"),
    ("every month on the 1st at 9am", "0 9 1 * *"),
    ("every month on the 11th, 12th and 13th at 9am", "0 9 11-13 * *"),
    ("monthly on the 1st at 9am", "0 9 1 * *"),
    ("on the 1st of every January at 9am", "0 9 1 1 *"),
    ("on the 1st of every January, April, July and October at 9am", "0 9 1 1,4,7,10 *"),
    ("on the 31st of every January at 9am", "0 9 31 1 *"),
    ("on the 30th of every June and November at 9am", "0 9 30 6,11 *"),
    ("every July on the 4th at 9am", "0 9 4 7 *"),
    ("every June and July on the 1st at 9am", "0 9 1 6,7 *"),
    ("every year on 1 January at 9am", "0 9 1 1 *"),
    ("every year on January 1 at 9am", "0 9 1 1 *"),
    ("every year on January 1st at 9am", "0 9 1 1 *"),
    ("every year on the 24th of December at 18:00", "0 18 24 12 *"),
    ("every year on 24 dec at 18:00", "0 18 24 12 *"),
    ("yearly on 28 February at noon", "0 12 28 2 *"),
    # Steps of the clock
    ("every minute", "* * * * *"),
    ("every 1 minute", "* * * * *"),
    ("every 2 minutes", "*/2 * * * *"),
    ("every 5 minutes", "*/5 * * * *"),
    ("every 5 mins", "*/5 * * * *"),
    ("every 30 minutes", "*/30 * * * *"),
    ("every hour", "0 * * * *"),
    ("hourly", "0 * * * *"),
    ("every 1 hour", "0 * * * *"),
    ("every hour at :15", "15 * * * *"),
    ("every hour at :15 and :45", "15,45 * * * *"),
    ("every hour at :45, :00 and :15", "0,15,45 * * * *"),
    ("every hour at :00 and :30", "*/30 * * * *"),
    ("hourly at :05", "5 * * * *"),
    ("every 2 hours", "0 */2 * * *"),
    ("every 2 hrs", "0 */2 * * *"),
    ("every 6 hours at :30", "30 */6 * * *"),
    ("every 12 hours", "0 */12 * * *"),
    ("every 15 minutes on weekdays", "*/15 * * * 1-5"),
    ("every minute on Sundays", "* * * * 0"),
    ("every hour on Mondays and Thursdays", "0 * * * 1,4"),
    ("every hour at :30 on Mondays in June", "30 * * 6 1"),
    ("every 10 minutes in December", "*/10 * * 12 *"),
    ("every hour on the 1st of every month", "0 * 1 * *"),
    ("every hour from 9am to 5pm", "0 9-17 * * *"),
    ("every hour from 09:30 to 17:30", "30 9-17 * * *"),
    ("every hour from 9am to 5pm on weekdays", "0 9-17 * * 1-5"),
    ("every hour from 00:00 to 23:00", "0 0-23 * * *"),
]

INTERVALS = [
    ("every second", 1),
    ("every 1 second", 1),
    ("every 10 seconds", 10),
    ("every 45 secs", 45),
    ("every 60 seconds", 60),
    ("every 300 seconds", 300),
    ("every 7 minutes", 420),
    ("every 25 minutes", 1_500),
    ("every 60 minutes", 3_600),
    ("every 90 minutes", 5_400),
    ("every 120 minutes", 7_200),
    ("every 5 hours", 18_000),
    ("every 7 hours", 25_200),
    ("every 24 hours", 86_400),
    ("every 36 hours", 129_600),
    ("every 1 hour 30 minutes", 5_400),
    ("every 1 hour and 30 minutes", 5_400),
    ("every 1 minute 30 seconds", 90),
    ("every 876600 hours", 3_155_760_000),
]

# The zone, the phrase, the instant.
INSTANTS = [
    (None, "in 30 minutes", "2026-06-01T10:30+00:00"),
    (None, "in 1 minute", "2026-06-01T10:01+00:00"),
    (None, "in a minute", "2026-06-01T10:01+00:00"),
    (None, "in an hour", "2026-06-01T11:00+00:00"),
    (None, "in 2 hours", "2026-06-01T12:00+00:00"),
    (None, "in 2 hours 30 minutes", "2026-06-01T12:30+00:00"),
    (None, "in 45 seconds", "2026-06-01T10:00:45+00:00"),
    (None, "in 2 days", "2026-06-03T10:00+00:00"),
    (None, "in a week", "2026-06-08T10:00+00:00"),
    (None, "in 1 week and 2 days", "2026-06-10T10:00+00:00"),
    ("Europe/Berlin", "in 30 minutes", "2026-06-01T12:30+02:00"),
    ("Europe/Berlin", "in 2 days", "2026-06-03T12:00+02:00"),
    (None, "today at 6pm", "2026-06-01T18:00+00:00"),
    (None, "today at noon", "2026-06-01T12:00+00:00"),
    (None, "tomorrow at 9am", "2026-06-02T09:00+00:00"),
    (None, "Tomorrow at 00:00", "2026-06-02T00:00+00:00"),
    ("Europe/Berlin", "tomorrow at 9am", "2026-06-02T09:00+02:00"),
    ("Pacific/Kiritimati", "today at 9am", "2026-06-02T09:00+14:00"),
    (None, "at 2027-03-15 14:00", "2027-03-15T14:00+00:00"),
    (None, "2027-03-15 14:00", "2027-03-15T14:00+00:00"),
    (None, "at 2027-03-15T14:00", "2027-03-15T14:00+00:00"),
    (None, "at 2027-03-15 at 2pm", "2027-03-15T14:00+00:00"),
    (None, "on 2027-03-15 at 14:00", "2027-03-15T14:00+00:00"),
    (None, "on 2027-03-15 at noon", "2027-03-15T12:00+00:00"),
    (None, "at 2027-03-15 14:00:30", "2027-03-15T14:00:30+00:00"),
    (None, "at 2027-03-15 14:00:30.25", "2027-03-15T14:00:30.250000+00:00"),
    (None, "at 2027-03-15T14:00Z", "2027-03-15T14:00+00:00"),
    (None, "at 2027-03-15 14:00+01:00", "2027-03-15T14:00+01:00"),
    ("Europe/Berlin", "at 2027-03-15 14:00-05:30", "2027-03-15T14:00-05:30"),
    ("Europe/Berlin", "at 2027-03-15 14:00", "2027-03-15T14:00+01:00"),
    ("Europe/Berlin", "at 2027-07-15 14:00", "2027-07-15T14:00+02:00"),
    (None, "on 15 March 2027 at 2pm", "2027-03-15T14:00+00:00"),
    (None, "on 15th March 2027 at 2pm", "2027-03-15T14:00+00:00"),
    (None, "on the 15th of March 2027 at 2pm", "2027-03-15T14:00+00:00"),
    (None, "on March 15, 2027 at 2pm", "2027-03-15T14:00+00:00"),
    (None, "mar 15 2027 at 2pm", "2027-03-15T14:00+00:00"),
    (None, "on 29 February 2028 at noon", "2028-02-29T12:00+00:00"),
    (None, "tomorrow at 9am (Europe/Berlin)", "2026-06-02T09:00+02:00"),
    # Where the clock is changed, the instants beside the change, and those of the overlap with their offset.
    ("Europe/Berlin", "at 2027-03-28 01:59", "2027-03-28T01:59+01:00"),
    ("Europe/Berlin", "at 2027-03-28 03:00", "2027-03-28T03:00+02:00"),
    ("Europe/Berlin", "at 2026-10-25 02:30+02:00", "2026-10-25T02:30+02:00"),
    ("Europe/Berlin", "at 2026-10-25 02:30+01:00", "2026-10-25T02:30+01:00"),
    ("Europe/Berlin", "at 2026-10-25 03:00", "2026-10-25T03:00+01:00"),
]

# The phrase, the reason, what to write instead.
REFUSED = [
    # Not said: at what time, on which day, how often
    ("", "it is empty", "every day at 9am"),
    ("   ", "it is empty", "every day at 9am"),
    ("every", "how often", "every day at 9am"),
    ("every day", "at what time", "every day at 9am"),
    ("daily", "at what time", "every day at 9am"),
    ("every weekday", "at what time", "every weekday at 9am"),
    ("every Monday", "at what time", "every Monday at 9am"),
    ("every Monday and Friday", "at what time", "every Monday and Friday at 9am"),
    ("on the 1st of every month", "at what time", "on the 1st of every month at 9am"),
    ("every year on 1 January", "at what time", "every year on 1 January at 9am"),
    ("tomorrow", "at what time", "tomorrow at 9am"),
    ("on 2027-03-15", "at what time", "on 2027-03-15 at 9am"),
    ("every week", "on which day", "every week on Monday at 9am"),
    ("weekly at 9am", "on which day", "every week on Monday at 9am"),
    ("every month at 9am", "on which day", "every month on the 1st at 9am"),
    ("monthly", "on which day", "every month on the 1st at 9am"),
    ("every year at 9am", "on which day", "every year on 1 January at 9am"),
    ("every January at 9am", "on which day", "every January on the 1st at 9am"),
    ("9am", "on which day", "tomorrow at 9am"),
    ("noon", "on which day", "every day at noon"),
    ("twice a day", "at what times", "every day at 9am and 5pm"),
    ("three times a day", "at what times", "every day at 9am, 1pm and 5pm"),
    ("on the 15th at 9am", "of which month", "on the 15th of every month at 9am"),
    # Ambiguous
    ("every day at 9", "morning or evening", "every day at 9am' or 'every day at 9pm"),
    ("every day at 9 and 5pm", "morning or evening", "every day at 9am and 5pm"),
    ("every day at 9:30", "morning or evening", "every day at 9:30am' or 'every day at 9:30pm"),
    ("every day at 12", "morning or evening", "every day at noon' or 'every day at 00:00"),
    ("every Monday at midnight", "beginning or the end", "every Monday at 00:00"),
    ("on the 1st of every month at midnight", "beginning or the end", "on the 1st of every month at 00:00"),
    ("tomorrow at midnight", "beginning or the end", "tomorrow at 00:00"),
    ("next Monday at 9am", "not clear", "on 2026-06-08 at 9am"),
    ("this Friday at 9am", "not clear", "on 2026-06-05 at 9am"),
    ("on the 1st of the month at 9am", "once or every month", "on the 1st of every month at 9am"),
    ("biweekly at 9am", "twice a week or every other week", "every other Monday at 9am"),
    ("bimonthly at 9am", "twice a month or every second month", "on the 1st and 15th of every month at 9am"),
    ("every Monday to Monday at 9am", "one day or a week", "every Monday at 9am"),
    ("every morning", "no time", "every day at 9am"),
    ("tomorrow morning", "no time", "tomorrow at 9am"),
    ("on 03/04/2027 at 9am", "year-month-day", "on 2027-03-04 at 9am' or 'on 2027-04-03 at 9am"),
    ("at 2027-3-15 14:00", "year-month-day", "on 2027-03-15"),
    ("every 3 months on the 1st at 9am", "which months", "on the 1st of every January, April, July and October at 9am"),
    ("every quarter at 9am", "which months", "on the 1st of every January, April, July and October at 9am"),
    ("every 30 minutes from 9am to 5pm", "not clear", "every 30 minutes between 09:00 and 17:00"),
    ("in a month", "no one length", "in 30 days"),
    ("in 2 years", "no one length", "in 730 days"),
    # Beyond five fields
    ("every last day of the month", "at what time", "on the last day of every month at 9am"),
    ("every second Tuesday at 9am", "days of the month, or leave out weeks", "every other Tuesday at 9am"),
    ("every fortnight", "on which day", "every 2 weeks on Monday at 9am"),
    ("every 2 days", "cannot count days", "every 48 hours"),
    ("every 1 day", "cannot count days", "every 24 hours"),
    ("every 2 weeks", "on which day", "every 336 hours"),
    ("on the 31st of every month at noon", "not have a 31st", "on the 28th of every month at noon"),
    ("on the 30th of every month at noon", "February does not have a 30th", "on the 28th of every month at noon"),
    ("on the 29th of every month at noon", "February does not have a 29th each year", "on the 28th of every month"),
    ("every year on 29 February at noon", "February does not have a 29th", "every year on 28 February at noon"),
    ("on the 31st of every June at noon", "June does not have a 31st", "on the 28th of every June at noon"),
    ("every hour on the 31st of every month", "not have a 31st", "every hour on the 28th of every month"),
    ("every day at 9am and 5:30pm", "just these times", "every day at 09:00' or 'every day at 17:30"),
    ("every 7 minutes on weekdays", "equal steps of 7 minutes", "every 6 minutes on weekdays"),
    ("every 5 hours at :15", "equal steps of 5 hours", "every 4 hours at :15' or 'every 5 hours"),
    ("every 10 seconds on Mondays", "equal steps of 10 seconds", "every minute on Mondays"),
    ("every weekday at 9am until June", "no bounds", "every weekday at 9am"),
    ("every 5 minutes starting at 9am", "no bounds", "every 5 minutes"),
    ("every Monday at 9am and every Tuesday at 10am", "several schedules", "every Monday at 9am"),
    ("tomorrow at 9am and 5pm", "several instants", "tomorrow at 09:00"),
    # Impossible
    ("every day at 25:00", "no time of day", "every day at 23:00"),
    ("every day at 24:00", "beginning of the next day", "every day at 00:00"),
    ("every day at 09:60", "no time of day", "every day at 09:59"),
    ("every day at 13pm", "24-hour clock", "every day at 13:00"),
    ("every day at 0am", "no time of day", "every day at 00:00"),
    ("every day at 9:75am", "no such minute", "every day at 9:59am"),
    ("every day at 9am and 09:00", "09:00 is there twice", "every day at 9am"),
    ("every Monday and Monday at 9am", "Monday is there twice", "every Monday at 9am"),
    ("every weekday and Friday at 9am", "Friday is there twice", "every weekday at 9am"),
    ("on the 1st and 1st of every month at 9am", "1st is there twice", "every day at 9am"),
    ("on the 7th to 1st of every month at 9am", "runs backwards", "every day at 9am"),
    ("on the 32nd of every month at 9am", "no month has a 32nd", "on the 28th of every month at 9am"),
    ("on the 2th of every month at 9am", "misspelt", "on the 2nd of every month at 9am"),
    ("every hour at :60", "no minute of an hour", "every hour at :59"),
    ("every hour at :15 and :15", ":15 is there twice", "every day at 9am"),
    ("every hour from 9am to 9am", "begins and ends at 09:00", "every day at 09:00"),
    ("every hour from 9am to 5:30pm", "other minutes", "every hour from 09:00 to 17:00"),
    ("every 0 minutes", "no length of time", "every 1 minute"),
    ("in 0 minutes", "no length of time", "in 1 minute"),
    ("every 30 minutes 1 hour", "larger units come first", "every day at 9am"),
    ("every 876601 hours", "longer than a hundred years", "every day at 9am"),
    ("in 999999999999 weeks", "longer than a hundred years", "every day at 9am"),
    ("at 2027-02-30 09:00", "no 30 February 2027", "on 2027-02-28 at 9am"),
    ("every year on February 30 at 9am", "February has no 30th", "on the 28th of every February at 9am"),
    ("on the 31st of April at noon", "April has no 31st", "on the 30th of every April at 9am"),
    ("at 2027-13-01 09:00", "no month 13", "every day at 9am"),
    ("on 29 February 2027 at noon", "no 29 February 2027", "on 2027-02-28 at 9am"),
    ("at 2227-01-01 09:00", "more than a hundred years away", "tomorrow at 09:00"),
    ("at 2027-03-15 14:00+25:00", "no offset from UTC", "at 2027-03-15 14:00"),
    # In the past
    ("today at 9am", "has passed", "tomorrow at 09:00"),
    ("today at 10:00", "has passed", "tomorrow at 10:00"),
    ("at 2026-06-01 10:00", "has passed", "at 2027-06-01 10:00"),
    ("at 2020-09-01 09:00", "has passed", "at 2026-09-01 09:00"),
    ("at 2026-06-01 12:00+02:00", "has passed", "tomorrow at 12:00"),
    ("now", "in the future", "in 1 minute"),
    # Said otherwise
    ("every hour at 15", "no minute of an hour", "every hour at :15"),
    ("every hour at :5", "no minute of an hour", "every hour at :05"),
    ("every day at 9am EST", "no name of one time zone", "every day at 9am"),
    ("every day at 9am (Mars/Phobos)", "no time zone has the name", "every day at 9am"),
    ("every day at 9 (Europe/Berlin)", "morning or evening", "every day at 9am (Europe/Berlin)"),
    ("at 2027-03-28 02:30 (Europe/Berlin)", "does not exist", "at 2027-03-28 03:30 (Europe/Berlin)"),
    ("every 7 minutes (Europe/Berlin)", "no time zone", "every 7 minutes"),
    # Not English enough
    ("evry day at 9am", "'evry' is not understood", "every day at 9am"),
    ("every Munday at 9am", "'munday' is not understood", "every Monday at 9am"),
    ("every minute at 9am", "'at' is not understood", "every day at 9am"),
    ("every -5 minutes", "'-5' is not understood", "every day at 9am"),
    ("jeden Tag um 9 Uhr", "'jeden' is not understood", "every day at 9am"),
    ("täglich um 9", "no plain English letter", "every day at 9am"),
    ("every day at \uff19am", "no plain English letter", "every day at 9am"),
    ("x" * 1_001, "at most 1,000", "every day at 9am"),
    (
        "every day at " + " and ".join(f"{h:02}:{m:02}" for h in range(5) for m in range(5)),
        "lists 25 times",
        "every day",
    ),
]

# The zone, the phrase, the reason, what to write instead.
WHERE_CLOCKS_ARE_CHANGED = [
    ("Europe/Berlin", "at 2027-03-28 02:30", "does not exist", "at 2027-03-28 03:30' or 'at 2027-03-28 01:30"),
    ("Europe/Berlin", "at 2027-03-28 02:00", "does not exist", "at 2027-03-28 03:00' or 'at 2027-03-28 01:00"),
    ("Europe/Berlin", "at 2026-10-25 02:30", "twice", "at 2026-10-25 02:30+02:00' or 'at 2026-10-25 02:30+01:00"),
    ("Europe/Berlin", "on 25 October 2026 at 2:00am", "twice", "at 2026-10-25 02:00+02:00"),
    ("Australia/Lord_Howe", "at 2026-10-04 02:15", "does not exist", "at 2026-10-04 02:45' or 'at 2026-10-04 01:45"),
    ("Europe/Berlin", "in 200 days", "24 hours or the same time of day", "in 4800 hours"),
    ("Europe/Berlin", "in 30 weeks", "24 hours or the same time of day", "in 5040 hours"),
]


def read(phrase, *, timezone=None, now=NOW):
    return parse_schedule(phrase, timezone=timezone, now=now)


def refusal(phrase, **arguments):
    with pytest.raises(ValueError, match=r"; write '") as caught:
        read(phrase, **arguments)
    assert type(caught.value) is ValueError
    return str(caught.value)


@pytest.mark.parametrize(("phrase", "expression"), CRON)
def test_a_phrase_that_is_a_cron_expression(phrase, expression):
    """These fields and no others."""
    assert read(phrase) == {"task_type": TaskType.CRON, "cron_expression": expression}


@pytest.mark.parametrize(("phrase", "seconds"), INTERVALS)
def test_a_phrase_that_is_an_interval(phrase, seconds):
    """What no clock can show in equal steps; an interval has no zone."""
    fields = {"task_type": TaskType.INTERVAL, "interval_seconds": seconds}
    assert read(phrase) == read(phrase, timezone="Europe/Berlin") == fields


@pytest.mark.parametrize(("zone", "phrase", "instant"), INSTANTS)
def test_a_phrase_that_is_an_instant(zone, phrase, instant):
    """At the offset that the zone's clock then has."""
    expected = datetime.fromisoformat(instant)
    fields = read(phrase, timezone=zone)
    assert fields == {"task_type": TaskType.ONE_TIME, "run_at": expected}
    assert fields["run_at"].isoformat() == expected.isoformat()


@pytest.mark.parametrize(("phrase", "reason", "instead"), REFUSED, ids=[case[0][:60] for case in REFUSED])
def test_a_phrase_that_is_refused(phrase, reason, instead):
    """With the reason, and what works instead."""
    message = refusal(phrase)
    assert message.startswith(f"schedule {phrase[:80]!r}"[:-1])
    assert reason in message
    assert instead in message.rpartition("; write ")[2]


@pytest.mark.parametrize(("zone", "phrase", "reason", "instead"), WHERE_CLOCKS_ARE_CHANGED)
def test_a_local_time_that_is_not_there_once(zone, phrase, reason, instead):
    """It is never moved silently, and never taken for one of two."""
    message = refusal(phrase, timezone=zone)
    assert reason in message
    assert instead in message.rpartition("; write ")[2]


def test_tomorrow_may_be_a_day_whose_clock_is_changed():
    """The same rule as for a date."""
    now = datetime(2027, 3, 27, 12, tzinfo=UTC)
    assert "'at 2027-03-28 03:30'" in refusal("tomorrow at 2:30am", timezone="Europe/Berlin", now=now)
    assert read("tomorrow at 3:30am", timezone="Europe/Berlin", now=now)["run_at"].utcoffset() == timedelta(hours=2)
    assert read("tomorrow at 2:30am", now=now)["run_at"] == datetime(2027, 3, 28, 2, 30, tzinfo=UTC)


@pytest.mark.parametrize("case", [*REFUSED, *(case[1:] for case in WHERE_CLOCKS_ARE_CHANGED)], ids=lambda c: c[0][:60])
@pytest.mark.parametrize("zone", [None, "Europe/Berlin", "Pacific/Apia"])
def test_what_a_refusal_offers_works(case, zone):
    """Each phrase that stands after `write`, in the same zone and at the same time."""
    zone = None if "(Europe" in case[0] else zone
    try:
        read(case[0], timezone=zone)
    except ValueError as error:
        offered = re.findall(r"'([^']+)'", str(error).rpartition("; write ")[2])
        assert offered
        for phrase in offered:
            read(phrase, timezone=zone)


@pytest.mark.parametrize(
    "word", ["at", "in", "every", "x", "and every", "(", "9", "every day at 9 and", "0-9", "on the 1st,"]
)
def test_a_long_text_is_refused_at_once(word):
    """However often a word is repeated, twice the text is no more than about twice the work."""
    number = 1_000 // (len(word) + 1)
    assert calls_for(f"{word} " * number) < 3 * calls_for(f"{word} " * (number // 2)) + 1_000


def calls_for(text):
    """Return how many functions are called until a text is refused."""
    counted = itertools.count()
    sys.setprofile(lambda *_: next(counted))
    try:
        refusal(text)
    finally:
        sys.setprofile(None)
    return next(counted)


def test_the_tables_are_long_enough():
    """A hundred and more of each, none twice."""
    accepted = [case[0] for case in CRON + INTERVALS] + [f"{zone} {phrase}" for zone, phrase, _ in INSTANTS]
    refused = [case[0] for case in REFUSED]
    assert len(accepted) == len(set(accepted)) >= 120
    assert len(refused) == len(set(refused)) >= 110


@pytest.mark.parametrize(("zone", "phrase"), [(None, c[0]) for c in CRON + INTERVALS] + [c[:2] for c in INSTANTS])
def test_the_fields_make_a_definition(zone, phrase):
    """Whatever a phrase means, and in upper case it means the same."""
    fields = read(phrase, timezone=zone)
    task = TaskDefinition(id="t", name="T", prompt="Go.", **fields)
    assert {name: getattr(task, name) for name in fields} == fields
    if "(" not in phrase:
        assert read(phrase.upper(), timezone=zone) == fields


# --- Zones and the present ---


@pytest.mark.parametrize(
    ("phrase", "zone"),
    [
        ("every day at 9am", "Europe/Berlin"),
        ("every day at 9am (Europe/Berlin)", None),
        ("every day at 9am (Europe/Berlin)", "Europe/Berlin"),
        ("EVERY DAY AT 9AM (EUROPE/BERLIN)", None),
        ("every day at 9am(  Europe/Berlin ) ", None),
    ],
)
def test_a_cron_expression_names_its_zone(phrase, zone):
    """The argument's, or that of the phrase itself."""
    assert read(phrase, timezone=zone) == {
        "task_type": TaskType.CRON,
        "cron_expression": "0 9 * * *",
        "timezone": "Europe/Berlin",
    }


def test_two_zones_are_refused():
    """Neither of them wins."""
    message = refusal("every day at 9am (Europe/Berlin)", timezone="Asia/Tokyo")
    assert "it names the zone Europe/Berlin, but timezone='Asia/Tokyo' was given" in message


@pytest.mark.parametrize("zone", ["Mars/Phobos", "", "../etc/passwd", 5])
def test_an_unknown_zone_is_refused(zone):
    """Also for a phrase that has no need of one."""
    with pytest.raises(ValueError, match=r"no time zone has this name"):
        read("every 7 minutes", timezone=zone)


def test_a_naive_present_is_refused():
    """It would be taken for the wrong instant somewhere."""
    with pytest.raises(ValueError, match=r"now=2026-06-01T10:00:00 has no time zone"):
        read("in 30 minutes", now=NOW.replace(tzinfo=None))


@pytest.mark.parametrize("now", ["today", 5, datetime(2026, 6, 1).date(), 10**5000], ids=range(4))  # noqa: DTZ001
def test_a_present_that_is_no_datetime_is_refused(now):
    """Here, and not by whatever it meets first."""
    with pytest.raises(ValueError, match=r"now=.* is no datetime; give an aware one"):
        read("in 30 minutes", now=now)


def test_errors_stay_short():
    """Whatever is given for a phrase or a zone."""
    for arguments in (("x" * 10**6, None), ("at " + "9" * 10**6, None), ("every hour", "x" * 10**6), (10**5000, None)):
        with pytest.raises(ValueError) as caught:  # noqa: PT011 (it is looked at below)
            parse_schedule(arguments[0], timezone=arguments[1])
        assert len(str(caught.value)) < 500


@pytest.mark.parametrize("text", [None, 5, b"every day at 9am"])
def test_what_is_no_text_is_refused(text):
    """As a ValueError, like everything else."""
    with pytest.raises(ValueError, match="is no text"):
        parse_schedule(text)


def test_the_present_is_the_clock_of_the_machine():
    """Unless another is given."""
    before = datetime.now(UTC)
    due = parse_schedule("in 30 minutes")["run_at"]
    assert before + timedelta(minutes=30) <= due <= datetime.now(UTC) + timedelta(minutes=30, seconds=1)


def test_a_length_of_time_ends_on_a_whole_second():
    """Rounded up: never before its time."""
    now = NOW.replace(second=7, microsecond=1)
    assert read("in 1 second", now=now)["run_at"] == NOW.replace(second=9)


@pytest.mark.parametrize(
    "phrase", ["in 2 days", "tomorrow at 9am", "the day after tomorrow at 9am", "at 9999-12-31 23:59-05:00"]
)
def test_the_calendar_ends(phrase):
    """After the year 9999 nothing is due."""
    refusal(phrase, now=datetime.max.replace(tzinfo=UTC))


@pytest.mark.parametrize("zone", [None, "Asia/Tokyo", "America/New_York", "Pacific/Kiritimati"])
@pytest.mark.parametrize("year", [1, 2026, 9998, 9999])
@pytest.mark.parametrize(
    "phrase",
    [
        "at 9999-12-31 23:59",
        "at 9999-12-31 23:59 (Asia/Tokyo)",
        "at 0001-01-01 00:00",
        "at 0001-01-01 00:00+14:00",
        "at 31 Dec at 9",
        "at 9999-12-31",
        "at 1 Jan 14:00",
        "today at 9am",
        "in 3 days",
        "in 1 hour (Asia/Tokyo)",
        "at 2026-10-25 02:30 (Europe/Berlin)",
        "every so often",
    ],
)
def test_the_ends_of_the_calendar(phrase, year, zone):
    """Whatever the present and the zone are, a phrase is read, or refused as every other, with a phrase that works."""
    for now in (datetime(year, 1, 1, tzinfo=UTC), datetime(year, 12, 31, 23, 59, 59, tzinfo=UTC)):
        with suppress(ValueError):
            assert parse_schedule(phrase, timezone=zone, now=now)


def test_the_present_may_be_in_any_zone():
    """An instant is an instant."""
    tokyo = NOW.astimezone(ZoneInfo("Asia/Tokyo"))
    assert read("tomorrow at 9am", now=tokyo) == read("tomorrow at 9am")
    assert read("in 2 days", now=tokyo)["run_at"].isoformat() == "2026-06-03T10:00:00+00:00"


@pytest.mark.parametrize(
    ("phrase", "relative"),
    [
        ("in 30 minutes", True),
        (" In 30 minutes", True),
        ("tomorrow at 9am", True),
        ("TODAY at 18:00 (Europe/Berlin)", True),
        ("every day at 9am", False),
        ("every 90 minutes", False),
        ("at 2027-03-15 14:00", False),
        ("", False),
        ("inside", False),
    ],
)
def test_what_depends_on_the_present_can_be_told(phrase, relative):
    """A file of tasks that is read again tomorrow must not hold it."""
    assert is_relative(phrase) is relative


# --- The page ---

ROWS = re.findall(r"^\| `([^`]+)` \| `([^`]+)` \|", PAGE, flags=re.MULTILINE)


@pytest.mark.parametrize(("phrase", "meaning"), ROWS)
def test_the_page_is_right(phrase, meaning):
    """Each phrase of its tables means what stands beside it."""
    fields = read(phrase, timezone="Europe/Berlin", now=datetime(2026, 6, 1, 8, tzinfo=UTC))
    value = next(value for name, value in fields.items() if name not in ("task_type", "timezone"))
    shown = value.isoformat(" ", "minutes") if isinstance(value, datetime) else str(value)
    assert shown == meaning.removesuffix(" s")


def test_the_page_has_tables():
    """The test above looks at something."""
    assert len(ROWS) > 20


REFUSALS = re.findall(r"^\| `([^`]+)` \| [^`|]+ \| `([^`]+)`", PAGE, flags=re.MULTILINE)


@pytest.mark.parametrize(("phrase", "instead"), REFUSALS)
def test_the_page_is_right_about_what_is_refused(phrase, instead):
    """And about what to write instead."""
    message = refusal(phrase, timezone="Europe/Berlin", now=datetime(2026, 6, 1, 8, tzinfo=UTC))
    assert f"'{instead}'" in message.rpartition("; write ")[2]
