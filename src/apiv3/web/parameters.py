"""The parameters of a query string and the fields of a form, parsed once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from apiv3.model import messages
from apiv3.model.errors import BadRequest

T = TypeVar("T")

MOST_PARAMETERS = 100
"""Most parameters in a query string; more are answered with 400."""
LONGEST_REMEMBERED, MOST_REMEMBERED = 300, 32_768
"""Most bytes of a query string whose parsed form is cached, and of all such query strings together. The parsed forms take
about a hundred times as much memory.
"""


class Parameters:
    """The parameters of a query string, immutable. Calls with the same query string may share one object.

    `values`: name -> its values, both in the order of the query.
    """

    __slots__ = ("_derived", "_values")

    def __init__(self, values: Mapping[str, Sequence[str]]) -> None:
        self._values = values
        self._derived: dict[Callable[[Parameters], Any], Any] = {}

    @property
    def names(self) -> Iterable[str]:
        """The names of all parameters, in their order."""
        return self._values.keys()

    def items(self) -> Iterable[tuple[str, Sequence[str]]]:
        """Return all names with their values."""
        return self._values.items()

    def all(self, name: str) -> Sequence[str]:
        """Return all values of a parameter; empty when it is missing."""
        return self._values.get(name, ())

    def one(self, name: str) -> str | None:
        """Return the value of a parameter, None when it is missing. Raises BadRequest when it is repeated."""
        values = self._values.get(name)
        if values is None:
            return None
        if len(values) > 1:
            raise BadRequest(f"Parameter {name} is repeated")
        return values[0]

    def derive(self, make: Callable[[Parameters], T]) -> T:
        """Return `make(self)`, computed once and then shared by all calls with the same query string."""
        try:
            made: T = self._derived[make]
        except KeyError:
            made = self._derived[make] = make(self)
        return made


def parse_query(query: bytes) -> Parameters:
    """Parse a query string. Raises BadRequest when it is malformed.

    Apps poll with the same few query strings, so parsed ones are cached, unless they contain a secret.
    """
    known = _remembered.get(query)
    if known is not None:
        return known
    parsed = _parse(query)
    if len(query) <= LONGEST_REMEMBERED and not any(map(_is_unique, parsed.names)):
        _remembered.keep(query, parsed)
    return parsed


def _parse(query: bytes) -> Parameters:
    try:
        text = query.decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MOST_PARAMETERS)
    except ValueError as error:
        raise BadRequest(messages.BAD_QUERY) from error
    if "%00" in text:
        raise BadRequest(messages.BAD_QUERY)
    return _grouped(pairs)


def parse_form(body: bytes) -> Parameters:
    """Parse a form. Raises BadRequest for a malformed one, and one of another encoding than browsers' default."""
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MOST_PARAMETERS)
    except ValueError as error:
        raise BadRequest(messages.BAD_FORM) from error
    return _grouped(pairs)


def _grouped(pairs: Iterable[tuple[str, str]]) -> Parameters:
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return Parameters(values)


def _is_unique(name: str) -> bool:
    """Whether a query with this parameter is not worth caching: a secret, the time, or a compiled pattern, which is large."""
    return name in ("token", "access_token", "code_challenge", "now", "sid") or name.endswith("$re")


class _Memory(dict[bytes, Parameters]):
    """A cache of parsed query strings, limited to MOST_REMEMBERED bytes of query strings."""

    size = 0

    def keep(self, query: bytes, parsed: Parameters) -> None:
        if self.size + len(query) > MOST_REMEMBERED:
            self.clear()
            self.size = 0
        self[query] = parsed
        self.size += len(query)


_remembered = _Memory()
