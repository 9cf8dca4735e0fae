"""Handshakes and channels of Noise: what holds for all of them, and what each wrong message, key or call meets."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiv3.noise import (
    LONGEST_MESSAGE,
    LONGEST_PLAINTEXT,
    REKEY_AFTER,
    Initiator,
    KeyPair,
    NoiseError,
    Responder,
    check_public,
)
from tests.support.noise import DEVICE, HUB, channels, roles, shake

PRIME = 2**255 - 19


def point(number: int) -> bytes:
    return number.to_bytes(32, "little")


LOW_ORDER = {
    "zero": point(0),
    "one": point(1),
    "order 8": bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    "order 8, the other": bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    "p - 1": point(PRIME - 1),
    "p": point(PRIME),
    "p + 1": point(PRIME + 1),
    "zero with the highest bit": point(2**255),
}
"""All points whose shared secrets are zero (https://cr.yp.to/ecdh.html#validate), and other spellings of them."""

# --- what holds for all ---


@given(payloads=st.tuples(*[st.binary(max_size=200)] * 3), texts=st.lists(st.tuples(st.booleans(), st.binary(max_size=200))))
def test_what_one_side_says_the_other_one_hears(payloads: tuple[bytes, bytes, bytes], texts: list[tuple[bool, bytes]]) -> None:
    device, hub = roles()
    assert hub.read(device.write(payloads[0])) == payloads[0]
    assert device.read(hub.write(payloads[1])) == payloads[1]
    assert hub.read(device.write(payloads[2])) == payloads[2]
    assert hub.remote_static == DEVICE.public
    ends = device.channel(), hub.channel()
    assert ends[0].handshake_hash == ends[1].handshake_hash
    for is_up, text in texts:
        sender, receiver = ends if is_up else ends[::-1]
        message = sender.encrypt(text)
        assert len(message) == len(text) + 16
        assert receiver.decrypt(message) == text


def test_no_two_connections_are_alike() -> None:
    (first, _), (second, _) = channels(), channels()
    assert first.handshake_hash != second.handshake_hash
    assert first.encrypt(b"same") != second.encrypt(b"same")


@given(st.data())
def test_no_changed_message_ends_a_handshake_well(data: st.DataObject) -> None:
    """Wherever a byte of any of the three messages changes, is missing or comes in addition, the reader refuses in the end."""
    device, hub = roles()
    which = data.draw(st.integers(0, 2))

    def carried(step: int, message: bytes) -> bytes:
        return data.draw(st.sampled_from(wrongs(message))) if step == which else message

    def talk() -> None:
        hub.read(carried(0, device.write(b"one")))
        device.read(carried(1, hub.write(b"two")))
        hub.read(carried(2, device.write(b"three")))

    with pytest.raises(NoiseError):
        talk()
    for side in (device, hub) if which == 1 else (hub,):
        with pytest.raises(NoiseError):
            side.channel()


def wrongs(message: bytes) -> list[bytes]:
    """Messages that are not this one: shorter, longer, and with one bit changed in each byte."""
    changed = [message[:at] + bytes([byte ^ 1 << at % 8]) + message[at + 1 :] for at, byte in enumerate(message)]
    return [b"", message[: len(message) // 2], message[:-1], message[1:], message + b"\0", *changed]


@given(st.binary(max_size=200))
def test_no_made_up_message_is_read(message: bytes) -> None:
    with pytest.raises(NoiseError):
        Responder(HUB).read(message)
    device_end, hub_end = channels()
    with pytest.raises(NoiseError):
        hub_end.decrypt(message)
    assert hub_end.decrypt(device_end.encrypt(b"next")) == b"next"


# --- channels ---


def test_a_message_that_is_refused_leaves_the_counter_as_it_was() -> None:
    device, hub = channels()
    first, second = device.encrypt(b"first"), device.encrypt(b"second")
    for wrong in (*wrongs(first), second, hub.encrypt(b"of the hub itself")):
        with pytest.raises(NoiseError):
            hub.decrypt(wrong)
    assert hub.decrypt(first) == b"first"
    with pytest.raises(NoiseError):
        hub.decrypt(first)  # a second time
    assert hub.decrypt(second) == b"second"


def test_keys_are_renewed_after_the_same_message_and_each_direction_by_itself() -> None:
    device, hub = channels()
    for _ in range(REKEY_AFTER):
        assert hub.decrypt(device.encrypt(b"up")) == b"up"
    late = device.encrypt(b"late")
    with pytest.raises(NoiseError):
        hub.decrypt(late[:-1] + bytes([late[-1] ^ 1]))
    assert hub.decrypt(late) == b"late"
    assert device.decrypt(hub.encrypt(b"the first one down")) == b"the first one down"


def test_bounds_of_a_message() -> None:
    device, hub = channels()
    longest = random.Random(1).randbytes(LONGEST_PLAINTEXT)
    assert LONGEST_PLAINTEXT == 65_519
    with pytest.raises(NoiseError):
        device.encrypt(longest + b"x")
    message = device.encrypt(longest)  # the refusal has used no number of the counter
    assert len(message) == LONGEST_MESSAGE == 65_535
    assert hub.decrypt(message) == longest
    with pytest.raises(NoiseError, match="at most"):  # from somebody who does not keep to the bounds
        hub.decrypt(device._sending.encrypt(longest + b"x"))


def test_bounds_of_a_message_in_the_handshake() -> None:
    device, hub = roles()
    with pytest.raises(NoiseError):
        device.write(bytes(LONGEST_MESSAGE - 48 + 1))
    with pytest.raises(NoiseError, match="at most"):
        hub.read(bytes(LONGEST_MESSAGE + 1))
    device, hub = roles()
    assert len(hub.read(device.write(bytes(LONGEST_MESSAGE - 48)))) == LONGEST_MESSAGE - 48


def test_a_counter_that_is_used_up_is_refused() -> None:
    device, hub = channels()
    device._sending.nonce = hub._receiving.nonce = 2**64 - 2
    last = device.encrypt(b"last")
    assert hub.decrypt(last) == b"last"
    with pytest.raises(NoiseError, match="used up"):
        device.encrypt(b"one more")
    with pytest.raises(NoiseError, match="used up"):
        hub.decrypt(last)


# --- handshakes ---


def test_who_calls_is_known_only_after_the_third_message() -> None:
    device, hub = roles()
    hub.read(device.write())
    device.read(hub.write())
    with pytest.raises(NoiseError):
        _ = hub.remote_static
    third = device.write()
    with pytest.raises(NoiseError):  # its key is authentic, its payload is not
        hub.read(third[:-1] + bytes([third[-1] ^ 1]))
    with pytest.raises(NoiseError):
        _ = hub.remote_static


STRANGERS: dict[str, Callable[[], tuple[Initiator, Responder]]] = {
    "another hub": lambda: (Initiator(DEVICE, HUB.public), Responder(KeyPair.generate())),
    "another version": lambda: (Initiator(DEVICE, HUB.public, b"apiv3/hub/2"), Responder(HUB)),
    "a key of low order for the hub": lambda: (Initiator(DEVICE, bytes(32)), Responder(HUB)),
    "a key of another length for the hub": lambda: (Initiator(DEVICE, bytes(31)), Responder(HUB)),
    "another one's public key": lambda: (Initiator(KeyPair(DEVICE.private, HUB.public), HUB.public), Responder(HUB)),
}


@pytest.mark.parametrize("strangers", STRANGERS.values(), ids=STRANGERS)
def test_strangers_do_not_meet(strangers: Callable[[], tuple[Initiator, Responder]]) -> None:
    device, hub = strangers()
    with pytest.raises(NoiseError):
        shake(device, hub)
    with pytest.raises(NoiseError):
        hub.channel()


CALLS: dict[str, Callable[[Initiator, Responder], object]] = {
    "the hub begins": lambda _, hub: hub.write(),
    "the device listens first": lambda device, _: device.read(bytes(48)),
    "the device writes twice": lambda device, _: (device.write(), device.write()),
    "a message twice": lambda device, hub: [hub.read(message) for message in [device.write()] * 2],
    "a channel before the end": lambda device, hub: (hub.read(device.write()), hub.channel()),
    "a fourth message": lambda device, hub: (shake(device, hub), hub.write()),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_steps_out_of_turn_are_refused(call: Callable[[Initiator, Responder], object]) -> None:
    with pytest.raises(NoiseError):
        call(*roles())


def test_an_error_ends_the_handshake() -> None:
    device, hub = roles()
    message = device.write()
    with pytest.raises(NoiseError):
        hub.read(message[:-1])
    with pytest.raises(NoiseError, match="not the next step"):
        hub.read(message)


# --- keys ---


@pytest.mark.parametrize("public", LOW_ORDER.values(), ids=LOW_ORDER)
def test_a_key_of_low_order_is_refused_everywhere(public: bytes) -> None:
    with pytest.raises(NoiseError):
        check_public(public)
    with pytest.raises(NoiseError):
        HUB.shared_with(public)
    with pytest.raises(NoiseError, match="low order"):
        Responder(HUB).read(public + bytes(16))
    device, _ = roles()
    device.write()
    with pytest.raises(NoiseError, match="low order"):
        device.read(public + bytes(16))


@pytest.mark.parametrize("public", LOW_ORDER.values(), ids=LOW_ORDER)
def test_a_key_of_low_order_does_not_sign_in(public: bytes) -> None:
    """The third message names such a key: the secret would be known to everybody, so everybody could be that device."""
    device, hub = Initiator(KeyPair(DEVICE.private, public), HUB.public), Responder(HUB)
    hub.read(device.write())
    device.read(hub.write())
    with pytest.raises(NoiseError, match="low order"):
        hub.read(device.write())


@pytest.mark.parametrize(
    "public",
    [b"", bytes(31), bytes(33), DEVICE.public[:-1] + bytes([DEVICE.public[-1] | 128]), point(PRIME + 9), b"\xff" * 32],
    ids=["empty", "short", "long", "with the highest bit", "over the prime", "all ones"],
)
def test_a_key_has_one_spelling(public: bytes) -> None:
    with pytest.raises(NoiseError, match=r"32 bytes|canonical"):
        check_public(public)


@given(st.binary(min_size=32, max_size=32))
def test_the_public_key_of_every_private_key_is_good(private: bytes) -> None:
    keys = KeyPair.of(private)
    check_public(keys.public)
    assert keys.shared_with(HUB.public) == HUB.shared_with(keys.public)
    assert repr(private) not in repr(keys)


def test_a_private_key_has_32_bytes() -> None:
    for private in (b"", bytes(31), bytes(33)):
        with pytest.raises(NoiseError):
            KeyPair.of(private)
