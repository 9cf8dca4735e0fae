"""What a file holds, row by row."""

from __future__ import annotations

from typing import NamedTuple

from apiv3.model.documents import Document
from apiv3.model.errors import ApiError


class Malformed(ValueError):
    """A file that cannot be read on; the message says where it stops making sense."""


class Row(NamedTuple):
    """One document of a file, or why there is none.

    `place`: its line, or its number in a JSON array, counted from 1. `size`: about how many bytes of the file it takes.
    `collection`: where it belongs; empty where the file does not say.
    """

    place: int
    item: Document | ApiError
    size: int
    collection: str = ""
