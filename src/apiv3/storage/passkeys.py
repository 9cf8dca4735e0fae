"""Passkeys in the database. A challenge is a nonce like that of a form, and the answered ones are stored among them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from apiv3.model.accounts import Person
from apiv3.model.audit import Entry
from apiv3.model.errors import NotFound
from apiv3.model.passkeys import Passkey
from apiv3.storage import accounts, audit, sessions
from apiv3.storage.database import Connection, Database
from apiv3.storage.dialects import Dialect, Row

_COLUMNS = "id, person, public_key, counter, name, created_at, last_used"
_ALL = f"SELECT {_COLUMNS} FROM passkeys WHERE person = ? ORDER BY created_at, id"
_BY_ID = f"SELECT {_COLUMNS} FROM passkeys WHERE id = ?"
_ADD = f"INSERT INTO passkeys ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING RETURNING id"
_CHANGE = "UPDATE passkeys SET counter = ?, name = ?, last_used = ? WHERE id = ?"
_REMOVE = "DELETE FROM passkeys WHERE id = ? AND person = ?"


class PasskeyTable:
    """The PasskeyStore of both databases."""

    def __init__(self, database: Database) -> None:
        self._database, self._sql = database, database.dialect.sql

    async def all(self, person: str) -> Sequence[Passkey]:
        return [_passkey(row) for row in await self._database.fetch(self._sql(_ALL), person)]

    async def find(self, id: str) -> Passkey | None:
        rows = await self._database.fetch(self._sql(_BY_ID), id)
        return _passkey(rows[0]) if rows else None

    @asynccontextmanager
    async def changing(self, person: str) -> AsyncIterator[PasskeyTableWriter]:
        async with self._database.transaction("passkeys") as connection:
            found = await accounts.locked(connection, self._database.dialect, person)
            if found is None:
                raise NotFound(f"There is no account {person!r}; list what there is to see them")
            yield PasskeyTableWriter(connection, self._database.dialect, found)


class PasskeyTableWriter:
    """The PasskeyWriter, inside the transaction that holds the row of the account."""

    def __init__(self, connection: Connection, dialect: Dialect, person: Person) -> None:
        self.person = person
        self._connection, self._dialect, self._sql = connection, dialect, dialect.sql

    async def all(self) -> Sequence[Passkey]:
        return [_passkey(row) for row in await self._connection.fetch(self._sql(_ALL), self.person.subject.id)]

    async def add(self, passkey: Passkey) -> bool:
        used = (passkey.created_at, passkey.last_used)
        row = (passkey.id, passkey.person, passkey.public_key, passkey.counter, passkey.name, *used)
        return bool(await self._connection.fetch(self._sql(_ADD), *row))

    async def change(self, passkey: Passkey) -> None:
        row = (passkey.counter, passkey.name, passkey.last_used, passkey.id)
        await self._connection.execute(self._sql(_CHANGE), *row)

    async def remove(self, id: str) -> None:
        await self._connection.execute(self._sql(_REMOVE), id, self.person.subject.id)

    async def use(self, challenge: str, expires: int) -> bool:
        return await sessions.use_nonce(self._connection, self._dialect, challenge, expires)

    async def note(self, entry: Entry) -> None:
        await audit.add(self._connection, self._dialect, entry)


def _passkey(row: Row) -> Passkey:
    return Passkey(*row)
