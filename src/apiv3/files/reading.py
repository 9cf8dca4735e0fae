"""Which kind of file it is, and its rows."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import tzinfo
from pathlib import PurePath

from apiv3.files import clarity, json_documents
from apiv3.files.rows import Malformed, Row

BEGINNING = 4096
"""Bytes by which a file is told from those of other kinds."""


def read(file: io.BufferedReader, zone: tzinfo) -> Iterator[Row]:
    """The rows of a Clarity export (whose times are those of `zone`), a JSON array, or NDJSON. Raises Malformed."""
    start = file.peek(BEGINNING)[:BEGINNING]
    if clarity.is_clarity(start):
        return clarity.read(file, zone)
    if start and start.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] not in (b"[", b"{"):
        raise Malformed("it is neither JSON, nor NDJSON, nor a Dexcom Clarity export in CSV")
    return json_documents.read(file)


def collection_of(path: str) -> str:
    """The collection that a file's name speaks of: `entries` for `backup/entries.ndjson`."""
    return PurePath(path).name.partition(".")[0]
