"""From bytes to values: bodies, query parameters and conditional headers. What is malformed stops here with a 400."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

import orjson
import re2

from apiv3.model import timestamps
from apiv3.model.documents import Document
from apiv3.model.errors import ApiError, BadRequest, RequestTimeout, TooLarge, UnsupportedMediaType
from apiv3.model.queries import OPERATORS, Fields, Filter, Path, Query, Scalar, Sort
from apiv3.security.calls import Call, Parameters

DEEPEST = 100
"""Levels of nesting in a document: orjson writes 254, SQLite reads 1,000; no app comes near."""
LONGEST_PATTERN = 1000
DEFAULT_LIMIT = 1000
RESERVED = frozenset({"token", "now", "sort", "sort$desc", "limit", "skip", "fields"})
TIMESTAMPS = frozenset({"date", "srvModified", "srvCreated"})

_DIGITS = re.compile(r"\d{1,18}", re.ASCII)
_LONG_INTEGER = re.compile(rb"\d{19}")
_OPERATOR = re.compile(r"(.*)\$([A-Za-z]+)", re.DOTALL)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_INT64 = 2**63


class Disconnected(Exception):
    """The client went away before its request was complete."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`body`: bytes. `body_timeout`: seconds for the whole body. `documents`: the most that one answer holds."""

    body: int
    body_timeout: float
    documents: int


def identifier(segment: bytes) -> str:
    """An identifier out of the path. Raises BadRequest when it is no UTF-8, or has U+0000 in it."""
    try:
        text = unquote_to_bytes(segment).decode()
    except ValueError as error:
        raise BadRequest("Bad or missing identifier field") from error
    if "\0" in text:
        raise BadRequest("Bad or missing identifier field")
    return text


# Bodies -------------------------------------------------------------------------------------------------------------------


async def read_body(call: Call, limits: Limits) -> bytes:
    """The whole body. Raises TooLarge, RequestTimeout, UnsupportedMediaType, Disconnected."""
    if call.headers.get(b"content-encoding", b"identity") != b"identity":
        raise UnsupportedMediaType
    length = call.headers.get(b"content-length", b"0")
    if length.isdigit() and int(length[:19]) > limits.body:
        raise _closing(TooLarge)
    try:
        async with asyncio.timeout(limits.body_timeout):
            return await _collect(call, limits.body)
    except TimeoutError as error:
        raise _closing(RequestTimeout) from error


async def _collect(call: Call, most: int) -> bytes:
    chunks, size, more = [], 0, True
    while more:
        message = await call.receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        chunk, more = message.get("body", b""), message.get("more_body", False)
        size += len(chunk)
        if size > most:
            raise _closing(TooLarge)
        chunks.append(chunk)
    return b"".join(chunks)


def _closing(kind: type[ApiError]) -> ApiError:
    """The rest of the body is still on its way: the connection is of no more use."""
    return kind(headers=(("Connection", "close"),))


async def read_object(call: Call, limits: Limits) -> Document:
    """The body as a JSON object that is not empty. Raises BadRequest and what `read_body` raises."""
    return parse_object(await read_body(call, limits))


def parse_object(body: bytes) -> Document:
    """A JSON object that every part of the server can carry unchanged.

    Raises BadRequest for malformed JSON, anything but an object, an empty one, integers outside 64 bits, numbers that
    overflow, U+0000, lone surrogates, and nesting beyond DEEPEST.
    """
    value = parse_json(body)
    if not isinstance(value, dict) or not value:
        raise BadRequest("Bad or missing request body")
    return value


def parse_json(body: bytes) -> Any:
    """Any JSON value that the server can carry unchanged. Raises BadRequest."""
    try:
        value = orjson.loads(body)
        if _LONG_INTEGER.search(body):  # orjson would turn a long integer into a float
            value = json.loads(body, parse_int=_int64)
    except (ValueError, RecursionError) as error:
        raise _bad_body(str(error)) from error
    if b"\\u0000" in body and any("\0" in text for text in _texts(value)):
        raise _bad_body("U+0000 is not allowed")
    if body.count(b"[") + body.count(b"{") > DEEPEST and _depth(value) > DEEPEST:
        raise _bad_body(f"it is nested more than {DEEPEST} levels deep")
    return value


def _bad_body(reason: str) -> BadRequest:
    error = BadRequest("Bad or missing request body")
    error.description = reason
    return error


def _int64(text: str) -> int:
    value = int(text[:21])
    if len(text) > 20 or not -_INT64 <= value < _INT64:
        raise ValueError(f"the integer {text[:30]} does not fit into 64 bits")
    return value


def _children(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _texts(value: Any) -> Iterator[str]:
    """Every text and every key in a JSON value, however deep; without recursion."""
    stack = [value]
    while stack:
        node = stack.pop()
        if isinstance(node, str):
            yield node
        elif isinstance(node, dict):
            yield from node
        stack.extend(_children(node))


def _depth(value: Any) -> int:
    level, depth = [value], 0
    while level := [child for node in level for child in _children(node)]:
        depth += 1
    return depth


# Queries ------------------------------------------------------------------------------------------------------------------


def search_query(parameters: Parameters, most: int) -> Query:
    """The filters, order and window of a SEARCH. Raises BadRequest."""
    given = ((name, value) for name, values in parameters.items() if name not in RESERVED for value in values)
    filters = tuple(_filter(name, value) for name, value in given)
    return Query(filters, _sort(parameters), limit(parameters, most), _skip(parameters))


def limit(parameters: Parameters, most: int) -> int:
    """The parameter `limit`: 1 to `most`; 1000 where there is none. Raises BadRequest."""
    value = _whole(parameters.one("limit"), min(DEFAULT_LIMIT, most))
    if value is None or not 1 <= value <= most:
        raise BadRequest("Parameter limit out of tolerance")
    return value


def _skip(parameters: Parameters) -> int:
    value = _whole(parameters.one("skip"), 0)
    if value is None:
        raise BadRequest("Parameter skip out of tolerance")
    return value


def _whole(text: str | None, default: int) -> int | None:
    """A number of digits and nothing else: `1.9`, `0x10` and `1e2` are None."""
    if text is None:
        return default
    return int(text) if _DIGITS.fullmatch(text) else None


def _sort(parameters: Parameters) -> Sort | None:
    ascending, descending = parameters.one("sort"), parameters.one("sort$desc")
    if ascending is not None and descending is not None:
        raise BadRequest("Parameters sort and sort_desc cannot be combined")
    name = ascending or descending
    return Sort(_path(name), bool(descending)) if name else None


def fields(parameters: Parameters) -> Fields:
    """The fields to show: a comma list, all of them for `_all` or nothing. Raises BadRequest when repeated."""
    names = parameters.one("fields")
    if not names:
        return _ALL_FIELDS
    paths = [_path(name) for name in names.split(",") if name]
    return _ALL_FIELDS if ("_all",) in paths else Fields(tuple(paths))


_ALL_FIELDS = Fields()


def _path(name: str) -> Path:
    return tuple(name.split("."))


def _filter(parameter: str, text: str) -> Filter:
    match = _OPERATOR.fullmatch(parameter)
    name, operator = match.groups() if match else (parameter, "eq")
    if operator not in OPERATORS:
        raise BadRequest(f"Unsupported filter operator {operator}")
    if operator == "re":
        return Filter(_path(name), operator, _pattern(parameter, text))
    if operator in ("in", "nin"):
        choices = tuple(value for part in text.split("|") for value in _choices(name, parameter, part))
        return Filter(_path(name), operator, choices)
    return Filter(_path(name), operator, _value(name, parameter, text))


def _pattern(parameter: str, text: str) -> Any:
    """RE2: no pattern takes longer than the text is long."""
    if len(text) > LONGEST_PATTERN:
        raise BadRequest(f"Parameter {parameter} is longer than {LONGEST_PATTERN} characters")
    try:
        return re2.compile(text, _PATTERN_OPTIONS)
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else error
        raise BadRequest(f"Parameter {parameter} is no regular expression: {reason}") from error


_PATTERN_OPTIONS = re2.Options()
_PATTERN_OPTIONS.log_errors = False
_PATTERN_OPTIONS.max_mem = 1 << 20


def _value(name: str, parameter: str, text: str) -> Scalar:
    """A filter's value: a quoted text, a timestamp where the field is one, a number, a boolean, else the text as it is."""
    if len(text) >= 2 and text[0] == text[-1] == "'":
        return text[1:-1]
    if name in TIMESTAMPS or name == "created_at":
        return _timestamp(name, parameter, text)
    return _plain(text)


def _choices(name: str, parameter: str, text: str) -> tuple[Scalar, ...]:
    """One of the values of in and nin: what it looks like, and the text that it is written as."""
    value = _value(name, parameter, text)
    quoted = text[:1] == "'"
    return (value,) if isinstance(value, str) or quoted or name in TIMESTAMPS else (value, text)


def _timestamp(name: str, parameter: str, text: str) -> Scalar:
    try:
        ms = timestamps.parse(text).ms
    except ValueError as error:
        value = _plain(text)
        if name in TIMESTAMPS and isinstance(value, str):
            raise BadRequest(f"Bad timestamp in parameter {parameter}") from error
        return text if name == "created_at" else value
    return timestamps.iso(ms) if name == "created_at" else ms


def _plain(text: str) -> Scalar:
    if text in ("true", "false"):
        return text == "true"
    if not _NUMBER.fullmatch(text) or len(text) > 40:
        return text
    number = float(text)
    if abs(number) == float("inf"):
        return text
    return number if any(letter in text for letter in ".eE") else int(text)


# Conditional requests -----------------------------------------------------------------------------------------------------


def seconds_header(call: Call, name: bytes) -> int | None:
    """A date header in whole seconds; one that is missing or malformed is ignored (RFC 9110, section 13.1.3)."""
    text = call.header(name)
    try:
        return None if text is None else timestamps.parse(text).ms // 1000
    except ValueError:
        return None


def since(text: str | None) -> int:
    """The point in time of a HISTORY, in ms. Raises BadRequest when it is missing or malformed."""
    try:
        return timestamps.parse(text).ms
    except ValueError as error:
        raise BadRequest("Bad or missing Last-Modified header/parameter") from error
