"""PostgreSQL: what a server, a database, a role or a failover makes of its connections."""

import asyncio
import threading

import psycopg
import pytest
from sqlalchemy import make_url, select
from store_kit import Process, every

from scheduler import StoreError
from scheduler.cli import checkpoints
from scheduler.cli.errors import CommandError
from scheduler.store import database_at
from scheduler.store.database import postgres
from scheduler.store.schema import tasks


@pytest.fixture
def new_process(postgres_url):
    """Return what starts a process on an empty database."""
    opened = []

    def start(now=0, url=postgres_url):
        opened.append(Process(database_at(None, url)))
        return opened[-1].begin(now)

    yield start
    for process in opened:
        process.database.close()


@pytest.fixture
def set_default(postgres_server, postgres_url):
    """Return what changes a default of the database."""
    name = make_url(postgres_url).database

    def set_default(setting, value):
        postgres_server.execute(f"ALTER DATABASE {name} SET {setting} = {value}")

    return set_default


def in_threads(number, work):
    """Call something in threads of their own; raise what one of them raises."""
    failures = []

    def guarded(each):
        try:
            work(each)
        except Exception as error:  # noqa: BLE001 (raised below)
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(each,)) for each in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


# --- Defaults ---


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("default_transaction_isolation", "'repeatable read'"),
        ("default_transaction_isolation", "'serializable'"),
        ("default_transaction_read_only", "on"),
        ("default_transaction_deferrable", "on"),
        ("standard_conforming_strings", "off"),
        ("lock_timeout", "1"),
        ("timezone", "'Asia/Kolkata'"),
    ],
)
def test_defaults_of_a_database_are_not_the_store_s(new_process, set_default, setting, value):
    """Each transaction says what it needs: several writers wait for each other, and all succeed."""
    set_default(setting, value)
    processes = [new_process() for _ in range(3)]
    processes[0].add(*(every(60, f"t{number}", prompt="a\\b 'c'") for number in range(4)))

    def work(number):
        for turn in range(20):
            (processes[number].pause if turn % 2 else processes[number].resume)(1, "t0")
            processes[number].listed()

    in_threads(3, work)
    assert {due for _, due in processes[1].started(60)} == {60}
    assert processes[1].complete(61).lost == []


def test_a_read_sees_what_was_committed_since_the_read_before(new_process, set_default):
    """One view may last longer than one statement."""
    set_default("default_transaction_isolation", "'repeatable read'")
    process, other = new_process(), new_process()
    with process.database.read() as connection:
        before = connection.execute(select(tasks.c.id)).scalars()
        other.add(every(60))
        after = connection.execute(select(tasks.c.id)).scalars()
    assert (before, after) == ([], ["t"])


def test_who_may_only_read_reads(new_process, postgres_server, postgres_url):
    """A role without any other right lists tasks and runs; a change is refused, in words."""
    process = new_process()
    process.add(every(60))
    postgres_server.execute("CREATE ROLE reader LOGIN")
    url = make_url(postgres_url).set(username="reader").render_as_string(hide_password=False)
    try:
        process.sql("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
        reader = Process(database_at(None, url))
        assert reader.due() == 60
        assert reader.runs() == []
        with pytest.raises(StoreError, match="belong to the role"):
            reader.pause(1)
        reader.database.close()
        process.sql("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM reader")
    finally:
        postgres_server.execute("DROP ROLE reader")


@pytest.fixture
def encoded_url(request, postgres_server, postgres_url):
    """Return the URL of a database with another encoding than UTF-8."""
    name = make_url(postgres_url).database
    postgres_server.drop_database(postgres_url)
    postgres_server.execute(
        f"CREATE DATABASE {name} ENCODING '{request.param}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
    )
    return postgres_url


@pytest.mark.parametrize("encoded_url", ["SQL_ASCII", "UTF8"], indirect=True)
def test_a_database_that_takes_any_letter(new_process, encoded_url):
    """Without an encoding PostgreSQL stores UTF-8 as it comes."""
    process = new_process()
    process.add(every(60, name="Caf\xe9 \N{CHECK MARK}"))
    process.run_pass(60)
    process.complete(61, response="\N{CHECK MARK} \N{GRINNING FACE}")
    assert process.runs()[0].response == "\N{CHECK MARK} \N{GRINNING FACE}"
    assert process.store.get_task("t").name == "Caf\xe9 \N{CHECK MARK}"


@pytest.mark.parametrize("encoded_url", ["LATIN1", "EUC_JP", "WIN1251"], indirect=True)
def test_a_database_that_lacks_letters(new_process, encoded_url):
    """What runs say is stored with the numbers of those letters; a task with them is refused."""
    process = new_process()
    process.add(every(60), every(60, "sound"))
    process.run_pass(60)
    process.end(61, task_id="t", response="\N{GRINNING FACE} done")
    assert process.complete(61).replaced == []
    [run] = process.runs()
    assert (run.status, run.response) == ("succeeded", "\\U0001f600 done")
    assert process.statuses("sound") == ["succeeded"]
    with pytest.raises(StoreError, match="has no equivalent in encoding"):
        process.add(every(60, "new", prompt="\N{GRINNING FACE}"))


# --- What the URL says ---


def with_query(url, **query):
    return make_url(url).update_query_dict(query).render_as_string(hide_password=False)


def test_options_of_the_url_choose_the_schema(new_process, postgres_url):
    """`search_path` among them; they go to the server as they are."""
    new_process().sql("CREATE SCHEMA agents")
    process = new_process(url=with_query(postgres_url, options="-csearch_path=agents -cwork_mem=8MB"))
    process.add(every(60))
    found = process.sql("SELECT schemaname FROM pg_tables WHERE tablename = 'scheduler_tasks' ORDER BY 1")
    assert found == [("agents",), ("public",)]
    assert process.sql("SHOW work_mem") == [("8MB",)]
    assert new_process().store.list_tasks() == []


USUAL = {
    "connect_timeout": "5",
    "client_encoding": "utf8",
    "keepalives_idle": "5",
    "keepalives_interval": "5",
    "keepalives_count": "2",
    "tcp_user_timeout": "15000",
}


@pytest.mark.parametrize("given", [{}, {"connect_timeout": "2", "keepalives_idle": "60", "client_encoding": "LATIN1"}])
def test_the_parameters_of_the_url_count(postgres_url, given):
    """A server that is not there, or vanishes, is noticed in seconds unless the URL says otherwise."""
    database = database_at(None, with_query(postgres_url, prepare_threshold="7", **given))
    for _ in range(10):
        with database.read() as connection:
            parameters = connection.driver.info.get_parameters()
    assert {name: parameters.get(name) for name in USUAL} == {**USUAL, **given}
    database.close()


def test_nothing_is_set_for_longer_than_a_transaction(new_process):
    """What belongs to the session is the user's."""
    process = new_process()
    process.add(every(60))
    process.run_pass(60)
    process.listed()
    with process.database._engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT name FROM pg_settings WHERE source = 'session'").all()
    assert [name for (name,) in found if not name.startswith("transaction_")] == []


def test_a_transaction_has_the_settings_that_it_needs(new_process):
    """Its waits are bounded, and so is the time that it stays open, also if it only reads."""
    database = new_process().database
    for use in (database.write, database.read):
        with use(3) as connection:
            settings = [
                connection.driver.execute(f"SHOW {name}").fetchone()[0]
                for name in ("lock_timeout", "idle_in_transaction_session_timeout", "transaction_isolation")
            ]
        assert settings == ["3s", "1min", "read committed"]


# --- When connections lead to a server that is of no use any more ---


def old_server(process, code):
    """Let all connections that are open now fail at changes, as those do that lead to the server of before."""
    process.sql(
        "CREATE TABLE old_server AS SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        " AND backend_type = 'client backend'"
    )
    process.sql(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF pg_backend_pid() IN (SELECT pid FROM old_server) THEN"
        f" RAISE 'not on this server' USING ERRCODE = '{code}'; END IF; RETURN NULL; END $$"
    )
    process.sql(
        "CREATE TRIGGER fail BEFORE UPDATE OR INSERT ON scheduler_tasks FOR EACH STATEMENT EXECUTE FUNCTION fail()"
    )


def open_all_connections(process):
    """Use as many connections at once as there may be."""
    meeting = threading.Barrier(postgres.POOL_SIZE)

    def read(_number):
        with process.database.read():
            meeting.wait(20)

    in_threads(postgres.POOL_SIZE, read)


GONE = ["25006", "0A000", "57P01", "57P02", "57P03", "57P05", "08000", "08003", "08006", "08P01"]


@pytest.mark.parametrize("code", GONE)
def test_connections_to_a_lost_server_are_let_go(new_process, code):
    """One call fails; then no connection is used that was open before, though each of them seems to be sound."""
    process = new_process()
    process.add(every(60))
    open_all_connections(process)
    old_server(process, code)
    with pytest.raises(StoreError, match="not on this server"):
        process.pause(1)
    for _ in range(2 * postgres.POOL_SIZE):
        process.pause(2)
        process.resume(2)
    open_all_connections(process)
    process.pause(3)
    assert process.listed().paused


@pytest.mark.parametrize("code", ["23505", "22P05", "55P03", "57014", "40001", "42501"])
def test_connections_stay_when_a_statement_fails(new_process, code):
    """It was not the connection."""
    process = new_process()
    process.add(every(60))
    old_server(process, code)
    for _ in range(3):
        with pytest.raises(StoreError):
            process.pause(1)
    process.sql("DELETE FROM old_server")
    before = backend(process)
    process.pause(2)
    assert backend(process) == before


def backend(process):
    """Return the server's process that a read has."""
    with process.database.read() as connection:
        return connection.driver.info.backend_pid


def test_a_standby_can_be_read_and_is_let_go_at_the_first_change(new_process, postgres_server):
    """The change would be refused every time: the next call opens connections, which may lead to the new primary."""
    process = new_process()
    process.add(every(60))
    postgres_server.become_standby()
    try:
        before = backend(process)
        assert process.due() == 60
        assert backend(process) == before
        with pytest.raises(StoreError, match="recovery"):
            process.pause(1)
        assert backend(process) != before
    finally:
        postgres_server.promote()
    process.pause(2)
    assert process.listed().paused


# --- Other roles and other sessions ---


@pytest.fixture
def other_role(postgres_server, postgres_url):
    """Return the URL of a role that may use the tables which the server's superuser makes."""
    role, name = f"other_{make_url(postgres_url).database}", make_url(postgres_url).database
    postgres_server.execute(f"CREATE ROLE {role} LOGIN")
    postgres_server.execute(f"GRANT ALL ON DATABASE {name} TO {role}")
    yield make_url(postgres_url).set(username=role).render_as_string(hide_password=False)
    postgres_server.execute(f"REVOKE ALL ON DATABASE {name} FROM {role}")


def grant(url, statement):
    with psycopg.connect(
        make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    ) as connection:
        connection.execute(statement)


def test_tables_of_another_role_are_refused(postgres_url, other_role):
    """Whoever owns them can have code run here; the error names both roles, and what to write."""
    owner = make_url(postgres_url).username or "postgres"
    mine = Process(database_at(None, postgres_url)).begin(0)
    grant(postgres_url, f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {make_url(other_role).username}")
    other = database_at(None, other_role)
    with pytest.raises(StoreError, match=f"trusted_owner='{owner}'"), other.write():
        pass
    with other.read() as connection:
        assert connection.execute(select(tasks.c.id)).all() == []
    trusting = database_at(None, other_role, owner)
    with trusting.write():
        pass
    for each in (other, trusting, mine.database):
        each.close()


OWN_SCHEMA = "CREATE SCHEMA AUTHORIZATION {role}"
VIEWS = """
    ALTER SCHEMA public RENAME TO hidden; CREATE SCHEMA public; GRANT ALL ON SCHEMA public, hidden TO {role};
    DO $$ DECLARE name text; BEGIN
        FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'hidden' LOOP
            EXECUTE format('CREATE VIEW public.%I AS SELECT * FROM hidden.%I', name, name);
        END LOOP;
    END $$
"""


@pytest.mark.parametrize("trick", [OWN_SCHEMA, VIEWS], ids=["behind an empty schema", "views"])
def test_tables_of_another_role_are_refused_wherever_their_names_lead(postgres_url, other_role, trick):
    """To another schema of the search path than the first, and to views in place of tables."""
    mine = Process(database_at(None, postgres_url)).begin(0)
    mine.database.close()
    role = make_url(other_role).username
    for statement in (trick.format(role=role), f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}"):
        grant(postgres_url, statement)
    other = database_at(None, other_role)
    try:
        with pytest.raises(StoreError, match="trusted_owner="), other.write():
            pass
    finally:
        other.close()
        grant(postgres_url, f"DROP OWNED BY {role}")


def test_a_lock_that_another_session_holds_is_a_clear_error(new_process, postgres_url, monkeypatch):
    """Also at the opening; after the wait, which is shorter here, it says where to look."""
    monkeypatch.setattr(postgres, "CALL_TIMEOUT", 0.2)
    key = "hashtextextended('langgraph-task-scheduler public', 0)"
    url = make_url(postgres_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as holder:
        holder.execute(f"SELECT pg_advisory_lock({key})")
        database = database_at(None, postgres_url)
        with pytest.raises(StoreError, match=r"another session has locked it.*pg_locks"), database.write(0.2):
            pass
        database.close()
    new_process()


def test_stores_in_two_schemas_do_not_wait_for_each_other(postgres_server, postgres_url):
    """Each has a lock of its own."""
    grant(postgres_url, "CREATE SCHEMA second")
    first = database_at(None, postgres_url)
    options = make_url(postgres_url).update_query_dict({"options": "-c search_path=second"})
    second = database_at(None, options.render_as_string(hide_password=False))
    with first.write(), second.write(0.2):
        pass
    for each in (first, second):
        each.close()


def test_no_error_shows_a_secret_of_the_url(postgres_url):
    """Wherever the URL has it: neither the store's name nor what the driver says."""
    url = make_url(postgres_url).set(password="s3cret-word")
    for each in (url, make_url(postgres_url).update_query_dict({"password": "s3cret-word", "no_such": "s3cret-word"})):
        database = database_at(None, each.set(database="no_s3cret-word").render_as_string(hide_password=False))
        with pytest.raises(StoreError) as failed, database.write(0.2):
            pass
        assert "s3cret" not in str(failed.value).replace("/no_s3cret-word", "")
        database.close()


async def opened_and_closed(url):
    async with checkpoints.opened_saver(url):
        pass


def test_a_lock_on_the_tables_of_checkpoints_is_waited_for_so_long(postgres_url, monkeypatch):
    """Every role that may connect can hold it; `serve` says so instead of waiting on."""
    pytest.importorskip("langgraph.checkpoint.postgres.aio")  # not on the event loop
    monkeypatch.setattr(checkpoints, "_LONGEST_LOCK_SECONDS", 0.2)
    url = make_url(postgres_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as holder:
        holder.execute(f"SELECT pg_advisory_xact_lock({checkpoints._LOCK})")
        with pytest.raises(CommandError, match=r"another session has held the lock.*pg_locks"):
            asyncio.run(opened_and_closed(postgres_url))
