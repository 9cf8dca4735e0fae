"""Commands for devices: give them, look them up, cancel them, and note which have expired."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from apiv3.hub import envelopes
from apiv3.model.devices import Command, Machine
from apiv3.model.errors import BadRequest, NotFound, StorageUnavailable
from apiv3.model.timestamps import now
from apiv3.noise import LONGEST_PLAINTEXT
from apiv3.security.authors import Author
from apiv3.security.demands import COMMAND
from apiv3.security.devices.devices import target
from apiv3.storage.contracts.devices import CommandStore, DeviceStore

LIFETIME = 3_600_000
"""Milliseconds after which a command expires if nobody says more: one that comes much later may do harm."""
LONGEST_LIFETIME = 30 * 86_400_000
MOST_LISTED = 1000
LONGEST_NAME = 100
_INTERVAL = 1.0
"""Seconds between two looks for commands that have expired."""
_log = logging.getLogger(__name__)


class Commands:
    """The commands of an installation. Every method raises StorageUnavailable when the database is unavailable."""

    def __init__(self, store: CommandStore, devices: DeviceStore) -> None:
        self._store, self._devices = store, devices

    async def give(self, device: str, name: str, arguments: Any, expires: int | None, by: Author) -> Command:
        """Queue a command for a device, which gets it at once if it is connected, otherwise when it connects.

        `expires`: ms since 1970; None: in an hour. Raises MissingPermission, NotFound, and BadRequest for invalid values and
        for a command that does not fit into a message.
        """
        by.principal.demand(COMMAND)
        machine, moment = await self._machine(device), now()
        ends = moment + LIFETIME if expires is None else expires
        if not name or len(name) > LONGEST_NAME or not name.isprintable():
            raise BadRequest(f"Bad or missing name: 1 to {LONGEST_NAME} printable characters")
        if not moment < ends <= moment + LONGEST_LIFETIME:
            raise BadRequest("Bad expires: it must be in the next 30 days, in ms since 1970")
        command = Command(str(uuid.uuid4()), device, 0, name, arguments, moment, ends, updated=moment)
        if len(told(command)) + _SPARE > LONGEST_PLAINTEXT:
            raise BadRequest(f"The command is too large: a message to a device has at most {LONGEST_PLAINTEXT} bytes")
        entry = by.entry("command-made", target(machine), command=command.id, name=name)
        stored = await self._store.add(command, entry)
        if stored is None:  # it was removed meanwhile
            raise _no_device(device)
        return stored

    async def of(self, device: str, by: Author) -> Sequence[Command]:
        """Return the commands of a device, the newest first. Raises MissingPermission, NotFound."""
        by.principal.demand(COMMAND)
        await self._machine(device)
        await self._store.time_out(now())
        return await self._store.of(device, MOST_LISTED)

    async def find(self, id: str, by: Author) -> Command:
        """Return a command. Raises MissingPermission, NotFound."""
        by.principal.demand(COMMAND)
        await self._store.time_out(now())
        return _found(await self._store.find(id), id)

    async def cancel(self, id: str, by: Author) -> Command:
        """Cancel a command. A device that has received it already may carry it out all the same, and say so.

        Raises MissingPermission, NotFound, and Conflict when it is over.
        """
        by.principal.demand(COMMAND)
        found = _found(await self._store.find(id), id)
        entry = by.entry("command-canceled", target(await self._machine(found.device)), command=id)
        return _found(await self._store.cancel(id, entry, now()), id)

    async def run(self) -> None:
        """Note which commands have expired, until cancelled."""
        while True:
            await asyncio.sleep(_INTERVAL)
            try:
                await self._store.time_out(now())
            except StorageUnavailable:
                pass  # `revisions.follow` logs that
            except Exception:
                _log.exception("cannot note which commands have expired")

    async def _machine(self, id: str) -> Machine:
        machine = await self._devices.find(id)
        if machine is None:
            raise _no_device(id)
        return machine


_SPARE = 20
"""Bytes by which the counter, which is not known before the command is stored, may make a message longer."""


def told(command: Command) -> bytes:
    """Return the envelope that tells a device of a command."""
    body: Mapping[str, Any] = {"command": command.id, "counter": command.counter, "name": command.name}
    return envelopes.message("command", {**body, "arguments": command.arguments, "expires": command.expires})


def _found(command: Command | None, id: str) -> Command:
    if command is None:
        raise NotFound(f"There is no command {id!r}")
    return command


def _no_device(id: str) -> NotFound:
    return NotFound(f"There is no device {id!r}; list what there is to see the ids")
