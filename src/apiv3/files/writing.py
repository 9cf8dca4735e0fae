"""Write a collection to a file in constant memory: as NDJSON, which can be imported again, or as CSV."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from functools import partial
from tempfile import TemporaryFile
from typing import BinaryIO, NamedTuple

import orjson

from apiv3.files.records import as_text
from apiv3.formats.csv import Cell, csv_cell, csv_lines, safe_cell
from apiv3.storage.contracts import DocumentStore


class Span(NamedTuple):
    """A period of time from `since` (inclusive) to `until` (exclusive), in ms."""

    since: int
    until: int


async def ndjson(store: DocumentStore, collection: str, span: Span, file: BinaryIO) -> int:
    """Write one document on each line; return their number.

    A document from before APIv3 has no identifier of its own. It is written with its `_id` and without the identifier that is
    shown instead, so that an import stores it unchanged.
    """
    number = 0
    async with aclosing(store.export(collection, *span)) as pages:
        async for page in pages:
            file.write(b"".join([_line(body, identified) for body, identified in page]))
            number += len(page)
    return number


def _line(body: bytes, identified: bool) -> bytes:
    if identified:
        return body + b"\n"
    document = orjson.loads(body)
    return orjson.dumps({"_id": document.pop("identifier"), **document}, option=orjson.OPT_APPEND_NEWLINE)


async def comma_separated(store: DocumentStore, collection: str, span: Span, file: BinaryIO, cell: Cell = safe_cell) -> int:
    """Write a header with every field that occurs and a line for each document; return their number.

    `cell` turns a value into text (see `formats.csv`).

    The header comes first, but all documents must be read before it is known. So the documents are kept in an unnamed
    temporary file meanwhile. A second query could give other documents if somebody wrote in between. A transaction around two
    queries would prevent that, but it would stay open until the whole CSV is written, and keep the database from removing old
    rows.
    """
    with TemporaryFile() as spool:
        fields, number = await _spool(store, collection, span, spool)
        spool.seek(0)
        with as_text(file, "utf-8") as text:
            text.writelines(csv_lines(fields, map(orjson.loads, spool), cell))
    return number


async def _spool(store: DocumentStore, collection: str, span: Span, spool: BinaryIO) -> tuple[list[str], int]:
    """Write the documents to a file, one on each line. Return their fields, in order of first appearance, and their number."""
    fields: dict[str, None] = {}
    number = 0
    async with aclosing(store.export(collection, *span)) as pages:
        async for page in pages:
            for body, _ in page:
                fields |= dict.fromkeys(orjson.loads(body))
                spool.write(body + b"\n")
            number += len(page)
    return list(fields), number


Write = Callable[[DocumentStore, str, Span, BinaryIO], Awaitable[int]]
FORMATS: Mapping[str, Write] = {
    "ndjson": ndjson,
    "csv": comma_separated,
    "csv-exact": partial(comma_separated, cell=csv_cell),
}
