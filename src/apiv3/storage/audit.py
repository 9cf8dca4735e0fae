"""The audit trail in the database. Triggers refuse to change entries, and to remove those that are not old enough."""

from __future__ import annotations

import re
from collections.abc import Sequence

import orjson

from apiv3.model.audit import Actor, Entry, Order, Page, Search, Target
from apiv3.retrying import retried
from apiv3.storage.database import Connection, Database
from apiv3.storage.dialects import Dialect, Row

_ADD = """INSERT INTO audit (time, actor_id, actor_name, way, address, action, target_kind, target_id, target_name,
    target_email, outcome, details) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_COLUMNS = """time, actor_id, actor_name, way, address, action, target_kind, target_id, target_name, target_email, outcome,
    details"""
_ORDER = {"time": "id", "actor": "actor_name", "action": "action", "target": "target_name", "address": "address"}
_TEXTS = ("actor_name", "address", "action", "target_name", "target_email")
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
        condition, values = _condition(search)
        return await self._entries(f"{condition} ORDER BY id", values)

    async def page(self, search: Search, order: Order, skip: int, limit: int, *, descending: bool) -> Page:
        condition, values = _condition(search)
        direction = "DESC" if descending else "ASC"
        columns = dict.fromkeys((_ORDER[order], "id"))
        ordered = f"{condition} ORDER BY {', '.join(f'{name} {direction}' for name in columns)} LIMIT ? OFFSET ?"
        entries = await self._entries(ordered, [*values, limit, skip])
        sql = self._database.dialect.sql(f"SELECT count(*) FROM audit WHERE {condition}")
        ((total,),) = await self._database.fetch(sql, *values)
        return Page(entries, total)

    async def _entries(self, condition: str, values: Sequence[object]) -> Sequence[Entry]:
        sql = self._database.dialect.sql(f"SELECT {_COLUMNS} FROM audit WHERE {condition}")
        return [_entry(row) for row in await self._database.fetch(sql, *values)]

    @retried
    async def prune(self, before: int, limit: int) -> int:
        sql = self._database.dialect.sql
        if not await self._database.fetch(sql(_OLD), before):
            return 0
        async with self._database.transaction("audit") as connection:
            return len(await connection.fetch(sql(_PRUNE), before, limit))


def _condition(search: Search) -> tuple[str, list[object]]:
    """Return the condition for the entries that are wanted, and its parameters."""
    conditions, values = ["time >= ?"], list[object]([search.since])
    if search.until is not None:
        conditions.append("time < ?")
        values.append(search.until)
    for names, wanted in (
        (("actor_name", "actor_id"), search.actor),
        (("target_name", "target_email", "target_id"), search.target),
        (("action",), search.action),
        (("outcome",), search.outcome),
    ):
        if wanted is not None:
            conditions.append(_any("{} = ?", names))
            values += [wanted] * len(names)
    if search.text:
        conditions.append(_any("lower({}) LIKE ? ESCAPE '!'", _TEXTS))
        literal = re.sub("([!%_])", r"!\1", search.text.lower())
        values += [f"%{literal}%"] * len(_TEXTS)
    return " AND ".join(conditions), values


def _any(condition: str, names: Sequence[str]) -> str:
    return f"({' OR '.join(condition.format(name) for name in names)})"


def _entry(row: Row) -> Entry:
    time, actor, (action, *target, outcome, details) = row[0], Actor(*row[1:5]), row[5:]
    found = None if target[0] is None else Target(*target)
    return Entry(time, actor, action, found, outcome, orjson.loads(details))
