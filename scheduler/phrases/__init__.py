"""Schedules in words: a phrase of a small strict English grammar -> the schedule fields of a task, and back.

`refusal` says no and what works instead, `spelling` writes a text in words of one kind, `arrangement` puts its clauses
in the order of the grammar, `mentions` keeps the days of a refused phrase, `reader` takes a phrase apart word by word,
`clock_times` and `calendar_days` read the times and the days in it, `cron` writes and expands the fields of a crontab
expression, `moments` places a local time on the clock of a zone, `grammar` reads phrases that come again, `once` those
of one instant, `rules` what cron cannot say, `hints` knows what people try that cannot be said, `parsing` puts these
together; `description` and `day_words` go the other way.
"""

from scheduler.phrases.description import describe
from scheduler.phrases.parsing import is_relative, names_zone, parse_schedule

__all__ = ["describe", "is_relative", "names_zone", "parse_schedule"]
