"""Which kind of file it is, and its rows."""

from __future__ import annotations

import io
from collections.abc import Generator
from datetime import tzinfo
from pathlib import PurePath

from apiv3.files import clarity, foreign, json_documents
from apiv3.files.records import Malformed, Record

BEGINNING = 4096
"""Bytes by which a file is told from those of other kinds."""


def is_clarity(file: io.BufferedReader) -> bool:
    """Whether it is a Clarity export, whose rows say themselves where they belong.

    Raises Malformed for a file that is neither that nor JSON, as far as its beginning tells.
    """
    start = file.peek(BEGINNING)[:BEGINNING]
    if clarity.is_clarity(start):
        return True
    foreign.check(start)
    return False


def unit(file: io.BufferedReader) -> str | None:
    """The unit of glucose in a Clarity export. Raises Malformed."""
    return clarity.unit(file.peek(BEGINNING)[:BEGINNING].decode("utf-8-sig", "replace").partition("\n")[0])


def read(file: io.BufferedReader, zone: tzinfo, collection: str) -> Generator[Record]:
    """The rows of a Clarity export (whose times are those of `zone`), or of JSON documents that belong to `collection`.

    Raises Malformed. Close it before the file.
    """
    if is_clarity(file):
        return clarity.read(file, zone)
    start = file.peek(BEGINNING).lstrip(json_documents.BLANKS)
    if start and start[:1] not in (b"[", b"{"):
        raise Malformed("it is neither JSON, nor NDJSON, nor a Dexcom Clarity export in CSV")
    return json_documents.read(file, collection)


def collection_of(path: str) -> str:
    """The collection that a file's name speaks of: `entries` for `backup/entries.ndjson`."""
    return PurePath(path).name.partition(".")[0]
