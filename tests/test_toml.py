"""Where keys and tables stand in TOML text, and values as TOML text."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler import _toml

# --- Where things stand ---

ODD_VALUES = [
    "1",
    '"[[task]]"',
    "'# no comment'",
    '"a \\" [[task]]"',
    '"""\n[[task]]\nid = 1\n"""',
    '"""one \\""" [[task]]\n""\n"""""',
    "'''\n[[task]]\n\\'''''",
    '""""""',
    '["task"]',
    '[\n  ["task"],\n  [["task"]], # ]\n]',
    '[\n  \'[[task]]\',\n  """\n]""",\n]',
    "{ id = [\n[1], [2],\n], name.x = '}' }",
    "2027-03-15 14:00:00.5+01:00",
    "[ ]",
    "{}",
    "true # [[task]]",
]
BETWEEN = st.sampled_from(["", "# [[task]]\n", "# \"\"\" '''\n", "\n\n", "  \t\n"])
KEYS = st.sampled_from(["id", '"name"', "'prompt'", "max_runs", '"m\\u0065tadata"', "context . a", "x.y.z"])
PAIRS = st.tuples(BETWEEN, KEYS, st.sampled_from(ODD_VALUES))
TABLES = st.lists(st.lists(PAIRS, max_size=4, unique_by=lambda pair: pair[1]), max_size=4)
PLAIN = {"id": "id", '"name"': "name", "'prompt'": "prompt", "max_runs": "max_runs", '"m\\u0065tadata"': "metadata"}


@given(TABLES, st.sampled_from(["\n", "\r\n"]), st.sampled_from(["[[task]]", "[[ 'task' ]]", '[["t\\u0061sk"]]']))
def test_each_key_is_found_where_it_is_written(tables, line_end, header):
    """Whatever values, strings, comments and blank lines stand before it."""
    text, expected = "", {}

    def here():
        return text.count("\n") + 1

    for number, pairs in enumerate(tables):
        expected[("task", number)] = here()
        text += f"{header} # [[no]]\n"
        for between, key, value in pairs:
            text += between
            expected[("task", number, PLAIN.get(key, key[:7].strip() if key[0] == "c" else "x"))] = here()
            text += f"  {key} = {value}\n"
    tomllib.loads(text)
    found = _toml.lines_of(text.replace("\n", line_end))
    assert {path: found[path] for path in expected} == expected
    assert {path for path in found if len(path) == 2} == {("task", number) for number in range(len(tables))}


@pytest.mark.parametrize(
    ("text", "path", "line"),
    [
        ("task = [\n  {id = 'a'},\n  {id = 'b', name\t= 'b'},\n]", ("task", 1, "name"), 3),
        ("task = [\n  {id = 'a', metadata = {x = [\n1,\n]}},\n {id = 'b'}]", ("task", 1, "id"), 5),
        ("[[task]]\n[task.metadata]\na = 1\n[[task]]\nb = 1\n[task.metadata]", ("task", 1, "metadata"), 6),
        ("[[task]]\n[[task.metadata.steps]]\na = 1\n[[task.metadata.steps]]", ("task", 0, "metadata"), 2),
        ("[[task]]\nmetadata.a.b = 1\nmetadata.a.c = 2", ("task", 0, "metadata"), 2),
        ("x = [[\n'task']]\n\n\"timezone\" = 1", ("timezone",), 4),
        ("\n\n[tasks]\n[[task]]", ("tasks",), 3),
    ],
)
def test_tables_in_other_forms(text, path, line):
    """Inline tables, tables of a task's own, arrays of tables in them, dotted keys and top-level keys."""
    tomllib.loads(text)
    assert _toml.lines_of(text)[path] == line


@given(st.text(st.sampled_from("[]{}\"'#=\n\\.,ab1 ")))
def test_any_text_is_looked_through(text):
    """A text that is no TOML has lines as far as it can be read; looking through it raises nothing."""
    assert all(1 <= line <= text.count("\n") + 1 for line in _toml.lines_of(text).values())
    _toml.line_nested_deeper(text, 1)
    _toml.line_of_digits(text, 1)
    _toml.line_of_dotted_key(text, 2)


def test_the_line_that_is_nested_too_deeply():
    """Brackets in strings and comments do not count."""
    text = 'a = \'[[[[\'\nb = """\n[[[[""" # [[[[\nc = [[[]]]\nd = [{e = [[1]]}]\n'
    assert _toml.line_nested_deeper(text, 3) == 5
    assert _toml.line_nested_deeper(text, 4) is None


def test_the_line_with_a_key_of_too_many_parts():
    """Dots in strings, comments and numbers do not count, nor do those of several keys together."""
    text = "a.b = 1.5 # c.d.e.f\nx = { a.b = 'a.b.c.d', c . \"d.e\" = [1.5, 2.5] }\n[a.b]\n[a.'b'.c]\n"
    assert _toml.line_of_dotted_key(text, 3) == 4
    assert _toml.line_of_dotted_key(text, 4) is None


def test_the_line_with_too_many_digits():
    """Digits in strings and comments do not count; TOML's underscores are no digits."""
    text = "a = '12345'\n# 12345\nb = 1234\nc = 1_234_5\n"
    assert _toml.line_of_digits(text, 5) == 4
    assert _toml.line_of_digits(text, 6) is None


# --- Writing ---

HOSTILE = st.text(
    st.characters(exclude_categories=["Cs"])
    | st.sampled_from("\"'\\\n\r\t #\x00\x0b\x0c\x1b\x1c\x7f\x85\u2028\u2029\u202e")
)


@given(HOSTILE, st.booleans())
def test_a_text_is_read_back_as_it_was(text, inline):
    """On one line or on several, whatever is in it and however it ends."""
    assert tomllib.loads(f"x = {_toml.written(text, inline=inline)}") == {"x": text}


@given(st.text(st.sampled_from('"\\\na'), max_size=12))
def test_quotes_and_backslashes_are_read_back(text):
    """Runs of quotes at the end of a text of several lines are where a text could close too early."""
    assert tomllib.loads(f"x = {_toml.written(text)}") == {"x": text}


@given(HOSTILE)
def test_what_is_written_can_be_shown(text):
    """No character of a text ends a line, or steers a terminal, unless it is a line feed of the text itself."""
    shown = _toml.written(text)
    assert shown.splitlines() == shown.split("\n")
    assert not set(shown) & set("\x1b\x00\x7f\x9b\u202e\u2066")
