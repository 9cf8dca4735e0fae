"""Accept clients on a listening socket: check the budget of their network, then make the TLS handshake."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Callable

from apiv3.model.errors import TooManyRequests
from apiv3.web.server.connection import Connection
from apiv3.web.server.connections import Connections

NewConnection = Callable[[tuple[str, int], str | None], Connection]

_AT_ONCE = 16
"""Most clients accepted in one turn of the event loop, so that those already connected are not kept waiting. Each has a file
descriptor before it is counted, so this must be much less than what `Connections` keeps in reserve."""
_PAUSE = 0.5
"""Seconds until the next attempt when the system has no file descriptor or memory for another connection."""
_GOODBYE = 5.0
"""Seconds that the closing handshake of TLS may take."""

_log = logging.getLogger(__name__)


class Door:
    """A listening socket that accepts clients until it is closed.

    `connect`: makes the protocol object for a client (host and port) and the network whose budget it counts against. `tls`:
    the TLS context, None for plain HTTP. Accepts as soon as it is made, so it needs a running event loop.
    """

    def __init__(
        self, listener: socket.socket, connections: Connections, connect: NewConnection, tls: ssl.SSLContext | None
    ) -> None:
        self._listener, self._connections, self._connect, self._tls = listener, connections, connect, tls
        self._loop = asyncio.get_running_loop()
        self._entering: set[asyncio.Task[None]] = set()
        self._told = 0.0
        self._is_open = True
        listener.setblocking(False)
        self._listen()

    def _listen(self) -> None:
        if self._is_open:
            self._loop.add_reader(self._listener, self._accept, _AT_ONCE)

    def _accept(self, most: int) -> None:
        """Accept up to `most` clients that are waiting. A client over its network's budget waits as a bare socket: nothing
        is read from it, and it costs next to nothing.
        """
        for _ in range(most):
            try:
                accepted, address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._rest(error)
                return
            accepted.setblocking(False)
            task = self._loop.create_task(self._enter(accepted, (str(address[0]), int(address[1]))))
            self._entering.add(task)
            task.add_done_callback(self._entering.discard)

    def _rest(self, error: OSError) -> None:
        """Log that the system has run out of a resource (at most every 10 seconds), and try again after `_PAUSE`."""
        if time.monotonic() - self._told > 10:
            self._told = time.monotonic()
            _log.error("no further connection can be accepted for now: %s", error)
        self._loop.remove_reader(self._listener)
        self._loop.call_later(_PAUSE, self._listen)

    async def _enter(self, accepted: socket.socket, client: tuple[str, int]) -> None:
        try:
            place = await self._connections.claim(client[0])
        except TooManyRequests:
            accepted.close()
            return
        connection = self._connect(client, place)
        patience = self._connections.patience
        timeouts = (patience, min(patience, _GOODBYE)) if self._tls is not None else (None, None)
        try:
            await self._loop.connect_accepted_socket(
                lambda: connection,
                accepted,
                ssl=self._tls,
                ssl_handshake_timeout=timeouts[0],
                ssl_shutdown_timeout=timeouts[1],
            )
        except (OSError, TimeoutError):  # ssl.SSLError is an OSError; failed handshakes are too common to be logged
            accepted.close()
        finally:
            if not connection.is_made:
                self._connections.release(place)

    async def close(self) -> None:
        """Accept the clients that the system has already queued, which closing the listener would reset; then close it.

        Returns when their handshakes are done, or after one second.
        """
        self._is_open = False
        self._loop.remove_reader(self._listener)
        self._accept(self._connections.most)
        self._listener.close()
        if self._entering:
            await asyncio.wait(self._entering, timeout=1.0)
