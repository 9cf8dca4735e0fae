"""Find where a request's body ends (RFC 9112, section 6): after Content-Length bytes, or with the last chunk."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,12})(?:[ \t]*;.*)?", re.DOTALL)
_LONGEST_LINE = 1024
"""Most bytes of a chunk's size line, extensions included (RFC 9112, section 7.1.1, asks recipients for a limit)."""
_LINES_AT_ONCE = 256
"""Most lines of chunked framing that one call of `take` reads, so that tiny chunks do not keep other connections waiting."""


class BadFraming(ValueError):
    """The body's framing is malformed, ambiguous, or exceeds a limit."""


class Framing(Protocol):
    """A body as it arrives. `done`: whether all of it has been read."""

    done: bool

    def take(self, data: bytes, at: int) -> tuple[bytes, int]:
        """Return the content in `data` from index `at` on, without its framing, and the index of the first byte not read.

        It may stop before the end of `data` although the body goes on; then call it again. Raises BadFraming.
        """


class Sized:
    """A body of `length` bytes (Content-Length); `length` is at least 1."""

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
    """A chunked body (RFC 9112, section 7.1). `most`: the most bytes of trailer fields, which are read and ignored."""

    __slots__ = ("_closing", "_left", "_line", "_most", "_trailing", "done")

    def __init__(self, most: int) -> None:
        self._most = most
        self._line = b""
        """The beginning of a framing line whose end has not arrived yet."""
        self._left = 0
        """Bytes of the current chunk that are still to come."""
        self._closing = False
        """Whether the line end behind a chunk's data comes next."""
        self._trailing = False
        """Whether the last chunk has been read, and trailer fields follow."""
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
        """Read a line from index `at` on, or keep its beginning until more arrives; return the index behind what was read.

        Raises BadFraming for a line that is too long, or ends in a CR or LF alone.
        """
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
    """Return how the body of a request with these headers (lower-case names) is framed; None when it has no body.

    httptools has already refused a `Content-Length` that is not a number, or that comes with a `Transfer-Encoding`.
    Raises BadFraming for a transfer coding other than `chunked`, and for contradictory lengths.
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
