"""Files that a page needs, as they are sent: made once, with an ETag, and compressed once for those who take that."""

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
"""Browsers keep it and ask whether it is still good (RFC 9111, section 5.2.2.4), so that an update is never half seen."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One file. It is public, so that to compress it tells nobody anything. `compressed`: coding -> body."""

    body: bytes
    compressed: Mapping[bytes, bytes]
    media_type: bytes
    etag: bytes

    @classmethod
    def of(cls, body: bytes, media_type: bytes) -> Self:
        # Weak: the same file, compressed or not.
        return cls(body, compress_for_good(body), media_type, b'W/"%s"' % sha256(body).hexdigest()[:32].encode())

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises OSError; KeyError for a kind of file that no page of ours needs."""
        return cls.of(path.read_bytes(), _TYPES[path.suffix])

    def answer(self, call: Call) -> Answer:
        """It, or 304 for a client that has it (RFC 9110, section 13.1.2)."""
        headers = ((b"etag", self.etag), *_REVALIDATE)
        if is_current(call, self.etag):
            return Answer(304, headers=headers)
        return self.whole(call, headers)

    def whole(self, call: Call, headers: Headers = (_VARY,)) -> Answer:
        """It in any case, in the coding that the client likes best."""
        coding = choose(call.headers.get(b"accept-encoding")).coding
        if coding is None:
            return Answer(200, self.body, self.media_type, headers)
        return Answer(200, self.compressed[coding], self.media_type, ((b"content-encoding", coding), *headers))
