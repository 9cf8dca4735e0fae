"""A device of a hub: what a program sends is kept on disk until the hub has it; what the hub sends reaches its handlers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from apiv3.client.devices.clock import HubClock
from apiv3.client.devices.commands import Commands, Handler
from apiv3.client.devices.connection import Trust
from apiv3.client.devices.database import Database
from apiv3.client.devices.errors import BufferFull
from apiv3.client.devices.folder import Folder
from apiv3.client.devices.keyring import Keyring
from apiv3.client.devices.logs import Lines
from apiv3.client.devices.messages import Messages, SetAside, Type, as_text, documents_in_bodies
from apiv3.client.devices.uplink import RETRY, Handlers, Status, Uplink

LOG_INTERVAL = 1.0
"""Seconds for which lines of the log stay in memory."""

_log = logging.getLogger(__name__)


class Device:
    """A device that is enrolled. Make one with `Device.open`; all methods belong to the event loop that it was opened in."""

    def __init__(self, messages: Messages, clock: HubClock, uplink: Uplink) -> None:
        self._messages, self._clock, self._uplink, self._lines = messages, clock, uplink, Lines()

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        folder: Path,
        software: str = "apiv3-client",
        *,
        on_command: Handler | None = None,
        on_update: Callable[[Mapping[str, Any]], Awaitable[object]] | None = None,
        on_status: Callable[[Status, str], object] | None = None,
        on_set_aside: Callable[[SetAside], object] | None = None,
        trust: Trust = True,
    ) -> AsyncIterator[Device]:
        """Be the device of a folder, from now until the end of the block. A hub that cannot be reached is no error.

        `software`: name and version of this program, as the hub's administrators see them. `on_command`: does a command, see
        `Command`; without it all are rejected. `on_update`: is given the offer of a software update. `on_status`: is told how
        the connection is, and why. `on_set_aside`: is told what the hub has refused for good. `trust`: which servers to trust
        over TLS. Raises NotEnrolled, FolderInUse.
        """
        place, clock = Folder(folder), HubClock()
        hub, database = place.hub(), await Database.open(place.database)
        messages, commands = Messages(database), Commands(database)
        handlers = Handlers(on_command, on_update, on_status, on_set_aside)
        uplink = Uplink(hub, software, trust, clock, Keyring(place, messages), messages, commands, handlers)
        device = cls(messages, clock, uplink)
        try:
            await commands.resume()
            async with _in_background(uplink.connect, uplink.do_orders, device._store_lines):
                yield device
        finally:
            with suppress(BufferFull):
                await device._lines.store(messages, clock.now())
            await database.close()

    # --- what is sent

    async def send(self, collection: str, documents: Sequence[Mapping[str, Any]]) -> None:
        """Send documents to a collection. They are on disk when this returns, and are neither lost nor doubled after that.

        Raises TooLong for a document that does not fit into a message, BufferFull, and ValueError or TypeError for what is no
        JSON; then none of them is kept.
        """
        await self._keep("data", list(documents_in_bodies(collection, documents)))

    async def alarm(self, name: str, level: str, title: str, message: str) -> None:
        """Raise an alarm. Raises as `send` does."""
        await self._keep("alarm", [as_text({"name": name, "level": level, "title": title, "message": message})])

    async def state(self, name: str, value: object) -> None:
        """Tell that something has another state now. Raises as `send` does."""
        await self._keep("state", [as_text({"name": name, "value": value})])

    def log(self, level: str, text: str) -> None:
        """Add a line to the log that the hub's administrators read. Of too many lines, some are dropped and counted."""
        self._lines.add(self.now(), level, text)

    async def _keep(self, type: Type, bodies: Sequence[str]) -> None:
        await self._messages.add(type, bodies)
        self._uplink.news.set()

    # --- how it is

    def now(self) -> int:
        """Return the hub's time in ms since 1970; before the hub has told it, this machine's."""
        return self._clock.now()

    @property
    def knows_time(self) -> bool:
        """Whether the hub has told its time. A machine that begins in 1970 waits until it is `connected`."""
        return self._clock.is_set

    async def connected(self) -> None:
        """Wait until the hub has accepted this device."""
        await self._uplink.connected.wait()

    async def drained(self) -> None:
        """Wait until nothing waits to be sent, neither messages nor lines of the log."""
        async with self._uplink.progress:
            while await self._store() or self._lines or await self.waiting():
                await self._uplink.progress.wait()

    async def waiting(self) -> int:
        """Return how many messages wait to be sent."""
        return await self._messages.waiting()

    async def set_aside(self) -> list[SetAside]:
        """Return what the hub has refused for good, the oldest first: the last thousand are kept."""
        return await self._messages.set_aside()

    # --- the log

    async def _store_lines(self) -> None:
        """Wait a moment, then put lines of the log on disk."""
        await asyncio.sleep(LOG_INTERVAL)
        await self._store()

    async def _store(self) -> bool:
        is_stored = await self._lines.store(self._messages, self.now())
        if is_stored:
            self._uplink.news.set()
        return is_stored


@asynccontextmanager
async def _in_background(*works: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Do each work again and again beside the block."""
    tasks = [asyncio.create_task(_again_and_again(work)) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _again_and_again(work: Callable[[], Awaitable[None]]) -> None:
    """Do a work for ever. Nobody looks after a device, so a fault, such as a full disk, does not end it."""
    while True:
        try:
            await work()
        except Exception:
            _log.exception("A device goes on after a fault")
            await asyncio.sleep(RETRY)
