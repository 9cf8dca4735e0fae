"""Engine.IO: one client's connection, by polling or over a websocket."""

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

UPGRADE_TIMEOUT = 10.0
"""Seconds in which a client that opened a second transport has to change over to it."""
_PROBING = 0.1
"""Seconds that a poll waits while the client changes over: it must end, so that the client can."""
_BURST, _RATE = 30, 3.0
"""Packets that a client may send at once, and in each second on average. A heartbeat is one packet in 25 seconds."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for every session.

    `interval`: seconds between heartbeats. `patience`: seconds that a client may take to read what waits for it, or to
    subscribe. `timeout`: seconds to answer a heartbeat. `buffer`: characters that may wait for a client.
    """

    interval: float = 25
    patience: float = 30
    timeout: float = 20
    buffer: int = 4_194_304


class Session:
    """Packets to and from one client, in order, on one transport at a time. `version`: of Engine.IO; 3 or 4.

    `on_message`: takes each message that comes in, and raises ProtocolError. `on_close`: called when the session is over.
    `upgrades`: the transports that the client may go on to.
    """

    def __init__(self, sid: str, version: int, address: str, rules: Rules, upgrades: Sequence[str]) -> None:
        self.sid, self.version, self.address = sid, version, address
        self.closed = False
        self.on_message: Callable[[str], None] = lambda _message: None
        self.on_close: list[Callable[[], None]] = []
        self._rules = rules
        self._waiting: deque[str] = deque()
        self._size = 0
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

    # --- out

    def send(self, packet: str) -> None:
        """A packet goes out when the client takes it. One that leaves too much lying there is dropped, with its session."""
        if self.closed:
            return
        if self._waiting and self._size + len(packet) > self._rules.buffer:
            self.close()
            return
        self._waiting.append(packet)
        self._size += len(packet)
        self._wake.set()

    async def room(self) -> None:
        """Returns when less waits for the client than a half of what may. One that takes too long for that is dropped."""
        if not self._is_half_full():  # nearly always, and a timeout has its price
            return
        try:
            async with asyncio.timeout(self._rules.patience):
                while self._is_half_full():
                    self._emptied.clear()
                    await self._emptied.wait()
        except TimeoutError:
            self.close()

    def _is_half_full(self) -> bool:
        return self._size > self._rules.buffer // 2 and not self.closed

    def _next(self) -> str:
        packet = self._waiting.popleft()
        self._size -= len(packet)
        self._emptied.set()
        return packet

    def _take(self) -> list[str]:
        taken = list(self._waiting)
        self._waiting.clear()
        self._size = 0
        self._wake.clear()
        self._emptied.set()
        return taken

    # --- in

    def receive(self, packet: str) -> None:
        """A packet came in. Raises ProtocolError."""
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
        """The payload for a polling request: what waits, or what comes next. Raises ProtocolError when another one waits."""
        if self._polling or self._carried:
            raise ProtocolError("not the one transport")
        self._polling = True
        try:
            await self._something()
        except asyncio.CancelledError:  # the client went away, and what it should have got next with it
            self.close()
            raise
        finally:
            self._polling = False
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
        """The payload of a polling request that brings packets. Raises ProtocolError."""
        if self._carried:
            raise ProtocolError("not the one transport")
        for packet in packets.split(self.version, payload):
            self.receive(packet)

    async def upgrade(self, wire: Wire) -> None:
        """The client tries a websocket beside its polling; when it works it goes on there. Raises ProtocolError."""
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
        """Packets go in and out over a websocket, until it ends, or the session does."""
        self._carried = True
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
                await wire.send(self._next())
            self._wake.clear()

    # --- the end

    def close(self) -> None:
        """The session is over; what waited for the client is forgotten."""
        if self.closed:
            return
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._take()
        self._wake.set()
        if self._writer is not None:  # it may wait for a client that does not read
            self._writer.cancel()
        for tell in self.on_close:
            tell()
