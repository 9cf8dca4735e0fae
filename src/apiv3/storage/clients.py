"""OAuth2 clients in the database. Each belongs to the subject with its id, and changes in one transaction with it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import orjson

from apiv3.model.clients import Application, Client
from apiv3.storage.database import Database
from apiv3.storage.dialects import Row
from apiv3.storage.policy import SUBJECT, PolicyTable, PolicyTableWriter, subject

_COLUMNS = "id, redirects, scopes, grants, secret, introspects, owner"
_COUNT = len(_COLUMNS.split(", "))
OWN = f"SELECT {_COLUMNS} FROM clients WHERE id = ?"
"""A client without its subject, see `client`."""
_FIND = f"""SELECT {", ".join(f"clients.{name}" for name in _COLUMNS.split(", "))}, {SUBJECT} FROM clients
    JOIN subjects ON subjects.id = clients.id LEFT JOIN accounts ON accounts.id = clients.id"""
_BY_ID = f"{_FIND} WHERE clients.id = ?"
_LOCK = "UPDATE clients SET id = id WHERE id = ?"
_ALL = f"{_FIND} ORDER BY subjects.name"
_COUNT_ALL = "SELECT count(*) FROM clients"
_PUT = f"""INSERT INTO clients ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET redirects = excluded.redirects, scopes = excluded.scopes, grants = excluded.grants,
    secret = excluded.secret, introspects = excluded.introspects, owner = excluded.owner"""


class ClientTable:
    """The ClientStore of both databases."""

    def __init__(self, database: Database, default_roles: Sequence[str] = ()) -> None:
        self._database, self._policy = database, PolicyTable(database, default_roles)

    async def find(self, id: str) -> Application | None:
        return _first(await self._database.fetch(self._database.dialect.sql(_BY_ID), id))

    async def all(self) -> Sequence[Application]:
        return [_application(row) for row in await self._database.fetch(_ALL)]

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[ClientTableWriter]:
        async with self._policy.changing() as policy:
            yield ClientTableWriter(policy)


class ClientTableWriter:
    """The ClientWriter, inside the transaction that holds the row of the revision of subjects and roles."""

    def __init__(self, policy: PolicyTableWriter) -> None:
        self.policy = policy

    async def find(self, id: str) -> Application | None:
        await self.policy.connection.execute(self.policy.dialect.sql(_LOCK), id)
        return _first(await self.policy.connection.fetch(self.policy.dialect.sql(_BY_ID), id))

    async def put(self, client: Client) -> None:
        lists = (orjson.dumps(client.redirects).decode(), " ".join(client.scopes), " ".join(client.grants))
        row = (client.id, *lists, client.secret, client.introspects, client.owner)
        await self.policy.connection.execute(self.policy.dialect.sql(_PUT), *row)

    async def count(self) -> int:
        ((count,),) = await self.policy.connection.fetch(_COUNT_ALL)
        return int(count)

    async def end_grants(self, client: str) -> None:
        await self.policy.end_grants(client)

    async def ask_anew(self, client: str) -> None:
        await self.policy.ask_anew(client)


def _first(rows: Sequence[Row]) -> Application | None:
    return _application(rows[0]) if rows else None


def _application(row: Row) -> Application:
    return Application(client(row[:_COUNT]), subject(*row[_COUNT:]))


def client(row: Row) -> Client:
    """The client of a row with the columns of OWN."""
    name, redirects, scopes, grants, secret, introspects, owner = row
    lists = (tuple(orjson.loads(redirects)), tuple(scopes.split()), tuple(grants.split()))
    return Client(name, *lists, secret, bool(introspects), owner)
