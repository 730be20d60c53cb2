"""URLs of stores: each form that names a database is taken; what is wrong is said, without the password."""

from pathlib import Path

import pytest
from sqlalchemy import URL
from store_kit import Process, every

from scheduler import TaskScheduler
from scheduler.store import database_at
from scheduler.store.database.address import is_postgres, libpq_url

SCHEMES = ["postgresql+psycopg", "postgresql", "postgres", "postgresql+psycopg2", "postgresql+asyncpg", "POSTGRES"]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_each_way_to_write_postgresql(postgres_url, scheme):
    """As providers, libpq and SQLAlchemy write it; the driver is always psycopg."""
    url = postgres_url.replace("postgresql+psycopg", scheme)
    process = Process(database_at(None, url)).begin()
    process.add(every(60))
    assert process.due() == 60
    assert process.database.name.startswith("postgresql+psycopg://")
    process.database.close()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_checkpoints_take_the_same_urls(scheme):
    """Their driver knows one way to write them, or two."""
    assert is_postgres(f"{scheme}://u:p@h:1/d?a=b")
    assert libpq_url(f"{scheme}://u:p@h:1/d?a=b") == "postgresql://u:p@h:1/d?a=b"


@pytest.mark.parametrize("place", ["scheduler.db", "postgres.db", "sqlite:///x.db", "my-postgres://x", "postgres:x"])
def test_what_is_no_url_of_postgresql(place):
    """It is a file."""
    assert not is_postgres(place)


def test_an_object_of_sqlalchemy(tmp_path):
    """Is as good as its text."""
    process = Process(database_at(None, URL.create("sqlite", database=str(tmp_path / "x.db")))).begin()
    process.database.close()
    assert (tmp_path / "x.db").exists()


PLACES = [
    "postgresql://user:{}@host:1/db",
    "postgresql:/user:{}@host/db",
    "postgresql:user:{}@host/db",
    "mysql://user:{}@host/db",
    "//user:{}@host/db",
    "user:{}@host:1/db",
    "host:1/db?password={}",
    "host:1/db#{}",
    "https://host/db?token={}",
    "host=db.example user=me password={}",
    "password={} dbname=db",
]


@pytest.mark.parametrize("secret", ["s3cret", "s3c'ret", 's3c"ret', "s3c ret", "s3c)ret", "s3c\nret", "s3c,ret"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("make", [str, Path], ids=["text", "path"])
def test_a_url_that_is_given_as_a_path_is_not_shown(place, secret, make):
    """It may hold a password, which no quote or blank ends."""
    with pytest.raises(
        ValueError, match=r"^db_path is a URL, or keywords of libpq; give a URL as db_url, such as postgresql://…$"
    ):
        TaskScheduler(db_path=make(place.replace("{}", secret)), create=False)


def test_a_file_that_looks_like_a_url_is_opened_if_it_is_there(tmp_path, monkeypatch):
    """Its user has named it so."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a:b@c").touch()
    TaskScheduler(db_path="a:b@c").stop()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:s3c@ret@127.0.0.1:1/db",
        "postgresql://s3c/ret@127.0.0.1:1/db",
        "postgresql://127.0.0.1:1/db#s3c'ret",
        "postgresql://127.0.0.1:1/db#s3c@ret",
        "POSTGRESQL://127.0.0.1:1/db?password=s3c@ret",
        "postgresql://127.0.0.1:1/db?sslpassword=s3c@ret&x=1",
        "//127.0.0.1:1/db?password=s3c ret",
        "mysql://127.0.0.1:1/db#s3c)ret",
    ],
)
def test_where_nobody_can_say_where_the_password_ends(url):
    """Nothing is looked up, as a part of the password would be the host; and nothing of it is shown."""
    with pytest.raises(ValueError, match="db_url=") as caught:
        TaskScheduler(db_url=url)
    assert "s3c" not in str(caught.value)
    assert "ret" not in str(caught.value)


WRONG = {
    "port is text": ("postgresql://u:secret@host:abc/d", "'postgresql://…@host:abc/d': the port is no number"),
    "two ports": ("postgresql://u:secret@host:5432:1/d", "the port is no number, or the host has a colon"),
    "port too high": ("postgresql://u:secret@host:99999/d", "the port is 99999; give one from 1 to 65535"),
    "port 0": ("postgres://u:secret@host:0/d", "the port is 0"),
    "port below 0": ("postgresql://u:secret@host:-1/d", "the port is -1"),
    "half an address": ("postgresql://u:secret@[::1/d", "the host has a colon"),
    "empty label": ("postgresql://u:secret@host..com/d", "'host..com' is no name of a host"),
    "long label": (f"postgresql://u:secret@{'a' * 300}/d", "is no name of a host"),
    "host in the query": ("postgresql://u:secret@/d?host=a..b", "'a..b' is no name of a host"),
    "ports of hosts": ("postgresql://u:secret@/d?host=a:x&host=b:1", "non-integer port arguments"),
    "ports and hosts": ("postgresql://u:secret@/d?host=a&host=b&port=1,2,3", "Can't mix 'multihost' formats"),
    "port in the query": ("postgresql://u:secret@h/d?port=abc", "non-integer port"),
    "line break": ("postgresql://u:secret@host/d\n", r"its database has the character '\\n'"),
    "line break, quoted": ("postgresql://u:secret@host/d%0A", r"its database has the character '\\n'"),
    "NUL in the host": ("postgresql://u:secret@h\0/d", r"its host has the character '\\x00'"),
    "NUL in the name": ("postgresql://u:secret@h/d\0", r"its database has the character '\\x00'"),
    "surrogate": ("postgresql://u:secret@h\ud800/d", r"its host has the character '\\ud800'"),
    "odd password": ("postgresql://u:sec\ud800ret@h/d", r"its password has the character '\\ud800'"),
    "odd option": ("postgresql://u:secret@h/d?application_name=a%0Ab", r"its application_name has the character"),
    "another database": ("mysql://u:secret@h/d", "this kind of database is not supported; give postgresql"),
    "http": ("http://u:secret@h/d", "this kind of database is not supported"),
    "no slashes": ("postgresql:u:secret@h/d", "it is no SQLAlchemy URL"),
    "one slash": ("postgresql:/u:secret@h/d", "it is no SQLAlchemy URL"),
    "a path": ("scheduler.db", "'scheduler.db': it is no SQLAlchemy URL"),
    "nothing": ("", "it is no SQLAlchemy URL"),
    "bytes": (b"postgresql://u:secret@h/d", "it is no SQLAlchemy URL"),
    "two slashes": ("sqlite://scheduler.db", "give three slashes, sqlite:///scheduler.db"),
    "password in the query": ("mysql://h/d?password=x@secret", "this kind of database"),
    "at sign in the query": ("postgresql://h:x/d?password=secret", "the port is no number"),
}


@pytest.mark.parametrize(("url", "reason"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_url_is_refused(tmp_path, monkeypatch, url, reason):
    """At once, with the name of the argument and the fix, in one line; nothing is created or looked up."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=reason) as error:
        TaskScheduler(db_url=url)
    text = str(error.value)
    assert text.startswith("db_url=")
    assert text.isprintable()
    assert len(text) < 500
    assert not {"secret", "sec", "ret@"} & set(text.replace(":", " ").replace("@", "@ ").split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url", [url for url, _ in WRONG.values() if str(url).startswith("postgres") and "://" in str(url)]
)
def test_a_wrong_url_is_refused_for_checkpoints(url):
    """But for what concerns several hosts, which libpq has its own words for."""
    if "host=a:x" in url or "port=" in url:
        pytest.skip("libpq takes several hosts in another form")
    with pytest.raises(ValueError, match=r"the port|no name of a host|has the character") as error:
        libpq_url(url)
    assert "secret" not in str(error.value)
