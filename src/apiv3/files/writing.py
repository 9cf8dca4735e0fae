"""A collection as a file: NDJSON, which can be imported again, or CSV. However many documents, the memory stays the same."""

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
    """From `since` on and before `until`, in ms."""

    since: int
    until: int


async def ndjson(store: DocumentStore, collection: str, span: Span, file: BinaryIO) -> int:
    """One document on each line; how many there are.

    One without an identifier of its own, from before APIv3, is written with its `_id` and without the identifier that stands
    in for it: so it stays what it is when it is imported.
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
    """A header with every field that occurs, then a line for each document; how many there are. `cell`: see `formats.csv`.

    The header stands first and is known last. Meanwhile the documents wait in a file without a name, in the folder for
    temporary files: asked of the store a second time, they would be others if somebody wrote in between. One transaction
    around both readings would see the same twice, but it would last as long as whoever takes the CSV likes, and keep the
    database from clearing up.
    """
    with TemporaryFile() as spool:
        fields, number = await _spool(store, collection, span, spool)
        spool.seek(0)
        with as_text(file, "utf-8") as text:
            text.writelines(csv_lines(fields, map(orjson.loads, spool), cell))
    return number


async def _spool(store: DocumentStore, collection: str, span: Span, spool: BinaryIO) -> tuple[list[str], int]:
    """Put the documents into a file, one on each line; their fields, in the order in which they first occur, and how many."""
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
