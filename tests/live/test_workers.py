"""Several workers behind one port: any of them takes a request for a session of any other."""

import asyncio
import os
import signal
import socket as sockets
import stat
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from apiv3.live.connections import Lobby
from apiv3.live.engine import Engine
from apiv3.live.sessions import Rules
from apiv3.live.workers import Workers
from apiv3.security.ledger import Budget
from tests.support.engineio import Poller, beside, socket
from tests.support.factories import FreshServer, NewDatabase, running_server
from tests.support.server import LiveServer
from tests.support.waiting import PATIENCE, wait_until
from tests.support.wire import now_ms


@pytest.fixture(scope="module")
def crowd(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with running_server(tmp_path_factory.mktemp, new_database, workers=4) as server:
        yield server


@pytest.mark.parametrize("version", [3, 4])
def test_a_polling_client_needs_no_balancer(crowd: LiveServer, version: int) -> None:
    for number in range(8):
        poller = Poller(crowd, version)
        if version == 3:
            assert poller.receive() == "40"
        assert poller.post("40/alarm,").status == 200
        assert poller.receive().startswith("40/alarm,")
        assert poller.post(f'42/alarm,{number}["\U0001f600"]').status == 200
        assert poller.receive() == f'43/alarm,{number}[{{"success":false,"message":"Unknown event"}}]'


def test_a_polling_client_goes_on_over_a_websocket_at_any_worker(crowd: LiveServer) -> None:
    for _ in range(8):
        poller = Poller(crowd)
        with beside(crowd, poller) as trial:
            trial.send("2probe")
            assert trial.recv(timeout=PATIENCE) == "3probe"
            trial.send("5")
            trial.send("40/alarm,")
            assert str(trial.recv(timeout=PATIENCE)).startswith("40/alarm,")
        wait_until(lambda poller=poller: poller.poll().json["code"] == 1)  # type: ignore[misc]


def test_bad_packets_are_refused_at_any_worker(crowd: LiveServer) -> None:
    for _ in range(8):
        poller = Poller(crowd)
        assert poller.post("hello").json == {"code": 3, "message": "Unexpected packet"}
        assert poller.poll().json == {"code": 1, "message": "Session ID unknown"}


def test_changes_reach_subscribers_at_every_worker(crowd: LiveServer) -> None:
    reader = crowd.subject("reader", "api:*:read")
    writer = crowd.client(crowd.subject("writer", "api:*:*"))
    pollers = [Poller(crowd) for _ in range(8)]
    for poller in pollers:
        poller.post("40/storage,", f'42/storage,0["subscribe",{{"accessToken":"{reader}","collections":["food"]}}]')
        assert poller.receive().startswith("40/storage,")
        assert '"success":true' in poller.receive()
    for number in range(5):
        food = {"app": "test", "date": now_ms(), "device": f"d{number}", "utcOffset": 0}
        assert writer.post("/api/v3/food", json=food).status_code == 201
    for poller in pollers:
        events = [poller.receive() for _ in range(5)]
        assert all(f'"device":"d{number}"' in event for number, event in enumerate(events))


def test_a_change_of_the_policy_reaches_all(crowd: LiveServer) -> None:
    token = crowd.subject("loser", "api:*:read")
    pollers = [Poller(crowd) for _ in range(6)]
    for poller in pollers:
        poller.post("40/storage,", f'42/storage,0["subscribe",{{"accessToken":"{token}"}}]')
        poller.receive()
        assert '"success":true' in poller.receive()
    [subject] = [each for each in crowd.admin("GET", "/subjects") if each["accessToken"] == token]
    crowd.admin("DELETE", f"/subjects/{subject['_id']}")
    assert [poller.receive() for poller in pollers] == ["41/storage,"] * 6


def test_sessions_of_a_dead_worker_are_unknown(fresh_server: FreshServer, brief_path: Path) -> None:
    server = fresh_server(workers=2, env={"TMPDIR": str(brief_path)})
    [place] = brief_path.glob("apiv3-*")
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    wait_until(lambda: len(list(place.iterdir())) == 2)
    pollers = [Poller(server) for _ in range(6)]
    for pid in server.worker_pids:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: all(_is_unknown(poller) for poller in pollers))
    with socket(server) as client:
        client.enter("/alarm")
    server.stop()
    assert not place.exists()


@pytest.mark.parametrize("request_", ["poll unknown", "upgrade unknown", "nonsense"])
async def test_a_worker_that_asks_and_leaves_is_nothing_to_tell(
    brief_path: Path, request_: str, caplog: pytest.LogCaptureFixture
) -> None:
    engine = Engine(Rules(), Budget(9), {"/": Lobby()})
    async with Workers(engine, brief_path).listening():
        with sockets.socket(sockets.AF_UNIX) as asker:
            asker.connect(str(brief_path / engine.worker))
            asker.send(len(request_).to_bytes(4) + request_.encode())
        await asyncio.sleep(0.1)
    assert caplog.records == []


@pytest.fixture
def brief_path() -> Iterator[Path]:
    """A folder whose path is short enough for sockets in it."""
    with TemporaryDirectory() as folder:
        yield Path(folder)


def _is_unknown(poller: Poller) -> bool:
    try:
        answer = poller.poll()
    except OSError:
        return False
    return answer.status == 400 and bool(answer.json["code"] == 1)
