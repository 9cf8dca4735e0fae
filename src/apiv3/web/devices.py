"""The endpoints of /api/v2/authorization/devices: devices with a key of their own."""

from __future__ import annotations

from dataclasses import replace

from apiv3.model.devices import RECORD_KINDS, Machine
from apiv3.model.documents import Document
from apiv3.model.errors import BadRequest
from apiv3.model.identity import Subject
from apiv3.model.timestamps import now
from apiv3.security.devices.devices import Devices, is_connected
from apiv3.web import requests
from apiv3.web.administration import author, flag, text, texts, words
from apiv3.web.bodies import Limits, read_object
from apiv3.web.calls import Call
from apiv3.web.responses import Answer, json_answer

MOST_RECORDS = 1000
"""Most records in one answer."""


class DeviceEndpoints:
    """The endpoints of devices. A pairing code stands in the one answer that makes it."""

    def __init__(self, devices: Devices, limits: Limits) -> None:
        self._devices, self._limits = devices, limits

    async def all(self, _call: Call) -> Answer:
        """List all devices: what they are, and whether they are connected."""
        return json_answer([shown(each) for each in await self._devices.all()])

    async def find(self, call: Call) -> Answer:
        """Show one device."""
        return json_answer(shown(await self._devices.find(_id(call))))

    async def add(self, call: Call) -> Answer:
        """Add a device, and make a pairing code for it unless its `public_key` is given."""
        body = await read_object(call, self._limits)
        subject = Subject(text(body, "_id"), text(body, "name"), texts(body, "roles", words), text(body, "notes"))
        key = None if body.get("public_key") is None else text(body, "public_key")
        added = await self._devices.add(subject, key, author(call))
        return json_answer(shown(added.machine, added.pairing_code))

    async def change(self, call: Call) -> Answer:
        """Change the name, roles or notes of the device with this `_id`, or disable it. Fields left out stay."""
        body = await read_object(call, self._limits)
        name, roles, notes = text(body, "name"), texts(body, "roles", words), text(body, "notes")
        disabled = flag(body, "disabled")

        def change(stored: Subject) -> Subject:
            return replace(
                stored,
                name=stored.name if body.get("name") is None else name,
                roles=stored.roles if body.get("roles") is None else roles,
                notes=stored.notes if body.get("notes") is None else notes,
                disabled=stored.disabled if disabled is None else disabled,
            )

        return json_answer(shown(await self._devices.change(text(body, "_id"), change, author(call))))

    async def pair(self, call: Call) -> Answer:
        """Give a device a new pairing code. A key that it has works until another one is enrolled."""
        paired = await self._devices.pair(_id(call), author(call))
        return json_answer(shown(paired.machine, paired.pairing_code))

    async def rotate(self, call: Call) -> Answer:
        """Ask a device for a new key. The old one works until the device connects with the new one."""
        return json_answer(shown(await self._devices.rotate(_id(call), author(call))))

    async def revoke(self, call: Call) -> Answer:
        """End the keys of a device, and its connection. None of its keys is ever taken again."""
        return json_answer(shown(await self._devices.revoke(_id(call), author(call))))

    async def remove(self, call: Call) -> Answer:
        """Remove a device with what it has told of itself. The documents that it has sent stay."""
        await self._devices.remove(_id(call), author(call))
        return json_answer({})

    async def records(self, call: Call) -> Answer:
        """List what a device told of itself: its log, alarms or states, the newest first."""
        kind, search = call.query.one("kind") or "log", call.query.one("search") or ""
        if kind not in RECORD_KINDS:
            raise BadRequest(f"Parameter kind must be one of: {', '.join(RECORD_KINDS)}")
        before, limit = _whole(call, "before"), _whole(call, "limit") or 100
        if limit > MOST_RECORDS:
            raise BadRequest(f"Parameter limit must be at most {MOST_RECORDS}")
        found = await self._devices.records(_id(call), kind, before, search, limit)
        return json_answer([{"number": each.number, "ts": each.moment, "level": each.level, **each.body} for each in found])


def shown(machine: Machine, pairing_code: str | None = None) -> Document:
    """Return a device as JSON. `pairing_code`: the one that was just made."""
    device, subject = machine
    record: Document = {"_id": device.id, "name": subject.name, "roles": subject.roles, "notes": subject.notes}
    record |= {"state": device.state, "disabled": subject.disabled, "public_key": device.public_key}
    record |= {"connected": is_connected(device, now()), "seen": device.seen, "address": device.address}
    record |= {"software": device.software, "rotation": device.rotation, "displaced": device.displaced}
    record |= {"created_at": subject.created_at}
    return record if pairing_code is None else {**record, "pairing_code": pairing_code}


def _id(call: Call) -> str:
    return requests.identifier(call.params[0])


def _whole(call: Call, name: str) -> int | None:
    """Return a parameter that must be a whole number of at least 1; None when it is missing. Raises BadRequest."""
    value = call.query.one(name)
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and int(value[:16]) > 0 and len(value) <= 15):
        raise BadRequest(f"Parameter {name} must be a whole number of at least 1")
    return int(value)
