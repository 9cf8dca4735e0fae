"""Engine.IO sessions: one client's connection, by polling or over a websocket."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from apiv3.live import packets
from apiv3.live.packets import CLOSE, MESSAGE, NOOP, OPEN, PING, PONG, UPGRADE, ProtocolError
from apiv3.live.wires import Wire, until_one_ends
from apiv3.security.credentials import Credential

UPGRADE_TIMEOUT = 10.0
"""Seconds in which a client that opened a websocket must complete the upgrade."""
_PROBING = 0.1
"""Seconds that a poll waits during an upgrade: it must return, so that the client can go on."""
_BURST, _RATE = 30, 3.0
"""Packets that a client may send at once, and per second on average. A heartbeat is one packet in 25 seconds."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The limits of all sessions.

    `interval`: seconds between heartbeats. `patience`: seconds in which a client must read what is queued, or subscribe.
    `timeout`: seconds in which it must answer a heartbeat. `buffer`: most characters that are queued for a client. `room`: the
    number of them above which `Session.room` waits.
    """

    interval: float = 25
    patience: float = 30
    timeout: float = 20
    buffer: int = 4_194_304
    room: int = 131_072


class Session:
    """Exchanges packets with one client, in order, over one transport at a time.

    `credential`: what the client connected with, None if it sends one in a message.
    `version`: of Engine.IO, 3 or 4. `upgrades`: the transports that are offered to the client. `on_message`: called with each
    message from the client; may raise ProtocolError. `on_close`: functions that are called when the session ends.
    """

    def __init__(self, sid: str, version: int, address: str, rules: Rules, upgrades: Sequence[str]) -> None:
        self.sid, self.version, self.address = sid, version, address
        self.closed = False
        self.credential: Credential | None = None
        self.on_message: Callable[[str], None] = lambda _message: None
        self.on_close: list[Callable[[], None]] = []
        self._rules = rules
        self._waiting: deque[str] = deque()
        self._size = self._taken = 0
        """Characters that wait, and those that are being sent: to a polling client until it polls again."""
        self._wake, self._emptied = asyncio.Event(), asyncio.Event()
        self._polling = self._probing = self._carried = False
        self._allowance, self._counted = float(_BURST), time.monotonic()
        self._timer: asyncio.TimerHandle | None = None
        self._writer: asyncio.Task[Any] | None = None
        self._greet(upgrades)

    def _greet(self, upgrades: Sequence[str]) -> None:
        interval, timeout = (round(seconds * 1000) for seconds in (self._rules.interval, self._rules.timeout))
        offer = {"sid": self.sid, "upgrades": upgrades, "pingInterval": interval, "pingTimeout": timeout}
        self.send(OPEN + packets.dumps({**offer, "maxPayload": packets.LARGEST}))
        self._expect_heartbeat()

    # --- sending

    def send(self, packet: str) -> None:
        """Queue a packet for the client. Closes the session when too much is queued."""
        if self.closed:
            return
        if self._size > self._rules.buffer:
            self.close()
            return
        self._waiting.append(packet)
        self._size += len(packet)
        self._wake.set()

    async def room(self) -> None:
        """Wait until the client has received nearly everything. Closes the session of a client that takes too long."""
        if not self._is_full():  # the usual case, without the cost of a timeout
            return
        try:
            async with asyncio.timeout(self._rules.patience):
                while self._is_full():
                    self._emptied.clear()
                    await self._emptied.wait()
        except TimeoutError:
            self.close()

    def _is_full(self) -> bool:
        return self._size + self._taken > self._rules.room and not self.closed

    def _take(self, number: int | None = None) -> list[str]:
        """Remove and return so many packets, by default all; they count until `_received`."""
        taken = [self._waiting.popleft() for _ in range(len(self._waiting) if number is None else number)]
        size = sum(map(len, taken))
        self._size -= size
        self._taken += size
        return taken

    def _received(self) -> None:
        """The client has received what was taken."""
        self._taken = 0
        self._emptied.set()

    # --- receiving

    def receive(self, packet: str) -> None:
        """Handle a packet from the client. Raises ProtocolError."""
        self._count()
        kind, data = packet[:1], packet[1:]
        if kind == MESSAGE:
            self.on_message(data)
        elif kind == PING and self.version == 3:
            self.send(PONG + data)
            self._expect_heartbeat()
        elif kind == PONG and self.version == 4:
            self._expect_heartbeat()
        elif kind == CLOSE:
            self.close()
        elif kind != NOOP:
            raise ProtocolError("unexpected packet")

    def _count(self) -> None:
        now = time.monotonic()
        self._allowance = min(_BURST, self._allowance + (now - self._counted) * _RATE) - 1
        self._counted = now
        if self._allowance < 0:
            raise ProtocolError("too many packets")

    # --- heartbeats: a client of version 3 sends them, one of version 4 answers ours

    def _expect_heartbeat(self) -> None:
        rules = self._rules
        if self.version == 3:
            self._after(rules.interval + rules.timeout, self.close)
        else:
            self._after(rules.interval, self._send_heartbeat)

    def _send_heartbeat(self) -> None:
        self._after(self._rules.timeout, self.close)
        self.send(PING)

    def _after(self, seconds: float, action: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, action)

    # --- transports

    async def poll(self) -> str:
        """Wait for packets and return them as a payload for a polling request.

        Raises ProtocolError while another request or a websocket serves the session.
        """
        if self._polling or self._carried:
            raise ProtocolError("not the one transport")
        self._polling = True
        self._received()
        try:
            await self._something()
        except asyncio.CancelledError:  # the client disconnected, and may have lost packets
            self.close()
            raise
        finally:
            self._polling = False
        self._wake.clear()
        return packets.join(self.version, self._take() or [CLOSE if self.closed else NOOP])

    async def _something(self) -> None:
        while not (self._waiting or self.closed or self._carried):
            self._wake.clear()
            try:
                async with asyncio.timeout(_PROBING if self._probing else None):
                    await self._wake.wait()
            except TimeoutError:
                return

    def post(self, payload: str) -> None:
        """Handle the payload of a polling request. Raises ProtocolError."""
        if self._carried:
            raise ProtocolError("not the one transport")
        for packet in packets.split(self.version, payload):
            self.receive(packet)

    async def upgrade(self, wire: Wire) -> None:
        """Let a client that polls change to a websocket, and serve it there until it ends. Raises ProtocolError."""
        if self._probing or self._carried:
            raise ProtocolError("not the one transport")
        self._probing = True
        try:
            await wire.accept()
            changed = await self._change_over(wire)
        finally:
            self._probing = False
        if changed:
            await self.carry(wire)

    async def _change_over(self, wire: Wire) -> bool:
        try:
            async with asyncio.timeout(UPGRADE_TIMEOUT):
                if await wire.receive() != f"{PING}probe":
                    return False
                await wire.send(f"{PONG}probe")
                self._wake.set()
                return await wire.receive() == UPGRADE and not self._carried
        except (TimeoutError, OSError, ProtocolError):
            return False

    async def carry(self, wire: Wire) -> None:
        """Send and receive packets over a websocket until it or the session ends."""
        self._carried = True
        self._received()
        self._wake.set()
        try:
            await until_one_ends(self._read(wire), self._write(wire))
        finally:
            self.close()

    async def _read(self, wire: Wire) -> None:
        while (packet := await wire.receive()) is not None:
            self.receive(packet)

    async def _write(self, wire: Wire) -> None:
        self._writer = asyncio.current_task()
        while not self.closed:
            await self._wake.wait()
            while self._waiting:
                [packet] = self._take(1)
                await wire.send(packet)
                self._received()
            self._wake.clear()

    # --- end

    def close(self) -> None:
        """End the session; queued packets are dropped."""
        if self.closed:
            return
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._take()
        self._received()
        self._wake.set()
        if self._writer is not None:  # it may wait for a client that does not read
            self._writer.cancel()
        for tell in self.on_close:
            tell()
