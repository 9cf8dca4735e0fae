"""Recognise the kind of a file, and read its rows."""

from __future__ import annotations

import io
from collections.abc import Generator
from datetime import tzinfo
from pathlib import PurePath

from apiv3.files import clarity, foreign, json_documents
from apiv3.files.records import Malformed, Record

BEGINNING = 4096
"""Bytes at the beginning of a file that are inspected to find out its kind."""


def is_clarity(file: io.BufferedReader) -> bool:
    """Return whether it is a Clarity export, in which the kind of each row determines the collection.

    Raises Malformed if the beginning shows that the file is neither that nor JSON.
    """
    start = file.peek(BEGINNING)[:BEGINNING]
    if clarity.is_clarity(start):
        return True
    foreign.check(start)
    return False


def unit(file: io.BufferedReader) -> str | None:
    """Return the unit of glucose in a Clarity export. Raises Malformed."""
    return clarity.unit(file.peek(BEGINNING)[:BEGINNING].decode("utf-8-sig", "replace").partition("\n")[0])


def read(file: io.BufferedReader, zone: tzinfo, collection: str) -> Generator[Record]:
    """Yield the rows of a Clarity export, whose times are local times of `zone`, or JSON documents that belong to `collection`.

    Raises Malformed. Close the generator before the file.
    """
    if is_clarity(file):
        return clarity.read(file, zone)
    start = file.peek(BEGINNING).lstrip(json_documents.BLANKS)
    if start and start[:1] not in (b"[", b"{"):
        raise Malformed("it is neither JSON, nor NDJSON, nor a Dexcom Clarity export in CSV")
    return json_documents.read(file, collection)


def collection_of(path: str) -> str:
    """Return the collection that a file is named after: `entries` for `backup/entries.ndjson`."""
    return PurePath(path).name.partition(".")[0]
