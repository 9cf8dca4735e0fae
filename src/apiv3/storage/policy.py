"""Subjects and roles in the database, and the revision by which every process notices changes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson

from apiv3.model.audit import Entry
from apiv3.model.identity import Role, Subject, Timestamp
from apiv3.storage import audit
from apiv3.storage.contracts import Policy
from apiv3.storage.database import Connection, Database
from apiv3.storage.dialects import Dialect
from apiv3.storage.logins import Outbox

_REVISION = "SELECT last FROM clocks WHERE name = 'policy'"
_NEXT = "UPDATE clocks SET last = last + 1 WHERE name = 'policy' RETURNING last"
SUBJECT = """subjects.id, subjects.name, subjects.roles, subjects.notes, subjects.created_at, subjects.nonce,
    subjects.timestamp, subjects.disabled, accounts.id IS NOT NULL, clients.id IS NOT NULL,
    EXISTS (SELECT 1 FROM devices WHERE devices.id = subjects.id), subjects.groups, subjects.ous"""
"""The columns of a subject, in the order in which `subject` takes them."""
_SUBJECTS = f"""SELECT {SUBJECT} FROM subjects LEFT JOIN accounts ON accounts.id = subjects.id
    LEFT JOIN clients ON clients.id = subjects.id ORDER BY subjects.name"""
_ROLES = "SELECT name, permissions, notes, id, created_at FROM roles ORDER BY name"
_PUT_SUBJECT = """INSERT INTO subjects (id, name, roles, notes, created_at, nonce, timestamp, disabled, groups, ous)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET name = excluded.name, roles = excluded.roles, notes = excluded.notes,
    created_at = excluded.created_at, nonce = excluded.nonce, timestamp = excluded.timestamp, disabled = excluded.disabled,
    groups = excluded.groups, ous = excluded.ous"""
_END_SESSIONS = "DELETE FROM sessions WHERE subject = ? AND nonce <> ?"
_NEXT_GRANTS = "UPDATE clocks SET last = last + 1 WHERE name = '/grants' RETURNING last"
_END_GRANTS = "UPDATE grants SET ended = ? WHERE (client = ? OR subject = ?) AND ended IS NULL RETURNING subject"
_ASK_ANEW = (
    "DELETE FROM consents WHERE client = ?",
    "DELETE FROM authorization_requests WHERE client = ?",
    "DELETE FROM codes WHERE client = ? AND grant_id IS NULL",  # used ones stay: they are known if they come again
    "DELETE FROM device_codes WHERE client = ? AND grant_id IS NULL",
)
_FORGET_CONSENTS = "DELETE FROM consents WHERE subject = ?"
_FORGET_DEVICE = (
    "UPDATE device_keys SET state = 'ended' WHERE device = ?",  # they stay, so that no other device gets one of them
    "DELETE FROM devices WHERE id = ?",
    "DELETE FROM device_messages WHERE device = ?",
    "DELETE FROM device_records WHERE device = ?",
    "DELETE FROM device_commands WHERE device = ?",
    "DELETE FROM offers WHERE device = ?",
)
_PUT_ROLE = """INSERT INTO roles (id, name, permissions, notes, created_at) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET name = excluded.name, permissions = excluded.permissions, notes = excluded.notes,
    created_at = excluded.created_at"""


class PolicyTable:
    """The PolicyStore of both databases."""

    def __init__(self, database: Database, default_roles: Sequence[str] = ()) -> None:
        self._database, self._default_roles = database, default_roles

    async def revision(self) -> int:
        ((revision,),) = await self._database.fetch(_REVISION)
        return int(revision)

    async def load(self) -> Policy:
        """Return all subjects and roles. The revision is read first, so that a change meanwhile makes them load again."""
        async with self._database.connection() as connection:
            return await _load(connection)

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[PolicyTableWriter]:
        async with self._database.transaction("policy") as connection:
            await connection.fetch(_NEXT)
            outbox = Outbox(connection, self._database.dialect, self._default_roles)
            yield PolicyTableWriter(connection, self._database.dialect, await _load(connection), outbox)
            await outbox.tell()


async def _load(connection: Connection) -> Policy:
    ((revision,),) = await connection.fetch(_REVISION)
    subjects = [subject(*row) for row in await connection.fetch(_SUBJECTS)]
    roles = [_role(*row) for row in await connection.fetch(_ROLES)]
    return Policy(int(revision), tuple(subjects), tuple(roles))


def subject(
    id: str,
    name: str,
    roles: str,
    notes: str,
    created_at: str,
    nonce: str,
    timestamp: Timestamp,
    disabled: bool,
    is_person: bool,
    is_client: bool,
    is_device: bool,
    groups: str,
    ous: str,
) -> Subject:
    """The subject of a row; SQLite has numbers for truth values."""
    kind = (bool(disabled), bool(is_person), bool(is_client), bool(is_device))
    lists = (tuple(orjson.loads(groups)), tuple(orjson.loads(ous)))
    return Subject(id, name, tuple(orjson.loads(roles)), notes, created_at, nonce, timestamp, *kind, *lists)


def _role(name: str, permissions: str, notes: str, id: str, created_at: str) -> Role:
    return Role(name, tuple(orjson.loads(permissions)), notes, id, created_at)


class PolicyTableWriter:
    """The PolicyWriter, inside a transaction that has locked the row of the revision, which lets `logins` tell at its end."""

    def __init__(self, connection: Connection, dialect: Dialect, policy: Policy, logins: Outbox) -> None:
        self.connection, self.dialect, self.policy, self.logins = connection, dialect, policy, logins

    async def put_subject(self, subject: Subject) -> None:
        roles = orjson.dumps(subject.roles).decode()
        row = (subject.id, subject.name, roles, subject.notes, subject.created_at, subject.nonce, subject.timestamp)
        lists = (orjson.dumps(subject.groups).decode(), orjson.dumps(subject.ous).decode())
        await self._execute(_PUT_SUBJECT, *row, subject.disabled, *lists)
        await self._execute(_END_SESSIONS, subject.id, subject.nonce)
        self.logins.touch(subject.id)

    async def put_role(self, role: Role) -> None:
        permissions = orjson.dumps(role.permissions).decode()
        await self._execute(_PUT_ROLE, role.id, role.name, permissions, role.notes, role.created_at)
        self.logins.touch_all()

    async def end_invitations(self, ids: Collection[str]) -> None:
        for (invited,) in await self.connection.fetch("SELECT id FROM accounts WHERE invitation IS NOT NULL ORDER BY id"):
            if invited in ids:
                await self._execute("UPDATE accounts SET invitation = NULL, invitation_expires = NULL WHERE id = ?", invited)

    async def remove_subject(self, id: str) -> None:
        await self._execute("DELETE FROM sessions WHERE subject = ?", id)
        await self._execute("DELETE FROM accounts WHERE id = ?", id)
        await self._execute("DELETE FROM passkeys WHERE person = ?", id)
        await self._execute("DELETE FROM clients WHERE id = ?", id)
        await self.end_grants(id)
        for sql in _FORGET_DEVICE:
            await self._execute(sql, id)
        await self._execute("DELETE FROM subjects WHERE id = ?", id)
        self.logins.touch(id)

    async def end_grants(self, id: str) -> None:
        await self._execute(_FORGET_CONSENTS, id)
        await self.ask_anew(id)  # waits for a code that is being exchanged, so that what it gives ends below
        ((revision,),) = await self.connection.fetch(_NEXT_GRANTS)
        ended = await self.connection.fetch(self.dialect.sql(_END_GRANTS), revision, id, id)
        self.logins.touch(*(subject for (subject,) in ended))

    async def ask_anew(self, client: str) -> None:
        for sql in _ASK_ANEW:
            await self._execute(sql, client)

    async def remove_role(self, id: str) -> None:
        await self._execute("DELETE FROM roles WHERE id = ?", id)
        self.logins.touch_all()

    async def note(self, entry: Entry) -> None:
        await audit.add(self.connection, self.dialect, entry)

    async def _execute(self, sql: str, *args: Any) -> None:
        await self.connection.execute(self.dialect.sql(sql), *args)
