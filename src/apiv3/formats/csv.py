"""Documents as CSV (RFC 4180)."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import orjson


def csv_documents(documents: Sequence[Mapping[str, Any]]) -> bytes:
    r"""Render documents as CSV: a header line with every field in order of first appearance, then a line for each.

    Lines end with \r\n and text stands exactly as stored. No documents, or none with a field, is an empty body.
    """
    fields = list(dict.fromkeys(field for document in documents for field in document))
    if not fields:
        return b""
    page = io.StringIO(newline="")
    writer = csv.writer(page)
    writer.writerow(fields)
    writer.writerows([csv_cell(document.get(field)) for field in fields] for document in documents)
    return page.getvalue().encode()


def csv_cell(value: Any) -> str:
    """Spell a value as plain text: strings as they are, null as nothing, the rest as compact JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else orjson.dumps(value).decode()
