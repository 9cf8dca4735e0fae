"""What makes a JSON object a document: its address, its dates, the fields that the server owns.

The rules are those of the wire contract, section 3. Documents are plain dictionaries: they belong to the clients, who put
into them what they like; the server knows only the fields below.
"""

from __future__ import annotations

import hashlib
import json
import math
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


def normalise(document: Mapping[str, Any], *, created_at_fallback: bool = True, partial: bool = False) -> Document:
    """A copy with `date` in ms, and `utcOffset`, `created_at` and `identifier` filled in; never raises.

    What cannot be understood is left as it is, for `validate` to refuse. `created_at_fallback`: whether `created_at` exists
    at all and may stand in for a missing `date` (API3_CREATED_AT_FALLBACK_ENABLED). `partial`: the document is a patch, so
    what it does not say is not filled in.
    """
    result = dict(document)
    result.pop("_id", None)  # the database's own, on every server of this protocol
    _resolve_date(result, created_at_fallback, partial)
    if not partial and result.get("identifier") in (None, ""):
        result["identifier"] = identify(result)
    return result


def _resolve_date(document: Document, created_at_fallback: bool, partial: bool) -> None:
    source = document.get("date")
    if source is None and created_at_fallback:
        source = document.get("created_at")
    if not created_at_fallback:
        document.pop("created_at", None)
    if source is None:
        return
    try:
        moment = timestamps.parse(source)
    except ValueError:
        return
    document["date"] = moment.ms
    if not partial:  # a patch may name the same instant by another offset
        document.setdefault("utcOffset", moment.offset or 0)
    if created_at_fallback:
        document["created_at"] = timestamps.iso(moment.ms)


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
    return isinstance(value, int) and not isinstance(value, bool) and timestamps.EPOCH_2000 < value <= timestamps.LAST


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
    """Fill `endmills`, `durationInMilliseconds` and `duration` (minutes) of a document that changes a stored one."""
    base = _base(sent, stored, patch)
    if base is None:
        return
    if "endmills" not in sent:
        length = _length(sent)
        if length is None and patch:
            length = _length(stored)
        if length is not None:
            sent["endmills"] = _plain(base + length)
    end = _number(sent.get("endmills"))
    if end is not None and end >= base:
        sent["durationInMilliseconds"] = _plain(end - base)
        sent["duration"] = math.floor((end - base) / MINUTE + 0.5)


def _base(sent: Mapping[str, Any], stored: Mapping[str, Any], patch: bool) -> float | None:
    """When the duration begins, in ms: the first of the places that says so."""
    places = [(sent, "mills"), (sent, "created_at"), (sent, "date"), (stored, "created_at")]
    if patch:
        places.insert(1, (stored, "mills"))
        places.append((stored, "date"))
    for document, field in places:
        value = document.get(field)
        if value is not None:
            return _number(value) if field == "mills" else _moment(value)
    return None


def _length(document: Mapping[str, Any]) -> float | None:
    """The duration that a document states, in ms."""
    exact = _number(document.get("durationInMilliseconds"))
    if exact is not None and exact > 0:
        return exact
    minutes = _number(document.get("duration"))
    return None if minutes is None else _number(minutes * MINUTE)


def _moment(value: object) -> float | None:
    try:
        return timestamps.parse(value).ms
    except ValueError:
        return None


def _number(value: object) -> float | None:
    """A JSON number that ms arithmetic can carry exactly; anything else is None."""
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _SAFE_INTEGER:
        return value
    return None


def _plain(value: float) -> float:
    return int(value) if value == int(value) else value
