"""Documents as CSV (RFC 4180)."""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

Cell = Callable[[Any], str]


def csv_documents(documents: Sequence[Mapping[str, Any]]) -> bytes:
    r"""Render documents as CSV: a header line with every field in order of first appearance, then a line for each.

    Lines end with \r\n and text stands exactly as stored. No documents, or none with a field, is an empty body.
    """
    return "".join(csv_lines(columns(documents), documents, csv_cell)).encode()


def columns(documents: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return every field of the documents, in order of first appearance."""
    return list(dict.fromkeys(field for document in documents for field in document))


def csv_lines(fields: Sequence[str], documents: Iterable[Mapping[str, Any]], cell: Cell) -> Iterator[str]:
    """Yield the header and a line for each document; nothing without fields. `cell` turns names and values into text."""
    if not fields:
        return
    lines: list[str] = []
    writer = csv.writer(_Lines(lines))
    writer.writerow([cell(field) for field in fields])
    yield lines.pop()
    for document in documents:
        cells = [cell(document.get(field)) for field in fields]
        if max(map(len, cells)) > _LONG:
            yield _line(cells)
        else:
            writer.writerow(cells)
            yield lines.pop()


def _line(cells: Sequence[str]) -> str:
    """Format a line as `csv.writer` would. `csv.writer` holds Python's lock while it scans a text character by character."""
    return ",".join(map(_quoted, cells)) + "\r\n"


def _quoted(text: str) -> str:
    quotes = any(character in text for character in ',"\r\n')
    return '"{}"'.format(text.replace('"', '""')) if quotes else text


class _Lines:
    """A file-like object for `csv.writer`. It keeps the last line that was written."""

    def __init__(self, lines: list[str]) -> None:
        self.write = lines.append


def csv_cell(value: Any) -> str:
    """Turn a value into plain text: a string as it is, null as empty text, anything else as compact JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else orjson.dumps(value).decode()


def safe_cell(value: Any) -> str:
    """Turn a value into text as `csv_cell` does. Put an apostrophe before a text that a spreadsheet would run as a formula.

    Otherwise whoever can write a note could run a formula in the spreadsheet of whoever reads it
    (https://owasp.org/www-community/attacks/CSV_Injection). A text that is a number gets no apostrophe.
    """
    text = csv_cell(value)
    return f"'{text}" if isinstance(value, str) and _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


_LONG = 65_536
"""Characters from which on a text is not given to `csv.writer`."""
_FORMULA = re.compile("[\t\r\n]|\\s*[-=+@\uff0d\uff1d\uff0b\uff20]")
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?", re.ASCII)
