"""Grants, tokens, codes and consents of OAuth2 in the database, all secrets as digests.

What has ended stays until it would have expired by itself, so that every process that knows it hears of it.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from apiv3.model.audit import Entry
from apiv3.model.clients import Client
from apiv3.model.grants import AccessToken, Code, DeviceRequest, Ended, Grant, RefreshToken, Request, Scopes, Verdict
from apiv3.model.logins import Login, Permissions
from apiv3.retrying import retried
from apiv3.storage import audit, clients
from apiv3.storage.database import Connection, Database
from apiv3.storage.dialects import Dialect, Row
from apiv3.storage.logins import Outbox

MOST_REQUESTS = 20
"""Most authorization requests of one session that wait for a decision."""
_LANE = "grants"
_REVISION = "SELECT last FROM clocks WHERE name = '/grants'"
_NEXT = "UPDATE clocks SET last = last + 1 WHERE name = '/grants' RETURNING last"

_GRANT_NAMES = ("id", "client", "subject", "nonce", "way", "scopes", "begun", "seen", "expires")
_GRANT = ", ".join(f"grants.{name}" for name in _GRANT_NAMES)
_PLACES = ", ".join("?" * len(_GRANT_NAMES))
_BEGIN = f"INSERT INTO grants ({', '.join(_GRANT_NAMES)}) VALUES ({_PLACES})"
_LOCK = f"UPDATE grants SET id = id WHERE id = ? AND ended IS NULL RETURNING {_GRANT}"
_FIND = f"""SELECT {_GRANT} FROM grants WHERE client = ? AND subject = ? AND nonce = ? AND way = ? AND ended IS NULL
    ORDER BY begun DESC LIMIT 1"""
_EXTEND = "UPDATE grants SET expires = ? WHERE id = ? AND expires < ?"
_END = f"UPDATE grants SET ended = ? WHERE {{}} AND ended IS NULL RETURNING {_GRANT}"
_ENDED = "SELECT id FROM grants WHERE ended > ?"
_OF = f"SELECT {_GRANT} FROM grants WHERE {{}} = ? AND ended IS NULL AND expires > ? ORDER BY seen DESC, id"
_SAW = "UPDATE grants SET seen = ? WHERE id = ? AND seen < ?"

_ADD_ACCESS = "INSERT INTO access_tokens (digest, grant_id, scopes, issued, expires) VALUES (?, ?, ?, ?, ?)"
_OF_ACCESS = "access_tokens.digest, access_tokens.scopes, access_tokens.issued, access_tokens.expires"
_LIVE_ACCESS = """FROM access_tokens JOIN grants ON grants.id = access_tokens.grant_id
    WHERE access_tokens.digest = ? AND access_tokens.dropped IS NULL AND grants.ended IS NULL"""
_ACCESS = f"SELECT ({_REVISION}), {_OF_ACCESS}, {_GRANT} {_LIVE_ACCESS}"
_DROP = """UPDATE access_tokens SET dropped = ? WHERE digest = ? AND dropped IS NULL
    RETURNING (SELECT subject FROM grants WHERE grants.id = access_tokens.grant_id)"""
_DROPPED = "SELECT digest FROM access_tokens WHERE dropped > ?"

_ADD_REFRESH = "INSERT INTO refresh_tokens (digest, grant_id, issued, expires) VALUES (?, ?, ?, ?)"
_REFRESH_GRANT = "SELECT grant_id FROM refresh_tokens WHERE digest = ?"
_REFRESH = f"""SELECT refresh_tokens.digest, refresh_tokens.issued, refresh_tokens.expires, refresh_tokens.rotated, {_GRANT}
    FROM refresh_tokens JOIN grants ON grants.id = refresh_tokens.grant_id
    WHERE refresh_tokens.digest = ? AND grants.ended IS NULL"""
_ROTATE = "UPDATE refresh_tokens SET rotated = ? WHERE digest = ?"

_REQUEST_NAMES = "client, redirect, redirect_sent, scopes, state, challenge"
_KEEP_REQUEST = (
    f"INSERT INTO authorization_requests (digest, session, expires, {_REQUEST_NAMES}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_DROP_OLDEST = """DELETE FROM authorization_requests WHERE session = ? AND digest NOT IN (
    SELECT digest FROM authorization_requests WHERE session = ? ORDER BY expires DESC LIMIT ?)"""
_TAKE_REQUEST = f"DELETE FROM authorization_requests WHERE digest = ? AND session = ? RETURNING {_REQUEST_NAMES}"

_CODE_NAMES = "digest, client, subject, nonce, redirect, redirect_sent, scopes, challenge, expires, tries, grant_id"
_ADD_CODE = f"INSERT INTO codes ({_CODE_NAMES}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_TRY_CODE = f"UPDATE codes SET tries = tries + 1 WHERE digest = ? RETURNING {_CODE_NAMES}"
_USE_CODE = "UPDATE codes SET grant_id = ? WHERE digest = ?"

_DEVICE_NAMES = "digest, user_code, client, scopes, expires, polled, verdict, subject, nonce, grant_id"
_ADD_DEVICE = f"""INSERT INTO device_codes ({_DEVICE_NAMES}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (user_code) DO NOTHING RETURNING digest"""
_LOCK_DEVICE = f"UPDATE device_codes SET digest = digest WHERE digest = ? RETURNING {_DEVICE_NAMES}"
_POLLED = "UPDATE device_codes SET polled = ? WHERE digest = ?"
_WAITS = "user_code = ? AND verdict = 'pending' AND expires > ?"
_JUDGE = f"UPDATE device_codes SET verdict = ?, subject = ?, nonce = ? WHERE {_WAITS} RETURNING {_DEVICE_NAMES}"
_DEVICE = f"SELECT {_DEVICE_NAMES} FROM device_codes WHERE {_WAITS}"
_USE_DEVICE = "UPDATE device_codes SET grant_id = ? WHERE digest = ?"

_CONSENT = """INSERT INTO consents (subject, client, scopes) VALUES (?, ?, ?)
    ON CONFLICT (subject, client) DO UPDATE SET scopes = excluded.scopes"""
_WITHDRAW = (
    "DELETE FROM consents WHERE subject = ? AND client = ?",
    "DELETE FROM codes WHERE subject = ? AND client = ? AND grant_id IS NULL",  # used ones are known if they come again
    "DELETE FROM device_codes WHERE subject = ? AND client = ? AND grant_id IS NULL",
)
_CONSENTED = "SELECT scopes FROM consents WHERE subject = ? AND client = ?"

_CONSENTS = "SELECT client, scopes FROM consents WHERE subject = ?"

_KEYS = {
    "access_tokens": "digest",
    "refresh_tokens": "digest",
    "codes": "digest",
    "authorization_requests": "digest",
    "device_codes": "digest",
    "grants": "id",
}
_PRUNE = (
    "DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM {table} WHERE expires < ? ORDER BY expires LIMIT ?) RETURNING {key}"
)


class GrantTable:
    """The GrantStore of both databases."""

    def __init__(self, database: Database, default_roles: Sequence[str] = ()) -> None:
        self._database, self._sql, self._default_roles = database, database.dialect.sql, default_roles

    async def access(self, digest: str) -> tuple[int, AccessToken | None]:
        rows = await self._fetch(_ACCESS, digest)
        return (int(rows[0][0]), _access(rows[0][1:])) if rows else (0, None)

    async def refresh(self, digest: str) -> RefreshToken | None:
        rows = await self._fetch(_REFRESH, digest)
        return _refresh(rows[0]) if rows else None

    async def ended(self, since: int) -> Ended:
        # The revision is read first: what ends meanwhile is reported twice, which does no harm.
        ((revision,),) = await self._fetch(_REVISION)
        if revision == since:
            return Ended(since, frozenset(), frozenset())
        grants, tokens = await self._fetch(_ENDED, since), await self._fetch(_DROPPED, since)
        return Ended(int(revision), frozenset(each for (each,) in grants), frozenset(digest for (digest,) in tokens))

    async def of_subject(self, subject: str, now: int) -> Sequence[Grant]:
        return [_grant(row) for row in await self._fetch(_OF.format("subject"), subject, now)]

    async def of_client(self, client: str, now: int) -> Sequence[Grant]:
        return [_grant(row) for row in await self._fetch(_OF.format("client"), client, now)]

    @retried
    async def saw(self, moments: Mapping[str, int]) -> None:
        async with self._database.transaction(_LANE) as connection:
            for grant, moment in sorted(moments.items()):  # always in one order, so that no two processes wait for each other
                await connection.execute(self._sql(_SAW), moment, grant, moment)

    @retried
    async def prune(self, before: int, limit: int) -> int:
        deleted = 0
        async with self._database.transaction(_LANE) as connection:
            for table, key in _KEYS.items():
                rows = await connection.fetch(self._sql(_PRUNE.format(table=table, key=key)), before, limit)
                deleted = max(deleted, len(rows))
        return deleted

    @retried
    async def keep_request(self, digest: str, session: str, request: Request, expires: int) -> None:
        row = (request.client, request.redirect, request.redirect_sent, _joined(request.scopes), request.state)
        async with self._database.transaction(_LANE) as connection:
            await connection.execute(self._sql(_KEEP_REQUEST), digest, session, expires, *row, request.challenge)
            await connection.execute(self._sql(_DROP_OLDEST), session, session, MOST_REQUESTS)

    async def consented(self, subject: str, client: str) -> Scopes | None:
        rows = await self._fetch(_CONSENTED, subject, client)
        return _split(rows[0][0]) if rows else None

    async def consents(self, subject: str) -> Mapping[str, Scopes]:
        return {client: _split(scopes) for client, scopes in await self._fetch(_CONSENTS, subject)}

    async def device(self, user_code: str, now: int) -> DeviceRequest | None:
        rows = await self._fetch(_DEVICE, user_code, now)
        return _device(rows[0]) if rows else None

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[GrantTableWriter]:
        async with self._database.transaction(_LANE) as connection:
            outbox = Outbox(connection, self._database.dialect, self._default_roles)
            yield GrantTableWriter(connection, self._database.dialect, outbox)
            await outbox.tell()

    async def _fetch(self, sql: str, *args: Any) -> Sequence[Row]:
        return await self._database.fetch(self._sql(sql), *args)


class GrantTableWriter:
    """The GrantWriter, inside a writing transaction, which lets `logins` tell at its end."""

    def __init__(self, connection: Connection, dialect: Dialect, logins: Outbox) -> None:
        self._connection, self._dialect, self._logins = connection, dialect, logins

    async def client(self, id: str) -> Client | None:
        rows = await self._fetch(clients.OWN + self._dialect.shared, id)
        return clients.client(rows[0]) if rows else None

    async def begin(self, grant: Grant) -> None:
        row = (grant.id, grant.client, grant.subject, grant.nonce, grant.way, _joined(grant.scopes))
        await self._execute(_BEGIN, *row, grant.begun, grant.seen, grant.expires)

    async def lock(self, id: str) -> Grant | None:
        rows = await self._fetch(_LOCK, id)
        return _grant(rows[0]) if rows else None

    async def find(self, client: str, subject: str, nonce: str, way: str) -> Grant | None:
        rows = await self._fetch(_FIND, client, subject, nonce, way)
        return _grant(rows[0]) if rows else None

    async def extend(self, id: str, expires: int) -> None:
        await self._execute(_EXTEND, expires, id, expires)

    async def end(self, ids: Collection[str]) -> Sequence[Grant]:
        ((revision,),) = await self._fetch(_NEXT)
        condition, value = self._dialect.among("id", ids)
        ended = [_grant(row) for row in await self._fetch(_END.format(condition), revision, value)]
        self._logins.touch(*(grant.subject for grant in ended))
        return ended

    async def add_access(self, token: AccessToken, ceiling: Permissions, address: str) -> None:
        row = (token.digest, token.grant.id, _joined(token.scopes), token.issued, token.expires)
        await self._execute(_ADD_ACCESS, *row)
        subject, times = (token.grant.subject, token.grant.nonce), (token.issued, token.expires)
        self._logins.begin(Login(str(uuid.uuid4()), token.digest, *subject, "oauth2", address, *times, (ceiling,)))

    async def access(self, digest: str) -> AccessToken | None:
        rows = await self._fetch(f"SELECT {_OF_ACCESS}, {_GRANT} {_LIVE_ACCESS}", digest)
        return _access(rows[0]) if rows else None

    async def drop_access(self, digest: str) -> None:
        ((revision,),) = await self._fetch(_NEXT)
        self._logins.touch(*(subject for (subject,) in await self._fetch(_DROP, revision, digest)))

    async def add_refresh(self, token: RefreshToken) -> None:
        await self._execute(_ADD_REFRESH, token.digest, token.grant.id, token.issued, token.expires)

    async def refresh(self, digest: str) -> RefreshToken | None:
        rows = await self._fetch(_REFRESH_GRANT, digest)
        if not rows or await self.lock(rows[0][0]) is None:
            return None
        found = await self._fetch(_REFRESH, digest)
        return _refresh(found[0]) if found else None

    async def rotate(self, digest: str, moment: int) -> None:
        await self._execute(_ROTATE, moment, digest)

    async def take_request(self, digest: str, session: str) -> Request | None:
        rows = await self._fetch(_TAKE_REQUEST, digest, session)
        if not rows:
            return None
        client, redirect, redirect_sent, scopes, state, challenge = rows[0]
        return Request(client, redirect, bool(redirect_sent), _split(scopes), state, challenge)

    async def add_code(self, code: Code) -> None:
        row = (code.digest, code.client, code.subject, code.nonce, code.redirect, code.redirect_sent, _joined(code.scopes))
        await self._execute(_ADD_CODE, *row, code.challenge, code.expires, code.tries, code.grant)

    async def try_code(self, digest: str) -> Code | None:
        rows = await self._fetch(_TRY_CODE, digest)
        if not rows:
            return None
        digest, client, subject, nonce, redirect, redirect_sent, scopes, *others = rows[0]
        return Code(digest, client, subject, nonce, redirect, bool(redirect_sent), _split(scopes), *others)

    async def use_code(self, digest: str, grant: str) -> None:
        await self._execute(_USE_CODE, grant, digest)

    async def add_device(self, request: DeviceRequest) -> bool:
        row = (request.digest, request.user_code, request.client, _joined(request.scopes), request.expires, request.polled)
        verdict = (request.verdict, request.subject, request.nonce, request.grant)
        return bool(await self._fetch(_ADD_DEVICE, *row, *verdict))

    async def device(self, digest: str) -> DeviceRequest | None:
        rows = await self._fetch(_LOCK_DEVICE, digest)
        return _device(rows[0]) if rows else None

    async def polled(self, digest: str, moment: int) -> None:
        await self._execute(_POLLED, moment, digest)

    async def judge(self, user_code: str, verdict: Verdict, subject: str, nonce: str, moment: int) -> DeviceRequest | None:
        rows = await self._fetch(_JUDGE, verdict, subject, nonce, user_code, moment)
        return _device(rows[0]) if rows else None

    async def use_device(self, digest: str, grant: str) -> None:
        await self._execute(_USE_DEVICE, grant, digest)

    async def consent(self, subject: str, client: str, scopes: Scopes) -> None:
        await self._execute(_CONSENT, subject, client, _joined(scopes))

    async def withdraw(self, subject: str, client: str) -> int:
        for sql in _WITHDRAW:  # waits for a code that is being exchanged, so that what it gives ends below
            await self._execute(sql, subject, client)
        ((revision,),) = await self._fetch(_NEXT)
        self._logins.touch(subject)
        return len(await self._fetch(_END.format("subject = ? AND client = ?"), revision, subject, client))

    async def note(self, entry: Entry) -> None:
        await audit.add(self._connection, self._dialect, entry)

    async def _execute(self, sql: str, *args: Any) -> None:
        await self._connection.execute(self._dialect.sql(sql), *args)

    async def _fetch(self, sql: str, *args: Any) -> Sequence[Row]:
        rows: Sequence[Row] = await self._connection.fetch(self._dialect.sql(sql), *args)
        return rows


def _joined(scopes: Scopes) -> str:
    return " ".join(scopes)


def _split(text: str) -> Scopes:
    return tuple(text.split())


def _grant(row: Row) -> Grant:
    """The grant of a row with the columns _GRANT."""
    values = dict(zip(_GRANT_NAMES, row, strict=True))
    return Grant(scopes=_split(values.pop("scopes")), **values)


def _access(row: Row) -> AccessToken:
    digest, scopes, issued, expires = row[:4]
    return AccessToken(digest, _grant(row[4:]), _split(scopes), issued, expires)


def _refresh(row: Row) -> RefreshToken:
    digest, issued, expires, rotated = row[:4]
    return RefreshToken(digest, _grant(row[4:]), issued, expires, rotated)


def _device(row: Row) -> DeviceRequest:
    digest, user_code, client, scopes, *others = row
    return DeviceRequest(digest, user_code, client, _split(scopes), *others)
