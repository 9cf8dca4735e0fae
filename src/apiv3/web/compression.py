"""Compress answers: choose the content coding (RFC 9110, section 12.5.3) and apply it.

Answers with secrets are never compressed: if an attacker can place text beside a secret, the compressed length reveals the
secret (BREACH, https://www.breachattack.com). So only answers under /api/v3, which contain no secrets, and public files are
compressed; the token exchange, subjects and roles are not. Streams are not compressed either, because the compressor would
hold an event back until the next one.
"""

from __future__ import annotations

import asyncio
import re
import sys
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import Final, NamedTuple, Protocol, TypeVar

from apiv3.web.calls import Call
from apiv3.web.responses import Answer, Pieces

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

T = TypeVar("T")

SMALLEST = 1024
"""Least bytes of an answer that is compressed."""
LARGE = 32_768
"""Least bytes of an answer that is compressed in a thread, so that other requests are answered meanwhile."""
THREADS = 2
"""Most answers that are compressed at the same time, so that a processor remains for other requests."""


class Compressor(Protocol):
    """What the compressors of both libraries have in common."""

    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


CODINGS: Final[Mapping[bytes, Callable[[int], Compressor]]] = {
    b"zstd": lambda level: zstd.ZstdCompressor(level=level),
    b"gzip": lambda level: zlib.compressobj(level, wbits=31),  # in the format of gzip, without a time
}
"""Content coding -> its compressor for a level, in order of preference."""
_QUICK: Final[Mapping[bytes, int]] = {b"zstd": 1, b"gzip": 6}
"""Levels for answers; docs/decisions/0019 has the measurements."""
_SMALL: Final[Mapping[bytes, int]] = {b"zstd": 9, b"gzip": 9}
"""Levels for files that are compressed once and sent often. zstd takes 68 MB for the largest one at level 15."""
_WEIGHT = re.compile(rb"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)", re.ASCII)
_LONGEST = 1000
"""Bytes of an Accept-Encoding header that are examined; the rest is ignored."""


class Choice(NamedTuple):
    """What a client accepts. `coding`: the one to use, None for no compression. `refuses_plain`: it accepts nothing else."""

    coding: bytes | None
    refuses_plain: bool = False


def choose(accept: bytes | None) -> Choice:
    """Choose a coding by an Accept-Encoding header (None: it is missing). Malformed members of the list are ignored.

    Choices are cached, by as much of the header as is examined.
    """
    return _chosen((accept or b"")[:_LONGEST])


@lru_cache(maxsize=256)
def _chosen(accept: bytes) -> Choice:
    weights = _weights(accept)
    anything = weights.get(b"*", 0.0)
    # A client that accepts `*` supports gzip, but may not support zstd.
    liking = {b"zstd": weights.get(b"zstd", 0.0), b"gzip": weights.get(b"gzip", weights.get(b"x-gzip", anything))}
    best = max(CODINGS, key=liking.__getitem__)
    if liking[best] == 0 or liking[best] < weights.get(b"identity", 0.0):
        return Choice(None)
    return Choice(best, weights.get(b"identity", weights.get(b"*", 1.0)) == 0)


def _weights(accept: bytes) -> dict[bytes, float]:
    """Return coding -> weight; the weight is 1 where the header gives none."""
    weights = {}
    for member in accept.lower().split(b","):
        name, semicolon, parameter = (part.strip() for part in member.partition(b";"))
        found = _WEIGHT.fullmatch(parameter)
        if name and (found or not semicolon):
            weights[name] = float(found[1]) if found else 1.0
    return weights


def compress_for_good(body: bytes) -> Mapping[bytes, bytes]:
    """Compress a public file with each coding at a high level; return coding -> compressed file."""
    return {coding: _whole(make(_SMALL[coding]), body) for coding, make in CODINGS.items()}


def _whole(compressor: Compressor, body: bytes) -> bytes:
    return compressor.compress(body) + compressor.flush()


class Compression:
    """Compresses answers, large ones in its own threads."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="compression")

    def coding(self, call: Call, answer: Answer) -> bytes | None:
        """Return the coding that the client prefers; None when the answer stays as it is.

        Such are answers outside /api/v3, streams, and public files, which are compressed already.
        """
        accept = call.headers.get(b"accept-encoding")
        if not accept or answer.stream is not None or not call.path.startswith(b"/api/v3/"):
            return None
        size = answer.pieces.left if answer.pieces else len(answer.body)
        coding, refuses_plain = choose(accept)
        if not size or (size < SMALLEST and not refuses_plain):
            return None
        return None if any(name == b"content-encoding" for name, _ in answer.headers) else coding

    async def compress(self, answer: Answer, coding: bytes) -> Answer:
        """Return the answer in a coding."""
        compressor, pieces = CODINGS[coding](_QUICK[coding]), answer.pieces
        answer = answer._replace(headers=(*answer.headers, (b"content-encoding", coding)))
        if pieces is not None:
            return answer._replace(pieces=await self._pieces(compressor, pieces))
        return answer._replace(body=await self._body(compressor, answer.body))

    async def _body(self, compressor: Compressor, body: bytes) -> bytes:
        if len(body) < LARGE:
            return _whole(compressor, body)
        return await self._apart(partial(_whole, compressor, body))

    async def _pieces(self, compressor: Compressor, pieces: Pieces) -> Pieces:
        try:
            parts = await self._apart(partial(pieces.drain, compressor.compress))
        except BaseException:
            pieces.release()
            raise
        parts.append(compressor.flush())
        return pieces.replaced(parts)

    async def _apart(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)
