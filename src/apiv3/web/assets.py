"""Static files of the web pages: read, compressed and given an ETag once, then served from memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Self

from apiv3.web.calls import Call
from apiv3.web.compression import choose, compress_for_good
from apiv3.web.requests import is_current
from apiv3.web.responses import Answer, Headers

_TYPES = {
    ".css": b"text/css; charset=utf-8",
    ".html": b"text/html; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".png": b"image/png",
}
_VARY = (b"vary", b"accept-encoding")
_REVALIDATE: Headers = ((b"cache-control", b"no-cache"), _VARY)
"""Browsers cache the file, but revalidate it on each use (RFC 9111, section 5.2.2.4), so that they never mix old and new."""


@dataclass(frozen=True, slots=True)
class Asset:
    """A public file, so that compressing it reveals nothing. `compressed`: content coding -> compressed body."""

    body: bytes
    compressed: Mapping[bytes, bytes]
    media_type: bytes
    etag: bytes

    @classmethod
    def of(cls, body: bytes, media_type: bytes) -> Self:
        """Make an asset of a body. Its ETag is weak, since the compressed forms share it."""
        return cls(body, compress_for_good(body), media_type, b'W/"%s"' % sha256(body).hexdigest()[:32].encode())

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read an asset from a file. Raises OSError, and KeyError for an unknown file name extension."""
        return cls.of(path.read_bytes(), _TYPES[path.suffix])

    def answer(self, call: Call) -> Answer:
        """Return the file, or 304 for a client that has it already (RFC 9110, section 13.1.2)."""
        headers = ((b"etag", self.etag), *_REVALIDATE)
        if is_current(call, self.etag):
            return Answer(304, headers=headers)
        return self.whole(call, headers)

    def whole(self, call: Call, headers: Headers = (_VARY,)) -> Answer:
        """Return the file in the content coding that the client prefers."""
        coding = choose(call.headers.get(b"accept-encoding")).coding
        if coding is None:
            return Answer(200, self.body, self.media_type, headers)
        return Answer(200, self.compressed[coding], self.media_type, ((b"content-encoding", coding), *headers))
