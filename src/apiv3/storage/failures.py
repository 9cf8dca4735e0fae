"""Failed sign-ins in the database, so that guesses add up over all processes."""

from __future__ import annotations

from collections.abc import Sequence

from apiv3.model.audit import Entry
from apiv3.retrying import retried
from apiv3.storage import audit
from apiv3.storage.database import Database

_COUNT = "SELECT max(number) FROM failures WHERE {} AND last >= ?"
_ADD = """INSERT INTO failures (name, number, last) VALUES (?, 1, ?) ON CONFLICT (name) DO UPDATE
    SET number = CASE WHEN failures.last < ? THEN 1 ELSE failures.number + 1 END, last = excluded.last"""
_FORGET = "DELETE FROM failures WHERE name = ?"
_PRUNE = "DELETE FROM failures WHERE last < ?"
_LANE = "failures"


class FailureTable:
    """The FailureStore of both databases."""

    def __init__(self, database: Database) -> None:
        self._database, self._sql = database, database.dialect.sql

    async def count(self, names: Sequence[str], since: int) -> int:
        condition, value = self._database.dialect.among("name", names)
        ((number,),) = await self._database.fetch(self._sql(_COUNT.format(condition)), value, since)
        return int(number or 0)

    @retried
    async def forget(self, name: str) -> None:
        async with self._database.transaction(_LANE) as connection:
            await connection.execute(self._sql(_FORGET), name)

    @retried
    async def failed(self, names: Sequence[str], since: int, entry: Entry) -> None:
        async with self._database.transaction(_LANE) as connection:
            for name in sorted(names):  # always in one order, so that no two processes wait for each other
                await connection.execute(self._sql(_ADD), name, entry.time, since)
            await audit.add(connection, self._database.dialect, entry)
            await connection.execute(self._sql(_PRUNE), since)
