"""Parse times as texts: ISO 8601, the dates of HTTP (RFC 9110, section 5.6.7) and of mail (RFC 5322, sections 3.3 and 4.3), and
the output of JavaScript's `Date.prototype.toString`.

Exactly these grammars are accepted. Any other zone name, AM or PM, a wrong day of the week, and trailing text are refused: a
parser that skips what it does not know reads times in the wrong zone.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, timezone

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_HOURS = {
    "UTC": 0,
    "UT": 0,
    "GMT": 0,
    "Z": 0,
    "EDT": -4,
    "EST": -5,
    "CDT": -5,
    "CST": -6,
    "MDT": -6,
    "MST": -7,
    "PDT": -7,
    "PST": -8,
}
"""The names of zones in RFC 5322, with their hours there, and UTC. The military letters other than Z are not read: RFC 822
defined them with the wrong sign, so they say nothing for certain."""
_TWENTIETH = 50
"""The year of two digits from which on RFC 5322 counts it to the twentieth century."""
_AHEAD = 50
"""Years in the future from which on a year of two digits is one of the past (RFC 9110, section 5.6.7)."""

_OFFSET = r"(?P<offset>[+-](?:[01]\d|2[0-3])[0-5]\d)"
_HOUR, _MINUTE, _SECOND = r"(?P<hour>[01]\d|2[0-3])", r"(?P<minute>[0-5]\d)", r"(?P<second>[0-5]\d|60)"
_CLOCK = f"{_HOUR}:{_MINUTE}:{_SECOND}"
_NAME, _MONTH = f"(?P<name>{'|'.join(_DAYS)})", f"(?P<month>{'|'.join(_MONTHS)})"
_COMMENT = r"\([^()]*\)"

_BASIC = re.compile(r"(\d{4})(\d\d)(\d\d)(?=[Tt]\d)", re.ASCII)
"""ISO 8601's date without dashes; by itself it would look like a number."""
# A blank stands for the plus sign of an offset: that is what an unescaped plus in a query string turns into.
_ISO = re.compile(
    r"(?P<year>\d{4})-(?P<month>\d\d)(?:-(?P<day>\d\d)"
    rf"(?:(?P<mark>[Tt ])(?P<hour>[01]\d|2[0-4])(?:(?P<colon>:?){_MINUTE}(?:(?P=colon){_SECOND}(?:[.,](?P<fraction>\d+))?)?)?"
    r"(?: ?(?P<zone>[Zz])| ?(?P<offset>[+-](?:[01]\d|2[0-3])(?::?[0-5]\d)?)| ?(?P<plus> (?:[01]\d|2[0-3]):?[0-5]\d))?)?)?",
    re.ASCII,
)
_WRITTEN = (
    # RFC 5322, whose forms include the preferred one of HTTP: Tue, 05 Mar 2024 09:00:00 GMT
    re.compile(
        rf"(?:{_NAME},[ \t]*)?(?P<day>\d\d?)[ \t]+{_MONTH}[ \t]+(?P<year>\d{{4}}|\d\d)[ \t]+{_HOUR}:{_MINUTE}(?::{_SECOND})?"
        rf"[ \t]+(?:{_OFFSET}|(?P<zone>{'|'.join(_HOURS)}))(?:[ \t]*{_COMMENT})?",
        re.ASCII | re.IGNORECASE,
    ),
    # RFC 850: Tuesday, 05-Mar-24 09:00:00 GMT
    re.compile(
        rf"(?P<name>Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (?P<day>\d\d)-{_MONTH}-(?P<near>\d\d) {_CLOCK} (?P<zone>GMT)",
        re.ASCII,
    ),
    # asctime, which stands for UTC in HTTP: Tue Mar  5 09:00:00 2024
    re.compile(rf"{_NAME} {_MONTH} (?P<day>\d\d| \d) {_CLOCK} (?P<year>\d{{4}})", re.ASCII),
    # JavaScript: Tue Mar 05 2024 10:00:00 GMT+0100 (CET)
    re.compile(rf"{_NAME} {_MONTH} (?P<day>\d\d) (?P<year>\d{{4}}) {_CLOCK} GMT{_OFFSET}(?: {_COMMENT})?", re.ASCII),
)


def parse(text: str) -> datetime:
    """Parse a text. Without a zone in the text, the result has none, which means UTC. Raises ValueError."""
    if found := _ISO.fullmatch(_BASIC.sub(r"\1-\2-\3", text, count=1)):
        return _iso(found.groupdict())
    for form in _WRITTEN:
        if found := form.fullmatch(text):
            return _written(found.groupdict())
    raise ValueError("no time")


def _iso(parts: dict[str, str | None]) -> datetime:
    """Return the time of an ISO 8601 text. 24:00 is the beginning of the next day."""
    if parts["plus"] and parts["mark"] == " ":
        raise ValueError("what stands for a blank?")
    clock = [int(parts[name] or 0) for name in ("hour", "minute", "second")]
    micros = int((parts["fraction"] or "0").ljust(6, "0")[:6])
    if clock[0] == 24 and (any(clock[1:]) or micros):
        raise ValueError("no such time of day")
    day = date(int(parts["year"] or 0), int(parts["month"] or 0), int(parts["day"] or 1))
    return _moment(day, clock, _offset(parts)) + timedelta(microseconds=micros)


def _written(parts: dict[str, str | None]) -> datetime:
    day = date(_year(parts), _MONTHS.index((parts["month"] or "").title()) + 1, int(parts["day"] or 0))
    name = parts["name"]
    if name and name[:3].title() != _DAYS[day.weekday()]:
        raise ValueError("that day was no such day of the week")
    clock = [int(parts[name] or 0) for name in ("hour", "minute", "second")]
    return _moment(day, clock, _offset(parts))


def _year(parts: dict[str, str | None]) -> int:
    """Return the year; one of two digits is interpreted by the rule of its grammar."""
    if near := parts.get("near"):
        this = datetime.now(UTC).year
        year = this - this % 100 + int(near)
        return year - 100 if year >= this + _AHEAD else year
    year = int(parts["year"] or 0)
    if len(parts["year"] or "") == 4:
        return year
    return year + (1900 if year >= _TWENTIETH else 2000)


def _offset(parts: dict[str, str | None]) -> int | None:
    """Return the offset from UTC in minutes; None when the text has none."""
    if zone := parts.get("zone"):
        return _HOURS[zone.upper()] * 60
    text = parts.get("offset") or parts.get("plus")
    if not text:
        return None
    minutes = int(text[1:3]) * 60 + int(text[3:].lstrip(":") or 0)
    return -minutes if text[0] == "-" else minutes


def _moment(day: date, clock: list[int], offset: int | None) -> datetime:
    """Combine day, time of day and offset (minutes). A leap second counts as the first second of the next day.

    Raises ValueError, OverflowError.
    """
    zone = None if offset is None else timezone(timedelta(minutes=offset))
    hours, minutes, seconds = clock
    moment = datetime.combine(day, time(), zone) + timedelta(hours=hours, minutes=minutes, seconds=seconds)
    if seconds == 60 and (moment - (moment.utcoffset() or timedelta())).time() != time():
        raise ValueError("leap seconds end the day in UTC")
    return moment
