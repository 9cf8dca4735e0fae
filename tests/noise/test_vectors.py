"""The published vectors of the suite, byte for byte in both roles; see `tests.support.noise` for where they are."""

import json
from itertools import cycle
from typing import Any

import pytest

from apiv3.noise import Initiator, KeyPair, Responder
from tests.support.noise import VECTORS

NAME = "Noise_XK_25519_ChaChaPoly_SHA256"
FOUND = (
    [each for each in json.loads(VECTORS.read_text())["vectors"] if each["protocol_name"] == NAME] if VECTORS.exists() else []
)


@pytest.mark.parametrize("vector", FOUND)
def test_every_message_is_as_published(vector: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def key(name: str) -> bytes:
        return bytes.fromhex(vector[name])

    ephemeral = iter([KeyPair.of(key("init_ephemeral")), KeyPair.of(key("resp_ephemeral"))])
    monkeypatch.setattr(KeyPair, "generate", lambda: next(ephemeral))
    device = Initiator(KeyPair.of(key("init_static")), key("init_remote_static"), key("init_prologue"))
    hub = Responder(KeyPair.of(key("resp_static")), key("resp_prologue"))
    messages = [(bytes.fromhex(each["payload"]), bytes.fromhex(each["ciphertext"])) for each in vector["messages"]]

    for (payload, message), (writer, reader) in zip(messages[:3], cycle([(device, hub), (hub, device)]), strict=False):
        assert writer.write(payload) == message
        assert reader.read(message) == payload
    assert hub.remote_static == KeyPair.of(key("init_static")).public

    ends = device.channel(), hub.channel()
    assert [end.handshake_hash for end in ends] == [key("handshake_hash")] * 2
    assert len(messages) > 3
    for (payload, message), (sender, receiver) in zip(messages[3:], cycle([ends[::-1], ends]), strict=False):
        assert sender.encrypt(payload) == message
        assert receiver.decrypt(message) == payload
