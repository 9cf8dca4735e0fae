"""The rules of documents: identifiers, dates, validation, immutable fields, durations (docs/reference/protocol.md, section 3).

Documents are plain dictionaries, in which clients may put any fields. The server knows only the fields below.
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
_ENDS = frozenset({"endmills", "durationInMilliseconds", "duration"})
"""Fields that say when something ends. A document without them has no duration."""
LONGEST_IDENTIFIER = 1024
"""Most bytes of an identifier in UTF-8; it must fit into an index row of both databases."""
_DAY = 1440
_SAFE_INTEGER = 2**53
_NUMBER = re.compile(r"\s*[+-]?(\d{1,20}(\.\d{0,20})?|\.\d{1,20})([eE][+-]?\d{1,2})?\s*", re.ASCII)
_TO_COPY = frozenset({float, dict, list})
"""Types of values that `whole` may change."""


def normalise(document: Mapping[str, Any], *, created_at_fallback: bool = True, partial: bool = False) -> Document:
    """Return a copy with `date` in ms, and with `utcOffset`, `created_at` and `identifier` filled in. Never raises.

    Values that cannot be understood are left unchanged, and `validate` refuses them. `created_at_fallback`: whether
    `created_at` is kept, and replaces a missing `date` (API3_CREATED_AT_FALLBACK_ENABLED). `partial`: the document is a patch,
    so that no field is derived from another one or filled in.
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
    """Return a copy of a JSON value in which whole numbers within 2^53 are integers: `20.0` becomes `20`.

    Servers in JavaScript write them like this, and strict clients expect integers. Within 2^53 both are equal.
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
    """Convert the dates of a patch to the format in which they are stored."""
    if "date" in patch and (date := _moment(patch["date"])) is not None:
        patch["date"] = date
    if "created_at" in patch and (created_at := _moment(patch["created_at"])) is not None:
        patch["created_at"] = timestamps.iso(created_at)


def identify(document: Mapping[str, Any]) -> str:
    """Return the identifier for a document without one: a UUIDv5 (RFC 9562, section 5.5) of device, date and event type.

    `uuid.uuid5` would take three times as long, which matters for every document.
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
    """Return a field as JavaScript, the language of other servers, converts it to a string."""
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
    """Check the common fields of a normalised document; of a `partial` one, only those that it has.

    Raises BadRequest, which names the first bad field.
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
    """Whether `created_at` is a time. It usually equals what `normalise` derives from the date, which is cheap to compare."""
    date, created_at = document.get("date"), document["created_at"]
    return (_is_date(date) and created_at == timestamps.iso(date)) or _moment(created_at) is not None  # type: ignore[arg-type]


_RULES = (("identifier", _is_identifier), ("date", _is_date), ("utcOffset", _is_offset), ("app", _is_app))


def check_change(new: Mapping[str, Any], stored: Mapping[str, Any], *, free: Collection[str] = ()) -> None:
    """Raise ReadOnly for a change of a read-only document, BadRequest for a change of an immutable field not in `free`.

    All fields of a deleted document may change, since it is replaced as a whole.
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
    """Keep the stored `utcOffset` when the sender of a replacement left it out: a value filled in by us is not their change."""
    if "utcOffset" not in sent and "utcOffset" in stored and is_valid(stored):
        new["utcOffset"] = stored["utcOffset"]


def resolve_duration(sent: Document, stored: Mapping[str, Any], *, patch: bool) -> None:
    """Fill `endmills`, `durationInMilliseconds` and `duration` (minutes) of a document that changes a stored one.

    `sent` has the fields that it inherits. `patch`: what it does not say, the stored document says.
    """
    former = stored if patch else {}
    if _ENDS.isdisjoint(sent) and _ENDS.isdisjoint(former):
        return
    base = _base(sent, former)
    if base is None:
        return
    if sent.get("endmills") is None:
        end = _end(base, sent, former)
        if end is not None:
            sent["endmills"] = whole(end)
    end = _number(sent.get("endmills"))
    if end is not None and base <= end <= _SAFE_INTEGER:
        sent["durationInMilliseconds"] = whole(end - base)
        sent["duration"] = math.floor((end - base) / MINUTE + 0.5)


def _base(sent: Mapping[str, Any], stored: Mapping[str, Any]) -> float | None:
    """Return the start of the duration in ms: the first field that has a time; None when there is none."""
    places = [(sent, "mills"), (stored, "mills")]
    places += [(document, field) for document in (sent, stored) for field in ("created_at", "date")]
    for document, field in places:
        value = document.get(field)
        moment = _number(value) if field == "mills" else _moment(value)
        if moment is not None and moment > 0:
            return moment
    return None


def _end(base: float, sent: Mapping[str, Any], stored: Mapping[str, Any]) -> float | None:
    """Return the end in ms: the first duration field that exists decides; None when its value is not usable."""
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
    """Parse a time in a document, where numbers up to LAST_DATE are allowed. Raises ValueError."""
    if isinstance(value, int | float) and timestamps.LAST < value <= timestamps.LAST_DATE:
        return timestamps.Moment(int(value), None)
    return timestamps.parse(value)


def _number(value: object) -> float | None:
    """Return a number, or the number in a text; None for anything else."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _safe(ms: float) -> float | None:
    """Return `ms`; None if a float cannot represent it exactly."""
    return ms if abs(ms) <= _SAFE_INTEGER else None
