"""Choose the time zone of a Clarity export: by --timezone, by this machine's zone, or by asking on a terminal."""

from __future__ import annotations

import io
import os
import re
import struct
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import click

_HERE = "/etc/localtime"
_FOLDER = "/zoneinfo/"
_EITHER_SIDE = re.compile(r"(UTC?|GMT)[+-]\d.*", re.ASCII | re.IGNORECASE)
"""UTC+2: two hours ahead of UTC for people, two hours behind it in POSIX."""
_NEEDED = "The times of a Clarity export do not say their time zone, and {}."


class Zone(NamedTuple):
    """A time zone. `name`: as shown to people."""

    name: str
    rules: tzinfo


class _Unknown(ValueError):
    """The zone is unknown, or cannot be used. The message says why."""


def default(*, can_ask: bool) -> Zone:
    """Return the zone of this machine, and print a line that says so.

    If it is unknown, or UTC, which is common for servers but not for people, ask for it. Raises UsageError unless `can_ask`.
    """
    try:
        zone = _of_this_machine()
    except _Unknown as problem:
        reason = _NEEDED.format(problem)
        if not can_ask:
            raise click.UsageError(f"{reason} Say it by --timezone, such as Europe/Berlin, or UTC.") from problem
        click.echo(reason, err=True)
        asked: Zone = click.prompt("Time zone, such as Europe/Berlin", value_proc=_typed, err=True)
        return asked
    click.echo(f"The times are taken as those of this machine's time zone, {zone.name}; --timezone names another.", err=True)
    return zone


def named(name: str) -> Zone:
    """Return the zone for --timezone: a name in any case, or a POSIX string with its rules. Raises UsageError."""
    try:
        return _by_name(name)
    except _Unknown as problem:
        message = f"--timezone is {name!r}, which is no zone: {problem}; it must be like Europe/Berlin or UTC."
        raise click.UsageError(message) from problem


def _typed(name: str) -> Zone:
    try:
        return _by_name(name.strip())
    except _Unknown as problem:
        raise click.UsageError(f"{name!r} is no zone: {problem}; it must be like Europe/Berlin or UTC.") from problem


def _by_name(name: str) -> Zone:
    """Return a zone by its name or POSIX string. Raises _Unknown."""
    known = {each.lower(): each for each in available_timezones()}
    try:
        if name.lower() in known:
            return Zone(known[name.lower()], ZoneInfo(known[name.lower()]))
        if _EITHER_SIDE.fullmatch(name):
            raise _Unknown("people and POSIX read its sign in opposite ways")
        return Zone(name, _posix(name))
    except (ZoneInfoNotFoundError, OSError, ValueError) as error:
        raise _Unknown(_why(name)) from error


def _why(name: str) -> str:
    is_posix = any(each.isdigit() for each in name) and name[-1:].isalpha() and "/" not in name
    return "it does not say when summer time begins and ends" if is_posix else "nobody knows a zone of that name"


def _posix(text: str) -> tzinfo:
    """Return the zone of a POSIX string such as `EST5EDT,M3.2.0,M11.1.0` (POSIX, section 8.3).

    The last line of a file of the tz database (RFC 8536) is such a string, so this makes such a file. Raises ValueError, also
    for summer time without rules, which systems interpret differently.
    """
    if not text.isascii() or not text.isprintable() or not any(each.isdigit() for each in text):
        raise ValueError("no POSIX string")
    header = struct.pack(">4sc15x6L", b"TZif", b"2", 0, 0, 0, 0, 1, 4)
    data = header + struct.pack(">lBB4s", 0, 0, 0, b"UTC\0")
    return ZoneInfo.from_file(io.BytesIO(data + data + b"\n" + text.encode() + b"\n"))


def _of_this_machine() -> Zone:
    """Return the zone of the variable TZ, else that of the system's file. Raises _Unknown."""
    text = os.environ.get("TZ")
    name = _HERE if text is None else text.removeprefix(":")
    try:
        zone = _by_file(name) if name.startswith("/") else _by_name(name or "UTC")
    except _Unknown as problem:
        raise _Unknown(f"TZ, which is {text!r}, is no answer: {problem}" if text else str(problem)) from problem
    if _is_utc(zone):
        raise _Unknown("this machine's is UTC")
    return zone


def _by_file(path: str) -> Zone:
    """Return the zone in a file of the tz database, with its name there if the file is part of it. Raises _Unknown."""
    place = os.path.realpath(path)
    name = place.partition(_FOLDER)[2].removeprefix("posix/") or path
    try:
        with Path(place).open("rb") as file:
            return Zone(name, ZoneInfo.from_file(file))
    except (OSError, ValueError) as error:
        raise _Unknown(f"this machine's is unknown: {path} cannot be read") from error


def _is_utc(zone: Zone) -> bool:
    """Whether a zone is UTC by any name. The zone of a country with the same time as UTC is not."""
    days = (datetime(2025, month, 1, tzinfo=UTC).astimezone(zone.rules) for month in (1, 7))
    is_place = "/" in zone.name and not zone.name.startswith(("/", "Etc/"))
    return not is_place and all(day.utcoffset() == timedelta() for day in days)
