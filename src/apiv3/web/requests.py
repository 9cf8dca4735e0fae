"""Parse identifiers in paths and conditional headers."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from apiv3.model import messages, timestamps
from apiv3.model.errors import BadRequest
from apiv3.web.calls import Call

_TIME = re.compile(r"\d{4}|\d:\d")
"""Matches a text that contains a year or a time of day."""


def identifier(segment: bytes) -> str:
    """Return the identifier in a percent-encoded path segment. Raises BadRequest unless it is UTF-8 without U+0000."""
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
    """Return a date header in whole seconds since 1970; None when it is missing or malformed (RFC 9110, section 13.1.3)."""
    text = call.header(name)
    if text is None:  # the usual case
        return None
    try:
        return timestamps.parse(text).ms // 1000
    except timestamps.TooEarly:  # every document is newer
        return timestamps.EPOCH_2000 // 1000
    except ValueError:
        return None


def unmodified_since(call: Call) -> int | None:
    """Return the header `If-Unmodified-Since` in whole seconds since 1970; None when it is missing or contains no time.

    RFC 9110, section 13.1.4, ignores a value that is no date. A value that names a time, but cannot be read for certain (in an
    unknown zone, for instance), counts as a time before every change: to ignore it could overwrite another client's change.
    """
    seconds, text = seconds_header(call, b"if-unmodified-since"), call.header(b"if-unmodified-since")
    return timestamps.EPOCH_2000 // 1000 if seconds is None and text and _TIME.search(text) else seconds


def is_current(call: Call, etag: bytes) -> bool:
    """Whether `If-None-Match` contains an ETag, by weak comparison (RFC 9110, section 13.1.2)."""
    known = {tag.strip().removeprefix("W/") for tag in (call.header(b"if-none-match") or "").split(",")}
    return etag.decode().removeprefix("W/") in known or "*" in known


def since(text: str | None) -> int:
    """Return the time from which on HISTORY lists changes, in ms since 1970. Raises BadRequest if missing or malformed."""
    try:
        return timestamps.parse(text).ms
    except ValueError as error:
        raise BadRequest(messages.BAD_LAST_MODIFIED) from error
