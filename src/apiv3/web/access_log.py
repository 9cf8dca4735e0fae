"""The access log: one line for each request, for people or as JSON, with secrets masked."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Literal, TextIO

import orjson

from apiv3.model.timestamps import iso
from apiv3.web.calls import Call
from apiv3.web.redaction import redacted

DELAY = 0.25
"""Seconds for which successful requests are collected before their lines are written together."""
MOST_GATHERED = 200
"""Most requests that are collected before they are written."""

_COLOURS = {2: 32, 3: 36, 4: 33, 5: 31}
"""First digit of a status -> ANSI colour code: green, cyan, yellow, red."""
_UNPRINTABLE = re.compile(r"[^!-~]")

Format = Literal["auto", "text", "json", "off"]
Entry = tuple[float, str, str, str | None, str, int, float]
Lines = Callable[[Iterable[tuple[str, Entry]]], str]
"""Formats lines, each of a target without secrets and its entry."""


class AccessLog:
    """Writes a line for each request to `stream`: refused requests at once, the others together after `DELAY`.

    `wanted`: `text` is for people, `json` for programs; `auto` is `text` if the stream is a terminal, else `json`; `off` writes
    nothing. A line that cannot be written (a full disk, a closed pipe) is dropped, so that the log never delays or changes an
    answer. `secret`: API_SECRET, which is masked wherever it appears, since it has no form by which it could be recognised.
    """

    def __init__(self, wanted: Format = "auto", stream: TextIO = sys.stderr, secret: str = "") -> None:
        self._stream, self._secret = stream, secret.encode()
        self._lines = _lines(wanted, stream)
        self._entries: list[Entry] = []
        self._targets: list[bytes] = []
        """Path and query of each entry as they were sent."""
        self._timer: asyncio.TimerHandle | None = None

    def write(self, call: Call, status: int, seconds: float) -> None:
        """Log a request that was answered with `status` after `seconds`."""
        if self._lines is None:
            return
        query = call.scope["query_string"]
        self._targets.append(call.path + b"?" + query if query else call.path)
        self._entries.append((time.time(), call.id, call.address, call.principal.name, call.method, status, seconds))
        if status >= 400 or len(self._entries) >= MOST_GATHERED:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(DELAY, self.flush)

    def flush(self) -> None:
        """Write all collected lines now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._entries and self._lines is not None:
            entries, self._entries = self._entries, []
            targets, self._targets = self._targets, []
            with suppress(OSError):
                self._stream.write(self._lines(zip(redacted(targets, self._secret), entries, strict=True)))
                self._stream.flush()


def _lines(wanted: Format, stream: TextIO) -> Lines | None:
    """Return the function that formats the lines; None for `off`. Colours are used only on a terminal that supports them,
    unless the environment variable NO_COLOR is set.
    """
    if wanted == "off":
        return None
    is_terminal = stream.isatty()
    if wanted == "json" or (wanted == "auto" and not is_terminal):
        return _json
    has_colours = is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return _coloured_text if has_colours else _text


def _text(entries: Iterable[tuple[str, Entry]]) -> str:
    return "".join(_text_line(target, *entry) for target, entry in entries)


def _coloured_text(entries: Iterable[tuple[str, Entry]]) -> str:
    return "".join(_text_line(target, *entry, colour=_COLOURS.get(entry[5] // 100)) for target, entry in entries)


def _text_line(
    target: str,
    moment: float,
    _id: str,
    _address: str,
    _subject: str | None,
    method: str,
    status: int,
    seconds: float,
    *,
    colour: int | None = None,
) -> str:
    """Return a line for people. The time is local, as in the other log lines. Bytes that could control the terminal are
    percent-encoded.
    """
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))
    shown = _UNPRINTABLE.sub(lambda found: f"%{ord(found[0]):02X}", target)
    painted = f"\x1b[{colour}m{status}\x1b[0m" if colour else str(status)
    return f"{when} {painted} {method:<6} {shown} {_ms(seconds):g} ms\n"


def _json(entries: Iterable[tuple[str, Entry]]) -> str:
    """Serialize all entries in one call, which takes a sixth of the time of one call each, then split the array into lines.

    The replaced text cannot occur inside a value, since JSON escapes quotation marks there.
    """
    array = orjson.dumps([_fields(target, *entry) for target, entry in entries]).decode()
    return array[1:-1].replace('},{"time":', '}\n{"time":') + "\n"


def _fields(
    target: str,
    moment: float,
    id: str,
    address: str,
    subject: str | None,
    method: str,
    status: int,
    seconds: float,
) -> dict[str, object]:
    return {
        "time": iso(int(moment * 1000)),
        "request": id,
        "address": address,
        "subject": subject,
        "method": method,
        "path": target,
        "status": status,
        "ms": _ms(seconds),
    }


def _ms(seconds: float) -> float:
    return int(seconds * 100_000) / 100
