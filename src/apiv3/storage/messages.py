"""What devices have sent, in the database: the messages that were answered, and what devices told of themselves.

A message and its effect are one transaction, so that a message that is sent twice is done once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from apiv3.model import messages
from apiv3.model.alarms import Notification
from apiv3.model.devices import Message, Record, RecordKind
from apiv3.model.errors import BadRequest, Conflict, Forbidden, TransactionConflict
from apiv3.retrying import retried
from apiv3.storage import alarms
from apiv3.storage.database import Connection, Database
from apiv3.storage.devices import LANE, offer_key
from apiv3.storage.dialects import Dialect

MOST_RECORDS: Mapping[RecordKind, int] = {"log": 10_000, "alarm": 1000, "state": 1000}
"""Most records of each kind that are kept for a device; the oldest are dropped."""
_ANSWERED = "SELECT digest, answer FROM device_messages WHERE device = ? AND id = ?"
_REMEMBER = """INSERT INTO device_messages (device, id, digest, answer, moment) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (device, id) DO NOTHING RETURNING id"""
_PRUNE = """DELETE FROM device_messages WHERE (device, id) IN
    (SELECT device, id FROM device_messages WHERE moment < ? ORDER BY moment LIMIT ?) RETURNING id"""
_HOLD = "UPDATE devices SET id = id WHERE id = ? RETURNING id"
_LAST = "SELECT COALESCE(max(number), 0) FROM device_records WHERE device = ? AND kind = ?"
_RECORD = "INSERT INTO device_records (device, kind, number, moment, level, body, searched) VALUES (?, ?, ?, ?, ?, ?, ?)"
_DROP = "DELETE FROM device_records WHERE device = ? AND kind = ? AND number <= ?"
_RECORDS = """SELECT kind, number, moment, level, body FROM device_records
    WHERE device = ? AND kind = ? AND number < ? AND searched LIKE ? ESCAPE '!' ORDER BY number DESC LIMIT ?"""
_ALL_NUMBERS = 1 << 62


class MessageTable:
    """The MessageStore of both databases."""

    def __init__(self, database: Database) -> None:
        self._database, self._sql = database, database.dialect.sql

    @retried
    async def record(
        self, message: Message, records: Sequence[Record], notification: Notification | None, moment: int
    ) -> Mapping[str, Any]:
        async with self._database.transaction(LANE) as connection:
            dialect = self._database.dialect
            await _hold(connection, dialect, message.device)
            if (before := await recall(connection, dialect, message)) is not None:
                return before
            await _record(connection, dialect, message.device, records)
            if notification is not None:
                await alarms.tell(connection, dialect, notification, moment)
            await remember(connection, dialect, message, {}, moment)
        return {}

    @retried
    async def offer_key(self, message: Message, public_key: str, moment: int) -> Mapping[str, Any]:
        async with self._database.transaction(LANE) as connection:
            dialect = self._database.dialect
            await _hold(connection, dialect, message.device)
            if (before := await recall(connection, dialect, message)) is not None:
                return before
            taken = await offer_key(connection, dialect, message.device, public_key, moment)
            if taken is None:
                raise Conflict("No new key was asked for")
            if not taken:
                raise BadRequest(messages.KEY_IN_USE)
            await remember(connection, dialect, message, {}, moment)
        return {}

    async def records(self, device: str, kind: RecordKind, before: int | None, text: str, limit: int) -> Sequence[Record]:
        part = "%" + text.lower().replace("!", "!!").replace("%", "!%").replace("_", "!_") + "%"
        rows = await self._database.fetch(self._sql(_RECORDS), device, kind, before or _ALL_NUMBERS, part, limit)
        return [Record(kind, number, moment, level, orjson.loads(body)) for _, number, moment, level, body in rows]

    @retried
    async def prune(self, before: int, limit: int) -> int:
        async with self._database.transaction(LANE) as connection:
            return len(await connection.fetch(self._sql(_PRUNE), before, limit))


async def recall(connection: Connection, dialect: Dialect, message: Message) -> Mapping[str, Any] | None:
    """Return the answer that a message got before, inside a writing transaction; None when it is new.

    Raises Conflict when the message before had the same id, but another content.
    """
    rows = await connection.fetch(dialect.sql(_ANSWERED), message.device, message.id)
    if not rows:
        return None
    digest, answer = rows[0]
    if digest != message.digest:
        raise Conflict("Another message had this id")
    before: Mapping[str, Any] = orjson.loads(answer)
    return before


async def remember(connection: Connection, dialect: Dialect, message: Message, answer: Mapping[str, Any], moment: int) -> None:
    """Remember the answer of a message, inside the writing transaction that has its effect.

    Raises TransactionConflict when another process has just answered it.
    """
    row = (message.device, message.id, message.digest, orjson.dumps(answer).decode(), moment)
    if not await connection.fetch(dialect.sql(_REMEMBER), *row):
        raise TransactionConflict


async def _hold(connection: Connection, dialect: Dialect, device: str) -> None:
    """Let no other transaction write what this device tells. Raises Forbidden when the device was removed."""
    if not await connection.fetch(dialect.sql(_HOLD), device):
        raise Forbidden("The device was removed")


async def _record(connection: Connection, dialect: Dialect, device: str, records: Sequence[Record]) -> None:
    """Number records of one kind and store them, in place of the oldest."""
    kind = records[0].kind
    ((last,),) = await connection.fetch(dialect.sql(_LAST), device, kind)
    rows = [
        (device, kind, number, each.moment, each.level, orjson.dumps(each.body).decode(), _searched(each.body))
        for number, each in enumerate(records, last + 1)
    ]
    await connection.executemany(dialect.sql(_RECORD), rows)
    await connection.execute(dialect.sql(_DROP), device, kind, last + len(rows) - MOST_RECORDS[kind])


def _searched(body: Mapping[str, Any]) -> str:
    """Return the values of a record, without their names, in small letters; the databases know these of some alphabets only."""
    values = (value if isinstance(value, str) else orjson.dumps(value).decode() for value in body.values())
    return " ".join(values).lower()
