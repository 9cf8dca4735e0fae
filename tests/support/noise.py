"""Handshakes between the two roles of `apiv3.noise`, and where the published vectors may lie."""

from pathlib import Path

from apiv3.noise import Channel, Initiator, KeyPair, Responder

VECTORS = Path(__file__).parents[3] / "shared/data/noise-xk-vectors.json"
"""Vectors of another implementation, beside the clone. Where there are none, the test that would read them is not collected."""

HUB, DEVICE = KeyPair.of(bytes([1]) * 32), KeyPair.of(bytes([2]) * 32)


def roles() -> tuple[Initiator, Responder]:
    """A device and the hub, before their first message."""
    return Initiator(DEVICE, HUB.public), Responder(HUB)


def shake(device: Initiator, hub: Responder) -> tuple[Channel, Channel]:
    """The channels of both sides after a handshake without payloads."""
    hub.read(device.write())
    device.read(hub.write())
    hub.read(device.write())
    return device.channel(), hub.channel()


def channels() -> tuple[Channel, Channel]:
    return shake(*roles())
