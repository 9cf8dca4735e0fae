"""The records of a file, and the error for a malformed one."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Literal, NamedTuple

from apiv3.model.documents import Document
from apiv3.model.errors import ApiError


class Malformed(ValueError):
    """A file that cannot be read any further. The message says where the problem is."""


class Record(NamedTuple):
    """One document of a file, or the reason why it is refused.

    `place`: its number, from 1, among the lines or the documents of the file, as `counted` says. `size`: its approximate size
    in bytes of the file. `collection`: empty if it is refused because its collection is unknown. `notes`: values of the file
    that the document could not keep.
    """

    place: int
    item: Document | ApiError
    size: int
    collection: str = ""
    counted: Literal["line", "document"] = "line"
    notes: tuple[str, ...] = ()


@contextmanager
def as_text(file: BinaryIO, encoding: str = "utf-8-sig") -> Iterator[io.TextIOWrapper]:
    """Read a file as UTF-8; by default it may begin with a byte order mark. The file itself stays open."""
    text = io.TextIOWrapper(file, encoding=encoding, newline="")
    try:
        yield text
    finally:
        text.detach()
