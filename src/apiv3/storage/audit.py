"""The audit trail in the database. Triggers refuse to change entries, and to remove those that are not old enough."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from apiv3.model.audit import Actor, Entry, Page, Search, Target
from apiv3.retrying import retried
from apiv3.storage.database import Connection, Database
from apiv3.storage.dialects import Dialect, Row

_ADD = """INSERT INTO audit (time, actor_id, actor_name, way, address, action, target_kind, target_id, target_name,
    target_email, outcome, details) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_FIND = """SELECT id, time, actor_id, actor_name, way, address, action, target_kind, target_id, target_name, target_email,
    outcome, details FROM audit WHERE time >= ?"""
_OLD = "SELECT 1 FROM audit WHERE time < ? LIMIT 1"
_PRUNE = "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE time < ? ORDER BY time LIMIT ?) RETURNING id"


async def add(connection: Connection, dialect: Dialect, entry: Entry) -> None:
    """Add an entry inside a writing transaction, so that it stands and falls with what it tells of."""
    actor = entry.actor
    target = entry.target or (None, None, None, None)
    details = orjson.dumps(entry.details).decode()
    row = (entry.time, actor.id, actor.name, actor.way, actor.address, entry.action, *target, entry.outcome)
    await connection.execute(dialect.sql(_ADD), *row, details)


class AuditTable:
    """The AuditStore of both databases."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, search: Search) -> Sequence[Entry]:
        sql, values = _condition(search)
        rows = await self._database.fetch(self._database.dialect.sql(f"{sql} ORDER BY id"), *values)
        return [_entry(row) for row in rows]

    async def page(self, search: Search, limit: int, before: int | None = None) -> Page:
        sql, values = _condition(search)
        if before is not None:
            sql += " AND id < ?"
            values.append(before)
        sql += " ORDER BY id DESC LIMIT ?"
        rows = await self._database.fetch(self._database.dialect.sql(sql), *values, limit + 1)
        return Page([_entry(row) for row in rows[:limit]], rows[limit - 1][0] if len(rows) > limit else None)

    @retried
    async def prune(self, before: int, limit: int) -> int:
        sql = self._database.dialect.sql
        if not await self._database.fetch(sql(_OLD), before):
            return 0
        async with self._database.transaction("audit") as connection:
            return len(await connection.fetch(sql(_PRUNE), before, limit))


def _condition(search: Search) -> tuple[str, list[object]]:
    """Return the statement that finds the entries, without an order, and its parameters."""
    sql, values = _FIND, list[object]([search.since])
    for names, wanted in (
        (("actor_name", "actor_id"), search.actor),
        (("target_name", "target_email", "target_id"), search.target),
        (("action",), search.action),
        (("outcome",), search.outcome),
    ):
        if wanted is not None:
            sql += f" AND ({' OR '.join(f'{name} = ?' for name in names)})"
            values += [wanted] * len(names)
    if search.until is not None:
        sql += " AND time < ?"
        values.append(search.until)
    return sql, values


def _entry(row: Row) -> Entry:
    time, actor, (action, *target, outcome, details) = row[1], Actor(*row[2:6]), row[6:]
    found = None if target[0] is None else Target(*target)
    return Entry(time, actor, action, found, outcome, orjson.loads(details))
