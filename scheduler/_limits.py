"""How long, how large and how far away the values of a task may be."""

from typing import Final

ID_LIMIT: Final = 255
"""The longest id or session, in characters."""
NAME_LIMIT: Final = 255
"""The longest name, in characters."""
WORD_LIMIT: Final = 1_000
"""The longest path, address or cron expression, in characters."""
TEXT_LIMIT: Final = 1_000_000
"""The longest prompt, and the longest JSON of metadata and context, in characters."""
COUNT_LIMIT: Final = 2**31 - 1
"""The largest number of runs, attempts or steps."""
INTERVAL_LIMIT: Final = 3_155_760_000
"""The longest time that a definition may name, in seconds: a hundred years."""
FIRST_YEAR: Final = 2
LAST_YEAR: Final = 9000
"""The years that instants in a definition may have: they and the due times after them have a date in every zone."""
TAG_LIMIT: Final = 64
"""The longest tag, in characters."""
TAGS_LIMIT: Final = 32
"""How many tags a task can have."""
EXCEPTION_LIMIT: Final = 1_000
"""How many due times of a rule can be excluded."""
