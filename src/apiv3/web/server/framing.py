"""Where a request's body ends (RFC 9112, section 6): after so many bytes, or with the last chunk."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,12})(?:[ \t]*;.*)?", re.DOTALL)
_LONGEST_LINE = 1024
"""Bytes of the line that opens a chunk; extensions included (RFC 9112, section 7.1.1: a recipient bounds them)."""
_LINES_AT_ONCE = 256
"""Lines of chunked framing that are read in one go, so that tiny chunks do not keep others waiting."""


class BadFraming(ValueError):
    """The body is not what the headers say, or its framing is out of bounds."""


class Framing(Protocol):
    """A body as it arrives. `done`: all of it is there."""

    done: bool

    def take(self, data: bytes, at: int) -> tuple[bytes, int]:
        """What of `data`, from `at` on, belongs to the body, and where the rest begins. Raises BadFraming.

        It may stop early, with bytes left that belong to the body.
        """


class Sized:
    """A body of `length` bytes, which is at least one."""

    __slots__ = ("_left", "done")

    def __init__(self, length: int) -> None:
        self._left = length
        self.done = False

    def take(self, data: bytes, at: int) -> tuple[bytes, int]:
        piece = data[at : at + self._left]
        self._left -= len(piece)
        self.done = not self._left
        return piece, at + len(piece)


class Chunked:
    """A body in chunks (RFC 9112, section 7.1). `most`: bytes of trailer fields, which are read and ignored."""

    __slots__ = ("_closing", "_left", "_line", "_most", "_trailing", "done")

    def __init__(self, most: int) -> None:
        self._most = most
        self._line = b""
        """The beginning of a line of which the end is still to come."""
        self._left = 0
        """Bytes of the current chunk that are still to come."""
        self._closing = False
        """A chunk is complete, and its line end is next."""
        self._trailing = False
        self.done = False

    def take(self, data: bytes, at: int) -> tuple[bytes, int]:
        pieces: list[bytes] = []
        lines = 0
        while at < len(data) and not self.done and lines < _LINES_AT_ONCE:
            if self._left:
                piece = data[at : at + self._left]
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                self._closing = not self._left
            else:
                at = self._read_line(data, at)
                lines += 1
        return b"".join(pieces), at

    def _read_line(self, data: bytes, at: int) -> int:
        """Read up to the end of a line, or keep its beginning. Raises BadFraming for one that is too long."""
        if self._line.endswith(b"\r") and data[at : at + 1] == b"\n":
            line, is_whole, at = self._line[:-1], True, at + 1
        else:
            end = data.find(b"\r\n", at)
            is_whole = end >= 0
            line, at = self._line + data[at : end if is_whole else len(data)], end + 2 if is_whole else len(data)
        if len(line) > (self._most if self._trailing else _LONGEST_LINE):
            raise BadFraming("a line of the framing is too long")
        if b"\n" in line or b"\r" in (line if is_whole else line[:-1]):
            raise BadFraming("half a line end")
        if not is_whole:
            self._line = line
            return at
        self._line = b""
        self._on_line(line)
        return at

    def _on_line(self, line: bytes) -> None:
        if self._closing:
            if line:
                raise BadFraming("a chunk is longer than it says")
            self._closing = False
        elif self._trailing:
            self._most -= len(line) + 2
            self.done = not line
        else:
            self._open_chunk(line)

    def _open_chunk(self, line: bytes) -> None:
        size = _SIZE.fullmatch(line)
        if size is None:
            raise BadFraming("no size of a chunk")
        self._left = int(size[1], 16)
        self._trailing = not self._left


def framing(headers: Sequence[tuple[bytes, bytes]], most_trailers: int) -> Framing | None:
    """How the body of a request with these headers is framed; None when it has none.

    The parser of the head has refused a `Content-Length` that is no number, or stands beside `Transfer-Encoding`.
    Raises BadFraming for a transfer coding other than `chunked`.
    """
    codings, lengths = [], []
    for name, value in headers:
        if name == b"content-length":
            lengths.append(value)
        elif name == b"transfer-encoding":
            codings.append(value.strip().lower())
    if codings:
        if codings != [b"chunked"]:
            raise BadFraming("unknown transfer coding")
        return Chunked(most_trailers)
    if not lengths:
        return None
    if len(set(lengths)) > 1 or not lengths[0].strip().isdigit():
        raise BadFraming("no length")
    length = int(lengths[0])
    return Sized(length) if length else None
