"""Devices: uploaders, rigs and sensors with a key of their own, what they told of themselves, and commands for them.

All moments are ms since 1970. A public key is an X25519 one, as base64url without padding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

from apiv3.model.identity import Subject

KeyState = Literal["active", "new", "ended"]
"""A `new` key becomes the active one with the first handshake that uses it; an `ended` one is never taken again."""
DeviceState = Literal["waiting", "active", "revoked"]


@dataclass(frozen=True, slots=True)
class Device:
    """A device. It is a subject as well, with the same id, whose name and roles it has.

    `public_key`: its active key. `has_ended_key`: whether a key of it was ended. `pairing_expires`: until when its pairing code
    is good; None when it has none. `rotation`: until when it shall have a new key; None when nobody asked for one.
    `connection`: the id of its connection, None while it has none; `connected`: since when. `seen`, `address`, `software`:
    when, from where and with what it was last connected. `displaced`: when a connection was last ended by another one.
    """

    id: str
    public_key: str | None = None
    has_ended_key: bool = False
    pairing_expires: int | None = None
    rotation: int | None = None
    connection: str | None = field(default=None, repr=False)
    connected: int | None = None
    seen: int | None = None
    address: str = ""
    software: str = ""
    displaced: int | None = None

    @property
    def state(self) -> DeviceState:
        """Whether the device may connect, waits for its enrolment, or was revoked."""
        if self.public_key is not None:
            return "active"
        return "revoked" if self.has_ended_key and self.pairing_expires is None else "waiting"


class Machine(NamedTuple):
    """A device together with its subject, which has its name, notes and roles."""

    device: Device
    subject: Subject


class Visit(NamedTuple):
    """A connection of a device that begins. `id`: a random UUID; `address`: where from; `software`: what it says it runs."""

    id: str
    address: str
    software: str


class Message(NamedTuple):
    """A message that a device has sent. `digest`: of its type and body, so that the same id with another body is noticed."""

    device: str
    id: str
    digest: str


RecordKind = Literal["alarm", "state", "log"]
RECORD_KINDS: tuple[RecordKind, ...] = get_args(RecordKind)


class Record(NamedTuple):
    """Something that a device told of itself. `number`: 1, 2, 3 ... for each device and kind. `level`: empty for a state."""

    kind: RecordKind
    number: int
    moment: int
    level: str
    body: Mapping[str, Any]


CommandState = Literal["QUEUED", "SENT", "IN_PROGRESS", "SUCCEEDED", "FAILED", "TIMED_OUT", "REJECTED", "CANCELED"]
Result = Literal["IN_PROGRESS", "SUCCEEDED", "FAILED", "REJECTED"]
"""What a device may say of a command."""
RESULTS: tuple[Result, ...] = get_args(Result)
OPEN: tuple[CommandState, ...] = ("QUEUED", "SENT", "IN_PROGRESS")
"""The states of commands that are not over."""
ANSWERED: tuple[CommandState, ...] = ("SUCCEEDED", "FAILED", "REJECTED")
"""The states that only the device can set, and that nothing replaces."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command for a device. `counter`: greater than those of all commands before. `expires`: from when on it is not sent.

    `output`: what the device said last. `updated`: when the state last changed.
    """

    id: str
    device: str
    counter: int
    name: str
    arguments: Any
    made: int
    expires: int
    state: CommandState = "QUEUED"
    output: Any = None
    updated: int = 0
