"""What a file holds, row by row."""

from __future__ import annotations

from typing import Literal, NamedTuple

from apiv3.model.documents import Document
from apiv3.model.errors import ApiError


class Malformed(ValueError):
    """A file that cannot be read on; the message says where it stops making sense."""


class Row(NamedTuple):
    """One document of a file, or why there is none.

    `place`: its number, from 1, among the lines or the documents of the file, as `counted` says. `size`: about how many bytes
    of the file it takes. `collection`: where it belongs; empty for what is refused because nobody knows that.
    """

    place: int
    item: Document | ApiError
    size: int
    collection: str = ""
    counted: Literal["line", "document"] = "line"
