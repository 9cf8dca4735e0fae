"""Another implementation of Noise, `noiseprotocol`, as the peer in both roles, over two renewals of the keys."""

from typing import Any, Literal

import pytest
from noise.connection import Keypair, NoiseConnection

from apiv3.noise import Initiator, KeyPair, Responder
from tests.support.noise import DEVICE, HUB

Role = Literal["device", "hub"]
PROLOGUE, RENEWAL = b"apiv3/hub/1", 10_000
"""As docs/reference/devices.md tells other implementations."""
PAYLOADS = [b"", b'{"now": 1}', b'{"v": 1}']


def other(role: Role) -> Any:
    """The other implementation in a role, before the first message."""
    peer = NoiseConnection.from_name(b"Noise_XK_25519_ChaChaPoly_SHA256")
    peer.set_prologue(PROLOGUE)
    if role == "device":
        peer.set_as_initiator()
        peer.set_keypair_from_private_bytes(Keypair.STATIC, DEVICE.private)
        peer.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, HUB.public)
    else:
        peer.set_as_responder()
        peer.set_keypair_from_private_bytes(Keypair.STATIC, HUB.private)
    peer.start_handshake()
    return peer


def meet(role: Role) -> tuple[Initiator | Responder, Any]:
    """Our side in a role, and the other implementation in the other one, after the handshake."""
    ours: Initiator | Responder = Initiator(DEVICE, HUB.public) if role == "device" else Responder(HUB)
    theirs = other("hub" if role == "device" else "device")
    for step, payload in enumerate(PAYLOADS):
        if (step % 2 == 0) == (role == "device"):
            assert theirs.read_message(ours.write(payload)) == payload
        else:
            assert ours.read(bytes(theirs.write_message(payload))) == payload
    return ours, theirs


@pytest.mark.parametrize("role", ["device", "hub"])
def test_the_handshake_ends_alike(role: Role) -> None:
    ours, theirs = meet(role)
    assert ours.channel().handshake_hash == theirs.get_handshake_hash()
    if isinstance(ours, Responder):
        assert ours.remote_static == DEVICE.public


@pytest.mark.parametrize("role", ["device", "hub"])
def test_both_directions_go_on_over_two_renewals_of_the_key(role: Role) -> None:
    ours, theirs = meet(role)
    channel = ours.channel()
    for number in range(1, 2 * RENEWAL + 3):
        text = number.to_bytes(4, "big")
        assert theirs.decrypt(channel.encrypt(text)) == text
        assert channel.decrypt(theirs.encrypt(text)) == text
        if number % RENEWAL == 0:  # it has to be told
            theirs.rekey_inbound_cipher()
            theirs.rekey_outbound_cipher()


def test_the_same_keys_make_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    ephemeral = KeyPair.of(bytes([3]) * 32)
    monkeypatch.setattr(KeyPair, "generate", lambda: ephemeral)
    theirs = other("device")
    theirs.noise_protocol.handshake_state.e = theirs.noise_protocol.dh_fn.klass.from_private_bytes(ephemeral.private)
    assert Initiator(DEVICE, HUB.public).write(b"hello") == theirs.write_message(b"hello")
