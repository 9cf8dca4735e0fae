"""Alarms in the database: which are on, which are silenced, and the log of notifications.

A row of the table `clocks` counts the notifications. Every change locks it first, so that changes happen one at a time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson

from apiv3.model.alarms import Alarm, Notification, Silence, State
from apiv3.storage.contracts import ALARMS
from apiv3.storage.database import Connection, Database
from apiv3.storage.dialects import Dialect, Row

KEPT = 86_400_000
"""Milliseconds that a notification stays in the log; no process can be that far behind."""
_HOLD = f"UPDATE clocks SET last = last WHERE name = '{ALARMS}'"
_ON = f"""SELECT last, group_name, alarms.name, level, reading, told, payload FROM clocks LEFT JOIN alarms ON TRUE
    WHERE clocks.name = '{ALARMS}'"""
"""A single statement, so that the alarms and the number of the last notification belong to the same state of the database."""
_SILENCES = "SELECT group_name, name, level, ends FROM silences"
_LOG = "SELECT event, payload FROM notifications WHERE number > ? AND number <= ? ORDER BY number"
_PUT_ALARM = "INSERT INTO alarms (group_name, name, level, reading, told, payload) VALUES (?, ?, ?, ?, ?, ?)"
_PUT_SILENCE = "INSERT INTO silences (group_name, name, level, ends) VALUES (?, ?, ?, ?)"
_NOTE = "INSERT INTO notifications (number, moment, event, payload) VALUES (?, ?, ?, ?)"
_FORGET = "DELETE FROM notifications WHERE moment < ?"
_COUNT = f"UPDATE clocks SET last = ? WHERE name = '{ALARMS}' RETURNING last{{bell}}"


class AlarmTable:
    """The AlarmStore of both databases."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._log = database.dialect.sql(_LOG)

    async def load(self) -> State:
        return _state(await self._database.fetch(_ON), await self._database.fetch(_SILENCES))

    async def notifications(self, after: int, last: int) -> Sequence[Notification]:
        rows = await self._database.fetch(self._log, after, last)
        return [Notification(event, orjson.loads(payload)) for event, payload in rows]

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[AlarmTableWriter]:
        async with self._database.transaction(ALARMS) as connection:
            await connection.execute(_HOLD)
            state = _state(await connection.fetch(_ON), await connection.fetch(_SILENCES))
            yield AlarmTableWriter(connection, self._database.dialect, state)


class AlarmTableWriter:
    """The AlarmWriter, inside the transaction that holds the row of the clock."""

    def __init__(self, connection: Connection, dialect: Dialect, state: State) -> None:
        self._connection, self._dialect, self.state = connection, dialect, state

    async def put(self, state: State, notifications: Sequence[Notification], now: int) -> State:
        await self._execute("DELETE FROM alarms")
        for alarm in state.on:
            row = (alarm.group, alarm.key, alarm.level, alarm.reading, alarm.told, _text(alarm.payload))
            await self._execute(_PUT_ALARM, *row)
        await self._execute("DELETE FROM silences")
        for silence in state.silences:
            await self._execute(_PUT_SILENCE, *silence)
        return state._replace(last=await self._note(notifications, now))

    async def _note(self, notifications: Sequence[Notification], now: int) -> int:
        """Add notifications to the log and return the number of the last one. `now`: ms since 1970."""
        for number, (event, payload) in enumerate(notifications, self.state.last + 1):
            await self._execute(_NOTE, number, now, event, _text(payload))
        last = self.state.last + len(notifications)
        if notifications:
            await self._execute(_FORGET, now - KEPT)
            await self._connection.fetch(self._dialect.sql(_COUNT.format(bell=self._dialect.bell)), last)
        return last

    async def _execute(self, sql: str, *args: Any) -> None:
        await self._connection.execute(self._dialect.sql(sql), *args)


async def tell(connection: Connection, dialect: Dialect, notification: Notification, now: int) -> None:
    """Add a notification to the log, inside a writing transaction of any lane. `now`: ms since 1970."""
    rows = await connection.fetch(f"UPDATE clocks SET last = last + 1 WHERE name = '{ALARMS}' RETURNING last{dialect.bell}")
    row = (rows[0][0], now, notification.event, _text(notification.payload))
    await connection.execute(dialect.sql(_NOTE), *row)


def _state(on: Iterable[Row], silences: Iterable[Row]) -> State:
    (last, *first), *others = on
    alarms = [_alarm(*row) for row in (first, *(rest for _, *rest in others)) if row[0] is not None]
    return State(
        int(last),
        tuple(sorted(alarms, key=lambda alarm: (alarm.group, alarm.key))),
        tuple(sorted(Silence(*row) for row in silences)),
    )


def _alarm(group: str, name: str, level: int, reading: int, told: bool, payload: str) -> Alarm:
    return Alarm(group, name, level, reading, bool(told), orjson.loads(payload))


def _text(payload: Any) -> str:
    return orjson.dumps(payload).decode()
