"""SIGTERM while uploaders write without a pause: each request that was sent is answered, and nobody gets a reset."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from contextlib import suppress

import pytest

from tests.support.factories import FreshServer
from tests.support.server import LiveServer
from tests.support.waiting import PATIENCE
from tests.support.wire import now_ms, request, unique

ENTRIES = "/api/v3/entries"
WRITERS = 144
LONGEST_PAUSE = 0.3
"""Seconds between two requests on a connection: some connections are idle when the server begins to end."""


class Writer:
    """One uploader with a connection that it keeps, until it cannot connect any more. `fresh`: a new one for each request."""

    def __init__(self, server: LiveServer, jwt: str, outcomes: Counter[str], enough: asyncio.Event, *, fresh: bool) -> None:
        self._server, self._jwt, self._outcomes, self._enough, self._fresh = server, jwt, outcomes, enough, fresh

    async def run(self) -> None:
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._server.port)
            except ConnectionRefusedError:
                return
            except OSError:
                self._outcomes["reset while connecting"] += 1
                return
            try:
                while True:
                    again = await self._write(reader, writer)
                    if not again or self._fresh:
                        break
                    await asyncio.sleep(random.uniform(0, LONGEST_PAUSE))
            except (OSError, EOFError):
                self._outcomes["reset"] += 1
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _write(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Post a document; whether the connection may be used again."""
        body = b'{"identifier":"%s","app":"test","date":%d}' % (unique("entry").encode(), now_ms())
        headers = (("Date", str(now_ms())), ("Authorization", f"Bearer {self._jwt}"), ("Content-Type", "application/json"))
        writer.write(request("POST", ENTRIES, *headers, body=body))
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        self._outcomes[head.split()[1].decode()] += 1
        if self._outcomes["201"] >= 3 * WRITERS:
            self._enough.set()
        return b"connection: close" not in head


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("workers", [1, 2])
async def test_no_writer_gets_a_reset(fresh_server: FreshServer, workers: int, fresh: bool) -> None:
    server = fresh_server(workers=workers, env={"ACCESS_LOG": "off"})
    outcomes: Counter[str] = Counter()
    enough = asyncio.Event()
    jwt = server.jwt(server.subject("uploader", "api:*:*"))
    writers = [asyncio.create_task(Writer(server, jwt, outcomes, enough, fresh=fresh).run()) for _ in range(WRITERS)]
    async with asyncio.timeout(PATIENCE):
        await enough.wait()
    before = outcomes.total()
    os.kill(server.pid, signal.SIGTERM)
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*writers)
    assert outcomes.total() > before
    assert {outcome for outcome in outcomes if not outcome.isdigit()} == set(), outcomes
    assert set(outcomes) <= {"201", "429", "503"}, outcomes
    await asyncio.to_thread(server.stop)
    assert "Traceback" not in server.output
