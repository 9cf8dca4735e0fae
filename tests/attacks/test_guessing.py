"""Somebody guesses at secrets as fast as the line allows, and learns nothing; and those who know a secret go on."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest

from apiv3.security.throttle import MOST_FAILURES
from tests.support.attacks import BYSTANDER, attack
from tests.support.factories import FreshServer
from tests.support.people import PASSWORD, add_person
from tests.support.server import LiveServer
from tests.support.waiting import PATIENCE
from tests.support.wire import api_secret, now_ms, undated, unique

GUESSERS, ENOUGH = 40, 300
ENTRIES = "/api/v3/entries"
SUBJECTS = "/api/v2/authorization/subjects"
ATTACKER, NEIGHBOUR = "203.0.113.66", "198.51.100.7"


@pytest.fixture
def guarded(fresh_server: FreshServer) -> Iterator[LiveServer]:
    """A server that is slow to refuse. Whoever waits, waits for longer than a test does; so it is killed in the end."""
    server = fresh_server(env={"AUTH_FAIL_DELAY": "60000", "TRUSTED_PROXIES": "127.0.0.1"})
    yield server
    server.kill()


async def _guess(server: LiveServer, path: str, header: str, form: str) -> Counter[int]:
    """Many guessers at one address, until ENOUGH of their guesses were refused; how they were answered."""
    answers: Counter[int] = Counter()
    enough = asyncio.Event()

    async def guess() -> None:
        async with httpx.AsyncClient(base_url=server.url, trust_env=False, verify=False, timeout=None) as client:
            while not enough.is_set():
                headers = {header: form.format(unique("guess")), "X-Forwarded-For": ATTACKER, "Date": str(now_ms())}
                answers[(await client.get(path, headers=headers)).status_code] += 1
                if answers[429] >= ENOUGH:
                    enough.set()

    guessers = [asyncio.create_task(guess()) for _ in range(GUESSERS)]
    async with asyncio.timeout(PATIENCE):
        await enough.wait()
    for guesser in guessers:
        guesser.cancel()
    await asyncio.gather(*guessers, return_exceptions=True)
    return answers


@pytest.mark.parametrize(("path", "header", "form"), [(SUBJECTS, "api-secret", "{}"), (ENTRIES, "Authorization", "Bearer {}")])
async def test_the_right_guess_looks_like_the_wrong_ones(guarded: LiveServer, path: str, header: str, form: str) -> None:
    token = guarded.subject("reader", "api:entries:read")
    guarded.restart()  # so that nothing is remembered as good
    answers = await _guess(guarded, path, header, form)
    assert set(answers) == {401, 429}
    assert answers[401] <= MOST_FAILURES
    right = api_secret(guarded) if header == "api-secret" else token
    headers = {header: form.format(right), "X-Forwarded-For": ATTACKER, "Date": str(now_ms())}
    nobody = undated(guarded)
    assert nobody.get(path, headers=headers).status_code == 429
    assert nobody.get(path, headers=headers | {"X-Forwarded-For": NEIGHBOUR}).status_code == 200
    assert nobody.get(path, headers=headers).status_code == 200  # it is known as good by now


async def test_those_who_know_go_on_at_the_same_address(guarded: LiveServer) -> None:
    token = guarded.subject("reader", "api:entries:read")
    client = guarded.client(token)
    client.headers["X-Forwarded-For"] = ATTACKER
    await _guess(guarded, ENTRIES, "Authorization", "Bearer {}")
    assert client.get(ENTRIES).status_code == 200
    assert undated(guarded).get(f"/api/v2/authorization/request/{token}").status_code == 200


async def test_a_first_mistake_elsewhere_is_answered_at_once(guarded: LiveServer) -> None:
    await _guess(guarded, ENTRIES, "Authorization", "Bearer {}")
    headers = {"X-Forwarded-For": NEIGHBOUR, "Authorization": "Bearer wrong"}
    assert guarded.client().get(ENTRIES, headers=headers).status_code == 401


async def test_sign_ins_elsewhere_come_in_turn(fresh_server: FreshServer) -> None:
    """Somebody keeps the threads for hashes busy from 50 connections; a person at another address hardly waits."""
    server = fresh_server(env={"PASSWORD_ROUNDS": "11"})
    await asyncio.to_thread(add_person, server.installation, "anna@x.example")
    flood = asyncio.create_task(asyncio.to_thread(attack, server, "sign_ins", connections=50))
    body = {"email": "anna@x.example", "password": PASSWORD}
    transport = httpx.AsyncHTTPTransport(local_address=BYSTANDER)
    waits = list[float]()
    async with httpx.AsyncClient(base_url=server.url, transport=transport, trust_env=False) as client:
        while not flood.done():
            started = time.monotonic()
            assert (await client.post("/api/requestAuthToken", json=body)).status_code == 200
            waits.append(time.monotonic() - started)
    await flood
    assert sorted(waits)[len(waits) // 2] < 2.0, waits  # fifty hashes take about five seconds
