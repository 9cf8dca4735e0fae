"""Bytes as text, for as long as they are read or written."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO


@contextmanager
def as_text(file: BinaryIO, encoding: str = "utf-8-sig") -> Iterator[io.TextIOWrapper]:
    """A file in UTF-8; by default one that may begin with a byte order mark. The file itself stays open."""
    text = io.TextIOWrapper(file, encoding=encoding, newline="")
    try:
        yield text
    finally:
        text.detach()
