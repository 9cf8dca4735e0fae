"""Commands for devices in the database. One that is over stays until there are MOST_KEPT newer ones for the device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from apiv3.model.audit import Entry
from apiv3.model.devices import ANSWERED, OPEN, Command, Message, Result
from apiv3.model.errors import Conflict, NotFound
from apiv3.retrying import retried
from apiv3.storage import audit
from apiv3.storage.database import Database
from apiv3.storage.devices import LANE, NEXT_REVISION
from apiv3.storage.dialects import Row
from apiv3.storage.messages import recall, remember

MOST_KEPT = 1000
"""Most commands that are kept for a device; the oldest of those that are over are dropped."""
_COLUMNS = "id, device, counter, name, arguments, made, expires, state, output, updated"
_OPEN = ", ".join(f"'{state}'" for state in OPEN)
_COUNTER = """UPDATE devices SET counter = {greatest}(counter + 1, ?), changed = ? WHERE id = ? RETURNING counter"""
_ADD = f"INSERT INTO device_commands ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_FIND = f"SELECT {_COLUMNS} FROM device_commands WHERE id = ?"
_OF = f"SELECT {_COLUMNS} FROM device_commands WHERE device = ? ORDER BY counter DESC LIMIT ?"
_OF_OPEN = f"""SELECT {_COLUMNS} FROM device_commands WHERE device = ? AND state IN ({_OPEN}) AND expires > ?
    ORDER BY counter"""
_SENT = "UPDATE device_commands SET state = 'SENT', updated = ? WHERE id = ? AND state = 'QUEUED'"
_LOCK = f"UPDATE device_commands SET id = id WHERE id = ? RETURNING {_COLUMNS}"
_PUT = "UPDATE device_commands SET state = ?, output = ?, updated = ? WHERE id = ?"
_TIME_OUT = f"UPDATE device_commands SET state = 'TIMED_OUT', updated = ? WHERE state IN ({_OPEN}) AND expires <= ?"
_ANY_EXPIRED = f"SELECT 1 FROM device_commands WHERE state IN ({_OPEN}) AND expires <= ? LIMIT 1"
_DROP = f"""DELETE FROM device_commands WHERE device = ? AND state NOT IN ({_OPEN}) AND counter <=
    (SELECT counter FROM device_commands WHERE device = ? ORDER BY counter DESC LIMIT 1 OFFSET ?)"""


class CommandTable:
    """The CommandStore of both databases."""

    def __init__(self, database: Database) -> None:
        self._database, self._sql = database, database.dialect.sql

    @retried
    async def add(self, command: Command, entry: Entry) -> Command | None:
        async with self._database.transaction(LANE) as connection:
            ((revision,),) = await connection.fetch(NEXT_REVISION)
            counting = self._sql(_COUNTER.format(greatest=self._database.dialect.greatest))
            rows = await connection.fetch(counting, command.made, revision, command.device)
            if not rows:
                return None
            counter = int(rows[0][0])
            row = (command.id, command.device, counter, command.name, _text(command.arguments), command.made, command.expires)
            await connection.execute(self._sql(_ADD), *row, command.state, _text(command.output), command.updated)
            await connection.execute(self._sql(_DROP), command.device, command.device, MOST_KEPT)
            await audit.add(connection, self._database.dialect, entry)
            (stored,) = await connection.fetch(self._sql(_FIND), command.id)
        return _command(stored)

    async def find(self, id: str) -> Command | None:
        return _first(await self._database.fetch(self._sql(_FIND), id))

    async def of(self, device: str, limit: int) -> Sequence[Command]:
        return [_command(row) for row in await self._database.fetch(self._sql(_OF), device, limit)]

    async def open(self, device: str, now: int) -> Sequence[Command]:
        return [_command(row) for row in await self._database.fetch(self._sql(_OF_OPEN), device, now)]

    @retried
    async def sent(self, ids: Sequence[str], moment: int) -> None:
        async with self._database.transaction(LANE) as connection:
            for command in sorted(ids):  # always in one order, so that no two processes wait for each other
                await connection.execute(self._sql(_SENT), moment, command)

    @retried
    async def answer(self, message: Message, command: str, result: Result, output: Any, moment: int) -> Mapping[str, Any]:
        async with self._database.transaction(LANE) as connection:
            dialect = self._database.dialect
            if (before := await recall(connection, dialect, message)) is not None:
                return before
            found = _first(await connection.fetch(self._sql(_LOCK), command))
            if found is None or found.device != message.device:
                raise NotFound(f"There is no command {command!r}")
            if found.state in ANSWERED and result != found.state:
                raise Conflict(f"The command is {found.state} already")
            await connection.execute(self._sql(_PUT), result, _text(output), moment, command)
            await remember(connection, dialect, message, {}, moment)
        return {}

    @retried
    async def cancel(self, id: str, entry: Entry, moment: int) -> Command | None:
        async with self._database.transaction(LANE) as connection:
            ((revision,),) = await connection.fetch(NEXT_REVISION)
            found = _first(await connection.fetch(self._sql(_LOCK), id))
            if found is None:
                return None
            if found.state not in OPEN:
                raise Conflict(f"The command is {found.state} already")
            await connection.execute(self._sql(_PUT), "CANCELED", _text(found.output), moment, id)
            await connection.execute(self._sql("UPDATE devices SET changed = ? WHERE id = ?"), revision, found.device)
            await audit.add(connection, self._database.dialect, entry)
        return await self.find(id)

    @retried
    async def time_out(self, now: int) -> None:
        if not await self._database.fetch(self._sql(_ANY_EXPIRED), now):
            return
        async with self._database.transaction(LANE) as connection:
            await connection.execute(self._sql(_TIME_OUT), now, now)


def _text(value: Any) -> str:
    return orjson.dumps(value).decode()


def _first(rows: Sequence[Row]) -> Command | None:
    return _command(rows[0]) if rows else None


def _command(row: Row) -> Command:
    values: dict[str, Any] = dict(zip(_COLUMNS.split(", "), row, strict=True))
    parsed = {name: orjson.loads(values.pop(name) or "null") for name in ("arguments", "output")}
    return Command(**parsed, **values)
