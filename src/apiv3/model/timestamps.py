"""Convert times in all formats that clients send to milliseconds since 1970, and back.

Formats (docs/reference/times.md): epoch milliseconds, epoch seconds (either as a number or as its digits), and the texts of
`time_texts`. Anything before 2000-01-01T00:00:00Z or after the year 9999 is refused.
"""

from __future__ import annotations

import re
import time
from datetime import MAXYEAR, UTC, datetime, timedelta
from email.utils import formatdate
from functools import lru_cache
from typing import NamedTuple

from apiv3.model import time_texts

EPOCH_2000 = 946_684_800_000
"""2000-01-01T00:00:00Z in ms. A number from here on is milliseconds; below it, from EPOCH_2000 / 1000 on, seconds."""
LAST = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z in ms, the last instant that ISO 8601 writes with four digits of year."""
LAST_DATE = 8_640_000_000_000_000
"""+275760-09-13T00:00:00.000Z in ms, the last instant of JavaScript's `Date`: the greatest `date` of a document. As a number it
is taken there only; elsewhere a number of that size is more likely to be in microseconds."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST = 128
"""Most characters of a time. JavaScript writes the name of the zone in the user's language, which can be long."""
_CYCLE_YEARS, _CYCLE_DAYS = 400, 146_097
"""After so many years the calendar repeats itself. Python's ends with the year 9999."""
_EXPANDED = re.compile(r"\+0(\d{5})|\+(\d{6})", re.ASCII)
"""The year of a date after 9999, as ISO 8601 and JavaScript write it."""
_NUMBER = re.compile(r"(\d{9,15})(?:\.(\d{1,9}))?", re.ASCII)


class TooEarly(ValueError):
    """The time is valid, but before the year 2000. `ms`: milliseconds since 1970, negative before it."""

    def __init__(self, ms: int) -> None:
        super().__init__("before the year 2000")
        self.ms = ms


class Moment(NamedTuple):
    """A time. `ms`: milliseconds since 1970. `offset`: the offset from UTC in minutes in the text; None if it has none."""

    ms: int
    offset: int | None


def now() -> int:
    """Return the current time, in ms since 1970."""
    return time.time_ns() // 1_000_000


def parse(value: object) -> Moment:
    """Parse a client's timestamp in any format.

    Raises ValueError when it is no timestamp, a number after the year 9999, or a text after LAST_DATE; TooEarly for a text
    before the year 2000.
    """
    if isinstance(value, str):
        return _parse_text(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Moment(_from_number(value), None)
    raise ValueError("not a timestamp")


def iso(ms: int) -> str:
    """Return ISO 8601 in UTC with milliseconds: `2020-09-14T12:56:40.000Z`; after 9999 `+010000-01-01T00:00:00.000Z`."""
    seconds, ms = divmod(ms, 1000)
    return f"{_second(seconds)}.{ms:03}Z"


@lru_cache(maxsize=1024)
def _second(number: int) -> str:
    """Return date and time of a second, counted from 1970. It is cached, since requests of a second share it in the log."""
    day, seconds = divmod(number, 86_400)
    minutes, seconds = divmod(seconds, 60)
    return f"{_day(day)}T{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"


@lru_cache(maxsize=1024)
def _day(number: int) -> str:
    """Return the date of a day, counted from 1970-01-01. It is cached, since all readings of a day share it."""
    cycles, days = divmod(number, _CYCLE_DAYS)
    date = (_EPOCH + timedelta(days=days)).date()
    year = date.year + cycles * _CYCLE_YEARS
    return f"{year:04}{date:-%m-%d}" if year <= MAXYEAR else f"+{year:06}{date:-%m-%d}"


@lru_cache(maxsize=1024)
def http_date(seconds: int) -> bytes:
    """Return an HTTP-date (RFC 9110, section 5.6.7) for whole seconds since 1970."""
    return formatdate(seconds, usegmt=True).encode()


def _from_number(value: float) -> int:
    if EPOCH_2000 <= value <= LAST:
        return int(value)
    if EPOCH_2000 <= value * 1000 <= LAST:
        return round(value * 1_000_000) // 1000  # the fraction as it is written: 1.001 s is 1000.9999... ms
    raise ValueError("out of range")


@lru_cache(maxsize=1024)
def _parse_text(text: str) -> Moment:
    if len(text) > _LONGEST:
        raise ValueError("too long")
    text = text.strip(" \t\r\n")
    if number := _NUMBER.fullmatch(text):
        whole, fraction = int(number[1]), int((number[2] or "").ljust(3, "0")[:3])
        return Moment(_from_number(whole) + (fraction if whole < EPOCH_2000 else 0), None)
    later, text = _later(text)
    try:
        moment = time_texts.parse(text)
    except OverflowError as error:  # past the year 9999
        raise ValueError("out of range") from error
    offset = moment.utcoffset()
    ms = (moment.replace(tzinfo=UTC) - _EPOCH - (offset or timedelta())) // timedelta(milliseconds=1) + later
    if ms < EPOCH_2000:
        raise TooEarly(ms)
    if ms > (LAST_DATE if later else LAST):
        raise ValueError("out of range")
    return Moment(ms, None if offset is None else offset // timedelta(minutes=1))


def _later(text: str) -> tuple[int, str]:
    """Move a date after 9999 by whole cycles of the calendar to an earlier year; return the ms moved, and the new text."""
    found = _EXPANDED.match(text)
    year = int(found[1] or found[2]) if found else 0
    if not found or year <= MAXYEAR:
        return 0, text
    cycles = (year - MAXYEAR - 1) // _CYCLE_YEARS + 20
    return cycles * _CYCLE_DAYS * 86_400_000, f"{year - cycles * _CYCLE_YEARS:04}{text[found.end() :]}"
