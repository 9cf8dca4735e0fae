"""Payloads and packets: what is joined can be split, and nothing that a client sends does more than fail."""

from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from apiv3.live.packets import MOST_PACKETS, Packet, ProtocolError, acknowledgement, event, join, parse, split

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x1e"), min_size=1)


@pytest.mark.parametrize("version", [3, 4])
@given(packets=st.lists(texts, min_size=1, max_size=10))
@example(packets=["4\U0001f600:3", "2", "ä"])
def test_what_is_joined_can_be_split(version: int, packets: list[str]) -> None:
    assert split(version, join(version, packets)) == packets


def test_lengths_count_as_javascript_does() -> None:
    assert join(3, ["4\U0001f600", "2"]) == "3:4\U0001f6001:2"


@pytest.mark.parametrize(
    "payload", ["4", ":", "2:4", "0x1:4", "2:\U0001f6001:2:", "1:\U0001f600", "-1:2", "9999999999:4", "1:4 "]
)
def test_wrong_lengths_are_refused(payload: str) -> None:
    with pytest.raises(ProtocolError):
        split(3, payload)


@pytest.mark.parametrize(("version", "payload"), [(3, "1:6" * (MOST_PACKETS + 1)), (4, "\x1e".join("6" * (MOST_PACKETS + 1)))])
def test_a_payload_has_no_more_than_so_many_packets(version: int, payload: str) -> None:
    with pytest.raises(ProtocolError):
        split(version, payload)


@given(st.integers(3, 4), st.text())
def test_any_payload_is_split_or_refused(version: int, payload: str) -> None:
    with suppress(ProtocolError):
        assert all(isinstance(packet, str) for packet in split(version, payload))


@given(st.one_of(st.text(), st.text("0123456/,?[]{}\"':\\ u", max_size=30)))
def test_any_message_is_a_packet_or_refused(message: str) -> None:
    with suppress(ProtocolError):
        assert parse(message).namespace.startswith("/")


@pytest.mark.parametrize(
    ("message", "packet"),
    [
        ("0", Packet("0", "/", None, None)),
        ("0/storage", Packet("0", "/storage", None, None)),
        ("0/storage,", Packet("0", "/storage", None, None)),
        ('0/storage,{"a":1}', Packet("0", "/storage", None, {"a": 1})),
        ("0/storage?token=x&y=%2C,", Packet("0", "/storage", None, None)),
        ("0/?x=1,", Packet("0", "/", None, None)),
        ('2["a"]', Packet("2", "/", None, ["a"])),
        ('212["a",1]', Packet("2", "/", 12, ["a", 1])),
        ('2/storage,7["a"]', Packet("2", "/storage", 7, ["a"])),
        ("1/alarm,", Packet("1", "/alarm", None, None)),
        ("3/alarm,1[]", Packet("3", "/alarm", 1, [])),
    ],
)
def test_packets_are_parsed(message: str, packet: Packet) -> None:
    assert parse(message) == packet


@pytest.mark.parametrize(
    "message", ["", "7", "x", '51-["a",{"_placeholder":true,"num":0}]', "2[", "2{]", "2" + "[" * 5000, '2/a,"', "00["]
)
def test_other_messages_are_refused(message: str) -> None:
    with pytest.raises(ProtocolError):
        parse(message)


def test_packets_are_made() -> None:
    assert event("/storage", "create", '{"a":1}') == '42/storage,["create",{"a":1}]'
    assert acknowledgement("/alarm", 3, {"success": True}) == '43/alarm,3[{"success":true}]'
    assert acknowledgement("/", 3, None) == "433[null]"
