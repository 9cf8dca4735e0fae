"""The access log: one JSON line for each request, with every secret cut out."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TextIO
from urllib.parse import unquote_plus, unquote_to_bytes

import orjson

from apiv3.security.calls import Call

DELAY = 0.25
"""Seconds that lines of good requests are gathered before they are written together."""

_SECRETS = ("token", "secret", "password", "code", "key")
_EXCHANGE = b"/api/v2/authorization/request/"


class AccessLog:
    """Writes to `stream` (None: nowhere). Lines of refused requests go out at once, the others a moment later."""

    def __init__(self, stream: TextIO | None = sys.stderr) -> None:
        self._stream = stream
        self._lines: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None

    def write(self, call: Call, status: int, seconds: float) -> None:
        """One line for a request that was answered with `status` after `seconds`."""
        if self._stream is None:
            return
        self._lines.append(_line(call, status, seconds))
        if status >= 400:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(DELAY, self.flush)

    def flush(self) -> None:
        """Write what has been gathered."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._lines and self._stream is not None:
            self._stream.write(b"".join(self._lines).decode())
            self._stream.flush()
            self._lines.clear()


def _line(call: Call, status: int, seconds: float) -> bytes:
    entry = {
        "time": time.time(),
        "request": call.id,
        "address": call.address,
        "subject": call.principal.name,
        "method": call.method,
        "path": redacted(call),
        "status": status,
        "ms": round(seconds * 1000, 2),
    }
    return orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE)


def redacted(call: Call) -> str:
    """Path and query as they were sent, without secrets; however their names are spelled."""
    path, query = call.path, call.scope["query_string"]
    if _EXCHANGE in unquote_to_bytes(path):
        path = _EXCHANGE + b"***"
    if query:
        path += b"?" + b"&".join(map(_redacted_parameter, query.split(b"&")))
    return path.decode("latin-1")


def _redacted_parameter(parameter: bytes) -> bytes:
    name = parameter.partition(b"=")[0]
    plain = unquote_plus(name.decode("latin-1")).lower()
    return name + b"=***" if any(secret in plain for secret in _SECRETS) else parameter
