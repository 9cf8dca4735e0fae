"""Devices, their keys and their connections in the database. Pairing codes are stored as digests only.

Ended keys stay for ever, also those of removed devices, so that none of them is taken again.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from apiv3.model import messages
from apiv3.model.audit import Entry
from apiv3.model.devices import Device, Machine, Visit
from apiv3.model.errors import BadRequest
from apiv3.model.logins import Login
from apiv3.retrying import retried
from apiv3.storage import audit
from apiv3.storage.database import Connection, Database
from apiv3.storage.dialects import Dialect, Row
from apiv3.storage.logins import Outbox
from apiv3.storage.policy import SUBJECT, PolicyTable, PolicyTableWriter, subject

LANE = "devices"
NEXT_REVISION = "UPDATE clocks SET last = last + 1 WHERE name = '/devices' RETURNING last"
_REVISION = "SELECT last FROM clocks WHERE name = '/devices'"
_OWN = "id, pairing_expires, rotation, connection, connected, seen, address, software, displaced"
_COLUMNS = f"""{", ".join(f"devices.{name}" for name in _OWN.split(", "))},
    (SELECT public_key FROM device_keys WHERE device = devices.id AND state = 'active'),
    EXISTS (SELECT 1 FROM device_keys WHERE device = devices.id AND state = 'ended')"""
_COUNT = len(_OWN.split(", ")) + 2
_FIND = f"""SELECT {_COLUMNS}, {SUBJECT} FROM devices JOIN subjects ON subjects.id = devices.id
    LEFT JOIN accounts ON accounts.id = devices.id LEFT JOIN clients ON clients.id = devices.id"""
_BY_ID = f"{_FIND} WHERE devices.id = ?"
_ALL = f"{_FIND} ORDER BY subjects.name"
_GOOD = "public_key = ? AND (state = 'active' OR (state = 'new' AND deadline > ?))"
_STATE = f"SELECT state FROM device_keys WHERE device = ? AND {_GOOD}"
_BY_KEY = f"{_FIND} WHERE devices.id = (SELECT device FROM device_keys WHERE {_GOOD})"
_BY_PAIRING = "SELECT id FROM devices WHERE pairing = ? AND pairing_expires > ?"
_CHANGED = "SELECT id FROM devices WHERE changed > ?"
_COUNT_ALL = "SELECT count(*) FROM devices"
_ADD = "INSERT INTO devices (id, changed, counter, address, software) VALUES (?, ?, 0, '', '')"
_PAIR = "UPDATE devices SET pairing = ?, pairing_expires = ?, changed = ? WHERE id = ?"
_USE_PAIRING = """UPDATE devices SET pairing = NULL, pairing_expires = NULL, changed = ?
    WHERE pairing = ? AND pairing_expires > ? RETURNING id"""
_END_KEYS = "UPDATE device_keys SET state = 'ended', since = ? WHERE device = ? AND public_key <> ? AND state <> 'ended'"
_ADD_KEY = """INSERT INTO device_keys (public_key, device, state, since) VALUES (?, ?, 'active', ?)
    ON CONFLICT (public_key) DO NOTHING"""
_ACTIVATE = "UPDATE device_keys SET state = 'active', since = ? WHERE public_key = ? AND state = 'new'"
_HOLDS = "SELECT 1 FROM device_keys WHERE public_key = ? AND device = ? AND state = 'active'"
_OFFER = """INSERT INTO device_keys (public_key, device, state, since, deadline) VALUES (?, ?, 'new', ?, ?)
    ON CONFLICT (public_key) DO NOTHING RETURNING public_key"""
_DROP_OFFER = "DELETE FROM device_keys WHERE device = ? AND state = 'new'"
_ROTATE = "UPDATE devices SET rotation = ?, changed = ? WHERE id = ?"
_ROTATION = "UPDATE devices SET rotation = rotation WHERE id = ? AND rotation > ? RETURNING rotation"
_CONNECT = """UPDATE devices SET displaced = CASE WHEN connection IS NULL THEN displaced ELSE ? END, connection = ?,
    connected = ?, seen = ?, address = ?, software = ?, changed = ? WHERE id = ?"""
_DISCONNECT = "UPDATE devices SET connection = NULL, seen = ? WHERE id = ? AND connection = ?"
_NONCE = "SELECT nonce FROM subjects WHERE id = ?"
_LEASE = "UPDATE logins SET until = ? WHERE id = (SELECT connection FROM devices WHERE id = ?)"
LEASE = 300_000
"""Milliseconds after which the login of a device ends if no process says that it is still connected, as after a crash."""
_SAW = "UPDATE devices SET seen = ? WHERE id = ? AND seen < ?"


class DeviceTable:
    """The DeviceStore of both databases."""

    def __init__(self, database: Database, default_roles: Sequence[str] = ()) -> None:
        self._database, self._policy, self._sql = database, PolicyTable(database, default_roles), database.dialect.sql
        self._default_roles = default_roles

    async def find(self, id: str) -> Machine | None:
        return _first(await self._fetch(_BY_ID, id))

    async def all(self) -> Sequence[Machine]:
        return [_machine(row) for row in await self._fetch(_ALL)]

    async def by_key(self, public_key: str, now: int) -> Machine | None:
        return _first(await self._fetch(_BY_KEY, public_key, now))

    async def by_pairing(self, digest: str, now: int) -> str | None:
        rows = await self._fetch(_BY_PAIRING, digest, now)
        return rows[0][0] if rows else None

    async def changed(self, since: int) -> tuple[int, Sequence[str]]:
        # The revision is read first: what changes meanwhile is reported twice, which does no harm.
        ((revision,),) = await self._fetch(_REVISION)
        if revision == since:
            return since, ()
        return int(revision), [device for (device,) in await self._fetch(_CHANGED, since if since < revision else 0)]

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[DeviceTableWriter]:
        async with self._policy.changing() as policy:
            ((revision,),) = await policy.connection.fetch(NEXT_REVISION)
            yield DeviceTableWriter(policy, int(revision))

    @retried
    async def enrol(self, digest: str, public_key: str, entry: Entry, moment: int) -> str | None:
        async with self._database.transaction(LANE) as connection:
            ((revision,),) = await connection.fetch(NEXT_REVISION)
            rows = await connection.fetch(self._sql(_USE_PAIRING), revision, digest, moment)
            if not rows:
                return None
            ((device,),) = rows
            await _add_key(connection, self._database.dialect, str(device), public_key, moment)
            await audit.add(connection, self._database.dialect, entry)
        return str(device)

    @asynccontextmanager
    async def _telling(self) -> AsyncIterator[tuple[Connection, Outbox]]:
        """Begin a transaction that tells at its end which connections have begun and ended."""
        async with self._database.transaction(LANE) as connection:
            outbox = Outbox(connection, self._database.dialect, self._default_roles, "ended")
            yield connection, outbox
            await outbox.tell()

    @retried
    async def connect(self, id: str, public_key: str, visit: Visit, moment: int) -> bool:
        async with self._telling() as (connection, outbox):
            ((revision,),) = await connection.fetch(NEXT_REVISION)
            rows = await connection.fetch(self._sql(_STATE), id, public_key, moment)
            if not rows:
                return False
            if rows[0][0] == "new":
                await connection.execute(self._sql(_ACTIVATE), moment, public_key)
                await connection.execute(self._sql(_END_KEYS), moment, id, public_key)
                await connection.execute(self._sql(_ROTATE), None, revision, id)
            row = (moment, visit.id, moment, moment, visit.address, visit.software, revision, id)
            await connection.execute(self._sql(_CONNECT), *row)
            for (nonce,) in await connection.fetch(self._sql(_NONCE), id):
                outbox.begin(_login(id, nonce, visit, moment))
        return True

    @retried
    async def disconnect(self, ended: Mapping[str, str], moment: int) -> None:
        async with self._telling() as (connection, outbox):
            for device, ended_connection in sorted(ended.items()):
                await connection.execute(self._sql(_DISCONNECT), moment, device, ended_connection)
            outbox.touch(*ended)

    @retried
    async def saw(self, moments: Mapping[str, int]) -> None:
        async with self._database.transaction(LANE) as connection:
            for device, moment in sorted(moments.items()):  # always in one order, so that no two processes wait for each other
                await connection.execute(self._sql(_SAW), moment, device, moment)
            for device, moment in sorted(moments.items()):
                await connection.execute(self._sql(_LEASE), moment + LEASE, device)

    async def _fetch(self, sql: str, *args: Any) -> Sequence[Row]:
        return await self._database.fetch(self._sql(sql), *args)


class DeviceTableWriter:
    """The DeviceWriter, inside the transaction that holds the rows of both revisions."""

    def __init__(self, policy: PolicyTableWriter, revision: int) -> None:
        self.policy, self._revision = policy, revision

    async def find(self, id: str) -> Machine | None:
        return _first(await self._fetch(_BY_ID, id))

    async def count(self) -> int:
        ((count,),) = await self._fetch(_COUNT_ALL)
        return int(count)

    async def add(self, id: str) -> None:
        await self._execute(_ADD, id, self._revision)

    async def pair(self, id: str, digest: str | None, expires: int | None) -> None:
        await self._execute(_PAIR, digest, expires, self._revision, id)

    async def add_key(self, id: str, public_key: str, moment: int) -> None:
        await _add_key(self.policy.connection, self.policy.dialect, id, public_key, moment)

    async def end_keys(self, id: str, moment: int) -> None:
        await self._execute(_END_KEYS, moment, id, "")
        await self._execute(_ROTATE, None, self._revision, id)
        self.policy.logins.touch(id)

    async def ask_rotation(self, id: str, deadline: int) -> None:
        await self._execute(_ROTATE, deadline, self._revision, id)

    async def note(self, entry: Entry) -> None:
        await self.policy.note(entry)

    async def _execute(self, sql: str, *args: Any) -> None:
        await self.policy.connection.execute(self.policy.dialect.sql(sql), *args)

    async def _fetch(self, sql: str, *args: Any) -> Sequence[Row]:
        rows: Sequence[Row] = await self.policy.connection.fetch(self.policy.dialect.sql(sql), *args)
        return rows


async def offer_key(connection: Connection, dialect: Dialect, device: str, public_key: str, moment: int) -> bool | None:
    """Store the new key that a device was asked for, inside a writing transaction, in place of one that it offered before.

    Returns None when it was not asked, or too long ago; False when a device has or had the key.
    """
    rows = await connection.fetch(dialect.sql(_ROTATION), device, moment)
    if not rows:
        return None
    await connection.execute(dialect.sql(_DROP_OFFER), device)
    return bool(await connection.fetch(dialect.sql(_OFFER), public_key, device, moment, rows[0][0]))


async def _add_key(connection: Connection, dialect: Dialect, device: str, public_key: str, moment: int) -> None:
    """Make a key the active one of a device, and end its keys before. Raises BadRequest when it is or was in use."""
    await connection.execute(dialect.sql(_ADD_KEY), public_key, device, moment)
    if not await connection.fetch(dialect.sql(_HOLDS), public_key, device):
        raise BadRequest(messages.KEY_IN_USE)
    await connection.execute(dialect.sql(_END_KEYS), moment, device, public_key)


def _login(device: str, nonce: str, visit: Visit, moment: int) -> Login:
    """A device presents no secret that another service could recognise, so the digest is that of its connection's id."""
    digest = hashlib.sha256(visit.id.encode()).hexdigest()
    return Login(visit.id, digest, device, nonce, "device", visit.address, moment, None, lease=moment + LEASE)


def _first(rows: Sequence[Row]) -> Machine | None:
    return _machine(rows[0]) if rows else None


def _machine(row: Row) -> Machine:
    values: dict[str, Any] = dict(zip(_OWN.split(", "), row, strict=False))
    key, has_ended_key = row[_COUNT - 2 : _COUNT]
    return Machine(Device(public_key=key, has_ended_key=bool(has_ended_key), **values), subject(*row[_COUNT:]))
