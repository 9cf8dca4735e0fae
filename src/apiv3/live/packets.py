"""Engine.IO's payloads and Socket.IO's packets as text, with the differences between versions 3 and 4 of Engine.IO.

Socket.IO 2 clients speak Engine.IO 3, those of Socket.IO 3 and 4 speak Engine.IO 4. Both carry Socket.IO packets as
messages (https://github.com/socketio/engine.io-protocol, https://github.com/socketio/socket.io-protocol).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

OPEN, CLOSE, PING, PONG, MESSAGE, UPGRADE, NOOP = "0123456"
CONNECT, DISCONNECT, EVENT, ACK, CONNECT_ERROR = "01234"

VERSIONS = {"3": 3, "4": 4}
MOST_PACKETS = 100
"""Most packets in one payload; real clients send a few."""
LARGEST = 65_536
"""Most bytes of a client's message or payload; a subscription is far smaller."""

_SEPARATOR = "\x1e"
_LENGTH = re.compile(r"(\d{1,6}):", re.ASCII)
_PACKET = re.compile(r"([0-4])(?:(/[^,?]{0,100})(?:\?[^,]*)?(?:,|$))?(\d{0,15})(.*)", re.ASCII | re.DOTALL)


class ProtocolError(ValueError):
    """The client sent something that is no packet, or not allowed now. The connection is closed."""


# --- Engine.IO: several packets in the body of a polling request


def join(version: int, packets: Iterable[str]) -> str:
    """Return the payload with these packets."""
    if version == 4:
        return _SEPARATOR.join(packets)
    return "".join([f"{_units(packet)}:{packet}" for packet in packets])


def split(version: int, payload: str) -> list[str]:
    """Return the packets of a payload. Raises ProtocolError."""
    packets = payload.split(_SEPARATOR, MOST_PACKETS) if version == 4 else _split3(payload)
    if len(packets) > MOST_PACKETS:
        raise ProtocolError("too many packets in one payload")
    return packets


def _units(text: str) -> int:
    """Return the length of a text in UTF-16 code units, as JavaScript counts it: two for characters beyond U+FFFF."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


def _split3(payload: str) -> list[str]:
    packets: list[str] = []
    start = 0
    while start < len(payload) and len(packets) <= MOST_PACKETS:
        length = _LENGTH.match(payload, start)
        if length is None:
            raise ProtocolError("a packet's length is missing")
        end = _end(payload, length.end(), int(length[1]))
        packets.append(payload[length.end() : end])
        start = end
    return packets


def _end(text: str, start: int, units: int) -> int:
    """Return the index that is `units` UTF-16 code units after `start`. Raises ProtocolError."""
    end = start
    if text.isascii():
        end, units = start + units, 0
    while units > 0 and end < len(text):
        units -= 2 if text[end] > "\uffff" else 1
        end += 1
    if units or end > len(text):
        raise ProtocolError("a packet's length is wrong")
    return end


# --- Socket.IO: packets of several namespaces in one connection's messages


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet from a client. `id`: the id for the acknowledgement; None: the client expects none. `data`: parsed JSON."""

    kind: str
    namespace: str
    id: int | None
    data: Any


def parse(text: str) -> Packet:
    """Parse a packet. Raises ProtocolError for malformed ones and those with binary attachments."""
    match = _PACKET.fullmatch(text)
    if match is None:
        raise ProtocolError("malformed, or binary")
    kind, namespace, number, data = match.groups()
    try:
        return Packet(kind, namespace or "/", int(number) if number else None, orjson.loads(data) if data else None)
    except ValueError as error:  # also for JSON that is nested too deeply
        raise ProtocolError("the data are no JSON") from error


def packet(kind: str, namespace: str, data: str = "", id: int | None = None) -> str:
    """Return a packet as a message of Engine.IO. `data`: JSON text."""
    where = "" if namespace == "/" else f"{namespace},"
    return f"{MESSAGE}{kind}{where}{'' if id is None else id}{data}"


def event(namespace: str, name: str, argument: str) -> str:
    """Return an event with one argument, which is JSON text. The packet is the same for all versions."""
    return packet(EVENT, namespace, f'["{name}",{argument}]')


def acknowledgement(namespace: str, id: int, value: Any) -> str:
    """Return the acknowledgement of a client's event."""
    return packet(ACK, namespace, dumps([value]), id)


def connected(version: int, namespace: str, sid: str) -> str:
    """Return the packet that tells a client that it has joined a namespace."""
    return packet(CONNECT, namespace, dumps({"sid": sid}) if version == 4 else "")


def refused(version: int, namespace: str, message: str) -> str:
    """Return the packet that tells a client that it may not join a namespace."""
    return packet(CONNECT_ERROR, namespace, dumps({"message": message} if version == 4 else message))


def dumps(value: Any) -> str:
    """Return a value as JSON text."""
    return orjson.dumps(value).decode()
