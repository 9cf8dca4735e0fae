"""Accounts in the database. Each belongs to the subject with its id, and changes in one transaction with it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from apiv3.model.accounts import Account, Email, Invitation, Person
from apiv3.retrying import retried
from apiv3.storage.database import Connection, Database
from apiv3.storage.dialects import Dialect, Row
from apiv3.storage.policy import SUBJECT, PolicyTable, PolicyTableWriter, subject
from apiv3.storage.sessions import SessionTableWriter

_FIND = f"""SELECT {SUBJECT}, accounts.email, accounts.email_key, accounts.password, accounts.invitation,
    accounts.invitation_expires FROM accounts JOIN subjects ON subjects.id = accounts.id
    LEFT JOIN clients ON clients.id = accounts.id"""
_ALL = f"{_FIND} ORDER BY accounts.email_key"
_BY_ID = f"{_FIND} WHERE accounts.id = ?"
_BY_EMAIL = f"{_FIND} WHERE accounts.email_key = ?"
_BY_INVITATION = f"{_FIND} WHERE accounts.invitation = ?"
_PUT = """INSERT INTO accounts (id, email, email_key, password, invitation, invitation_expires) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET email = excluded.email, email_key = excluded.email_key, password = excluded.password,
    invitation = excluded.invitation, invitation_expires = excluded.invitation_expires"""
_LOCK = "UPDATE accounts SET id = id WHERE id = ?"
_RENEW = "UPDATE accounts SET password = ? WHERE id = ? AND password = ?"
_COLUMNS = 5
"""Of an account, after those of its subject."""


class _Finder(ABC):
    """Finds people, by the same queries inside and outside a transaction."""

    async def find(self, id: str) -> Person | None:
        return await self._one(_BY_ID, id)

    async def find_email(self, key: str) -> Person | None:
        return await self._one(_BY_EMAIL, key)

    async def find_invitation(self, digest: str) -> Person | None:
        return await self._one(_BY_INVITATION, digest)

    @abstractmethod
    async def _one(self, sql: str, value: str) -> Person | None:
        """Return the person that a query with one value finds."""


class AccountTable(_Finder):
    """The AccountStore of both databases."""

    def __init__(self, database: Database, default_roles: Sequence[str] = ()) -> None:
        self._database, self._policy = database, PolicyTable(database, default_roles)

    async def all(self) -> Sequence[Person]:
        return [_person(row) for row in await self._database.fetch(_ALL)]

    async def _one(self, sql: str, value: str) -> Person | None:
        return _first(await self._database.fetch(self._database.dialect.sql(sql), value))

    @retried
    async def renew(self, account: Account, password: str) -> None:
        async with self._database.transaction("accounts") as connection:
            await connection.execute(self._database.dialect.sql(_RENEW), password, account.id, account.password)

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[AccountTableWriter]:
        async with self._policy.changing() as policy:
            yield AccountTableWriter(policy)


class AccountTableWriter(_Finder):
    """The AccountWriter, inside the transaction that holds the row of the revision."""

    def __init__(self, policy: PolicyTableWriter) -> None:
        self.policy, self.sessions = policy, SessionTableWriter(policy.connection, policy.dialect, policy.logins)
        self._connection: Connection = policy.connection
        self._sql = policy.dialect.sql

    async def _one(self, sql: str, value: str) -> Person | None:
        return _first(await self._connection.fetch(self._sql(sql), value))

    async def put(self, person: Person) -> None:
        account, invitation = person.account, person.account.invitation
        digest, expires = (None, None) if invitation is None else (invitation.digest, invitation.expires)
        await self.policy.put_subject(person.subject)
        row = (account.id, *account.email, account.password, digest, expires)
        await self._connection.execute(self._sql(_PUT), *row)

    async def remove(self, id: str) -> None:
        await self.policy.remove_subject(id)


async def locked(connection: Connection, dialect: Dialect, id: str) -> Person | None:
    """Return a person; nobody else changes the account until the end of this writing transaction."""
    await connection.execute(dialect.sql(_LOCK), id)
    return _first(await connection.fetch(dialect.sql(_BY_ID), id))


def _first(rows: Sequence[Row]) -> Person | None:
    return _person(rows[0]) if rows else None


def _person(row: Sequence[Any]) -> Person:
    own, (email, key, password, digest, expires) = row[:-_COLUMNS], row[-_COLUMNS:]
    found = subject(*own)
    invitation = None if digest is None else Invitation(digest, expires)
    return Person(found, Account(found.id, Email(email, key), password, invitation))
