"""Parse and check DATABASE_URL.

The parameters after the `?` have the names and the meaning of libpq's, so they take precedence over the part before the `?`.
The migrations, the server's connections and the listener all connect with the result.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any
from urllib.parse import unquote, urlencode, urlsplit

_PART = r"[^@/?#\[\]\0-\x1f]*"
_URL = re.compile(rf"sqlite:///.+|postgres(ql)?://(?=.)({_PART}@)?({_PART}|\[{_PART}\](:{_PART})?)(/[^@?#]*)?(\?[^@#]*)?")
"""The parts of a URL must not contain the characters that separate parts. Programs would split a password with such a character
at different places, and treat a part of it as the host or the database, which are not kept secret."""
APPLICATION = "apiv3"
CONNECT_TIMEOUT = 10.0
"""Seconds in which a connection must be made, unless the URL sets `connect_timeout`."""
_CHECKED_MODES = ("require", "verify-ca", "verify-full")
_MODES = ("disable", "allow", "prefer", *_CHECKED_MODES)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")


class BadAddress(ValueError):
    """The URL is invalid. The message continues a sentence that begins with the setting's name, and contains no secret."""


def _word(value: str) -> str:
    if not value or not value.isprintable():
        raise ValueError("a text that is not empty")
    return value


def _number(least: int, most: int) -> Callable[[str], int]:
    def read(value: str) -> int:
        if not (value.isascii() and value.isdigit() and len(value) < 10 and least <= int(value) <= most):
            raise ValueError(f"a whole number from {least} to {most}")
        return int(value)

    return read


def _one_of(*allowed: str) -> Callable[[str], str]:
    def read(value: str) -> str:
        if value not in allowed:
            raise ValueError("one of " + ", ".join(allowed))
        return value

    return read


_PARAMETERS: Mapping[str, Callable[[str], Any]] = {
    "host": _word,
    "port": _number(1, 65535),
    "user": _word,
    "password": _word,
    "dbname": _word,
    "sslmode": _one_of(*_MODES),
    "sslrootcert": _word,
    "channel_binding": _one_of("disable", "prefer", "require"),
    "connect_timeout": _number(1, 600),
    "application_name": _word,
    "statement_cache_size": _number(0, 10_000),
}
"""Name -> function that parses the value; its ValueError says what is allowed."""


@dataclass(frozen=True)
class Address:
    """How to connect to a PostgreSQL database.

    `arguments`: the arguments of `asyncpg.connect`. `prepares`: whether statements may be prepared on a connection; False with
    `statement_cache_size=0`, for poolers that share connections. `binds`: whether the URL has `channel_binding=require`, which
    asyncpg does not support.
    """

    arguments: Mapping[str, Any] = field(repr=False)
    prepares: bool = True
    binds: bool = False


def is_url(text: str) -> bool:
    """Whether a text is the URL of a database of either kind; the parameters are not checked."""
    try:
        return bool(_URL.fullmatch(text)) and urlsplit(text).port != 0
    except ValueError:  # a malformed host or port
        return False


def check(url: str) -> None:
    """Raise BadAddress when the parameters of a URL are invalid. URLs of SQLite have none."""
    if not url.startswith("sqlite:"):
        read(url)


def read(url: str) -> Address:
    """Parse the URL of a PostgreSQL database. Raises BadAddress."""
    parts = urlsplit(url)
    given = _in_front(url) | _parameters(parts.query)
    if "sslrootcert" in given and given.get("sslmode") not in _CHECKED_MODES:
        raise BadAddress("names an sslrootcert, which is only looked at with sslmode=verify-full, verify-ca or require")
    tls: dict[str, Any] = {name: given[name] for name in ("sslmode", "sslrootcert") if name in given}
    arguments = {
        "dsn": f"postgresql://?{urlencode(tls)}" if tls else None,
        "host": given.get("host"),
        "port": given.get("port"),
        "user": given.get("user"),
        "password": given.get("password"),
        "database": given.get("dbname"),
        "timeout": float(given.get("connect_timeout", CONNECT_TIMEOUT)),
        "server_settings": {"application_name": given.get("application_name", APPLICATION)},
    }
    if "statement_cache_size" in given:
        arguments["statement_cache_size"] = given["statement_cache_size"]
    return Address(
        {name: value for name, value in arguments.items() if value is not None},
        prepares=given.get("statement_cache_size") != 0,
        binds=given.get("channel_binding") == "require",
    )


def _in_front(url: str) -> dict[str, Any]:
    """Return the parts before the parameters, by the names of the equivalent parameters."""
    parts = urlsplit(url)
    found = {
        "host": parts.hostname and unquote(parts.hostname),
        "port": parts.port,
        "user": parts.username and unquote(parts.username),
        "password": parts.password and unquote(parts.password),
        "dbname": unquote(parts.path.removeprefix("/")),
    }
    return {name: value for name, value in found.items() if value}


def _parameters(query: str) -> dict[str, Any]:
    """Parse the parameters. A `+` does not mean a blank in such a URL, so Python's parsers of query strings cannot be used."""
    found: dict[str, Any] = {}
    for part in filter(None, query.split("&")):
        name, equals, value = part.partition("=")
        if name not in _PARAMETERS:
            raise BadAddress(_unknown(name))
        if not equals or name in found:
            raise BadAddress(f"has the parameter {name} {'twice' if equals else 'without a value'}")
        try:
            found[name] = _PARAMETERS[name](unquote(value))
        except ValueError as error:
            raise BadAddress(f"has the parameter {name} with a value that is not allowed: it takes {error}") from None
    return found


def _unknown(name: str) -> str:
    if not _NAME.fullmatch(name):  # it may be the end of a password, so do not repeat it
        return f"has a parameter that is not known; there are: {', '.join(_PARAMETERS)}"
    near = get_close_matches(name.lower(), _PARAMETERS, n=1)
    meant = f" (is {near[0]} meant?)" if near else ""
    return f"has the parameter {name}, which is not known{meant}; there are: {', '.join(_PARAMETERS)}"
