"""What devices send: each message is done once, however often it arrives, through the same operations as over HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast

from apiv3.formats.json import checked
from apiv3.hub.envelopes import Envelope
from apiv3.model import messages
from apiv3.model.alarms import INFO, URGENT, WARNING, Notification
from apiv3.model.collections import Collection
from apiv3.model.devices import RESULTS, Machine, Message, Record, RecordKind, Result
from apiv3.model.documents import Document
from apiv3.model.errors import ApiError, BadRequest, Forbidden, Unauthorized
from apiv3.model.timestamps import now
from apiv3.operations.bulk import Bulk
from apiv3.security.devices import keys
from apiv3.security.policy import Policies
from apiv3.storage.contracts.devices import CommandStore, MessageStore

TOLERANCE = 60_000
"""Milliseconds by which the time of an envelope may be off: the one-minute rule of seed 004."""
MOST_DOCUMENTS = 1000
MOST_LINES = 1000
LONGEST_TEXT = 4000
"""Characters of a title, a message or a line of a log."""
GROUP = "device"
"""The group of alarms that devices raise."""
_LEVELS = {"info": INFO, "warning": WARNING, "urgent": URGENT}

Handler = Callable[[Machine, Message, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]


class Messages:
    """Does what devices ask for, and returns the bodies of the answers."""

    def __init__(
        self,
        store: MessageStore,
        commands: CommandStore,
        bulk: Bulk,
        collections: Mapping[str, Collection],
        policies: Policies,
    ) -> None:
        self._store, self._commands, self._bulk = store, commands, bulk
        self._collections, self._policies = collections, policies
        self._handlers: Mapping[str, Handler] = {
            "data": self._data,
            "alarm": self._alarm,
            "state": self._state,
            "log": self._log,
            "command.result": self._result,
            "key.new": self._new_key,
        }

    async def handle(self, machine: Machine, envelope: Envelope) -> Mapping[str, Any]:
        """Do what an envelope asks for, unless it was done before, and return the body of the answer.

        Raises Unauthorized for an envelope that is older or newer than TOLERANCE, Conflict for another one with the same id,
        BadRequest, Forbidden, StorageUnavailable. A message that was refused may be sent again.
        """
        if abs(envelope.ts - now()) > TOLERANCE:
            raise Unauthorized(messages.DATE_OUT_OF_TOLERANCE)
        handler = self._handlers.get(envelope.type)
        if handler is None:
            raise BadRequest(f"Unknown type {envelope.type!r}; there are: {', '.join(self._handlers)}")
        message = Message(machine.device.id, envelope.id.lower(), envelope.digest())
        return await handler(machine, message, envelope.body)

    async def _data(self, machine: Machine, message: Message, body: Mapping[str, Any]) -> Mapping[str, Any]:
        collection = self._collections.get(_text(body, "collection"))
        if collection is None:
            raise BadRequest(f"Unknown collection; there are: {', '.join(self._collections)}")
        documents = _list(body, "documents", MOST_DOCUMENTS)
        snapshot = self._policies.current
        subject = snapshot.active(machine.device.id)
        if subject is None:
            raise Forbidden("The device was disabled or removed")
        items = [_document(each) for each in documents]
        return {"results": await self._bulk.create_once(snapshot.principal(subject), collection, items, message)}

    async def _alarm(self, machine: Machine, message: Message, body: Mapping[str, Any]) -> Mapping[str, Any]:
        name, level = _text(body, "name"), _level(body.get("level"))
        title, text = _text(body, "title"), _text(body, "message", empty=True)
        number = _LEVELS[level]
        payload = {"level": number, "group": GROUP, "key": name, "title": title, "message": text}
        event = {URGENT: "urgent_alarm", WARNING: "alarm"}.get(number, "notification")
        notification = Notification(cast("Any", event), {**payload, "device": machine.subject.name})
        told = {"name": name, "title": title, "message": text}
        return await self._record(message, "alarm", [(now(), level, told)], notification)

    async def _state(self, _machine: Machine, message: Message, body: Mapping[str, Any]) -> Mapping[str, Any]:
        if "value" not in body:
            raise BadRequest("Bad or missing value")
        return await self._record(message, "state", [(now(), "", {"name": _text(body, "name"), "value": body["value"]})])

    async def _log(self, _machine: Machine, message: Message, body: Mapping[str, Any]) -> Mapping[str, Any]:
        return await self._record(message, "log", [_line(each) for each in _list(body, "lines", MOST_LINES)])

    async def _result(self, _machine: Machine, message: Message, body: Mapping[str, Any]) -> Mapping[str, Any]:
        status = body.get("status")
        if status not in RESULTS:
            raise BadRequest(f"Bad or missing status: {', '.join(RESULTS)}")
        command = _text(body, "command")
        return await self._commands.answer(message, command, cast("Result", status), body.get("output"), now())

    async def _new_key(self, _machine: Machine, message: Message, body: Mapping[str, Any]) -> Mapping[str, Any]:
        return await self._store.offer_key(message, keys.public_key(_text(body, "public_key")), now())

    async def _record(
        self,
        message: Message,
        kind: RecordKind,
        told: Sequence[tuple[int, str, Mapping[str, Any]]],
        notification: Notification | None = None,
    ) -> Mapping[str, Any]:
        records = [Record(kind, 0, moment, level, body) for moment, level, body in told]
        return await self._store.record(message, records, notification, now())


def _document(value: Any) -> Document | ApiError:
    try:
        return checked(value)
    except BadRequest as error:
        return error


def _line(line: Any) -> tuple[int, str, Mapping[str, Any]]:
    if not isinstance(line, dict) or type(line.get("ts")) is not int or not 0 <= line["ts"] < 1 << 53:
        raise BadRequest("Bad line: it must be an object with ts (ms), level and text")
    return line["ts"], _text(line, "level", longest=20), {"text": _text(line, "text", empty=True)}


def _level(value: Any) -> str:
    """Return the name of a level of alarms, from a name or one of the numbers that Nightscout uses. Raises BadRequest."""
    names = {number: name for name, number in _LEVELS.items()}
    if type(value) is int and value in names:
        return names[value]
    name = {"warn": "warning"}.get(value.lower(), value.lower()) if isinstance(value, str) else ""
    if name not in _LEVELS:
        raise BadRequest(f"Bad or missing level: {', '.join(_LEVELS)}, or 0, 1, 2")
    return name


def _list(body: Mapping[str, Any], field: str, most: int) -> list[Any]:
    value = body.get(field)
    if not isinstance(value, list) or not 1 <= len(value) <= most:
        raise BadRequest(f"Bad or missing {field}: a list of 1 to {most}")
    return value


def _text(body: Mapping[str, Any], field: str, *, empty: bool = False, longest: int = LONGEST_TEXT) -> str:
    value = body.get(field, "" if empty else None)
    if not isinstance(value, str) or not (value or empty) or len(value) > longest:
        raise BadRequest(f"Bad or missing {field}: a text of at most {longest} characters")
    return value
