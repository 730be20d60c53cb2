"""Statements for many rows: each row has its effect, once, however the rows are put together."""

import pytest
from sqlalchemy import select, update

from scheduler.store.database.statements import Bulk, Statement
from scheduler.store.schema import owners

COLUMNS = owners.c.keys()
LEASE = {"lease_until": 0, "lease_length": 0}
INSERT = Bulk(lambda given: given.insert(owners, COLUMNS))
INSERT_IF_NEW = Bulk(lambda given: given.insert(owners, COLUMNS).on_conflict_do_nothing())
RENAME = Bulk(lambda given: update(owners).where(owners.c.id == given("which")).values(boot=given("name")))
ALL = Statement(lambda: select(owners.c.id, owners.c.boot).order_by(owners.c.pid))


def rows(numbers):
    """Return owners with these numbers."""
    return [
        {
            "id": f"o{number}",
            "boot": "first",
            "namespace": "",
            "pid": number,
            "started": 0,
            "lease_until": 0,
            "lease_length": 0,
        }
        for number in numbers
    ]


@pytest.mark.parametrize("number", [1, 4, 5, 7, 8, 9, 63, 65, 255, 256, 257, 260, 513])
def test_each_row_once(process, number):
    """One by one, together, and in as many parts as it takes; the changed rows are counted, and only those."""
    with process.database.write() as connection:
        before = len(connection.execute(ALL).all())
        assert connection.execute_many(INSERT, rows(range(10_000_000, 10_000_000 + number))) == number
        half = rows(range(10_000_000 + number // 2, 10_000_000 + number // 2 + number))
        assert connection.execute_many(INSERT_IF_NEW, half) == number // 2
        renamed = [{"which": f"o{10_000_000 + each}", "name": f"n{each}"} for each in range(number)]
        nobody = [{"which": f"x{each}", "name": "x"} for each in range(number)]
        assert connection.execute_many(RENAME, renamed + nobody) == number
        found = connection.execute(ALL).all()
        assert len(found) == before + number + number // 2
        assert {(row.id, row.boot) for row in found} >= {(each["which"], each["name"]) for each in renamed}
        connection.undo()
