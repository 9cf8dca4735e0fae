"""Sessions in the database. Those that were ended stay until they would have ended by themselves, so that every process that
knows them hears of it.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import cast

import orjson

from apiv3.model.audit import Entry
from apiv3.model.logins import Login, Reason, Via
from apiv3.model.sessions import Limits, Session, Visitor
from apiv3.retrying import retried
from apiv3.storage import audit
from apiv3.storage.database import Connection, Database
from apiv3.storage.dialects import Dialect, Row
from apiv3.storage.logins import Outbox

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
_IDLE = "ended IS NULL AND (seen < ? OR begun < ?)"
_ANY_IDLE = f"SELECT 1 FROM sessions WHERE {_IDLE} LIMIT 1"
_EXPIRE = f"UPDATE sessions SET ended = ? WHERE {_IDLE} RETURNING subject, digest"
_SAW = "UPDATE sessions SET seen = ? WHERE id = ? AND seen < ?"
_PRUNE = "DELETE FROM sessions WHERE seen < ? OR begun < ?"
_PRUNE_NONCES = "DELETE FROM nonces WHERE expires < ?"
_USE = "INSERT INTO nonces (digest, expires) VALUES (?, ?) ON CONFLICT (digest) DO NOTHING RETURNING digest"
_GRACE = 3_600_000
"""Milliseconds after its end for which a session stays: another process may not have stored yet that it was used."""


class SessionTable:
    """The SessionStore of both databases."""

    def __init__(self, database: Database, default_roles: Sequence[str] = ()) -> None:
        self._database, self._sql, self._default_roles = database, database.dialect.sql, default_roles

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
    async def expire(self, limits: Limits, now: int) -> None:
        before = (now - limits.idle, now - limits.longest)
        if not await self._database.fetch(self._sql(_ANY_IDLE), *before):
            return
        async with self.changing() as writer:
            await writer.expire(*before)

    @retried
    async def use(self, nonce: str, expires: int) -> bool:
        async with self._database.transaction(_LANE) as connection:
            return await use_nonce(connection, self._database.dialect, nonce, expires)

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[SessionTableWriter]:
        async with self._database.transaction(_LANE) as connection:
            outbox = Outbox(connection, self._database.dialect, self._default_roles)
            yield SessionTableWriter(connection, self._database.dialect, outbox)
            await outbox.tell()


class SessionTableWriter:
    """The SessionWriter, inside a writing transaction of any lane, which lets `logins` tell at its end."""

    def __init__(self, connection: Connection, dialect: Dialect, logins: Outbox) -> None:
        self._connection, self._dialect, self.logins = connection, dialect, logins

    async def begin(self, session: Session, expires: int) -> None:
        row = (session.id, session.digest, session.subject, session.nonce, session.way, *session.visitor)
        roles = orjson.dumps(session.roles).decode()
        times = (session.begun, session.authenticated, session.seen)
        await self._connection.execute(self._dialect.sql(_BEGIN), *row, roles, *times)
        self.logins.begin(_login(session, expires))

    async def end(self, subject: str, ids: Collection[str], reason: Reason) -> Sequence[Session]:
        ((revision,),) = await self._connection.fetch(_NEXT)
        condition, value = self._dialect.among("id", ids)
        rows = await self._connection.fetch(self._dialect.sql(_END.format(condition)), revision, subject, value)
        ended = [_session(row) for row in rows]
        for session in ended:
            self._over(session.subject, session.digest, reason)
        return ended

    async def expire(self, seen: int, begun: int) -> None:
        """End the sessions that were last used before `seen`, or begun before `begun` (ms)."""
        ((revision,),) = await self._connection.fetch(_NEXT)
        for subject, digest in await self._connection.fetch(self._dialect.sql(_EXPIRE), revision, seen, begun):
            self._over(subject, digest, "expired")

    def _over(self, subject: str, digest: str, reason: Reason) -> None:
        self.logins.touch(subject)
        self.logins.explain(digest, reason)

    async def note(self, entry: Entry) -> None:
        await audit.add(self._connection, self._dialect, entry)


async def use_nonce(connection: Connection, dialect: Dialect, nonce: str, expires: int) -> bool:
    """Return whether the nonce with this digest is used for the first time, inside a writing transaction of any lane."""
    return bool(await connection.fetch(dialect.sql(_USE), nonce, expires))


def _login(session: Session, expires: int) -> Login:
    via = cast("Via", session.way)
    subject, address = (session.subject, session.nonce), session.visitor.address
    return Login(str(uuid.uuid4()), session.digest, *subject, via, address, session.begun, expires)


def _session(row: Row) -> Session:
    """The session of a row with the columns _COLUMNS."""
    values = dict(zip(_COLUMNS.split(", "), row, strict=True))
    visitor, roles = Visitor(values.pop("address"), values.pop("browser")), tuple(orjson.loads(values.pop("roles")))
    return Session(visitor=visitor, roles=roles, **values)
