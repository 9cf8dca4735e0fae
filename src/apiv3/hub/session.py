"""The encrypted session of one device: the handshake, and envelopes in both directions."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

import orjson

from apiv3.hub import envelopes
from apiv3.hub.envelopes import Envelope, Malformed
from apiv3.model.devices import Machine
from apiv3.model.timestamps import now
from apiv3.model.updates import Offer
from apiv3.noise import LONGEST_PLAINTEXT, Channel, KeyPair, Responder
from apiv3.security.devices.keys import text_of

HANDSHAKE = 10.0
"""Seconds that a handshake may take."""
MALFORMED, REJECTED, TOO_SLOW, REPLACED = 4400, 4401, 4408, 4409
"""Close codes: a message that cannot be read; an unknown or ended key; a handshake that took too long; another connection of
the same device has taken the place of this one.
"""
FAILED, TRY_LATER = 1011, 1013
"""Close codes of RFC 6455: an internal error; the database is unavailable, so that nobody can tell whose key it is."""


class Socket(Protocol):
    """A websocket of binary messages."""

    async def receive_bytes(self) -> bytes | None:
        """Wait for the next message; None when the websocket has ended. A text counts as an empty message."""

    async def send_bytes(self, data: bytes) -> None:
        """Send a message; wait while the device is slow to read. Raises OSError when it is gone."""

    async def close(self, code: int) -> None:
        """Close the websocket; do nothing if the device is gone."""


class Gone(Exception):
    """The device has ended the connection."""


class Greeting(NamedTuple):
    """A handshake that has succeeded: who it is by its key, what it runs, and the channel."""

    public_key: str
    software: str
    channel: Channel


async def shake_hands(socket: Socket, keys: KeyPair) -> Greeting:
    """Do the handshake as the responder; afterwards the device has proved that it has the private half of its key.

    Raises NoiseError, Malformed and Gone.
    """
    handshake = Responder(keys)
    if handshake.read(await _received(socket)):
        raise Malformed("the first message of the handshake carries something")
    await socket.send_bytes(handshake.write(orjson.dumps({"now": now(), "max": LONGEST_PLAINTEXT})))
    said = handshake.read(await _received(socket))
    return Greeting(text_of(handshake.remote_static), envelopes.software(said), handshake.channel())


class Session:
    """The session of a device that has proved its key. `id`: random; `machine`: the device as it was when it connected.

    `told`: the ids of the open commands that it was told of in this session; `told_rotation`: the deadline of the last rotation
    that it was asked for; `told_time`: when it was last told the time, in seconds of the event loop's clock. `offered`: the
    updates that it was told of. `telling` and `again`: whether it is being told something, and whether there may be more.
    """

    __slots__ = (
        "_channel",
        "_sending",
        "_socket",
        "again",
        "id",
        "is_over",
        "machine",
        "offered",
        "public_key",
        "telling",
        "told",
        "told_rotation",
        "told_time",
    )

    def __init__(self, id: str, machine: Machine, greeting: Greeting, socket: Socket) -> None:
        self.id, self.machine, self.public_key = id, machine, greeting.public_key
        self._channel, self._socket, self._sending = greeting.channel, socket, asyncio.Lock()
        self.is_over = self.telling = self.again = False
        self.told: set[str] = set()
        self.told_rotation: int | None = None
        self.offered: Sequence[Offer] = ()
        self.told_time = -math.inf

    async def receive(self) -> Envelope:
        """Wait for the next envelope. Raises NoiseError, Malformed and Gone."""
        return envelopes.parse(self._channel.decrypt(await _received(self._socket)))

    async def tell(self, type: str, body: Mapping[str, Any]) -> None:
        """Send a new envelope. Raises OSError when the device is gone."""
        await self.send(envelopes.message(type, body))

    async def send(self, envelope: bytes) -> None:
        """Send an envelope. Raises OSError when the device is gone.

        Encrypting and sending are one step, since messages must arrive in the order in which they were encrypted. If sending
        is cut short, the session ends: what follows could not be read.
        """
        async with self._sending:
            if self.is_over:
                raise ConnectionResetError("the session is over")
            try:
                await self._socket.send_bytes(self._channel.encrypt(envelope))
            except BaseException:
                self.is_over = True
                raise

    async def end(self, code: int) -> None:
        """End the session. What the device still sends is not read."""
        self.is_over = True
        with suppress(OSError):
            await self._socket.close(code)


async def _received(socket: Socket) -> bytes:
    data = await socket.receive_bytes()
    if data is None:
        raise Gone
    return data
