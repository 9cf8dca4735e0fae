"""What is an envelope, and what makes two of them the same message."""

import json
import uuid
from typing import Any

import pytest

from apiv3.hub.envelopes import Malformed, parse, software


def envelope(type: str = "state", **body: Any) -> bytes:
    return json.dumps({"v": 1, "type": type, "id": str(uuid.uuid4()), "ts": 1, "body": body}).encode()


def test_the_same_message_has_the_same_digest() -> None:
    """Whatever the order of its fields, its id and its time."""
    first, second = parse(envelope(name="x", value={"a": 1, "b": 2})), parse(envelope(value={"b": 2, "a": 1}, name="x"))
    assert first.digest() == second.digest()
    assert parse(envelope("alarm", name="x", value={"a": 1, "b": 2})).digest() != first.digest()
    assert parse(envelope(name="x", value={"a": 1, "b": 3})).digest() != first.digest()


@pytest.mark.parametrize("sent", [b"[]", b"1", b'"x"', b"null", b"{", b"", b"\xff", envelope(x=[0] * 600_000)])
def test_what_is_no_envelope(sent: bytes) -> None:
    with pytest.raises(Malformed):
        parse(sent)
    with pytest.raises(Malformed):
        software(sent)


def test_what_a_device_says_it_runs() -> None:
    assert software(b'{"v": 1, "software": "rig/1.0"}') == "rig/1.0"
    assert software(json.dumps({"v": 1, "software": "x" * 300}).encode()) == "x" * 200


@pytest.mark.parametrize("wrong", [{"v": True}, {"v": 2}, {"software": "a\nb"}, {"software": "\x1b[2J"}, {"software": 1}])
def test_what_a_device_may_not_say(wrong: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        software(json.dumps({"v": 1, "software": "rig/1.0", **wrong}).encode())
