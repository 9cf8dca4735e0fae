"""Answers compressed for those who take it: the choice of a coding (RFC 9110, section 12.5.3), and the work.

What holds secrets is never compressed: the length of an answer that holds a secret beside a text of somebody else's choice
tells of the secret (BREACH, https://www.breachattack.com). So only what is under /api/v3 is compressed here, which does not
hold any, and files that are public; never the token exchange, subjects and roles. Streams are not compressed either: an
event would wait for the next one.
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
"""Bytes from which on an answer is compressed."""
LARGE = 32_768
"""Bytes from which on a thread does it, so that other requests are answered meanwhile."""
THREADS = 2
"""How many answers are compressed at a time, so that there is always a processor for other requests."""


class Compressor(Protocol):
    """The compressors of both libraries."""

    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


CODINGS: Final[Mapping[bytes, Callable[[int], Compressor]]] = {
    b"zstd": lambda level: zstd.ZstdCompressor(level=level),
    b"gzip": lambda level: zlib.compressobj(level, wbits=31),  # in the format of gzip, without a time
}
"""By preference."""
_QUICK: Final[Mapping[bytes, int]] = {b"zstd": 1, b"gzip": 6}
"""Levels. Decision 0019 has the measurements."""
_SMALL: Final[Mapping[bytes, int]] = {b"zstd": 15, b"gzip": 9}
"""For what is compressed once and sent often."""
_WEIGHT = re.compile(rb"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)", re.ASCII)
_VARY = (b"vary", b"accept, accept-encoding")
_LONGEST = 1000
"""Bytes of an Accept-Encoding that are looked at."""


class Choice(NamedTuple):
    """`coding`: the one that the client likes best; None: it wants none. `refuses_plain`: it takes nothing uncompressed."""

    coding: bytes | None
    refuses_plain: bool = False


@lru_cache(maxsize=256)
def choose(accept: bytes | None) -> Choice:
    """What an Accept-Encoding header asks for. What is malformed in it counts for nothing."""
    weights = _weights((accept or b"")[:_LONGEST])
    anything = weights.get(b"*", 0.0)
    # Whoever takes anything knows gzip, but may have never heard of zstd.
    liking = {b"zstd": weights.get(b"zstd", 0.0), b"gzip": weights.get(b"gzip", weights.get(b"x-gzip", anything))}
    best = max(CODINGS, key=liking.__getitem__)
    if liking[best] == 0 or liking[best] < weights.get(b"identity", 0.0):
        return Choice(None)
    return Choice(best, weights.get(b"identity", weights.get(b"*", 1.0)) == 0)


def _weights(accept: bytes) -> dict[bytes, float]:
    """Coding -> weight, 1 where none is said."""
    weights = {}
    for member in accept.lower().split(b","):
        name, semicolon, parameter = (part.strip() for part in member.partition(b";"))
        found = _WEIGHT.fullmatch(parameter)
        if name and (found or not semicolon):
            weights[name] = float(found[1]) if found else 1.0
    return weights


def compress_for_good(body: bytes) -> Mapping[bytes, bytes]:
    """Coding -> a public file, compressed as far as it will go."""
    return {coding: _whole(make(_SMALL[coding]), body) for coding, make in CODINGS.items()}


def _whole(compressor: Compressor, body: bytes) -> bytes:
    return compressor.compress(body) + compressor.flush()


class Compression:
    """Compresses answers, large ones in threads of its own."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="compression")

    async def compress(self, call: Call, answer: Answer) -> Answer:
        """The answer as the client likes it best; what has a `Vary` of its own, or may hold secrets, as it is."""
        if not call.path.startswith(b"/api/v3/") or answer.stream is not None:
            return answer
        status, body, media_type, headers, _, pieces = answer
        for name, _value in headers:
            if name == b"vary":
                return answer
        answer = Answer(status, body, media_type, (*headers, _VARY), pieces=pieces)
        size, accept = pieces.left if pieces else len(body), call.headers.get(b"accept-encoding")
        choice = choose(accept) if size and accept else Choice(None)
        if choice.coding is None or (size < SMALLEST and not choice.refuses_plain):
            return answer
        compressor = CODINGS[choice.coding](_QUICK[choice.coding])
        answer = answer._replace(headers=(*answer.headers, (b"content-encoding", choice.coding)))
        if answer.pieces is not None:
            return answer._replace(pieces=await self._pieces(compressor, answer.pieces))
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
