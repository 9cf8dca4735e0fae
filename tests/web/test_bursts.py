"""A thousand requests at once: each waits its turn, and all succeed, with no patience or second attempt of the clients."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import pytest

from apiv3.web.server.connections import raise_descriptors
from tests.support.server import LiveServer
from tests.support.waiting import PATIENCE
from tests.support.wire import LOCAL, now_ms, request, unique

BURST = 1_000
"""More than ten times the requests, and four times the connections, that one address may have under way."""


@pytest.fixture(scope="module")
def writer(server: LiveServer) -> str:
    return server.jwt(server.subject(unique("burst"), "api:entries:*"))


async def _all_at_once(server: LiveServer, jwt: str, sources: list[str]) -> Counter[int]:
    """POST an entry from each source, each over a connection of its own that stays open; count the statuses."""
    raise_descriptors()
    device, opened = unique("device"), list[asyncio.StreamWriter]()

    async def post(number: int, source: str) -> int:
        reader, writer = await asyncio.open_connection(LOCAL, server.port, local_addr=(source, 0))
        opened.append(writer)
        entry = {"app": "test", "device": f"{device}-{number}", "type": "sgv", "sgv": 100, "date": now_ms()}
        headers = ("Date", str(now_ms())), ("Authorization", f"Bearer {jwt}")
        writer.write(request("POST", "/api/v3/entries", *headers, body=json.dumps(entry).encode()))
        return int((await reader.readuntil(b"\r\n\r\n")).split()[1])

    try:
        async with asyncio.timeout(PATIENCE):
            return Counter(await asyncio.gather(*(post(number, source) for number, source in enumerate(sources))))
    finally:
        for each in opened:
            each.close()


async def test_a_burst_of_one_address_succeeds(server: LiveServer, writer: str) -> None:
    assert await _all_at_once(server, writer, [LOCAL] * BURST) == {201: BURST}


async def test_a_burst_of_one_subject_from_many_addresses_succeeds(server: LiveServer, writer: str) -> None:
    sources = [f"127.0.{number // 200}.{number % 200 + 2}" for number in range(BURST)]
    assert await _all_at_once(server, writer, sources) == {201: BURST}
