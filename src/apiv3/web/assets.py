"""Files that a page needs, as they are sent: read once, with an ETag, and compressed for those who take that."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Self

from apiv3.web.calls import Call
from apiv3.web.responses import Answer

_TYPES = {
    ".css": b"text/css; charset=utf-8",
    ".html": b"text/html; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".png": b"image/png",
}
_REVALIDATE = ((b"cache-control", b"no-cache"), (b"vary", b"accept-encoding"))
"""Browsers keep it and ask whether it is still good (RFC 9111, section 5.2.2.4), so that an update is never half seen."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One file. It is public, so that to compress it tells nobody anything."""

    body: bytes
    compressed: bytes
    media_type: bytes
    etag: bytes

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises OSError; KeyError for a kind of file that no page of ours needs."""
        body = path.read_bytes()
        etag = b'"%s"' % sha256(body).hexdigest()[:32].encode()
        return cls(body, gzip.compress(body, mtime=0), _TYPES[path.suffix], etag)

    def answer(self, call: Call) -> Answer:
        """It, or 304 for a client that has it (RFC 9110, section 13.1.2)."""
        weak = b"W/" + self.etag  # the same file, compressed or not
        headers = ((b"etag", weak), *_REVALIDATE)
        known = {tag.strip().removeprefix("W/") for tag in (call.header(b"if-none-match") or "").split(",")}
        if self.etag.decode() in known or "*" in known:
            return Answer(304, headers=headers)
        if not _takes_gzip(call.header(b"accept-encoding") or ""):
            return Answer(200, self.body, self.media_type, headers)
        return Answer(200, self.compressed, self.media_type, ((b"content-encoding", b"gzip"), *headers))


def _takes_gzip(accept: str) -> bool:
    """Whether `gzip` is named and not refused (RFC 9110, section 12.5.3)."""
    for member in accept.lower().split(","):
        name, _, weight = member.partition(";")
        if name.strip() == "gzip":
            return not weight.replace(" ", "").startswith("q=0") or weight.strip("q=0. ") != ""
    return False
