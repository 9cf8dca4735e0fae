"""What of a visit is a complaint: whatever went wrong at the server, and nothing that the browser itself ended."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from urllib.parse import quote, unquote

import pytest
import pytest_asyncio

from tests.browser.conftest import Visit
from tests.support.processes import free_port

CLOSED = free_port()
"""A port that nobody listens on."""
POLICY = f"default-src 'self' 'unsafe-inline' http://127.0.0.1:{CLOSED}"
ANSWERS = {
    "/torn": "200 OK\r\nContent-Length: 99",
    "/open": "200 OK\r\nContent-Type: text/event-stream",
    "/missing": "404 Not Found\r\nContent-Length: 0",
    "/favicon.ico": "204 No Content",
}


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Of `/late` nothing comes, of `/torn` a half; `/open` is a stream, and `/page/...` a page that holds what follows."""
    with suppress(ConnectionError, asyncio.IncompleteReadError):
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        page = unquote(path.removeprefix("/page/"))
        head = ANSWERS.get(path, f"200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(page)}")
        if path != "/late":
            writer.write(f"HTTP/1.1 {head}\r\nContent-Security-Policy: {POLICY}\r\nConnection: close\r\n\r\n".encode())
            writer.write(b"" if path in ANSWERS else page.encode())
            await writer.drain()
        if path in ("/late", "/open"):
            await reader.read()  # until the browser has had enough
    writer.close()


@pytest_asyncio.fixture(loop_scope="session")
async def place() -> AsyncIterator[str]:
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    yield f"http://{host}:{port}"
    server.close()


UNDER_WAY = {
    "an image": ("<img src='/late' alt=''>", "/late"),
    "an icon": ("<link rel=icon href='/late'>", "/late"),
    "a fetch": ("<script>fetch('/late')</script>", "/late"),
    "a stream": ("<script>new EventSource('/open')</script>", "/open"),
    "a stream to come": ("<script>new EventSource('/late')</script>", "/late"),
    "something for later": ("<link rel=prefetch href='/late'>", "/late"),
}


@pytest.mark.parametrize("kind", UNDER_WAY)
async def test_what_the_browser_ends_is_none(visit: Visit, place: str, kind: str) -> None:
    page, path = UNDER_WAY[kind]
    async with visit.page.expect_event("request", lambda request: request.url == place + path):
        await visit.page.goto(f"{place}/page/{quote(page)}", wait_until="commit")
    async with visit.page.expect_event("requestfailed", lambda request: request.url == place + path):
        await visit.page.goto("about:blank")
    assert visit.complaints == []


WRONG = {
    "refused": ("<img src='http://127.0.0.1:{closed}/' alt=''>", "requestfailed", "{closed}/: net::ERR_CONNECTION_REFUSED"),
    "a stream refused": ("<script>new EventSource('http://127.0.0.1:{closed}/')</script>", "requestfailed", "REFUSED"),
    "missing": ("<img src='/missing' alt=''>", "console", "404"),
    "torn": ("<script>fetch('/torn').then((answer) => answer.text())</script>", "requestfailed", "/torn: net::ERR_CONTENT"),
    "forbidden": ("<script src='data:,'></script>", "console", "policy: script-src-elem data"),
    "thrown": ("<script>throw new Error('thrown')</script>", "pageerror", "thrown"),
}


@pytest.mark.parametrize("kind", WRONG)
async def test_what_goes_wrong_is_one(visit: Visit, place: str, kind: str) -> None:
    page, event, word = (text.replace("{closed}", str(CLOSED)) for text in WRONG[kind])
    async with visit.page.expect_event(event, lambda _: any(word in each for each in visit.complaints)):
        await visit.page.goto(f"{place}/page/{quote(page)}")
