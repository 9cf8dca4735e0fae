"""One connection of a device to its hub: a websocket, the handshake in it, and envelopes."""

from __future__ import annotations

import asyncio
import json
import ssl
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Literal, NamedTuple

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.typing import Subprotocol

from apiv3.client.devices.folder import Hub
from apiv3.client.devices.messages import as_text
from apiv3.client.devices.pauses import Ending
from apiv3.client.errors import shown
from apiv3.noise import LONGEST_MESSAGE, Channel, Initiator, KeyPair, NoiseError

Trust = ssl.SSLContext | Literal[True]
"""Which servers are trusted over TLS; True: those with a certificate of a known authority."""
PATH = "/api/v3/hub"
SUBPROTOCOL = Subprotocol("apiv3.noise.1")
CONNECT_TIMEOUT = 20.0
"""Seconds that connecting may take, TLS included."""
HANDSHAKE_TIMEOUT = 10.0
"""Seconds for the handshake; the hub gives no more either."""
PING = 20.0
"""Seconds between two pings, and those that an answer may take: a network that is gone is noticed within twice as many."""

_ENDINGS: dict[int, Ending] = {4401: "rejected", 4409: "replaced"}
_MALFORMED = 4400


class Ended(Exception):
    """There is no connection any more. `ending`: what that means for the next attempt."""

    def __init__(self, ending: Ending, reason: str) -> None:
        super().__init__(reason)
        self.ending = ending


class Envelope(NamedTuple):
    """What the hub has sent. `re`: the id of the message that it answers; empty: none."""

    type: str
    id: str
    re: str
    body: dict[str, Any]


class Connection:
    """A connection after its handshake. `longest`: bytes of the longest envelope that the hub takes."""

    def __init__(self, socket: ClientConnection, channel: Channel, longest: int, now: Callable[[], int]) -> None:
        self._socket, self._channel, self.longest, self._now = socket, channel, longest, now
        self._sending = asyncio.Lock()

    async def send(self, type: str, id: str, body: str, *, re: str = "") -> None:
        """Send an envelope with the hub's time. `body`: JSON text. Raises Ended, and NoiseError if it is too long."""
        answered = f'"re":{json.dumps(re)},' if re else ""
        async with self._sending:  # encrypting and sending are one step, or the messages would overtake each other
            text = f'{{"v":1,"type":"{type}","id":"{id}","ts":{self._now()},{answered}"body":{body}}}'
            message = self._channel.encrypt(text.encode())
            with _endings():
                await self._socket.send(message)

    async def answer(self, envelope: Envelope, error: tuple[int, str] | None = None) -> None:
        """Tell the hub that a message has arrived; or what is wrong with it, as a status and a text. Raises Ended."""
        kind, body = ("ack", {}) if error is None else ("error", {"status": error[0], "message": error[1]})
        await self.send(kind, str(uuid.uuid4()), as_text(body), re=envelope.id)

    async def receive(self) -> Envelope:
        """Return the next envelope. Raises Ended, also for one that is not authentic or malformed."""
        with _endings():
            message = await self._socket.recv()
        try:
            return _envelope(self._channel.decrypt(_binary(message)))
        except (NoiseError, ValueError, RecursionError):
            await self._socket.close(_MALFORMED)
            raise Ended("lost", "the hub has sent what is no message") from None


@asynccontextmanager
async def connection(
    hub: Hub, keys: KeyPair, software: str, trust: Trust, set_clock: Callable[[int], None], now: Callable[[], int]
) -> AsyncIterator[Connection]:
    """Connect with these keys. `set_clock` is called with the hub's time, `now` tells it from then on. Raises Ended."""
    with _endings():
        socket = await connect(
            hub.url.replace("http", "ws", 1) + PATH,
            subprotocols=[SUBPROTOCOL],
            compression=None,
            max_size=LONGEST_MESSAGE,
            open_timeout=CONNECT_TIMEOUT,
            ping_interval=PING,
            ping_timeout=PING,
            close_timeout=2,
            ssl=None if hub.url.startswith("http://") else trust,
        )
    try:
        channel, longest = await _shake(socket, hub, keys, software, set_clock)
        yield Connection(socket, channel, longest, now)
    finally:
        await socket.close()


async def _shake(
    socket: ClientConnection, hub: Hub, keys: KeyPair, software: str, set_clock: Callable[[int], None]
) -> tuple[Channel, int]:
    """Do the handshake; return the channel, and the bytes of the longest envelope. Raises Ended."""
    handshake = Initiator(keys, hub.key)
    try:
        with _endings():
            async with asyncio.timeout(HANDSHAKE_TIMEOUT):
                await socket.send(handshake.write())
                told = json.loads(handshake.read(_binary(await socket.recv())))
                set_clock(int(told["now"]))
                await socket.send(handshake.write(as_text({"v": 1, "software": software}).encode()))
                return handshake.channel(), int(told["max"])
    except (NoiseError, ValueError, KeyError, TypeError, RecursionError):
        raise Ended("lost", f"{shown(hub.url)} does not have the key of the hub that this device was enrolled at") from None


@contextmanager
def _endings() -> Iterator[None]:
    """Turn what websockets raises inside the block into Ended."""
    try:
        yield
    except ConnectionClosed as error:
        code, reason = (error.rcvd.code, error.rcvd.reason) if error.rcvd else (0, "")
        raise Ended(_ENDINGS.get(code, "lost"), reason or f"the connection was closed ({code or 'it broke'})") from None
    except (WebSocketException, OSError, TimeoutError) as error:
        raise Ended("lost", str(error) or "the hub does not answer in time") from None


def _binary(message: str | bytes) -> bytes:
    if isinstance(message, str):
        raise ValueError("a text frame")
    return message


def _envelope(text: bytes) -> Envelope:
    """Read an envelope. Raises ValueError, RecursionError."""
    match json.loads(text):
        case {"type": str(kind), "body": dict(body)} as told:
            own, answered = told.get("id", ""), told.get("re", "")
            if isinstance(own, str) and isinstance(answered, str):
                return Envelope(kind, own, answered, body)
    raise ValueError("no envelope")
