"""What makes a JSON object a document: its address, its dates, the fields that the server owns.

The rules are those of docs/reference/protocol.md, section 3. Documents are plain dictionaries: they belong to the clients, who
put into them what they like; the server knows only the fields below.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Collection, Mapping
from typing import Any

from apiv3.model import timestamps
from apiv3.model.errors import BadRequest, ReadOnly

Document = dict[str, Any]

NAMESPACE = b"NightscoutRocks!"
IMMUTABLE = (
    "identifier",
    "date",
    "utcOffset",
    "eventType",
    "device",
    "app",
    "srvCreated",
    "subject",
    "srvModified",
    "modifiedBy",
    "isValid",
)
SERVER_OWNED = ("srvCreated", "srvModified", "subject", "modifiedBy")
READ_ONLY_MARKS = ("isReadOnly", "readOnly", "readonly")
MINUTE = 60_000
LONGEST_IDENTIFIER = 1024
"""Bytes of UTF-8; a row of an index has to hold it on every database."""
_DAY = 1440
_SAFE_INTEGER = 2**53
_NUMBER = re.compile(r"\s*[+-]?(\d{1,20}(\.\d{0,20})?|\.\d{1,20})([eE][+-]?\d{1,2})?\s*", re.ASCII)
_TO_COPY = frozenset({float, dict, list})
"""Types of values that `whole` may change."""


def normalise(document: Mapping[str, Any], *, created_at_fallback: bool = True, partial: bool = False) -> Document:
    """A copy with `date` in ms, and `utcOffset`, `created_at` and `identifier` filled in; never raises.

    What cannot be understood is left as it is, for `validate` to refuse. `created_at_fallback`: whether `created_at` exists
    at all and may stand in for a missing `date` (API3_CREATED_AT_FALLBACK_ENABLED). `partial`: the document is a patch, so
    neither date is made from the other, and what it does not say is not filled in.
    """
    result: Document = whole(document)
    result.pop("_id", None)  # the database's own, on every server of this protocol
    if not created_at_fallback:
        result.pop("created_at", None)
    if partial:
        _respell_dates(result)
        return result
    _resolve_date(result, created_at_fallback)
    if result.get("identifier") in (None, ""):
        result["identifier"] = identify(result)
    return result


def whole(value: Any) -> Any:
    """A copy of a JSON value in which `20.0` is `20`: a number that is whole and within 2^53 is an integer.

    Every JavaScript server writes it so, and strict clients parse integers. Within 2^53 a float and its integer are equal.
    """
    kind = type(value)
    if kind is float:
        return int(value) if value.is_integer() and abs(value) <= _SAFE_INTEGER else value
    if kind is dict:
        return {name: whole(inner) if type(inner) in _TO_COPY else inner for name, inner in value.items()}
    if kind is list:
        return [whole(inner) if type(inner) in _TO_COPY else inner for inner in value]
    return value


def _resolve_date(document: Document, created_at_fallback: bool) -> None:
    source = document.get("date")
    if source is None:
        source = document.get("created_at")
    if source is None:
        return
    try:
        moment = _instant(source)
    except ValueError:
        return
    document["date"] = moment.ms
    document.setdefault("utcOffset", moment.offset or 0)
    if created_at_fallback:
        document["created_at"] = timestamps.iso(moment.ms)


def _respell_dates(patch: Document) -> None:
    """The same instants in the form in which they are stored: a patch may name one by another offset."""
    if "date" in patch and (date := _moment(patch["date"])) is not None:
        patch["date"] = date
    if "created_at" in patch and (created_at := _moment(patch["created_at"])) is not None:
        patch["created_at"] = timestamps.iso(created_at)


def identify(document: Mapping[str, Any]) -> str:
    """The identifier of a document that brings none: a UUIDv5 (RFC 9562, section 5.5) over device, date and event type.

    Made here because every document passes by: `uuid.uuid5` takes three times as long.
    """
    key = f"{_text(document, 'device')}_{_text(document, 'date')}"
    if document.get("eventType"):
        key += f"_{_text(document, 'eventType')}"
    digest = bytearray(hashlib.sha1(NAMESPACE + key.encode(), usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50  # the version
    digest[8] = digest[8] & 0x3F | 0x80  # the variant
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _text(document: Mapping[str, Any], field: str) -> str:
    """A field as the clients' own language would write it into a text."""
    if field not in document:
        return "undefined"
    value = document[field]
    if type(value) is int:
        return str(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def is_read_only(document: Mapping[str, Any]) -> bool:
    return any(document.get(mark) is True for mark in READ_ONLY_MARKS)


def is_valid(document: Mapping[str, Any]) -> bool:
    """False for a document that is marked as deleted."""
    return document.get("isValid") is not False


def validate(document: Mapping[str, Any], *, partial: bool = False) -> None:
    """Check the common fields of a normalised document; a `partial` one only for those that it has.

    Raises BadRequest naming the first bad field.
    """
    for field, is_good in _RULES:
        if partial and field not in document:
            continue
        if not is_good(document.get(field)):
            raise BadRequest(f"Bad or missing {field} field")
    if "created_at" in document and not _is_created_at(document):
        raise BadRequest("Bad or missing created_at field")


def _is_identifier(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and len(value.encode()) <= LONGEST_IDENTIFIER


def _is_date(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and timestamps.EPOCH_2000 < value <= timestamps.LAST_DATE


def _is_offset(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -_DAY <= value <= _DAY


def _is_app(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_created_at(document: Mapping[str, Any]) -> bool:
    """Nearly always it is what `normalise` made of the date; to write that again is cheaper than to read it."""
    date, created_at = document.get("date"), document["created_at"]
    return (_is_date(date) and created_at == timestamps.iso(date)) or _moment(created_at) is not None  # type: ignore[arg-type]


_RULES = (("identifier", _is_identifier), ("date", _is_date), ("utcOffset", _is_offset), ("app", _is_app))


def check_change(new: Mapping[str, Any], stored: Mapping[str, Any], *, free: Collection[str] = ()) -> None:
    """Refuse a change of what may not change: a read-only document, or an immutable field that is not among the `free`.

    The fields of a deleted document are free, since whatever comes replaces it. Raises ReadOnly or BadRequest.
    """
    if is_read_only(stored):
        raise ReadOnly
    if not is_valid(stored):
        return
    for field in IMMUTABLE:
        if field in new and field not in free and not same(new[field], stored.get(field)):
            raise BadRequest(f"Field {field} cannot be modified by the client")


def same(one: object, other: object) -> bool:
    """Equality of JSON values: 1 and 1.0 are the same, 1 and true are not."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return one == other


def inherit(new: Document, stored: Mapping[str, Any], sent: Mapping[str, Any]) -> None:
    """Where the sender of a replacement left `utcOffset` out, keep the stored one: what we filled in is no change of theirs."""
    if "utcOffset" not in sent and "utcOffset" in stored and is_valid(stored):
        new["utcOffset"] = stored["utcOffset"]


def resolve_duration(sent: Document, stored: Mapping[str, Any], *, patch: bool) -> None:
    """Fill `endmills`, `durationInMilliseconds` and `duration` (minutes) of a document that changes a stored one.

    `sent` has the fields that it inherits. `patch`: what it does not say, the stored document says.
    """
    base = _base(sent, stored if patch else {})
    if base is None:
        return
    if sent.get("endmills") is None:
        end = _end(base, sent, stored if patch else {})
        if end is not None:
            sent["endmills"] = whole(end)
    end = _number(sent.get("endmills"))
    if end is not None and base <= end <= _SAFE_INTEGER:
        sent["durationInMilliseconds"] = whole(end - base)
        sent["duration"] = math.floor((end - base) / MINUTE + 0.5)


def _base(sent: Mapping[str, Any], stored: Mapping[str, Any]) -> float | None:
    """When the duration begins, in ms: the first of the places that says so."""
    places = [(sent, "mills"), (stored, "mills")]
    places += [(document, field) for document in (sent, stored) for field in ("created_at", "date")]
    for document, field in places:
        value = document.get(field)
        moment = _number(value) if field == "mills" else _moment(value)
        if moment is not None and moment > 0:
            return moment
    return None


def _end(base: float, sent: Mapping[str, Any], stored: Mapping[str, Any]) -> float | None:
    """When it ends, in ms: the first duration that is there at all decides; None where that says nothing."""
    for document in (sent, stored):
        if "durationInMilliseconds" in document:
            length = _number(document["durationInMilliseconds"]) or 0
            return _safe(base + length) if length > 0 else None
        if "duration" in document:
            return _safe(base + (_number(document["duration"]) or 0) * MINUTE)
    return None


def _moment(value: object) -> int | None:
    try:
        return _instant(value).ms
    except ValueError:
        return None


def _instant(value: object) -> timestamps.Moment:
    """A time in a document; as a number up to LAST_DATE. Raises ValueError."""
    if isinstance(value, int | float) and timestamps.LAST < value <= timestamps.LAST_DATE:
        return timestamps.Moment(int(value), None)
    return timestamps.parse(value)


def _number(value: object) -> float | None:
    """A number, or a text that is one; None for anything else."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _safe(ms: float) -> float | None:
    """None for what no number can hold to the millisecond."""
    return ms if abs(ms) <= _SAFE_INTEGER else None
