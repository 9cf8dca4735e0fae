"""Points in time: every form that clients send, as milliseconds since the Unix epoch.

Forms (wire contract, section 1): epoch milliseconds, epoch seconds (either as a number or as its digits), ISO 8601 with or
without an offset, RFC 2822 / HTTP-date. Anything before 2000-01-01T00:00:00Z or after the year 9999 is refused.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta, timezone
from email.utils import formatdate, parsedate_to_datetime
from functools import lru_cache
from typing import NamedTuple

EPOCH_2000 = 946_684_800_000
"""2000-01-01T00:00:00Z in ms. A number from here on is milliseconds; below it, from EPOCH_2000 / 1000 on, seconds."""
LAST = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z in ms, the last instant that ISO 8601 writes with four digits of year."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST = 64
_NUMBER = re.compile(r"\d{9,15}(\.\d{1,9})?", re.ASCII)
# A blank stands for the plus sign of an offset: that is what an unescaped plus in a query string turns into.
_ISO = re.compile(
    r"(\d{4})-(\d\d)(?:-(\d\d))?"
    r"(?:[Tt ](\d\d)(?::?(\d\d)(?::?(\d\d)(?:[.,](\d+))?)?)?\s?([Zz]|[+ -]\d\d(?::?\d\d)?)?)?",
    re.ASCII,
)

_BASIC = re.compile(r"(\d{4})(\d\d)(\d\d)(?=[Tt]\d)", re.ASCII)
"""ISO 8601's date without dashes; by itself it would look like a number."""


class Moment(NamedTuple):
    """`ms` since the epoch, and the offset from UTC in minutes that the text carried (None: it carried none)."""

    ms: int
    offset: int | None


def now() -> int:
    """The present, in ms since the epoch."""
    return time.time_ns() // 1_000_000


def parse(value: object) -> Moment:
    """A client's timestamp in any form.

    Raises ValueError when it is no timestamp, or lies before 2000 or after 9999.
    """
    if isinstance(value, str):
        return _parse_text(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Moment(_from_number(value), None)
    raise ValueError("not a timestamp")


def iso(ms: int) -> str:
    """ISO 8601 in UTC with milliseconds: `2020-09-14T12:56:40.000Z`."""
    day, ms = divmod(ms, 86_400_000)
    minutes, ms = divmod(ms, 60_000)
    return f"{_day(day)}T{minutes // 60:02}:{minutes % 60:02}:{ms // 1000:02}.{ms % 1000:03}Z"


@lru_cache(maxsize=1024)
def _day(number: int) -> str:
    """The date of a day, counted from 1970-01-01; readings of many a minute share theirs."""
    return (_EPOCH + timedelta(days=number)).date().isoformat()


@lru_cache(maxsize=1024)
def http_date(seconds: int) -> bytes:
    """An HTTP-date (RFC 9110, section 5.6.7) for whole `seconds` since the epoch."""
    return formatdate(seconds, usegmt=True).encode()


def _from_number(value: float) -> int:
    if EPOCH_2000 <= value <= LAST:
        return int(value)
    if EPOCH_2000 <= value * 1000 <= LAST:
        return int(value * 1000)
    raise ValueError("out of range")


@lru_cache(maxsize=1024)
def _parse_text(text: str) -> Moment:
    if len(text) > _LONGEST:
        raise ValueError("too long")
    text = text.strip()
    if _NUMBER.fullmatch(text):
        return Moment(_from_number(float(text) if "." in text else int(text)), None)
    match = _ISO.fullmatch(_BASIC.sub(r"\1-\2-\3", text, count=1))
    try:
        moment = _from_iso(*match.groups()) if match else parsedate_to_datetime(text)
    except OverflowError as error:  # past the year 9999, or an offset beyond all bounds
        raise ValueError("out of range") from error
    if moment.tzinfo is None:
        return _checked(moment.replace(tzinfo=UTC), None)
    offset = moment.utcoffset() or timedelta()
    return _checked(moment, int(offset.total_seconds() // 60))


def _from_iso(year: str, month: str, day: str, hour: str, minute: str, second: str, fraction: str, zone: str) -> datetime:
    """The groups of an ISO 8601 text as a datetime; 24:00 and the leap second :60 count into what follows them."""
    start = datetime(int(year), int(month), int(day or 1), tzinfo=_zone(zone))
    hours, minutes, seconds = int(hour or 0), int(minute or 0), int(second or 0)
    if hours > 24 or minutes > 59 or seconds > 60 or (hours == 24 and (minutes or seconds)):
        raise ValueError("no such time of day")
    micros = int((fraction or "0").ljust(6, "0")[:6])
    return start + timedelta(hours=hours, minutes=minutes, seconds=seconds, microseconds=micros)


def _zone(text: str | None) -> timezone | None:
    if not text:
        return None
    if text in "Zz":
        return UTC
    minutes = int(text[1:3]) * 60 + int(text[3:].lstrip(":") or 0)
    return timezone(timedelta(minutes=-minutes if text[0] == "-" else minutes))


def _checked(moment: datetime, offset: int | None) -> Moment:
    ms = (moment - _EPOCH) // timedelta(milliseconds=1)
    if not EPOCH_2000 <= ms <= LAST:
        raise ValueError("out of range")
    return Moment(ms, offset)
