"""Read a collection as a log of changes: documents and tombstones merged, in the order of their commits."""

from __future__ import annotations

from collections.abc import Sequence

from apiv3.model.changes import Change, Clock
from apiv3.retrying import retried
from apiv3.storage.database import Database

BURY = "INSERT INTO tombstones (collection, srv_modified, identifier) VALUES (?, ?, ?)"

_SINCE = "collection = ? AND srv_modified > ? ORDER BY srv_modified LIMIT ?"
_DOCUMENTS = f"SELECT srv_modified, identifier, {{body}}, valid, srv_created FROM documents WHERE {_SINCE}"
_TOMBSTONES = f"""SELECT srv_modified, identifier, CAST(NULL AS TEXT), FALSE, CAST(0 AS BIGINT) FROM tombstones
    WHERE {_SINCE}"""
_CHANGES = f"SELECT * FROM ({_DOCUMENTS}) AS d UNION ALL SELECT * FROM ({_TOMBSTONES}) AS t ORDER BY srv_modified LIMIT ?"
"""A single statement, so that no commit between two reads is missed. Each half has its own LIMIT and the same column types as
the other, so that PostgreSQL merges two indexes instead of sorting two tables."""
_CLOCK = "SELECT last, forgotten FROM clocks WHERE name = ?"
_OLD = "SELECT srv_modified FROM tombstones WHERE collection = ? AND srv_modified < ? ORDER BY srv_modified LIMIT ?"
_MARK = "UPDATE clocks SET forgotten = {greatest}(forgotten, ?) WHERE name = ?"
_FORGET = "DELETE FROM tombstones WHERE collection = ? AND srv_modified <= ?"


class ChangeLog:
    """The part of a DocumentStore for followers."""

    def __init__(self, database: Database) -> None:
        self._database = database
        sql = database.dialect.sql
        changes = _CHANGES.format(body=database.dialect.small_body)
        self._changes, self._clock, self._old, self._forget = map(sql, (changes, _CLOCK, _OLD, _FORGET))
        self._mark = sql(_MARK.format(greatest=database.dialect.greatest))

    async def changes(self, collection: str, since: int, limit: int) -> Sequence[Change]:
        window = (collection, since, limit)
        rows = await self._database.fetch(self._changes, *window, *window, limit)
        return [_change(collection, since, *row) for row in rows]

    async def clock(self, collection: str) -> Clock:
        (row,) = await self._database.fetch(self._clock, collection)
        return Clock(*row)

    @retried
    async def forget(self, collection: str, before: int, limit: int) -> int:
        old = await self._database.fetch(self._old, collection, before, limit)
        if old:
            last = old[-1][0]
            async with self._database.transaction(collection) as connection:
                await connection.execute(self._mark, last, collection)
                await connection.execute(self._forget, collection, last)
        return len(old)


def _change(
    collection: str, since: int, srv_modified: int, identifier: str, body: str | None, valid: bool, srv_created: int
) -> Change:
    if not valid:
        return Change(collection, "delete", identifier, body, srv_modified)
    return Change(collection, "create" if srv_created > since else "update", identifier, body, srv_modified)
