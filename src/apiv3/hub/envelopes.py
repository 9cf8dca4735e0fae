"""Envelopes: what the encrypted messages between a device and the hub carry, as JSON (docs/reference/devices.md)."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from apiv3.formats.json import check_values, load
from apiv3.model.errors import ApiError
from apiv3.model.timestamps import now

VERSION = 1
_LONGEST_TYPE = 50


class Malformed(ValueError):
    """What arrived is no envelope. It ends the connection, since a device that means well does not send it."""


class Envelope(NamedTuple):
    """An envelope. `id`: a UUID, as it was sent; `ts`: when it was sent, in ms since 1970."""

    type: str
    id: str
    ts: int
    body: Mapping[str, Any]

    def digest(self) -> str:
        """Return the digest of what makes it the same message when it is sent again: its type and body, but not its time."""
        content = orjson.dumps([self.type, self.body], option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(content).hexdigest()


def parse(data: bytes) -> Envelope:
    """Return the envelope that a decrypted message carries. Raises Malformed."""
    sent = _object(data)
    match sent:
        case {"v": int(v), "type": str(type), "id": str(id), "ts": int(ts), "body": dict(body)} if v == VERSION:
            if not _is_truth(v, ts) and 0 < len(type) <= _LONGEST_TYPE and _is_uuid(id):
                return Envelope(type, id, ts, body)
    raise Malformed("no envelope of version 1")


def software(data: bytes) -> str:
    """Return what a device says it runs, from the payload of the third message of the handshake. Raises Malformed."""
    match _object(data):
        case {"v": int(v), "software": str(software)} if v == VERSION and not _is_truth(v) and software.isprintable():
            return software[:200]
    raise Malformed("the third message of the handshake says no software")


def message(type: str, body: Mapping[str, Any], re: str | None = None) -> bytes:
    """Return a new envelope. `re`: the id of the envelope that it answers."""
    envelope: dict[str, Any] = {"v": VERSION, "type": type, "id": str(uuid.uuid4()), "ts": now()}
    return orjson.dumps({**envelope, **({} if re is None else {"re": re}), "body": body})


def error(refusal: ApiError, re: str) -> bytes:
    """Return the answer to an envelope that was refused."""
    return message("error", refusal.fields(), re)


def _object(data: bytes) -> dict[str, Any]:
    try:
        check_values(data)
        sent = load(data)
    except ApiError as error:
        raise Malformed("no JSON") from error
    if not isinstance(sent, dict):
        raise Malformed("no JSON object")
    return sent


def _is_truth(*values: int) -> bool:
    """Whether one of the values is true or false, which Python counts among the numbers."""
    return any(isinstance(value, bool) for value in values)


def _is_uuid(text: str) -> bool:
    """Whether a text is a UUID with its four hyphens, in small or capital letters."""
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
