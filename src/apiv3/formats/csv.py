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
    """Every field of the documents, in order of first appearance."""
    return list(dict.fromkeys(field for document in documents for field in document))


def csv_lines(fields: Sequence[str], documents: Iterable[Mapping[str, Any]], cell: Cell) -> Iterator[str]:
    """The header and a line for each document; nothing at all without a field. `cell` spells the names and the values."""
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
    """The same as `csv.writer` writes. That looks at each character by itself, and no other thread runs meanwhile."""
    return ",".join(map(_quoted, cells)) + "\r\n"


def _quoted(text: str) -> str:
    quotes = any(character in text for character in ',"\r\n')
    return '"{}"'.format(text.replace('"', '""')) if quotes else text


class _Lines:
    """A file for `csv.writer`, which writes a line at a time."""

    def __init__(self, lines: list[str]) -> None:
        self.write = lines.append


def csv_cell(value: Any) -> str:
    """Spell a value as plain text: strings as they are, null as nothing, the rest as compact JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else orjson.dumps(value).decode()


def safe_cell(value: Any) -> str:
    """The same, with an apostrophe before a text that a spreadsheet would take for a formula.

    Who can write a note could otherwise run one in the spreadsheet of who reads it
    (https://owasp.org/www-community/attacks/CSV_Injection). A number stays one, also as a text.
    """
    text = csv_cell(value)
    return f"'{text}" if isinstance(value, str) and _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


_LONG = 65_536
"""Characters of a text that is not written by `csv.writer`."""
_FORMULA = re.compile("[\t\r\n]|\\s*[-=+@\uff0d\uff1d\uff0b\uff20]")
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?", re.ASCII)
