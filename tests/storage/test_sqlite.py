"""SQLite's own ways."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from apiv3.storage.sqlite import SqliteConnection

OFTEN = 5_000
"""SQLite counts the steps of a statement over all its runs: after so many, any budget for one of them is used up."""


async def test_a_transaction_stays_open_however_often_its_statements_ran(tmp_path: Path) -> None:
    """One that SQLite cut off and rolled back would lose its lock unnoticed, and write on without a transaction."""
    path = str(tmp_path / "clock.db")
    with ThreadPoolExecutor(1) as threads, closing(SqliteConnection(path, threads)) as connection:
        await connection.execute("CREATE TABLE clock (last INTEGER)")
        await connection.execute("INSERT INTO clock VALUES (0)")
        async with connection.transaction():
            for number in range(1, OFTEN):
                assert await connection.fetch("UPDATE clock SET last = last + 1 RETURNING last") == [(number,)]
            assert _seen_by_others(path) == 0
        assert _seen_by_others(path) == OFTEN - 1


def _seen_by_others(path: str) -> int:
    with closing(sqlite3.connect(path)) as other:
        ((last,),) = other.execute("SELECT last FROM clock")
    return int(last)
