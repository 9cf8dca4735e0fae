"""Files of JSON documents: an array, or one document on each line (NDJSON), of any size, in constant memory."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator

from apiv3.files.extended_json import plain
from apiv3.files.rows import Malformed, Row
from apiv3.files.texts import as_text
from apiv3.formats.json import parse_object
from apiv3.model.documents import Document
from apiv3.model.errors import ApiError, BadRequest

LARGEST = 16_777_216
"""Characters of one document in an array, bytes of a line. What is larger is no document, but a file of another kind."""
CHUNK = 1 << 20
"""Characters of an array that are read at a time."""
_BLANKS = b"\xef\xbb\xbf \t\r\n"  # the mark at the beginning, which some programs write, among them
_BLANK = re.compile(r"[ \t\r\n]*")


def read(file: io.BufferedReader) -> Iterator[Row]:
    """The documents of a file, whichever of the two forms it has. Raises Malformed."""
    if file.peek(1024).lstrip(_BLANKS).startswith(b"["):
        return _array(file)
    return _lines(file)


def _lines(file: io.BufferedReader) -> Iterator[Row]:
    number = 0
    while line := file.readline(LARGEST):
        number += 1
        if len(line) == LARGEST:
            raise Malformed(f"line {number} is longer than {LARGEST} bytes: this is neither JSON nor NDJSON")
        text = line.strip(_BLANKS)
        if text:
            yield Row(number, _item(text), len(line))


def _array(file: io.BufferedReader) -> Iterator[Row]:
    with as_text(file) as text:
        yield from _elements(_Text(text))


def _elements(elements: _Text) -> Iterator[Row]:
    elements.skip("[")
    number = 0
    while not (number == 0 and elements.skip("]")):
        number += 1
        text = elements.take(f"document {number}")
        yield Row(number, _item(text.encode("utf-8", "replace")), len(text))
        if elements.skip("]"):
            return
        if not elements.skip(","):
            raise Malformed(f"after document {number} there is neither a comma nor the end of the array")


class _Text:
    """A JSON array, of which no more is in memory than the next element needs."""

    def __init__(self, file: io.TextIOWrapper) -> None:
        self._file = file
        self._text, self._place = "", 0
        # Only where an element ends is of interest: an integer of thousands of digits would be an error here.
        self._scan = json.JSONDecoder(parse_int=str).raw_decode

    def skip(self, mark: str) -> bool:
        """Go past blanks and then `mark`, if it stands there."""
        while True:
            blank = _BLANK.match(self._text, self._place)
            self._place = blank.end() if blank else self._place
            if self._place < len(self._text) or not self._read_on():
                break
        found = self._text.startswith(mark, self._place)
        self._place += len(mark) if found else 0
        return found

    def take(self, what: str) -> str:
        """The text of the next element. Raises Malformed."""
        self.skip("")
        while True:
            problem = "the file ends in the middle of it"
            try:
                _, end = self._scan(self._text, self._place)
                if end < len(self._text) or not self._read_on():
                    return self._cut(end)
                continue
            except ValueError as error:
                problem = str(error)
            except RecursionError:
                raise Malformed(f"{what} is nested too deep") from None
            if len(self._text) - self._place > LARGEST or not self._read_on():
                raise Malformed(f"{what} is no JSON: {problem}")

    def _cut(self, end: int) -> str:
        text, self._place = self._text[self._place : end], end
        return text

    def _read_on(self) -> bool:
        """Take in another piece of the file; False at its end."""
        try:
            piece = self._file.read(CHUNK)
        except UnicodeDecodeError as error:
            raise Malformed(f"the file is no UTF-8: {error.reason}") from None
        self._text, self._place = self._text[self._place :] + piece, 0
        return bool(piece)


def _item(text: bytes) -> Document | ApiError:
    try:
        document = parse_object(text)
        return plain(document) if b'"$' in text else document
    except BadRequest as error:
        return error
    except ValueError as error:
        reason = f"Bad extended JSON: {error}"
        return BadRequest(reason)
