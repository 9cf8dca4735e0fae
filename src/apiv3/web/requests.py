"""What stands in a request's path and headers, as values."""

from __future__ import annotations

from contextlib import suppress
from email.utils import parsedate_to_datetime
from urllib.parse import unquote_to_bytes

from apiv3.model import timestamps
from apiv3.model.errors import BadRequest
from apiv3.web.calls import Call


def identifier(segment: bytes) -> str:
    """An identifier out of the path. Raises BadRequest when it is no UTF-8, or has U+0000 in it."""
    try:
        text = segment.decode()
        if "%" in text:
            text = unquote_to_bytes(segment).decode()
    except ValueError as error:
        raise BadRequest("Bad or missing identifier field") from error
    if "\0" in text:
        raise BadRequest("Bad or missing identifier field")
    return text


def seconds_header(call: Call, name: bytes) -> int | None:
    """A date header in whole seconds; one that is missing or malformed is ignored (RFC 9110, section 13.1.3).

    An HTTP-date before the year 2000 is none of `timestamps`, but one that every document is younger than.
    """
    text = call.header(name)
    if text is None:
        return None
    with suppress(ValueError):
        return timestamps.parse(text).ms // 1000
    with suppress(ValueError, OverflowError):
        return min(int(parsedate_to_datetime(text).timestamp()), timestamps.EPOCH_2000 // 1000)
    return None


def since(text: str | None) -> int:
    """The point in time of a HISTORY, in ms. Raises BadRequest when it is missing or malformed."""
    try:
        return timestamps.parse(text).ms
    except ValueError as error:
        raise BadRequest("Bad or missing Last-Modified header/parameter") from error
