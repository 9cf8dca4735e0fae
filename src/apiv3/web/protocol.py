"""uvicorn's HTTP protocol with bounds on what comes before the application is asked: the size and the time of the headers."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class BoundedProtocol(HttpToolsProtocol):
    """Closes a connection on which headers are too long, or too long on their way.

    The bounds are uvicorn's own settings: `h11_max_incomplete_event_size` bytes, which it applies to its other protocol only,
    and `timeout_keep_alive` seconds, which it counts from the end of the request before.
    """

    _received = 0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._expect_headers()

    def data_received(self, data: bytes) -> None:
        if self._deadline is None and (self.cycle is None or self.cycle.response_complete):
            self._expect_headers()
        if self._deadline is not None:
            self._received += len(data)
        super().data_received(data)
        if self._deadline is not None and self._received > (self.config.h11_max_incomplete_event_size or 0):
            self.transport.write(_TOO_LARGE)
            self._close()

    def on_headers_complete(self) -> None:
        self._stop_waiting()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _expect_headers(self) -> None:
        self._received = 0
        self._deadline = self.loop.call_later(self.config.timeout_keep_alive, self._close)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _close(self) -> None:
        self._stop_waiting()
        self.transport.close()
