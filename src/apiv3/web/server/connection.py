"""One client's connection: bytes in, bytes out, and what bounds both, whatever is spoken over it.

The server reads at most `READ` bytes at a time into a buffer that all connections share, hands them to the speaker
(HTTP, then perhaps WebSocket), and stops reading when the speaker has enough. It hands at most `HIGH` bytes to the transport
ahead of the client, and cuts off a client that takes nothing for too long.
"""

from __future__ import annotations

import asyncio
import select
from collections import deque
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from uvicorn.server import ServerState

    from apiv3.web.server.connections import Connections

READ = 32_768
"""Bytes that are read at a time."""
HIGH = 16_384
"""Bytes that may lie ready for a client beyond what the system has taken; with more, nothing further is written."""
_PIECE = 65_536
"""Bytes of a large body that are written at a time, and with TLS encrypted at a time."""
_LINGER = 2.0
"""Seconds in which a client may finish sending after its last answer, so that a reset does not take the answer from it."""
_MOST_DISCARDED = 16_777_216
"""Bytes that it may still send."""

_shared = bytearray(READ)
_view = memoryview(_shared)


class Speaker(Protocol):
    """What makes sense of a connection's bytes."""

    def begin(self) -> None:
        """The client may speak."""

    def received(self, data: bytes) -> None:
        """Bytes have come in."""

    def drained(self) -> None:
        """All that was written has left, or nearly."""

    def lost(self) -> None:
        """The connection is over."""

    def end(self) -> None:
        """The server ends: finish what is under way, begin nothing new."""

    def expired(self) -> None:
        """The deadline has passed."""


class Connection(asyncio.BufferedProtocol):
    """The transport's side. `client`: host and port. `place`: who pays for it, if anybody does. `encrypted`: whether TLS is
    spoken here. `deadline`: when the speaker's patience ends, by the loop's clock; None: it is not the client's turn.
    """

    def __init__(
        self, connections: Connections, server: ServerState, client: tuple[str, int], place: str | None, *, encrypted: bool
    ) -> None:
        self._connections, self._uvicorn, self.client, self.place = connections, server, client, place
        self.encrypted = encrypted
        self.is_made = False
        self.loop = asyncio.get_running_loop()
        self.patience = connections.patience
        self.transport: asyncio.Transport = cast("Any", None)
        self.speaker: Speaker = cast("Any", None)
        self.server: tuple[str, int] | None = None
        self.deadline: float | None = None
        self.idle_since: float | None = None
        """When it began to wait for a request; None while one is on its way."""
        self._is_reading = self._is_open = True
        self._is_over = self._lingers = False
        """The last word is said; and the client may still send."""
        self._discarded = 0
        self._large: deque[memoryview] = deque()
        self._is_paused = False
        self._lag: tuple[int, float] = 0, 0.0
        """Bytes that lay ready when the client last took some, and when that was."""
        self._waiters: list[asyncio.Future[None]] = []

    # --- the beginning

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=HIGH)
        here = transport.get_extra_info("sockname")
        self.server = (str(here[0]), int(here[1])) if isinstance(here, tuple) else None
        self.is_made = True
        self._connections.add(self)
        self.speaker.begin()
        if self._connections.ends:
            self.speaker.end()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run what answers a request; a server that ends waits for it."""
        task = self.loop.create_task(work)
        self._uvicorn.tasks.add(task)
        task.add_done_callback(self._uvicorn.tasks.discard)

    @property
    def tasks(self) -> set[asyncio.Task[None]]:
        """What a server that ends waits for."""
        return self._uvicorn.tasks

    def count(self) -> None:
        """One more request has been answered."""
        self._uvicorn.total_requests += 1

    # --- in

    def get_buffer(self, _sizehint: int) -> memoryview:
        return _view

    def buffer_updated(self, nbytes: int) -> None:
        if not self._is_over and self._is_open:
            self.speaker.received(bytes(_view[:nbytes]))
        elif self._lingers:
            self._discarded += nbytes
            if self._discarded > _MOST_DISCARDED:
                self.abort()

    def eof_received(self) -> None:
        """A client that ends its side is gone: the transport closes."""

    def pause(self) -> None:
        """Read no more, until `read_on`."""
        if self._is_reading and self._is_open:
            self._is_reading = False
            self.transport.pause_reading()

    def read_on(self) -> None:
        if not self._is_reading and self._is_open:
            self._is_reading = True
            self.transport.resume_reading()

    # --- out

    def write(self, data: bytes) -> None:
        """Send it; what is written before has left or lies ready before it."""
        if self._is_open:
            if self._large:
                self._large.append(memoryview(data))
            else:
                self.transport.write(data)

    def write_large(self, head: bytes, body: bytes) -> None:
        """Send an answer as the client takes it, without a copy of its body."""
        if not self._is_open:
            return
        view = memoryview(body)
        if not self._large and not self._is_paused:  # nearly always: the head goes out together with what follows it
            self.transport.writelines([head, view[:_PIECE]])
            view = view[_PIECE:]
        else:
            self._large.append(memoryview(head))
        self._large.append(view)
        self._push()

    def _push(self) -> None:
        while self._large and not self._is_paused and self._is_open:
            view = self._large.popleft()
            if len(view) > _PIECE:
                self._large.appendleft(view[_PIECE:])
            self.transport.write(view[:_PIECE])

    @property
    def is_behind(self) -> bool:
        """More lies ready than the client takes at once."""
        return (self._is_paused or bool(self._large)) and self._is_open

    async def caught_up(self) -> None:
        """Wait until the client has taken what lies ready, or is gone."""
        while self.is_behind:
            waiter = self.loop.create_future()
            self._waiters.append(waiter)
            await waiter

    def pause_writing(self) -> None:
        self._is_paused = True
        self._lag = self._lying, self.loop.time()

    def resume_writing(self) -> None:
        self._is_paused = False
        self._push()
        if not self.is_behind:
            self._wake()
            if self._is_over:
                self._say_goodbye()
            else:
                self.speaker.drained()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    @property
    def _lying(self) -> int:
        return self.transport.get_write_buffer_size() + sum(map(len, self._large))

    # --- time

    def check(self, now: float, patience: float) -> None:
        """Called now and then: end what takes too long."""
        if self._is_paused and self._is_stalled(now, patience):
            self.abort()
        elif self.deadline is not None and now > self.deadline:
            self.deadline = None
            self._expire()

    def _is_stalled(self, now: float, patience: float) -> bool:
        """Whether the client has taken nothing for so many seconds."""
        lying, since = self._lag
        if self._lying < lying:
            self._lag = self._lying, now
            return False
        return now - since > patience

    def _expire(self) -> None:
        if self.is_behind:
            self.expect(_LINGER)  # it still reads; when it does not, it is found to have stalled
        elif self._is_over:
            self.abort()
        else:
            self.speaker.expired()

    @property
    def has_unread(self) -> bool:
        """Something has arrived that the loop has not come to yet; to close the connection now would reset it."""
        arrived = select.poll()
        arrived.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(arrived.poll(0))

    def expect(self, seconds: float) -> None:
        """From now on the client has so much time."""
        self.deadline = self.loop.time() + seconds

    # --- the end

    def close(self) -> None:
        """Say no more; what lies ready is still sent."""
        self._finish(lingers=False)

    def linger(self) -> None:
        """Say no more, and bear for a moment with a client that still sends."""
        self._finish(lingers=True)

    def _finish(self, *, lingers: bool) -> None:
        if not self._is_over and self._is_open:
            self._is_over, self._lingers = True, lingers
            self.expect(_LINGER if lingers else self.patience)
            self.read_on()
            if not self._large:
                self._say_goodbye()

    def _say_goodbye(self) -> None:
        if not self._lingers:
            self.transport.close()
        elif self.transport.can_write_eof():
            self.transport.write_eof()

    def abort(self) -> None:
        """End it at once."""
        self._is_over = True
        self._large.clear()
        self.transport.abort()

    def shutdown(self) -> None:
        """The server ends (uvicorn calls this)."""
        self._connections.end()
        if not self._is_over:
            self.speaker.end()

    def connection_lost(self, _error: Exception | None) -> None:
        if self._is_open:
            self._is_open = False
            self._large.clear()
            self._wake()
            self._connections.remove(self)
            self.speaker.lost()
