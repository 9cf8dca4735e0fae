"""Programs that attack a server from a process of their own: `python -m tests.support.attackers NAME PORT CONNECTIONS SECONDS`.

Each opens so many connections from 127.0.0.1 and goes on for so many seconds. Nothing here needs a token.
"""

import asyncio
import itertools
import secrets
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from apiv3.web.site.static import static

HOST = b"Host: localhost\r\n"
GET = b"GET /n HTTP/1.1\r\n" + HOST + b"\r\n"
POST = b"POST /api/v3/entries HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
SWAGGER = f"GET {static('swagger-ui-bundle.js')} HTTP/1.1\r\n".encode() + HOST + b"\r\n"
UPGRADE = (
    b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
PING, FRAGMENT = b"\x89\x80\0\0\0\0", b"\x00\x80\0\0\0\0"
FIRST_FRAGMENT = b"\x01\x80\0\0\0\0"
PONG_ME = b"\x89\xfd\0\0\0\0" + b"x" * 125


def text_frame(text: str) -> bytes:
    """A websocket message of a client, of less than 64 kB; masked with zeros, which change nothing."""
    data = text.encode()
    head = bytes([0x81, 0x80 | len(data)]) if len(data) < 126 else b"\x81\xfe" + len(data).to_bytes(2)
    return head + b"\0\0\0\0" + data


Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _read_all(reader: asyncio.StreamReader) -> None:
    while await reader.read(262_144):
        pass


async def _flood(stream: Stream, opening: bytes, piece: bytes, *, reads: bool) -> None:
    """Send the opening once, and the piece for as long as the server takes it."""
    reader, writer = stream
    reading = asyncio.create_task(_read_all(reader)) if reads else None
    try:
        writer.write(opening)
        while True:
            writer.write(piece)
            await writer.drain()
    finally:
        if reading is not None:
            reading.cancel()


async def _handshake(stream: Stream) -> None:
    stream[1].write(UPGRADE + b"\r\n")
    await stream[0].readuntil(b"\r\n\r\n")


async def pipelining(stream: Stream) -> None:
    """Thousands of requests at once, over and over, their answers read."""
    await _flood(stream, b"", GET * 4000, reads=True)


async def trailers(stream: Stream) -> None:
    await _flood(stream, POST + b"0\r\n", b"a1: b\r\n" * 10_000, reads=True)


async def endless_trailer(stream: Stream) -> None:
    await _flood(stream, POST + b"0\r\na: ", b"x" * 60_000, reads=True)


async def tiny_chunks(stream: Stream) -> None:
    await _flood(stream, POST, b"1\r\na\r\n" * 10_000, reads=True)


async def endless_extension(stream: Stream) -> None:
    await _flood(stream, POST + b"1;", b"x" * 60_000, reads=True)


async def endless_header(stream: Stream) -> None:
    await _flood(stream, b"GET / HTTP/1.1\r\n" + HOST + b"X: ", b"x" * 60_000, reads=True)


async def unwanted_bodies(stream: Stream) -> None:
    """Bodies that are refused at once, and sent all the same."""
    await _flood(stream, POST.replace(b"Transfer-Encoding: chunked", b"Content-Length: 900000000"), b"x" * 60_000, reads=True)


async def pings(stream: Stream) -> None:
    await _handshake(stream)
    await _flood(stream, b"", PING * 10_000, reads=True)


async def unread_pongs(stream: Stream) -> None:
    await _handshake(stream)
    await _flood(stream, b"", PONG_ME * 500, reads=False)


async def continuations(stream: Stream) -> None:
    await _handshake(stream)
    await _flood(stream, FIRST_FRAGMENT, FRAGMENT * 10_000, reads=True)


async def unread_answers(stream: Stream) -> None:
    """Requests of the largest public answer, none of which is read."""
    await _flood(stream, b"", SWAGGER * 100, reads=False)


async def connections(stream: Stream) -> None:
    """A connection without a request, for as long as it may stay."""
    await stream[0].read()


async def websockets(stream: Stream) -> None:
    """A websocket that is opened and closed, as a phone on a bad line does."""
    await _handshake(stream)


def _post(path: bytes, body: bytes) -> bytes:
    return b"POST %b HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n%b" % (path, HOST, len(body), body)


def _get(path: bytes) -> bytes:
    return b"GET %b HTTP/1.1\r\n%b\r\n" % (path, HOST)


async def descriptions(stream: Stream) -> None:
    """The OpenAPI document and the pages, over and over."""
    pages = _get(b"/api/v3/openapi.json") + _get(b"/api3-docs") + _get(b"/")
    await _flood(stream, b"", pages * 50, reads=True)


async def unread_descriptions(stream: Stream) -> None:
    await _flood(stream, b"", _get(b"/api/v3/openapi.json") * 100, reads=False)


async def sign_ins(stream: Stream) -> None:
    """Each with another address, and a password that is wrong."""
    body = b'{"email":"%b@x.example","password":"correct horse"}'
    names = (secrets.token_hex(4).encode() for _ in itertools.count())
    await _flood(stream, b"", b"".join(_post(b"/api/requestAuthToken", body % next(names)) for _ in range(100)), reads=True)


async def invitations(stream: Stream) -> None:
    """Guessed ones, opened and used."""
    path = b"/invitation/" + b"x" * 43
    await _flood(stream, b"", (_get(path) + _post(path, b"password=correct+horse")) * 50, reads=True)


async def exchanges(stream: Stream) -> None:
    await _flood(stream, b"", _get(b"/api/v2/authorization/request/x-0123456789abcdef") * 100, reads=True)


async def subscriptions(stream: Stream) -> None:
    """Without a right to them, over a websocket."""
    await _handshake(stream)
    asked = '42/%s,1["%s",{"accessToken":"x-0123456789abcdef"}]'
    events = text_frame(asked % ("storage", "subscribe")) + text_frame(asked % ("alarm", "ack"))
    await _flood(stream, text_frame("40/storage,") + text_frame("40/alarm,"), events, reads=True)


async def sessions(stream: Stream) -> None:
    """Sessions of Socket.IO that are opened and left."""
    await _flood(stream, b"", _get(b"/socket.io/?EIO=4&transport=polling") * 100, reads=True)


ATTACKS: dict[str, Callable[[Stream], Awaitable[None]]] = {
    attack.__name__: attack
    for attack in (
        *(pipelining, trailers, endless_trailer, tiny_chunks, endless_extension, endless_header, unwanted_bodies),
        *(pings, unread_pongs, continuations, unread_answers, connections, websockets),
        *(descriptions, unread_descriptions, sign_ins, invitations, exchanges, subscriptions, sessions),
    )
}


async def _one(attack: Callable[[Stream], Awaitable[None]], port: int, end: float) -> int:
    """One connection after the other until the end; how many there were."""
    for count in itertools.count():
        if time.monotonic() >= end:
            return count
        with suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
            async with asyncio.timeout(max(0.1, end - time.monotonic())):
                stream = await _connected(port)
                try:
                    await attack(stream)
                finally:
                    stream[1].transport.abort()
        await asyncio.sleep(0.01)
    raise AssertionError


async def _connected(port: int) -> Stream:
    line = socket.socket()
    line.setblocking(False)
    await asyncio.get_running_loop().sock_connect(line, ("127.0.0.1", port))
    return await asyncio.open_connection(sock=line)


async def main(name: str, port: int, connections_: int, seconds: float) -> int:
    end = time.monotonic() + seconds
    return sum(await asyncio.gather(*[_one(ATTACKS[name], port, end) for _ in range(connections_)]))


if __name__ == "__main__":
    name, port, number, seconds = sys.argv[1:]
    sys.stdout.write(f"{asyncio.run(main(name, int(port), int(number), float(seconds)))}\n")
