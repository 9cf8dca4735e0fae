"""The bodies of all requests under way share one account of memory: who finds too little left waits for their turn."""

import asyncio
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiv3.model.errors import ServerBusy
from apiv3.web.bodies import BodyMemory
from tests.support.documents import DATE
from tests.support.factories import FreshServer
from tests.support.server import LiveServer
from tests.support.wire import Line, request

HALF = 16_777_216
"""Bytes of the longest body, half of what all may take."""


# --- the account


def test_first_come_first_served() -> None:
    async def run() -> list[str]:
        memory, order = BodyMemory(10, 5), list[str]()

        async def work(name: str, size: int) -> None:
            await memory.take(size)
            order.append(name)

        await work("whole", 10)
        waiting = [asyncio.create_task(work(name, size)) for name, size in (("large", 8), ("small", 1), ("other", 1))]
        await asyncio.sleep(0)
        await work("nothing", 0)
        memory.give(1)
        await asyncio.sleep(0)
        assert order == ["whole", "nothing"]  # there is room for the small one, but the large one came first
        memory.give(9)
        await asyncio.gather(*waiting)
        return order

    assert asyncio.run(run()) == ["whole", "nothing", "large", "small", "other"]


def test_who_waits_too_long_is_told_to_come_back() -> None:
    async def run() -> None:
        memory = BodyMemory(10, 0.01)
        await memory.take(10)
        with pytest.raises(ServerBusy) as refused:
            await memory.take(1)
        assert dict(refused.value.headers) == {"Retry-After": "5", "Connection": "close"}
        memory.give(10)
        await memory.take(10)

    asyncio.run(run())


STEPS = st.lists(st.tuples(st.sampled_from(["take", "give", "cancel", "rest"]), st.integers(0, 10)), max_size=40)


@given(STEPS)
def test_nothing_is_lost_and_nothing_taken_twice(steps: list[tuple[str, int]]) -> None:
    """Whoever comes, leaves or gives up, in whatever order: in the end everything can be taken again."""

    async def run() -> None:
        trial = Trial()
        for step, number in steps:
            await getattr(trial, step)(number)
            assert sum(trial.holding) <= 10
        while not all(task.done() for task in trial.tasks):
            await trial.give(0)
            await asyncio.sleep(0)
        while trial.holding:
            await trial.give(0)
        await asyncio.wait_for(trial.memory.take(10), 1)

    asyncio.run(run())


class Trial:
    """Those who take memory and give it back. `holding`: what each of them has."""

    def __init__(self) -> None:
        self.memory = BodyMemory(10, 60)
        self.holding: list[int] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def take(self, size: int) -> None:
        self.tasks.append(asyncio.create_task(self._hold(size)))

    async def _hold(self, size: int) -> None:
        await self.memory.take(size)
        self.holding.append(size)

    async def give(self, number: int) -> None:
        if self.holding:
            self.memory.give(self.holding.pop(number % len(self.holding)))

    async def cancel(self, number: int) -> None:
        if self.tasks:
            self.tasks[number % len(self.tasks)].cancel()

    async def rest(self, _number: int) -> None:
        await asyncio.sleep(0)


# --- through the front door


@pytest.fixture
def server(fresh_server: FreshServer, database: str) -> LiveServer:
    return fresh_server(database, env={"API3_REQUEST_TIMEOUT": "4"})


def _begin(server: LiveServer, token: str, path: str, size: int | None) -> Line:
    """A request whose body is on its way, and stays there. `size`: None for one that does not say its length."""
    length = ("Transfer-Encoding", "chunked") if size is None else ("Content-Length", str(size))
    headers = (("Date", formatdate(usegmt=True)), ("Authorization", f"Bearer {token}"), length)
    return Line(server).send(request("POST", path, *headers) + (b"1\r\n[\r\n" if size is None else b"["))


def test_bodies_wait_for_their_turn(server: LiveServer) -> None:
    token = server.subject("uploader", "api:*:*")
    jwt, api = server.jwt(token), server.client(token)
    document = {"date": DATE, "app": "tests"}
    with ExitStack() as lines, ThreadPoolExecutor() as threads:
        first, _ = (lines.enter_context(_begin(server, jwt, "/api/v3/entries/bulk", size)) for size in (HALF, None))
        waiting = threads.submit(api.post, "/api/v3/entries", json=document)
        assert api.get("/api/v3/entries").status_code == 200  # what has no body does not wait
        with pytest.raises(TimeoutError):
            waiting.result(0.5)
        first._socket.shutdown(socket.SHUT_RDWR)  # it gives up
        assert waiting.result(3).status_code == 201


def test_who_would_wait_for_too_long_may_come_again(server: LiveServer) -> None:
    """Those before it are slow, and are refused for that in the end; nobody waits for ever, and nothing is stored."""
    token = server.subject("uploader", "api:*:*")
    jwt, api = server.jwt(token), server.client(token, timeout=30)
    document = json.dumps({"date": DATE, "app": "tests"}).encode()
    with ExitStack() as lines:
        slow = [lines.enter_context(_begin(server, jwt, "/api/v3/entries/bulk", HALF)) for _ in range(2)]
        answer = api.post("/api/v3/entries", content=document)
        assert answer.status_code in (201, 503)
        assert [line.reply("POST").status for line in slow] == [408, 408]
        if answer.status_code == 503:
            assert answer.json() == {"status": 503, "message": "The server is busy, try again later"}
            assert answer.headers["Retry-After"] == "5"
    assert api.post("/api/v3/entries", content=document).status_code in (200, 201)


def test_a_burst_of_large_documents_is_stored(fresh_server: FreshServer, database: str) -> None:
    """Ten bodies of 7 MB at once are more than may be in memory together; all of them get in."""
    server = fresh_server(database)
    api = server.client(server.subject("uploader", "api:*:*"), timeout=60)

    def upload(number: int) -> int:
        document = {"date": DATE + number, "app": "tests", "identifier": f"large {number}", "text": "x" * 7_000_000}
        return api.post("/api/v3/profile", json=document).status_code

    with ThreadPoolExecutor(10) as threads:
        assert list(threads.map(upload, range(10))) == [201] * 10
    for number in range(10):  # one by one: all of them are more than one answer may hold
        found = api.get(f"/api/v3/profile/large {number}?fields=date").json()
        assert found == {"status": 200, "result": {"date": DATE + number}}
