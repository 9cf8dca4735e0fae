"""One client's connection: read and write bytes within bounds, whatever protocol is spoken over it.

Reads at most `READ` bytes at a time into a buffer that all connections share and passes them to the `Speaker` (HTTP,
then perhaps WebSocket); stops reading while the speaker has enough. Keeps at most `HIGH` unsent bytes in the transport, and
aborts the connection of a client that takes nothing for too long.
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
"""Bytes in the transport's write buffer above which writing pauses until the client has read some."""
_PIECE = 65_536
"""Bytes of a large body that are passed to the transport (and encrypted, with TLS) at a time."""
_LINGER = 2.0
"""Seconds that a client has to finish sending after its last answer. To close at once would send a reset, and the client
might lose the answer (RFC 9112, section 9.6)."""
_MOST_DISCARDED = 16_777_216
"""Bytes that the client may send, and the server discards, in that time."""

_shared = bytearray(READ)
_view = memoryview(_shared)


class Speaker(Protocol):
    """The protocol spoken over a connection. The connection calls these methods."""

    def begin(self) -> None:
        """The connection is established, and the client may send."""

    def received(self, data: bytes) -> None:
        """Bytes have arrived."""

    def drained(self) -> None:
        """The write buffer is empty, or nearly: writing may continue."""

    def lost(self) -> None:
        """The connection is closed."""

    def end(self) -> None:
        """The server is shutting down: finish the request under way, and start no new one."""

    def expired(self) -> None:
        """The deadline set with `Connection.expect` has passed."""


class Connection(asyncio.BufferedProtocol):
    """An asyncio protocol that passes bytes between the transport and a `Speaker`.

    `client`: host and port of the client. `place`: the network whose budget of connections it counts against
    (`addresses.network`); None when it counts against none. `encrypted`: whether this server speaks TLS with the client.
    `speaker` must be set before the connection is made. `deadline`: the time, by the loop's clock in seconds, until which the
    client must act; None while the server is not waiting for the client.
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
        """When it began to wait for a request, in seconds by the loop's clock; None while a request is under way."""
        self.is_new = True
        """Whether no request has begun to arrive yet."""
        self._is_reading = self._is_open = True
        self.is_over = self._lingers = False
        """Whether nothing more will be written; and whether the client may nevertheless go on sending for `_LINGER`."""
        self._discarded = 0
        self._large: deque[memoryview] = deque()
        self._is_paused = False
        self._is_due = False
        """Whether the next piece of what is large will be passed to the transport in the next turn of the event loop."""
        self._lag: tuple[int, float] = 0, 0.0
        """Unsent bytes when the client last took some, and when that was, in seconds by the loop's clock."""
        self._waiters: list[asyncio.Future[None]] = []

    # --- start

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
        """Run the coroutine that answers a request as a task; on shutdown the server waits for it."""
        task = self.loop.create_task(work)
        self._uvicorn.tasks.add(task)
        task.add_done_callback(self._uvicorn.tasks.discard)

    @property
    def is_wanted(self) -> bool:
        """Whether another client of the same network waits for a connection."""
        return self._connections.waiting(self.place) > 0

    @property
    def tasks(self) -> set[asyncio.Task[None]]:
        """What a server that ends waits for."""
        return self._uvicorn.tasks

    def count(self) -> None:
        """Count an answered request in uvicorn's statistics."""
        self._uvicorn.total_requests += 1

    # --- reading

    def get_buffer(self, _sizehint: int) -> memoryview:
        return _view

    def buffer_updated(self, nbytes: int) -> None:
        if not self.is_over and self._is_open:
            self.speaker.received(bytes(_view[:nbytes]))
        elif self._lingers:
            self._discarded += nbytes
            if self._discarded > _MOST_DISCARDED:
                self.abort()

    def eof_received(self) -> None:
        """Return None, so that the transport closes: a client that ends its side is taken to be gone."""

    def pause(self) -> None:
        """Stop reading until `read_on` is called."""
        if self._is_reading and self._is_open:
            self._is_reading = False
            self.transport.pause_reading()

    def read_on(self) -> None:
        """Resume reading."""
        if not self._is_reading and self._is_open:
            self._is_reading = True
            self.transport.resume_reading()

    # --- writing

    def write(self, data: bytes) -> None:
        """Send `data` after everything that was written before."""
        if self._is_open:
            if self._large:
                self._large.append(memoryview(data))
            elif len(data) > _PIECE:
                self._large.append(memoryview(data))
                self._advance()
            else:
                self.transport.write(data)

    def write_large(self, head: bytes, body: bytes) -> None:
        """Send an answer in pieces of `_PIECE` bytes, as fast as the client reads, without copying its body."""
        if not self._is_open:
            return
        view = memoryview(body)
        if not self._large and not self._is_paused:  # nearly always: the head leaves together with the first piece
            self.transport.writelines([head, view[:_PIECE]])
            view = view[_PIECE:]
        else:
            self._large.append(memoryview(head))
        if view:
            self._large.append(view)
        self._go_on()

    def _advance(self) -> None:
        """Pass the next piece to the transport; the one after it comes in the next turn of the event loop.

        The system may take megabytes at once, and it takes milliseconds to copy them. All at once would keep every other client
        waiting, as often as there are connections on which somebody asks for a large answer.
        """
        self._is_due = False
        if not self._large or self._is_paused or not self._is_open:
            return
        view = self._large.popleft()
        if len(view) > _PIECE:
            self._large.appendleft(view[_PIECE:])
        self.transport.write(view[:_PIECE])
        if self._large:
            self._go_on()
        elif not self._is_paused:
            self._caught_up()

    def _go_on(self) -> None:
        """Have the next piece passed to the transport in the next turn of the event loop, if there is one."""
        if self._large and not self._is_paused and not self._is_due:
            self._is_due = True
            self.loop.call_soon(self._advance)

    @property
    def is_behind(self) -> bool:
        """Whether unsent bytes remain beyond what the transport may hold."""
        return (self._is_paused or bool(self._large)) and self._is_open

    async def caught_up(self) -> None:
        """Wait until the client has read enough for writing to continue, or the connection is closed."""
        while self.is_behind:
            waiter = self.loop.create_future()
            self._waiters.append(waiter)
            await waiter

    def pause_writing(self) -> None:
        self._is_paused = True
        self._lag = self._lying, self.loop.time()

    def resume_writing(self) -> None:
        self._is_paused = False
        if self._large:
            self._go_on()
        else:
            self._caught_up()

    def _caught_up(self) -> None:
        """Nothing large remains, and the transport holds little: tell whoever waits for that."""
        self._wake()
        if self.is_over:
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
        """Bytes that are not yet sent."""
        return self.transport.get_write_buffer_size() + sum(map(len, self._large))

    # --- deadlines

    def check(self, now: float, patience: float) -> None:
        """Abort a client that has read nothing for `patience` seconds; tell the speaker when the deadline has passed.

        `Connections.watch` calls this about once a second. `now`: seconds by the loop's clock.
        """
        if self._is_paused and self._is_stalled(now, patience):
            self.abort()
        elif self.deadline is not None and now > self.deadline:
            self.deadline = None
            self._expire()

    def _is_stalled(self, now: float, patience: float) -> bool:
        """Whether the client has read nothing for more than `patience` seconds."""
        lying, since = self._lag
        if self._lying < lying:
            self._lag = self._lying, now
            return False
        return now - since > patience

    def _expire(self) -> None:
        if self.is_behind:
            self.expect(_LINGER)  # the client still reads; once it stops, `_is_stalled` finds it
        elif self.is_over:
            self.abort()
        else:
            self.speaker.expired()

    @property
    def has_unread(self) -> bool:
        """Whether bytes have arrived that were not read yet. To close the connection with unread bytes would reset it."""
        arrived = select.poll()
        arrived.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(arrived.poll(0))

    def expect(self, seconds: float) -> None:
        """Set the deadline: the client must act within `seconds` from now."""
        self.deadline = self.loop.time() + seconds

    # --- end

    def close(self) -> None:
        """Close the connection once everything written has been sent."""
        self._finish(lingers=False)

    def linger(self) -> None:
        """Close the connection like `close`, but first discard what the client still sends, for at most `_LINGER` seconds."""
        self._finish(lingers=True)

    def _finish(self, *, lingers: bool) -> None:
        if not self.is_over and self._is_open:
            self.is_over, self._lingers, self.idle_since = True, lingers, None
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
        """Close the connection at once; unsent bytes are lost."""
        self.is_over = True
        self._large.clear()
        self.transport.abort()

    def shutdown(self) -> None:
        """Begin the shutdown of the server; uvicorn calls this for each connection."""
        self._connections.end()
        if not self.is_over:
            self.speaker.end()

    def connection_lost(self, _error: Exception | None) -> None:
        if self._is_open:
            self._is_open = False
            self._large.clear()
            self._wake()
            self._connections.remove(self)
            self.speaker.lost()
