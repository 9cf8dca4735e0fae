"""What a file holds, record by record."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Literal, NamedTuple

from apiv3.model.documents import Document
from apiv3.model.errors import ApiError


class Malformed(ValueError):
    """A file that cannot be read on; the message says where it stops making sense."""


class Record(NamedTuple):
    """One document of a file, or why there is none.

    `place`: its number, from 1, among the lines or the documents of the file, as `counted` says. `size`: about how many bytes
    of the file it takes. `collection`: where it belongs; empty for what is refused because nobody knows that. `notes`: what
    the document could not keep of what stood in the file.
    """

    place: int
    item: Document | ApiError
    size: int
    collection: str = ""
    counted: Literal["line", "document"] = "line"
    notes: tuple[str, ...] = ()


@contextmanager
def as_text(file: BinaryIO, encoding: str = "utf-8-sig") -> Iterator[io.TextIOWrapper]:
    """A file in UTF-8; by default one that may begin with a byte order mark. The file itself stays open."""
    text = io.TextIOWrapper(file, encoding=encoding, newline="")
    try:
        yield text
    finally:
        text.detach()
