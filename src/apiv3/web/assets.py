"""Public files: read and compressed once, then served from memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from apiv3.web.calls import Call
from apiv3.web.compression import choose, compress_for_good
from apiv3.web.responses import Answer

_TYPES = {
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".svg": b"image/svg+xml; charset=utf-8",
}
VARY = (b"vary", b"accept-encoding")
"""For a file outside /api/v3, where every answer has a `Vary` of its own."""


@dataclass(frozen=True, slots=True)
class Asset:
    """A public file, so that compressing it reveals nothing. `compressed`: content coding -> compressed body."""

    body: bytes
    compressed: Mapping[bytes, bytes]
    media_type: bytes

    @classmethod
    def of(cls, body: bytes, media_type: bytes) -> Self:
        """Make an asset of a body."""
        return cls(body, compress_for_good(body), media_type)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read an asset from a file. Raises OSError, and KeyError for an unknown file name extension."""
        return cls.of(path.read_bytes(), _TYPES[path.suffix])

    def answer(self, call: Call, *headers: tuple[bytes, bytes]) -> Answer:
        """Return the file in the content coding that the client prefers. `headers`: further headers of the answer."""
        coding = choose(call.headers.get(b"accept-encoding")).coding
        if coding is None:
            return Answer(200, self.body, self.media_type, headers)
        return Answer(200, self.compressed[coding], self.media_type, ((b"content-encoding", coding), *headers))
