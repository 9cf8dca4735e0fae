"""Sessions in the database. Those that were ended stay until they would have ended by themselves, so that every process that
knows them hears of it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager

import orjson

from apiv3.model.audit import Entry
from apiv3.model.sessions import Limits, Session, Visitor
from apiv3.retrying import retried
from apiv3.storage import audit
from apiv3.storage.database import Connection, Database
from apiv3.storage.dialects import Dialect, Row

_LANE = "sessions"
_REVISION = "SELECT last FROM clocks WHERE name = '/sessions'"
_NEXT = "UPDATE clocks SET last = last + 1 WHERE name = '/sessions' RETURNING last"
_COLUMNS = "id, digest, subject, nonce, way, address, browser, roles, begun, authenticated, seen"
_BEGIN = f"INSERT INTO sessions ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_FIND = f"SELECT ({_REVISION}), {_COLUMNS} FROM sessions WHERE digest = ? AND ended IS NULL"
_ENDED = """SELECT clocks.last, sessions.id FROM clocks LEFT JOIN sessions ON sessions.ended > ?
    WHERE clocks.name = '/sessions'"""
_OF = f"SELECT {_COLUMNS} FROM sessions WHERE subject = ? AND ended IS NULL ORDER BY seen DESC, id"
_ALL = f"SELECT {_COLUMNS} FROM sessions WHERE ended IS NULL"
_END = f"UPDATE sessions SET ended = ? WHERE subject = ? AND {{}} AND ended IS NULL RETURNING {_COLUMNS}"
_SAW = "UPDATE sessions SET seen = ? WHERE id = ? AND seen < ?"
_PRUNE = "DELETE FROM sessions WHERE seen < ? OR begun < ?"
_PRUNE_NONCES = "DELETE FROM nonces WHERE expires < ?"
_USE = "INSERT INTO nonces (digest, expires) VALUES (?, ?) ON CONFLICT (digest) DO NOTHING RETURNING digest"
_GRACE = 3_600_000
"""Milliseconds after its end for which a session stays: another process may not have stored yet that it was used."""


class SessionTable:
    """The SessionStore of both databases."""

    def __init__(self, database: Database) -> None:
        self._database, self._sql = database, database.dialect.sql

    async def find(self, digest: str) -> tuple[int, Session | None]:
        rows = await self._database.fetch(self._sql(_FIND), digest)
        return (int(rows[0][0]), _session(rows[0][1:])) if rows else (0, None)

    async def ended(self, since: int) -> tuple[int, Sequence[str]]:
        rows = await self._database.fetch(self._sql(_ENDED), since)
        return int(rows[0][0]), [str(ended) for _, ended in rows if ended is not None]

    async def of(self, subject: str) -> Sequence[Session]:
        return [_session(row) for row in await self._database.fetch(self._sql(_OF), subject)]

    async def all(self) -> Sequence[Session]:
        return [_session(row) for row in await self._database.fetch(_ALL)]

    @retried
    async def saw(self, moments: Mapping[str, int]) -> None:
        async with self._database.transaction(_LANE) as connection:
            for session, moment in sorted(moments.items()):  # always in one order, so that no two processes wait for each other
                await connection.execute(self._sql(_SAW), moment, session, moment)

    @retried
    async def prune(self, limits: Limits, now: int) -> None:
        before = now - _GRACE
        async with self._database.transaction(_LANE) as connection:
            await connection.execute(self._sql(_PRUNE), before - limits.idle, before - limits.longest)
            await connection.execute(self._sql(_PRUNE_NONCES), now)

    @retried
    async def use(self, nonce: str, expires: int) -> bool:
        async with self._database.transaction(_LANE) as connection:
            return await use_nonce(connection, self._database.dialect, nonce, expires)

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[SessionTableWriter]:
        async with self._database.transaction(_LANE) as connection:
            yield SessionTableWriter(connection, self._database.dialect)


class SessionTableWriter:
    """The SessionWriter, inside a writing transaction of any lane."""

    def __init__(self, connection: Connection, dialect: Dialect) -> None:
        self._connection, self._dialect = connection, dialect

    async def begin(self, session: Session) -> None:
        row = (session.id, session.digest, session.subject, session.nonce, session.way, *session.visitor)
        roles = orjson.dumps(session.roles).decode()
        times = (session.begun, session.authenticated, session.seen)
        await self._connection.execute(self._dialect.sql(_BEGIN), *row, roles, *times)

    async def end(self, subject: str, ids: Collection[str]) -> Sequence[Session]:
        ((revision,),) = await self._connection.fetch(_NEXT)
        condition, value = self._dialect.among("id", ids)
        rows = await self._connection.fetch(self._dialect.sql(_END.format(condition)), revision, subject, value)
        return [_session(row) for row in rows]

    async def note(self, entry: Entry) -> None:
        await audit.add(self._connection, self._dialect, entry)


async def use_nonce(connection: Connection, dialect: Dialect, nonce: str, expires: int) -> bool:
    """Return whether the nonce with this digest is used for the first time, inside a writing transaction of any lane."""
    return bool(await connection.fetch(dialect.sql(_USE), nonce, expires))


def _session(row: Row) -> Session:
    """The session of a row with the columns _COLUMNS."""
    values = dict(zip(_COLUMNS.split(", "), row, strict=True))
    visitor, roles = Visitor(values.pop("address"), values.pop("browser")), tuple(orjson.loads(values.pop("roles")))
    return Session(visitor=visitor, roles=roles, **values)
