"""Read files of JSON documents of any size in constant memory. A file is an array, NDJSON (one document on each line), or
a sequence of documents that span several lines. In the last two, an answer to SEARCH is read as the documents in it.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Generator, Iterator
from typing import Any, Literal

from apiv3.files.extended_json import plain
from apiv3.files.records import Malformed, Record, as_text
from apiv3.formats.json import checked, parse_object
from apiv3.model.documents import Document
from apiv3.model.errors import ApiError, BadRequest

LARGEST = 16_777_216
"""Most characters of a document in an array, and most bytes of a line. A file with anything larger is of another kind."""
CHUNK = 1 << 20
"""Characters of an array that are read at a time."""
BLANKS = b"\xef\xbb\xbf \t\r\n"  # includes the byte order mark, which some programs write
_BLANK = re.compile(r"[ \t\r\n]*")
_POSITION = re.compile(r": line \d+ column \d+ \(char (\d+)\)")


def read(file: io.BufferedReader, collection: str = "") -> Generator[Record]:
    """Yield the documents of a file in any of the three forms. All belong to `collection`. Raises Malformed."""
    rows = _array(file) if file.peek(1024).lstrip(BLANKS).startswith(b"[") else _lines(file)
    for row in rows:
        yield row._replace(collection=collection)


def _lines(file: io.BufferedReader) -> Iterator[Record]:
    number, begun = 0, False
    while line := file.readline(LARGEST):
        number += 1
        if len(line) == LARGEST:
            raise Malformed(f"line {number} is longer than {LARGEST} bytes: this is neither JSON nor NDJSON")
        text = line.strip(BLANKS)
        if text and not begun and _goes_on(text):
            yield from _objects(text.decode(), file)
        elif text:
            yield from _rows(number, text, len(line), counted="line")
        begun = begun or bool(text)


def _goes_on(line: bytes) -> bool:
    """Return whether the line begins an object that continues on the next lines."""
    try:
        json.loads(line)
    except json.JSONDecodeError as error:
        return error.pos == len(error.doc)
    except (ValueError, RecursionError):
        return False
    return False


def _objects(start: str, file: io.BufferedReader) -> Iterator[Record]:
    """Yield documents that span several lines. `start`: the part of the first one that was read already."""
    with as_text(file) as text:
        objects = _Text(text, start + "\n")
        number = 0
        while not objects.has_ended():
            number += 1
            document = objects.take(f"document {number}").encode("utf-8", "replace")
            yield from _rows(number, document, len(document), counted="document")


def _rows(place: int, text: bytes, size: int, counted: Literal["line", "document"]) -> Iterator[Record]:
    """Yield the document in a text; for an answer to SEARCH, the documents in it, numbered within the answer."""
    item = _item(text)
    if isinstance(item, ApiError) or item.keys() != {"status", "result"} or not isinstance(item["result"], list):
        yield _row(place, item, size, counted, text)
        return
    for number, each in enumerate(item["result"], 1):
        yield _row(number, _checked(each), size // len(item["result"]), "document", text)


def _row(place: int, item: Document | ApiError, size: int, counted: Literal["line", "document"], text: bytes) -> Record:
    """Return the record of a document. Only if its `text` has a `$` can it be Extended JSON."""
    if isinstance(item, ApiError) or b'"$' not in text:
        return Record(place, item, size, counted=counted)
    try:
        document, notes = plain(item)
    except ValueError as error:
        reason = f"Bad extended JSON: {error}"
        return Record(place, BadRequest(reason), size, counted=counted)
    return Record(place, document, size, counted=counted, notes=tuple(notes))


def _array(file: io.BufferedReader) -> Iterator[Record]:
    with as_text(file) as text:
        elements = _Text(text)
        yield from _elements(elements)
        if not elements.has_ended():
            raise Malformed("something stands after the end of the array")


def _elements(elements: _Text) -> Iterator[Record]:
    elements.skip("[")
    number = 0
    while not (number == 0 and elements.skip("]")):
        number += 1
        text = elements.take(f"document {number}")
        document = text.encode("utf-8", "replace")
        yield _row(number, _item(document), len(text), "document", document)
        if elements.skip("]"):
            return
        if not elements.skip(","):
            raise Malformed(f"after document {number} there is neither a comma nor the end of the array")


class _Text:
    """Reads JSON values one by one, keeping in memory only what the next one needs. `start`: the part that was read already."""

    def __init__(self, file: io.TextIOWrapper, start: str = "") -> None:
        self._file = file
        self._text, self._place = start, 0
        # Only where an element ends is of interest: an integer of thousands of digits would be an error here.
        self._scan = json.JSONDecoder(parse_int=str).raw_decode

    def skip(self, mark: str) -> bool:
        """Skip blanks, and then `mark` if it is next. Return whether it was."""
        while True:
            blank = _BLANK.match(self._text, self._place)
            self._place = blank.end() if blank else self._place
            if self._place < len(self._text) or not self._read_on():
                break
        found = self._text.startswith(mark, self._place)
        self._place += len(mark) if found else 0
        return found

    def has_ended(self) -> bool:
        """Return whether nothing but blanks is left. Raises Malformed."""
        self.skip("")
        return self._place == len(self._text)

    def take(self, what: str) -> str:
        """Return the text of the next value. Raises Malformed."""
        self.skip("")
        while True:
            try:
                _, end = self._scan(self._text, self._place)
                if end < len(self._text) or not self._read_on():
                    return self._cut(end)
                continue
            except json.JSONDecodeError as error:
                problem = self._problem(error)
            except RecursionError:
                raise Malformed(f"{what} is nested too deep") from None
            if len(self._text) - self._place > LARGEST or not self._read_on():
                raise Malformed(f"{what} is no JSON: {problem}")

    def _problem(self, error: json.JSONDecodeError) -> str:
        """Describe an error by its position in the value. The decoder's line and column count from the piece in memory only."""
        if error.pos == len(self._text) or error.msg.startswith("Unterminated string"):
            return "it has no end"
        return f"{error.msg.removesuffix(' at')} at character {error.pos - self._place + 1} of it"

    def _cut(self, end: int) -> str:
        text, self._place = self._text[self._place : end], end
        return text

    def _read_on(self) -> bool:
        """Read another piece of the file. Return False at its end."""
        try:
            piece = self._file.read(CHUNK)
        except UnicodeDecodeError as error:
            raise Malformed(f"the file is no UTF-8: {error.reason}") from None
        self._text, self._place = self._text[self._place :] + piece, 0
        return bool(piece)


def _item(text: bytes) -> Document | ApiError:
    try:
        return parse_object(text)
    except BadRequest as error:
        return _refusal(error)


def _checked(value: Any) -> Document | ApiError:
    try:
        return checked(value)
    except BadRequest as error:
        return _refusal(error)


def _refusal(error: BadRequest) -> BadRequest:
    """Return the error with a message about a file, instead of one about a request body."""
    reason = error.description or "it must be a JSON object with fields"
    return BadRequest("Bad document: " + _POSITION.sub(lambda found: f" at character {int(found[1]) + 1}", reason))
