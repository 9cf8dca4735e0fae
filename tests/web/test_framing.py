"""Where bodies end: however they are cut into segments, the same body, and the same rest."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as some

from apiv3.web.server.framing import BadFraming, Chunked, Framing, Sized, framing

MOST = 1000
REST = b"GET / HTTP/1.1\r\n"

PIECES = [b"0", b"1", b"a", b"\r", b"\n", b"\r\n", b";", b"x", b" ", b"\x00", b"-", b"+"]

Cuts = some.lists(some.integers(1, 40), max_size=30)
Chunks = some.lists(some.binary(min_size=1, max_size=60), max_size=6)
Trailers = some.lists(some.from_regex(r"[a-z]{1,8}: [a-z]{0,8}", fullmatch=True), max_size=3)


def _encoded(chunks: list[bytes], trailers: list[str], extension: bytes = b"") -> bytes:
    pieces = [b"%x%b\r\n%b\r\n" % (len(chunk), extension, chunk) for chunk in chunks]
    return b"".join([*pieces, b"0\r\n", *(f"{line}\r\n".encode() for line in trailers), b"\r\n"])


def _read(body: Framing, data: bytes, cuts: list[int]) -> tuple[bytes, bytes]:
    """The body and what follows it, from data that comes in segments of these lengths."""
    found, rest = b"", b""
    while data:
        size = cuts.pop() if cuts else len(data)
        segment, data = rest + data[:size], data[size:]
        at = 0
        while at < len(segment) and not body.done:
            piece, at = body.take(segment, at)
            found += piece
        rest = segment[at:]
    return found, rest


@given(Chunks, Trailers, Cuts, some.sampled_from([b"", b";a", b' ; a="b"']))
def test_chunks_are_joined_wherever_they_are_cut(
    chunks: list[bytes], trailers: list[str], cuts: list[int], extension: bytes
) -> None:
    body = Chunked(MOST)
    assert _read(body, _encoded(chunks, trailers, extension) + REST, cuts) == (b"".join(chunks), REST)
    assert body.done


@given(some.binary(min_size=1, max_size=200), Cuts)
def test_a_length_ends_a_body_wherever_it_is_cut(content: bytes, cuts: list[int]) -> None:
    body = Sized(len(content))
    assert _read(body, content + REST, cuts) == (content, REST)


@given(
    some.lists(some.sampled_from([b"0", b"1", b"a", b"\r", b"\n", b"\r\n", b";", b"x", b" ", b"\x00", b"-", b"+"]), max_size=12)
)
def test_what_is_accepted_is_what_an_independent_parser_reads(pieces: list[bytes]) -> None:
    """h11 reads chunked bodies, too. Whatever is complete here is the same there; more may be refused here."""
    data = b"".join(pieces)
    body = Chunked(MOST)
    try:
        found, _ = _read(body, data, [])
    except BadFraming:
        return
    if body.done:
        peer = h11.Connection(h11.SERVER)
        peer.receive_data(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + data)
        there = b""
        assert isinstance(peer.next_event(), h11.Request)
        while not isinstance(event := peer.next_event(), h11.EndOfMessage):
            assert isinstance(event, h11.Data)
            there += event.data
        assert found == there


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n",
        b"x\r\n",
        b"-1\r\n",
        b"+1\r\na\r\n",
        b"0x1\r\na\r\n",
        b"1 1\r\na\r\n",
        b"1\na\n",
        b"1\r\nab\r\n",
        b"1\r\na\n0\r\n",
        b"1;a\nb\r\na\r\n",
        b"1;" + b"x" * 2000,
        b"0\r\n" + b"a: b\r\n" * 200,
        b"0\r\na: " + b"x" * 2000,
        b"fffffffffffff\r\n",
    ],
)
def test_bad_framing_is_refused(data: bytes) -> None:
    body = Chunked(MOST)
    with pytest.raises(BadFraming):
        _read(body, data, [])


@pytest.mark.parametrize(
    "headers",
    [
        [(b"transfer-encoding", b"gzip, chunked")],
        [(b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"chunked")],
        [(b"transfer-encoding", b"identity")],
        [(b"content-length", b"5"), (b"content-length", b"6")],
        [(b"content-length", b"+5")],
    ],
)
def test_a_body_whose_end_is_not_certain_is_refused(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(BadFraming):
        framing(headers, MOST)
