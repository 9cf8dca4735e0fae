"""Render documents as answers, in the requested format and with the requested fields, within limits on memory and time.

Small answers are rendered on the event loop. Large ones are rendered in a thread, one slice at a time (see `apiv3.turns`),
and their memory counts as used until they are sent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import orjson

from apiv3.formats import csv, xml
from apiv3.model.documents import Document
from apiv3.model.errors import AnswerTooLarge
from apiv3.model.queries import Fields
from apiv3.storage.contracts import LargeDocument, LargePage, Page, Stored
from apiv3.turns import ANSWERS, LARGEST_ANSWER, Effort, Hold, paced
from apiv3.web.negotiation import Format
from apiv3.web.responses import Answer, Headers, Pieces, result, results

AT_ONCE = 32 * 1024
"""Most bytes of JSON that are rendered on the event loop; this takes about a millisecond."""
MOST_COLUMNS = 10_000
"""Most columns of a CSV."""


class Style:
    """How to render documents.

    `form`: the format. `fields`: the fields to show. `exact`: CSV keeps texts as they are, even those that a spreadsheet takes
    for formulas. `name`: the file name for saving an answer in CSV or XML, without its extension. `plain`: whether documents
    are sent as they are stored. `headers`: the headers of an answer, a file name for CSV and XML.
    """

    __slots__ = ("exact", "fields", "form", "headers", "plain")

    def __init__(self, form: Format, fields: Fields, exact: bool, name: str) -> None:
        self.form, self.fields, self.exact = form, fields, exact
        self.plain = form is Format.JSON and not fields.paths
        self.headers: Headers = ()
        if form is not Format.JSON:
            self.headers = ((b"content-disposition", f'attachment; filename="{name}.{form.extension}"'.encode()),)


async def many(caller: str, page: Page | LargePage, style: Style, headers: Headers = ()) -> Answer:
    """Render a page of documents. `caller`: the subject's name, for fair turns. Raises AnswerTooLarge, TooMuchWork, ServerBusy.

    Releases the memory of a large page, also on an error.
    """
    headers = (*headers, *style.headers)
    if isinstance(page, Page):
        if style.plain:
            return results(page.text, headers)
        return await _rendered(caller, _parts(_Parsed(page.text), style), style, headers, len(page.text), None)
    if style.plain:
        return _enveloped(page, headers)
    try:
        return await _rendered(caller, _parts(page.bodies, style), style, headers, LARGEST_ANSWER, page.hold)
    finally:
        page.release()


async def one(caller: str, found: Stored | LargeDocument, style: Style, headers: Headers) -> Answer:
    """Render one document. `caller`: the subject's name. Raises AnswerTooLarge, TooMuchWork, ServerBusy."""
    headers = (*headers, *style.headers)
    if isinstance(found, Stored):
        if style.plain:
            return result(found.body, headers)
        parts = _parts([found.body.encode()], style, alone=True)
        return await _rendered(caller, parts, style, headers, len(found.body), None)
    if style.plain:
        pieces = Pieces(deque([b'{"status":200,"result":', found.body, b"}"]), found.hold.keep())
        return Answer(200, headers=headers, pieces=pieces)
    return await _rendered(caller, _parts([found.body], style, alone=True), style, headers, LARGEST_ANSWER, found.hold)


def _enveloped(page: LargePage, headers: Headers) -> Answer:
    """Put the documents of a large page into the JSON envelope as they are stored."""
    parts = deque([b'{"status":200,"result":['])
    for body in page.bodies:
        parts += (body, b",")
    parts.pop()
    parts.append(b"]}")
    pieces = Pieces(parts, page.hold.keep())
    page.release()
    return Answer(200, headers=headers, pieces=pieces)


async def _rendered(
    caller: str, parts: Iterator[bytes], style: Style, headers: Headers, size: int, hold: Hold | None
) -> Answer:
    """Join the parts to an answer. `size`: bytes of the documents. `hold`: the memory that they take already, if any."""
    media_type = style.form.media_type.encode()
    if size <= AT_ONCE:
        return Answer(200, b"".join(parts), media_type, headers)
    async with hold.keep() if hold else ANSWERS.take(caller, LARGEST_ANSWER) as memory:
        chunks, length = deque[bytes](), 0
        async for some in paced(caller, parts, Effort()):
            chunks.append(b"".join(some))
            length += len(chunks[-1])
            if length > LARGEST_ANSWER:
                raise AnswerTooLarge
        return Answer(200, b"", media_type, headers, pieces=Pieces(chunks, memory.keep()))


def _parts(documents: Iterable[bytes | Document], style: Style, *, alone: bool = False) -> Iterator[bytes]:
    """Yield the body of an answer in parts, without holding all of it."""
    if style.form is Format.CSV:
        yield from _csv(documents, style)
        return
    shown = (_shown(each, style) for each in _taken(documents))
    if style.form is Format.XML:
        xml_parts = xml.xml_document_parts(next(shown)) if alone else xml.xml_parts(shown)
        yield from (part.encode() for part in xml_parts)
        return
    yield b'{"status":200,"result":' if alone else b'{"status":200,"result":['
    for number, document in enumerate(shown):
        yield (b"," if number else b"") + orjson.dumps(document)
    yield b"}" if alone else b"]}"


def _csv(documents: Iterable[bytes | Document], style: Style) -> Iterator[bytes]:
    """Yield the lines of a CSV. Raises AnswerTooLarge.

    The header line needs the names of all fields first, so documents are parsed twice rather than kept in memory.
    """
    names: dict[str, None] = {}
    for number, document in enumerate(documents, 1):
        names |= dict.fromkeys(_shown(document, style))
        if len(names) > MOST_COLUMNS or len(names) * number > LARGEST_ANSWER:
            raise AnswerTooLarge(f"The CSV would have too many columns (more than {MOST_COLUMNS:,}): ask for some fields")
        yield b""
    shown = (_shown(each, style) for each in _taken(documents))
    lines = csv.csv_lines(list(names), shown, csv.csv_cell if style.exact else csv.safe_cell)
    yield from (line.encode() for line in lines)


def _taken(documents: Iterable[bytes | Document]) -> Iterator[bytes | Document]:
    """Yield the documents for the last time; those of a large page are freed on the way."""
    if not isinstance(documents, deque):
        yield from documents
        return
    while documents:
        yield documents.popleft()


def _shown(document: bytes | Document, style: Style) -> Document:
    parsed: Document = orjson.loads(document) if isinstance(document, bytes) else document
    return style.fields.project(parsed) if style.fields.paths else parsed


class _Parsed:
    """JSON documents with commas between them, parsed on each iteration."""

    def __init__(self, text: bytes) -> None:
        self._text = text

    def __iter__(self) -> Iterator[Document]:
        yield from orjson.loads(b"[%b]" % self._text)
