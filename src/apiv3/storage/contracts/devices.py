"""What the rest of the server may ask of the storage of devices. Secrets come as digests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from apiv3.model.alarms import Notification
from apiv3.model.audit import Entry
from apiv3.model.devices import Command, Machine, Message, Record, RecordKind, Result, Visit
from apiv3.storage.contracts import PolicyWriter


class DeviceWriter(Protocol):
    """Changes devices inside a writing transaction. Each change of a device makes a new revision, which every process notices.

    `policy` writes their subjects, and removes a device with its subject.
    """

    @property
    def policy(self) -> PolicyWriter: ...

    async def find(self, id: str) -> Machine | None:
        """Return the device with this id."""

    async def count(self) -> int:
        """Return how many devices there are."""

    async def add(self, id: str) -> None:
        """Store a new device, which has no key yet."""

    async def pair(self, id: str, digest: str | None, expires: int | None) -> None:
        """Store the digest of a pairing code, good until `expires` (ms), in place of the one before; None: there is none."""

    async def add_key(self, id: str, public_key: str, moment: int) -> None:
        """Make a key the active one of a device, and end its keys before. Raises BadRequest when the key is or was in use."""

    async def end_keys(self, id: str, moment: int) -> None:
        """End all keys of a device."""

    async def ask_rotation(self, id: str, deadline: int) -> None:
        """Ask a device for a new key until a deadline (ms)."""

    async def note(self, entry: Entry) -> None:
        """Add an entry to the audit trail."""


class DeviceStore(Protocol):
    """All devices, their keys and connections."""

    async def find(self, id: str) -> Machine | None:
        """Return the device with this id."""

    async def all(self) -> Sequence[Machine]:
        """Return all devices, in the order of their names."""

    async def by_key(self, public_key: str, now: int) -> Machine | None:
        """Return the device of an active key, or of a new one whose deadline is not over. `now`: ms."""

    async def by_pairing(self, digest: str, now: int) -> str | None:
        """Return the id of the device whose pairing code has this digest, if the code is still good. `now`: ms."""

    async def changed(self, since: int) -> tuple[int, Sequence[str]]:
        """Return the newest revision, and the ids of the devices that changed after the revision `since`."""

    def changing(self) -> AbstractAsyncContextManager[DeviceWriter]:
        """Begin a transaction, one at a time among all processes; its commit makes a new revision of subjects and devices."""

    async def enrol(self, digest: str, public_key: str, entry: Entry, moment: int) -> str | None:
        """Use up a pairing code and make the key the active one, with an entry of the audit trail. Returns the device's id.

        Returns None when the code is not good. Raises BadRequest when the key is or was in use; then the code stays good.
        """

    async def connect(self, id: str, public_key: str, visit: Visit, moment: int) -> bool:
        """Note that a device has connected, in place of the connection before. A new key becomes the active one.

        Returns False when the key is no longer good; then nothing was stored.
        """

    async def disconnect(self, ended: Mapping[str, str], moment: int) -> None:
        """Note that connections have ended (device -> connection), unless others have taken their places."""

    async def saw(self, moments: Mapping[str, int]) -> None:
        """Store when some devices were last heard of: id -> ms since 1970."""


class MessageStore(Protocol):
    """What devices have sent. Each method that takes a message stores it with its effect, once, and returns the answer.

    The same message gets the same answer again. These methods raise Conflict when another message had this id, and Forbidden
    when the device was removed.
    """

    async def record(
        self, message: Message, records: Sequence[Record], notification: Notification | None, moment: int
    ) -> Mapping[str, Any]:
        """Store what a device told of itself: records of one kind, whose numbers are set here; the oldest are dropped.

        `notification`: sent to everybody who listens for alarms.
        """

    async def offer_key(self, message: Message, public_key: str, moment: int) -> Mapping[str, Any]:
        """Store the new key that a device was asked for. Raises Conflict when it was not, BadRequest when the key is taken."""

    async def records(self, device: str, kind: RecordKind, before: int | None, text: str, limit: int) -> Sequence[Record]:
        """Return what a device told, the newest first. `before`: a number, exclusive. `text`: part of a value, in any case."""

    async def prune(self, before: int, limit: int) -> int:
        """Delete up to `limit` messages that were answered before a moment (ms), and return how many were deleted."""


class CommandStore(Protocol):
    """Commands for devices."""

    async def add(self, command: Command, entry: Entry) -> Command | None:
        """Store a command with the next counter, and an entry of the audit trail; return it as stored.

        Returns None when there is no such device.
        """

    async def find(self, id: str) -> Command | None:
        """Return the command with this id."""

    async def of(self, device: str, limit: int) -> Sequence[Command]:
        """Return the commands of a device, the newest first."""

    async def open(self, device: str, now: int) -> Sequence[Command]:
        """Return the commands that are not over and not expired, the oldest first. `now`: ms."""

    async def sent(self, ids: Sequence[str], moment: int) -> None:
        """Note that commands were sent."""

    async def answer(self, message: Message, command: str, result: Result, output: Any, moment: int) -> Mapping[str, Any]:
        """Store what a device says of a command, and its message, once; see `MessageStore`.

        Raises NotFound for a command that the device does not have, Conflict for another result than it gave before.
        """

    async def cancel(self, id: str, entry: Entry, moment: int) -> Command | None:
        """Cancel a command and return it; None when there is no such command. Raises Conflict when it is over."""

    async def time_out(self, now: int) -> None:
        """Note which commands have expired without an answer. `now`: ms."""
