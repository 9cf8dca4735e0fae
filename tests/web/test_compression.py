"""Answers are compressed for those who take it; what holds secrets, is small, or goes on never is."""

import gzip
import json
import sys
from collections.abc import Callable, Mapping

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiv3.web.compression import Choice, choose
from apiv3.web.site.static import static
from tests.support.documents import Corner
from tests.support.server import LiveServer
from tests.support.wire import Line, Reply, api_secret, request, unique

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

UNPACKED: Mapping[str | None, Callable[[bytes], bytes]] = {None: bytes, "gzip": gzip.decompress, "zstd": zstd.decompress}


# --- the choice


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        *((None, None), ("", None), (" , ,", None), ("identity", None), ("deflate, br", None), ("compress", None)),
        *(("gzip", "gzip"), ("GZip", "gzip"), ("x-gzip", "gzip"), ("deflate, gzip;q=0.1", "gzip"), ("gzip ; q=1.000", "gzip")),
        *(
            ("zstd", "zstd"),
            ("gzip, deflate, br, zstd", "zstd"),
            ("gzip, zstd;q=0.9", "gzip"),
            ("zstd;q=0, gzip;q=0.1", "gzip"),
        ),
        *(
            ("gzip;q=0", None),
            ("gzip;q=0.000", None),
            ("*;q=0", None),
            ("gzip;q=0, *", None),
            ("*", "gzip"),
            ("*;q=0.1", "gzip"),
        ),
        *(("identity, gzip;q=0.5", None), ("identity;q=0.5, gzip", "gzip"), ("identity;q=0.5, gzip;q=0.5", "gzip")),
        *(("gzip;q=2", None), ("gzip;q=0.1234", None), ("gzip;level=5", None), ("gzip;q=", None), ("gzip q=1", None)),
        *(("gzip" * 4000, None), ("x," * 400 + "gzip", "gzip"), ("x," * 4000 + "gzip", None)),
    ],
)
def test_a_choice(accept: str | None, coding: str | None) -> None:
    chosen = choose(accept.encode() if accept is not None else None).coding
    assert chosen == (coding.encode() if coding else None)


@given(st.text(st.sampled_from("gzipstd*;q=01., \tidenty\xff"), max_size=40))
def test_no_header_is_too_odd(accept: str) -> None:
    chosen = choose(accept.encode("latin-1"))
    assert isinstance(chosen, Choice)
    assert chosen.coding in (None, b"gzip", b"zstd")


# --- through the front door


@pytest.fixture
def library(corner: Corner) -> Corner:
    corner.fill(*({"notes": f"note {number}, é", "carbs": number} for number in range(40)))
    return corner


def ask(corner: Corner, server: LiveServer, path: str, accept: str | None, method: str = "GET") -> Reply:
    headers = [("Date", corner.api.get("/version").headers["Date"]), ("Authorization", corner.api.headers["Authorization"])]
    headers += [("Accept-Encoding", accept)] if accept is not None else []
    with Line(server) as line:
        return line.send(request(method, f"/api/v3{path}", *headers)).reply(method)


@pytest.mark.parametrize(("accept", "coding"), [("gzip", "gzip"), ("gzip, zstd", "zstd"), ("br", None), (None, None)])
def test_an_answer_of_many_documents(library: Corner, server: LiveServer, accept: str | None, coding: str | None) -> None:
    query = f"device={library.device}&sort=carbs"
    paths = [f"/treatments{ending}?{query}" for ending in ("", ".csv", ".xml")]
    for path in (*paths, f"/treatments/history/{library.cursor() - 1_000_000}?limit=30"):
        plain, reply = ask(library, server, path, None), ask(library, server, path, accept)
        assert reply.status == 200
        assert reply.headers.get("content-encoding") == coding
        assert UNPACKED[coding](reply.body) == plain.body
        assert int(reply.headers["content-length"]) == len(reply.body)
        assert (len(reply.body) < len(plain.body) / 3) == (coding is not None)
        for name in ("content-type", "vary", "etag", "last-modified", "cache-control"):
            assert reply.headers.get(name) == plain.headers.get(name)
        assert reply.headers["vary"] == "accept, accept-encoding"
        head = ask(library, server, path, accept, "HEAD")
        assert (head.status, head.body) == (200, b"")
        assert head.headers["content-length"] == reply.headers["content-length"]
        assert head.headers.get("content-encoding") == coding


def test_a_large_answer(api: httpx.Client, server: LiveServer) -> None:
    mine = Corner(api, "profile")
    identifier = mine.add(text="".join(f"{number} " for number in range(100_000)))
    for accept in ("gzip", "zstd"):
        reply = ask(mine, server, mine.url(identifier), accept)
        assert reply.headers["content-encoding"] == accept
        assert json.loads(UNPACKED[accept](reply.body))["result"] == mine.read(identifier)


def test_a_very_large_answer(api: httpx.Client, server: LiveServer) -> None:
    """One that is sent piece by piece, in every format."""
    mine = Corner(api, "food")
    mine.fill(*({"text": "x" * 30_000, "number": number} for number in range(60)))
    for ending in ("", ".csv", ".xml"):
        path = f"/food{ending}?device={mine.device}&sort=number"
        plain = ask(mine, server, path, None)
        for accept in ("gzip", "zstd"):
            reply = ask(mine, server, path, accept)
            assert (reply.status, reply.headers["content-encoding"]) == (200, accept)
            assert len(reply.body) < len(plain.body) / 10
            assert UNPACKED[accept](reply.body) == plain.body
            assert ask(mine, server, path, accept, "HEAD").headers["content-length"] == str(len(reply.body))


def test_a_small_answer_is_sent_as_it_is(corner: Corner, server: LiveServer) -> None:
    path = corner.url(corner.add())
    for accept in ("gzip", "zstd", "*"):
        assert "content-encoding" not in ask(corner, server, path, accept).headers
    forced = ask(corner, server, path, "gzip, identity;q=0")
    assert (forced.headers["content-encoding"], json.loads(gzip.decompress(forced.body))["status"]) == ("gzip", 200)
    nothing = ask(corner, server, path, "br, identity;q=0")  # an answer that the client does not like is better than none
    assert (nothing.status, nothing.json["status"]) == (200, 200)


def test_what_has_no_body_is_not_compressed(library: Corner, server: LiveServer) -> None:
    path = f"/treatments/history/{library.cursor() - 1_000_000}"
    etag = library.api.get(path).headers["ETag"]
    answer = library.api.get(path, headers={"If-None-Match": etag, "Accept-Encoding": "gzip, identity;q=0"})
    assert (answer.status_code, answer.content) == (304, b"")
    assert "content-encoding" not in answer.headers
    assert answer.headers["vary"] == "accept, accept-encoding"
    options = ask(library, server, "/treatments", "gzip, identity;q=0", "OPTIONS")
    assert (options.status, "content-encoding" in options.headers) == (204, False)
    empty = library.api.get("/treatments.csv?identifier=nobody", headers={"Accept-Encoding": "gzip, identity;q=0"})
    assert (empty.status_code, empty.content, "content-encoding" in empty.headers) == (200, b"", False)


def test_pages_with_secrets_are_never_compressed(server: LiveServer) -> None:
    """Their length would tell of what is in them."""
    token = server.subject(unique("secret" * 20), *(f"api:entries:read,create,{n}" for n in range(100)))
    headers = {"Accept-Encoding": "gzip, zstd, identity;q=0"}
    client = server.client()
    client.headers["api-secret"] = api_secret(server)
    for path in (f"/request/{token}", "/subjects", "/roles", "/permissions"):
        answer = client.get(f"/api/v2/authorization{path}", headers=headers)
        assert answer.status_code == 200
        assert len(answer.content) > 500
        assert "content-encoding" not in answer.headers


def test_a_stream_is_not_compressed(library: Corner, server: LiveServer) -> None:
    options = {"headers": {"Accept-Encoding": "gzip, identity;q=0"}, "params": {"since": "1600087000000"}}
    with library.api.stream("GET", "/events", **options) as answer:  # type: ignore[arg-type]
        assert "content-encoding" not in answer.headers
        assert next(answer.iter_raw()).startswith(b"retry: ")


@pytest.mark.parametrize("path", ["/api/v3/openapi.json", static("explorer.js")])
def test_public_files(server: LiveServer, path: str) -> None:
    client = server.client()
    plain = client.get(path, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    for coding in ("gzip", "zstd"):
        with client.stream("GET", path, headers={"Accept-Encoding": coding}) as answer:
            assert answer.headers["content-encoding"] == coding
            assert "accept-encoding" in answer.headers["vary"]
            assert UNPACKED[coding](b"".join(answer.iter_raw())) == plain.content
