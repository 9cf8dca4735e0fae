"""What stands in a request's path and headers, as values."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from apiv3.model import messages, timestamps
from apiv3.model.errors import BadRequest
from apiv3.web.calls import Call

_TIME = re.compile(r"\d{4}|\d:\d")
"""A year or a time of day."""


def identifier(segment: bytes) -> str:
    """An identifier out of the path. Raises BadRequest when it is no UTF-8, or has U+0000 in it."""
    try:
        text = segment.decode()
        if "%" in text:
            text = unquote_to_bytes(segment).decode()
    except ValueError as error:
        raise BadRequest(messages.BAD_IDENTIFIER) from error
    if "\0" in text:
        raise BadRequest(messages.BAD_IDENTIFIER)
    return text


def seconds_header(call: Call, name: bytes) -> int | None:
    """A date header in whole seconds; one that is missing or malformed is ignored (RFC 9110, section 13.1.3)."""
    text = call.header(name)
    if text is None:  # nearly always
        return None
    try:
        return timestamps.parse(text).ms // 1000
    except timestamps.TooEarly:  # every document is younger
        return timestamps.EPOCH_2000 // 1000
    except ValueError:
        return None


def unmodified_since(call: Call) -> int | None:
    """The header `If-Unmodified-Since` in whole seconds; None where it is missing or names no time.

    RFC 9110, section 13.1.4, ignores what is no date. What names a time that cannot be read for certain, in an unknown zone
    for instance, counts as one before every change: to ignore it could overwrite what another client has just written.
    """
    seconds, text = seconds_header(call, b"if-unmodified-since"), call.header(b"if-unmodified-since")
    return timestamps.EPOCH_2000 // 1000 if seconds is None and text and _TIME.search(text) else seconds


def is_current(call: Call, etag: bytes) -> bool:
    """Whether `If-None-Match` names an ETag, compared weakly (RFC 9110, section 13.1.2)."""
    known = {tag.strip().removeprefix("W/") for tag in (call.header(b"if-none-match") or "").split(",")}
    return etag.decode().removeprefix("W/") in known or "*" in known


def since(text: str | None) -> int:
    """The point in time of a HISTORY, in ms. Raises BadRequest when it is missing or malformed."""
    try:
        return timestamps.parse(text).ms
    except ValueError as error:
        raise BadRequest(messages.BAD_LAST_MODIFIED) from error
