"""The subscribers: Socket.IO clients in a separate process, which record the changes that they receive, and when.

They read only the `srvModified` of a change, so that thousands of subscribers do not limit what is measured.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from array import array
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

import orjson
import uvloop
from websockets.client import ClientProtocol
from websockets.frames import Frame
from websockets.uri import parse_uri

from bench import load
from bench.live.delivery import Delivery, Told, judge

_T = TypeVar("_T")
PATIENCE = 30.0
"""Seconds that a subscriber may take to connect and subscribe."""
AT_ONCE = 50
"""Number of subscribers that connect at the same time."""
_LATER = 0.2
"""Seconds to wait after the last change for changes that should not arrive."""
_LOOK = 0.02
_MODIFIED, _DIGITS = b'"srvModified":', 13
_loop = uvloop.new_event_loop()
_crowds: dict[int, _Crowd] = {}


class _Subscriber(asyncio.Protocol):
    """One client, on Engine.IO 4. `modified`: the `srvModified` (ms) of each change; `received`: when it arrived (s)."""

    def __init__(self, port: int, token: str, collection: str) -> None:
        self._websocket = ClientProtocol(parse_uri(f"ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket"))
        self._wish = b"42/storage,1" + orjson.dumps(["subscribe", {"accessToken": token, "collections": [collection]}])
        self._change = b'42/storage,["create",{"colName":"%b",' % collection.encode()
        self.ready = asyncio.get_running_loop().create_future()
        self.gone = False
        self.strange = ""
        self.forget()

    def forget(self) -> None:
        """Forget all received changes."""
        self.modified, self.received = array("q"), array("d")

    @property
    def told(self) -> Told:
        return Told(self.modified, not self.gone, self.strange)

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._websocket.send_request(self._websocket.connect())
        self._flush()

    def data_received(self, data: bytes) -> None:
        now = time.time()
        self._websocket.receive_data(data)
        for event in self._websocket.events_received():
            if isinstance(event, Frame) and event.data:
                self._take(bytes(event.data), now)
        self._flush()

    def connection_lost(self, _error: Exception | None) -> None:
        self.gone = True
        if not self.ready.done():
            reason = self.strange or self._websocket.handshake_exc or "the connection was closed"
            self.ready.set_exception(RuntimeError(f"a subscriber cannot come in: {reason}"))

    def _take(self, packet: bytes, now: float) -> None:
        if packet.startswith(self._change):
            at = packet.rindex(_MODIFIED) + len(_MODIFIED)
            self.modified.append(int(packet[at : at + _DIGITS]))
            self.received.append(now)
        elif packet == b"2":  # a heartbeat
            self._websocket.send_text(b"3")
        elif packet.startswith(b"0{"):
            self._websocket.send_text(b"40/storage,")
        elif packet.startswith(b"40/storage,"):
            self._websocket.send_text(self._wish)
        elif packet.startswith(b'43/storage,1[{"success":true'):
            self.ready.set_result(None)
        elif not self._websocket.close_rcvd:
            self.strange = f"the server said {packet[:200]!r}"
            self._transport.abort()

    def _flush(self) -> None:
        for data in self._websocket.data_to_send():
            if data:
                self._transport.write(data)


class _Crowd:
    """The subscribers of one server."""

    def __init__(self) -> None:
        self.members: list[_Subscriber] = []

    async def gather(self, port: int, token: str, collection: str, number: int) -> None:
        """Connect the missing subscribers, and forget the received changes. Raise RuntimeError or TimeoutError."""
        self.members = [each for each in self.members if not each.gone]
        while missing := number - len(self.members):
            coming = (_enter(port, token, collection) for _ in range(min(missing, AT_ONCE)))
            self.members += await asyncio.gather(*coming)
        for each in self.members:
            each.forget()
        gc.collect()
        self._started, self._busy = time.perf_counter(), time.process_time()

    async def settle(self, stored: array[int], patience: float) -> Delivery:
        """Wait until all have all stored changes, or nothing has arrived for `patience` seconds. Return the result."""
        await self._arrival(len(stored), patience)
        busy = (time.process_time() - self._busy) / (time.perf_counter() - self._started)
        await asyncio.sleep(_LATER)
        told = [each.told for each in self.members]
        last = max((each.received[-1] for each in self.members if each.received), default=0.0)
        let_go = sum(each.gone for each in self.members)
        return Delivery(len(told), let_go, sum(len(each.changes) for each in told), judge(told, stored), last, busy)

    async def _arrival(self, changes: int, patience: float) -> None:
        before, deadline = -1, 0.0
        while any(not each.gone and len(each.modified) < changes for each in self.members):
            now = sum(len(each.modified) for each in self.members)
            if now != before:
                before, deadline = now, time.monotonic() + patience
            elif time.monotonic() > deadline:
                return
            await asyncio.sleep(_LOOK)


async def _enter(port: int, token: str, collection: str) -> _Subscriber:
    loop = asyncio.get_running_loop()
    _, subscriber = await loop.create_connection(lambda: _Subscriber(port, token, collection), "127.0.0.1", port)
    async with asyncio.timeout(PATIENCE):
        await subscriber.ready
    return subscriber


# --- what the process is asked for


def start_up(cpus: Iterable[int] | None) -> None:
    """Prepare the process. Its clients run in a thread while it waits for calls, because they must answer heartbeats."""
    load.start_up(cpus)
    threading.Thread(target=_loop.run_forever, daemon=True).start()


def gather(port: int, token: str, collection: str, number: int) -> None:
    """Connect the given number of subscribers of a collection, without any received changes. Raise RuntimeError."""
    try:
        _run(_crowds.setdefault(port, _Crowd()).gather(port, token, collection, number))
    except (OSError, TimeoutError) as error:
        raise RuntimeError(f"the subscribers cannot come in: {error or 'it takes too long'}") from None


def settle(port: int, stored: array[int], patience: float) -> Delivery:
    """Wait until the subscribers have all stored changes, and return the result."""
    return _run(_crowds[port].settle(stored, patience))


def receipts(port: int) -> list[tuple[array[int], array[float]]]:
    """Return for each subscriber the `srvModified` (ms) of its changes, and when they arrived (s since 1970)."""
    return [(each.modified, each.received) for each in _crowds[port].members]


def _run(work: Coroutine[Any, Any, _T]) -> _T:
    return asyncio.run_coroutine_threadsafe(work, _loop).result()
