"""Query parameters as values: filters, order, window and fields of a SEARCH or HISTORY. Malformed ones stop here with a 400."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import re2

from apiv3.model import messages, timestamps
from apiv3.model.errors import BadRequest, TooMuchWork
from apiv3.model.queries import OPERATORS, Fields, Filter, Path, Query, Scalar, Sort
from apiv3.web.calls import Parameters

LONGEST_PATTERN = 1000
MOST_PATTERNS = 10
LARGEST_PATTERNS = 2000
"""Instructions to which all regular expressions of a search may compile; `(?i)pizza` has 9. What is larger is slow to match."""
DEFAULT_LIMIT = 1000
RESERVED = frozenset({"token", "now", "sort", "sort$desc", "limit", "skip", "fields", "csv$exact"})
TIMESTAMPS = frozenset({"date", "srvModified", "srvCreated"})

_DIGITS = re.compile(r"\d{1,18}", re.ASCII)
_OPERATOR = re.compile(r"(.*)\$([A-Za-z]+)", re.DOTALL)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def search_query(parameters: Parameters, most: int) -> Query:
    """The filters, order and window of a SEARCH. Raises BadRequest, TooMuchWork."""
    given = [(name, value) for name, values in parameters.items() if name not in RESERVED for value in values]
    patterns = _patterns([(name, value) for name, value in given if name.endswith("$re")])
    filters = tuple(_filter(name, value, patterns) for name, value in given)
    return Query(filters, _sort(parameters), limit(parameters, most), _skip(parameters))


def limit(parameters: Parameters, most: int) -> int:
    """The parameter `limit`: 1 to `most`; 1000 where there is none. Raises BadRequest."""
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
    """A number of digits and nothing else: `1.9`, `0x10` and `1e2` are None."""
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
    """The fields to show: a comma list, all of them for `_all` or nothing. Raises BadRequest when repeated."""
    names = parameters.one("fields")
    if not names:
        return _ALL_FIELDS
    paths = [_path(name) for name in map(str.strip, names.split(",")) if name]
    return _ALL_FIELDS if ("_all",) in paths else Fields(tuple(paths))


_ALL_FIELDS = Fields()


def exact(parameters: Parameters) -> bool:
    """The parameter `csv$exact`: whether a CSV holds texts as they are. Raises BadRequest."""
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
    """The regular expressions of a search. Raises BadRequest; TooMuchWork for more or larger ones than one search may have."""
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
    """RE2: no pattern takes longer than the text is long."""
    if len(text) > LONGEST_PATTERN:
        raise BadRequest(f"Parameter {parameter} is longer than {LONGEST_PATTERN} characters")
    try:
        return re2.compile(text if (quoted := _unquoted(text)) is None else quoted, _PATTERN_OPTIONS)
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error)
        if "too large" in reason:
            raise TooMuchWork(f"Parameter {parameter} makes too much work: {reason}") from error
        raise BadRequest(f"Parameter {parameter} is no regular expression: {reason}") from error
    finally:
        re2.purge()  # it would keep the last 128 of them, whatever they take


_PATTERN_OPTIONS = re2.Options()
_PATTERN_OPTIONS.log_errors = False
_PATTERN_OPTIONS.never_capture = True  # whether something is found is all that is asked
_PATTERN_OPTIONS.max_mem = 256 * 1024


def _value(name: str, parameter: str, text: str) -> Scalar:
    """A filter's value: a quoted text, a timestamp where the field is one, a number, a boolean, else the text as it is."""
    if (quoted := _unquoted(text)) is not None:
        return quoted
    if name in TIMESTAMPS or name == "created_at":
        return _timestamp(name, parameter, text)
    return _plain(text)


def _unquoted(text: str) -> str | None:
    """What stands between quotation marks; None where there are none."""
    return text[1:-1] if len(text) >= 2 and text[0] == text[-1] == "'" else None


def _choices(name: str, parameter: str, text: str) -> tuple[Scalar, ...]:
    """One of the values of in and nin: what it looks like, and the text that it is written as."""
    value = _value(name, parameter, text)
    quoted = text[:1] == "'"
    return (value,) if isinstance(value, str) or quoted or name in TIMESTAMPS else (value, text)


def _timestamp(name: str, parameter: str, text: str) -> Scalar:
    """In a field that is text, a number that is no time stays text; so does 1970, with which clients ask for everything."""
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
