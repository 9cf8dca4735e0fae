"""The audit trail in the database. Its table only grows: triggers refuse every other change."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from apiv3.model.audit import Actor, Entry, Target
from apiv3.storage.database import Connection, Database
from apiv3.storage.dialects import Dialect, Row

_ADD = """INSERT INTO audit (time, actor_id, actor_name, way, address, action, target_kind, target_id, target_name,
    target_email, outcome, details) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_FIND = """SELECT time, actor_id, actor_name, way, address, action, target_kind, target_id, target_name, target_email, outcome,
    details FROM audit WHERE time >= ?"""


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

    async def find(self, since: int, actor: str | None, action: str | None) -> Sequence[Entry]:
        sql, values = _FIND, list[object]([since])
        if actor is not None:
            sql += " AND (actor_name = ? OR actor_id = ?)"
            values += [actor, actor]
        if action is not None:
            sql += " AND action = ?"
            values.append(action)
        rows = await self._database.fetch(self._database.dialect.sql(f"{sql} ORDER BY id"), *values)
        return [_entry(row) for row in rows]


def _entry(row: Row) -> Entry:
    time, actor, (action, *target, outcome, details) = row[0], Actor(*row[1:5]), row[5:]
    found = None if target[0] is None else Target(*target)
    return Entry(time, actor, action, found, outcome, orjson.loads(details))
