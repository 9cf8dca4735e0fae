"""Where a PostgreSQL database is, and how to connect to it: the one reader of a `postgresql://` URL.

The parameters after the `?` are libpq's, with libpq's meaning: one of them goes before what stands in front of the `?`. The
migrations, the server's connections and the listener all connect with what is read here.
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
"""A password that holds one of the marks between the parts would be cut at another place by each program that reads the
URL, and some of it be taken for the host or the database, which are no secrets."""
APPLICATION = "apiv3"
CONNECT_TIMEOUT = 10.0
"""Seconds that a connection may take to be made, where the URL does not say."""
_CHECKED_MODES = ("require", "verify-ca", "verify-full")
_MODES = ("disable", "allow", "prefer", *_CHECKED_MODES)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")


class BadAddress(ValueError):
    """A URL that cannot be meant; the message says why, after the setting's name, and quotes no secret."""


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
"""Name -> what reads its value, and raises ValueError with what is allowed."""


@dataclass(frozen=True)
class Address:
    """`arguments`: how asyncpg is asked for a connection. `prepares`: whether statements may be kept on a connection;
    False behind a pooler that shares connections, by `statement_cache_size=0`. `binds`: whether `channel_binding=require`
    is asked for, which asyncpg cannot do.
    """

    arguments: Mapping[str, Any] = field(repr=False)
    prepares: bool = True
    binds: bool = False


def is_url(text: str) -> bool:
    """Whether it is the URL of a database of either kind, apart from its parameters."""
    try:
        return bool(_URL.fullmatch(text)) and urlsplit(text).port != 0
    except ValueError:  # what can be neither host nor port
        return False


def check(url: str) -> None:
    """Raises BadAddress when a URL has parameters that cannot be meant. SQLite's has none."""
    if not url.startswith("sqlite:"):
        read(url)


def read(url: str) -> Address:
    """Read the URL of a PostgreSQL database. Raises BadAddress."""
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
    """What stands in front of the parameters, by the names that the parameters have."""
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
    """The parameters with their values read. A `+` is no blank in such a URL, so none of Python's readers of forms will do."""
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
    if not _NAME.fullmatch(name):  # who knows what it is: it may be the end of a password
        return f"has a parameter that is not known; there are: {', '.join(_PARAMETERS)}"
    near = get_close_matches(name.lower(), _PARAMETERS, n=1)
    meant = f" (is {near[0]} meant?)" if near else ""
    return f"has the parameter {name}, which is not known{meant}; there are: {', '.join(_PARAMETERS)}"
