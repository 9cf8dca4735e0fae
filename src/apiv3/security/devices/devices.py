"""Manage devices, for the administration endpoints, the pages and the command line."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

from apiv3.model.audit import Target
from apiv3.model.devices import Device, Machine, Record, RecordKind
from apiv3.model.errors import Conflict, NotFound, StorageUnavailable
from apiv3.model.identity import Subject
from apiv3.model.timestamps import iso, now
from apiv3.retrying import retried
from apiv3.security import secrets
from apiv3.security.authors import Author
from apiv3.security.demands import administration
from apiv3.security.devices import keys
from apiv3.security.policy import Policies
from apiv3.security.subjects import check_subject, granted_by, held_by, roles_gained
from apiv3.storage.contracts.devices import DeviceStore, DeviceWriter, MessageStore

PAIRING = 15 * 60_000
"""Milliseconds for which a pairing code is good."""
ROTATION = 7 * 86_400_000
"""Milliseconds in which a device must use the new key that it was asked for."""
MOST_DEVICES = 10_000
"""Most devices of an installation: lists of them are made in memory."""


class Paired(NamedTuple):
    """A device as it was stored. `pairing_code`: what the device is enrolled with; None if it has its key already."""

    machine: Machine
    pairing_code: str | None


class Devices:
    """Adds, changes and removes devices. A change takes effect in this process before the method returns.

    `on_change`: functions that are called after a change. `url`: the server's, for pairing codes. `hub_key`: the hub's public
    key. Every method raises MissingPermission when the author may not do that, and StorageUnavailable when the database is
    unavailable.
    """

    def __init__(
        self, store: DeviceStore, messages: MessageStore, policies: Policies, url: Callable[[], str], hub_key: Callable[[], str]
    ) -> None:
        self._store, self._messages, self._policies, self._url, self._hub_key = store, messages, policies, url, hub_key
        self.on_change: list[Callable[[], Awaitable[None]]] = []

    async def all(self) -> Sequence[Machine]:
        """Return all devices, in the order of their names."""
        return await self._store.all()

    async def find(self, id: str) -> Machine:
        """Return a device. Raises NotFound."""
        return _found(await self._store.find(id), id)

    async def records(self, id: str, kind: RecordKind, before: int | None, text: str, limit: int) -> Sequence[Record]:
        """Return what a device told of itself, the newest first; see `MessageStore.records`. Raises NotFound."""
        await self.find(id)
        return await self._messages.records(id, kind, before, text, limit)

    @retried
    async def add(self, subject: Subject, public_key: str | None, by: Author) -> Paired:
        """Add a device with its subject. An empty id is replaced by a new one. Without a key it gets a pairing code.

        Raises BadRequest for invalid values, Conflict when the id or the name is taken, Forbidden for roles that the author
        does not hold.
        """
        by.principal.demand(administration("devices", "create"))
        key = None if public_key is None else keys.public_key(public_key)
        added = replace(subject, id=subject.id or secrets.object_id(), created_at=subject.created_at or iso(now()))
        async with self._store.changing() as writer:
            policy = writer.policy.policy
            if any(other.id == added.id for other in policy.subjects):
                raise Conflict(f"There is a subject with the _id {added.id} already")
            check_subject(added, policy)
            if await writer.count() >= MOST_DEVICES:
                raise Conflict(f"There are too many devices, at most {MOST_DEVICES}; remove some that nobody needs")
            by.check_gift(granted_by(policy, added.roles))
            await writer.policy.put_subject(added)
            await writer.add(added.id)
            code = await self._pair(writer, added.id) if key is None else None
            if key is not None:
                await writer.add_key(added.id, key, now())
            machine = _found(await writer.find(added.id), added.id)
            await writer.note(by.entry("device-made", target(machine), roles=list(added.roles)))
        await self._take_effect()
        return Paired(machine, code)

    @retried
    async def change(self, id: str, change: Callable[[Subject], Subject], by: Author) -> Machine:
        """Replace the subject of a device by what `change` returns for it: its name, roles, notes, and whether it is disabled.

        Raises BadRequest for invalid values, Conflict when the name is taken, NotFound, and Forbidden unless the author holds
        all that the device does and gets.
        """
        by.principal.demand(administration("devices", "update"))
        async with self._store.changing() as writer:
            stored, policy = await self._held(writer, id, by), writer.policy.policy
            changed = change(stored.subject)
            check_subject(changed, policy)
            by.check_gift(granted_by(policy, roles_gained(stored.subject, changed)))
            await writer.policy.put_subject(changed)
            machine = Machine(stored.device, changed)
            await writer.note(by.entry("device-changed", target(machine), roles=list(changed.roles)))
        await self._take_effect()
        return machine

    @retried
    async def pair(self, id: str, by: Author) -> Paired:
        """Give a device a pairing code in place of the one before. A key that it has works until another one is enrolled.

        Raises NotFound, Forbidden.
        """
        by.principal.demand(administration("devices", "update"))
        async with self._store.changing() as writer:
            stored = await self._held(writer, id, by)
            code = await self._pair(writer, id)
            machine = _found(await writer.find(id), id)
            await writer.note(by.entry("device-paired", target(stored)))
        await self._take_effect()
        return Paired(machine, code)

    @retried
    async def rotate(self, id: str, by: Author) -> Machine:
        """Ask a device for a new key. The old one works until the first handshake with the new one.

        Raises NotFound, Forbidden, and Conflict when the device has no key yet.
        """
        by.principal.demand(administration("devices", "update"))
        async with self._store.changing() as writer:
            stored = await self._held(writer, id, by)
            if stored.device.public_key is None:
                raise Conflict("The device has no key yet: give it a pairing code")
            await writer.ask_rotation(id, now() + ROTATION)
            machine = _found(await writer.find(id), id)
            await writer.note(by.entry("device-rotated", target(stored)))
        await self._take_effect()
        return machine

    @retried
    async def revoke(self, id: str, by: Author) -> Machine:
        """End all keys and the pairing code of a device, which cuts its connection. None of its keys is ever taken again.

        Raises NotFound, Forbidden.
        """
        by.principal.demand(administration("devices", "update"))
        async with self._store.changing() as writer:
            stored = await self._held(writer, id, by)
            await writer.end_keys(id, now())
            await writer.pair(id, None, None)
            machine = _found(await writer.find(id), id)
            await writer.note(by.entry("device-revoked", target(stored)))
        await self._take_effect()
        return machine

    @retried
    async def remove(self, id: str, by: Author) -> Machine:
        """Remove a device with its subject, and what it has told of itself. Its documents stay. Raises NotFound, Forbidden."""
        by.principal.demand(administration("devices", "delete"))
        async with self._store.changing() as writer:
            stored = await self._held(writer, id, by)
            await writer.policy.remove_subject(id)
            await writer.note(by.entry("device-removed", target(stored)))
        await self._take_effect()
        return stored

    async def _held(self, writer: DeviceWriter, id: str, by: Author) -> Machine:
        """Return a device. Raises NotFound, and Forbidden unless the author holds all that the device does."""
        stored = _found(await writer.find(id), id)
        by.check_power(held_by(writer.policy.policy, stored.subject, self._policies.default_roles))
        return stored

    async def _pair(self, writer: DeviceWriter, id: str) -> str:
        code = secrets.mint()
        await writer.pair(id, secrets.stored_digest(code), now() + PAIRING)
        return keys.pairing_code(self._url(), self._hub_key(), code, id)

    async def _take_effect(self) -> None:
        """Load the stored change into this process; if the database has just become unavailable, `revisions.follow` does it."""
        with suppress(StorageUnavailable):
            await self._policies.refresh()
            for tell in self.on_change:
                await tell()


def target(machine: Machine) -> Target:
    """A device as the target of an entry of the audit trail."""
    return Target("device", machine.device.id, machine.subject.name)


def _found(machine: Machine | None, id: str) -> Machine:
    if machine is None:
        raise NotFound(f"There is no device {id!r}; list what there is to see the ids")
    return machine


def is_connected(device: Device, moment: int) -> bool:
    """Whether a device is connected. A process that was killed cannot say that its connections have ended, but goes silent."""
    return device.connection is not None and device.seen is not None and moment - device.seen < SILENT


SILENT = 120_000
"""Milliseconds without a sign of life after which a device does not count as connected."""
