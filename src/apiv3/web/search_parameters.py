"""Parse the query parameters of SEARCH and HISTORY: filters, order, limits and fields. Malformed ones raise BadRequest."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import re2

from apiv3.model import messages, timestamps
from apiv3.model.errors import BadRequest, TooMuchWork
from apiv3.model.queries import OPERATORS, Fields, Filter, Path, Query, Scalar, Sort
from apiv3.web.parameters import Parameters

LONGEST_PATTERN = 1000
MOST_PATTERNS = 10
LARGEST_PATTERNS = 2000
"""Most instructions of all compiled regular expressions of a search; `(?i)pizza` has 9. Larger ones are slow to match."""
DEFAULT_LIMIT = 1000
RESERVED = frozenset({"token", "now", "sort", "sort$desc", "limit", "skip", "fields", "csv$exact"})
TIMESTAMPS = frozenset({"date", "srvModified", "srvCreated"})

_DIGITS = re.compile(r"\d{1,18}", re.ASCII)
_OPERATOR = re.compile(r"(.*)\$([A-Za-z]+)", re.DOTALL)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def search_query(parameters: Parameters, most: int) -> Query:
    """Return the filters, order and limits of a SEARCH. `most`: the greatest limit. Raises BadRequest, TooMuchWork."""
    given = [(name, value) for name, values in parameters.items() if name not in RESERVED for value in values]
    patterns = _patterns([(name, value) for name, value in given if name.endswith("$re")])
    filters = tuple(_filter(name, value, patterns) for name, value in given)
    return Query(filters, _sort(parameters), limit(parameters, most), _skip(parameters))


def limit(parameters: Parameters, most: int) -> int:
    """Return the parameter `limit`: 1 to `most`; by default 1000, or `most` if that is less. Raises BadRequest."""
    value = _whole(parameters.one("limit"), min(DEFAULT_LIMIT, most))
    if value is None or not 1 <= value <= most:
        raise BadRequest(messages.BAD_LIMIT)
    return value


def _skip(parameters: Parameters) -> int:
    value = _whole(parameters.one("skip"), 0)
    if value is None:
        raise BadRequest(messages.BAD_SKIP)
    return value


def _whole(text: str | None, default: int) -> int | None:
    """Return a number that consists of digits only; None for others such as `1.9`, `0x10` and `1e2`."""
    if text is None:
        return default
    return int(text) if _DIGITS.fullmatch(text) else None


def _sort(parameters: Parameters) -> Sort | None:
    ascending, descending = parameters.one("sort"), parameters.one("sort$desc")
    if ascending is not None and descending is not None:
        raise BadRequest(messages.TWO_SORTS)
    name = ascending or descending
    return Sort(_path(name), bool(descending)) if name else None


def fields(parameters: Parameters) -> Fields:
    """Return the fields to show: the comma-separated parameter `fields`, or all. Raises BadRequest when it is repeated."""
    names = parameters.one("fields")
    if not names:
        return _ALL_FIELDS
    paths = [_path(name) for name in map(str.strip, names.split(",")) if name]
    return _ALL_FIELDS if ("_all",) in paths else Fields(tuple(paths))


_ALL_FIELDS = Fields()


def exact(parameters: Parameters) -> bool:
    """Return the parameter `csv$exact`: whether a CSV keeps texts that look like formulas unchanged. Raises BadRequest."""
    value = (parameters.one("csv$exact") or "false").lower()
    if value not in ("true", "false"):
        raise BadRequest("Parameter csv$exact must be true or false")
    return value == "true"


def _path(name: str) -> Path:
    return tuple(name.split("."))


def _filter(parameter: str, text: str, patterns: Mapping[tuple[str, str], Any]) -> Filter:
    match = _OPERATOR.fullmatch(parameter)
    name, operator = match.groups() if match else (parameter, "eq")
    if operator not in OPERATORS:
        raise BadRequest(f"Unsupported filter operator {operator}")
    if operator == "re":
        return Filter(_path(name), operator, patterns[parameter, text])
    if operator in ("in", "nin"):
        choices = tuple(value for part in text.split("|") for value in _choices(name, parameter, part))
        return Filter(_path(name), operator, choices)
    return Filter(_path(name), operator, _value(name, parameter, text))


def _patterns(given: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Any]:
    """Compile the regular expressions of a search. Raises BadRequest, and TooMuchWork when they are too many or too large."""
    if len(given) > MOST_PATTERNS:
        raise TooMuchWork(f"A search takes at most {MOST_PATTERNS} regular expressions")
    compiled, left = {}, LARGEST_PATTERNS
    for parameter, text in given:
        pattern = compiled[parameter, text] = _pattern(parameter, text)
        left -= pattern.programsize
        if left < 0:
            raise TooMuchWork(f"Parameter {parameter} makes too much work: use simpler regular expressions")
    return compiled


def _pattern(parameter: str, text: str) -> Any:
    """Compile with RE2, which matches in time linear in the length of the text."""
    if len(text) > LONGEST_PATTERN:
        raise BadRequest(f"Parameter {parameter} is longer than {LONGEST_PATTERN} characters")
    try:
        return re2.compile(text if (quoted := _unquoted(text)) is None else quoted, PATTERN_OPTIONS)
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error)
        if "too large" in reason:
            raise TooMuchWork(f"Parameter {parameter} makes too much work: {reason}") from error
        raise BadRequest(f"Parameter {parameter} is no regular expression: {reason}") from error
    finally:
        re2.purge()  # re2 would cache the last 128 patterns, whatever memory they take


PATTERN_OPTIONS = re2.Options()
PATTERN_OPTIONS.log_errors = False
PATTERN_OPTIONS.never_capture = True  # only whether there is a match is needed
PATTERN_OPTIONS.max_mem = 256 * 1024


def _value(name: str, parameter: str, text: str) -> Scalar:
    """Parse a filter's value: a quoted text, a timestamp for fields with times, a number, a boolean, or else a text."""
    if (quoted := _unquoted(text)) is not None:
        return quoted
    if name in TIMESTAMPS or name == "created_at":
        return _timestamp(name, parameter, text)
    return _plain(text)


def _unquoted(text: str) -> str | None:
    """Return the text between quotation marks; None when there are none."""
    return text[1:-1] if len(text) >= 2 and text[0] == text[-1] == "'" else None


def _choices(name: str, parameter: str, text: str) -> tuple[Scalar, ...]:
    """Return what one value of `in` or `nin` matches: the parsed value and, if unquoted, also the text as written."""
    value = _value(name, parameter, text)
    quoted = text[:1] == "'"
    return (value,) if isinstance(value, str) or quoted or name in TIMESTAMPS else (value, text)


def _timestamp(name: str, parameter: str, text: str) -> Scalar:
    """Parse a filter's value for a field with times. Raises BadRequest.

    `created_at` holds texts: a number that is no time is compared as text there, and times before 2000 are allowed, since
    clients ask for everything since 1970.
    """
    in_text = name == "created_at"
    try:
        ms = timestamps.parse(text).ms
    except timestamps.TooEarly as early:
        if not in_text:
            raise BadRequest(f"Bad timestamp in parameter {parameter}") from early
        ms = early.ms
    except ValueError as error:
        value = _plain(text)
        if isinstance(value, str):
            raise BadRequest(f"Bad timestamp in parameter {parameter}") from error
        return text if in_text else value
    return timestamps.iso(ms) if in_text else ms


def _plain(text: str) -> Scalar:
    if text in ("true", "false"):
        return text == "true"
    if not _NUMBER.fullmatch(text) or len(text) > 40:
        return text
    number = float(text)
    if abs(number) == float("inf"):
        return text
    return number if any(letter in text for letter in ".eE") else int(text)
