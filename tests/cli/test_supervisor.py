"""Several workers: whatever happens to one of them, or to the database, the server goes on; and nothing outlives the parent."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from tests.support.factories import FreshServer, NewDatabase
from tests.support.installation import Installation
from tests.support.outages import own_postgres
from tests.support.processes import Guardian, free_port, is_there
from tests.support.server import LiveServer
from tests.support.waiting import wait_until

ENTRIES = "/api/v3/entries"
TRIES = 20
"""Requests on connections of their own, so that each of two workers answers some."""
LONGEST_DEATH = 12.0
"""Seconds: what is wrong with the workers has ended the server after so long."""


def kill_workers(server: LiveServer, number: int) -> None:
    for pid in server.worker_pids[:number]:
        os.kill(pid, signal.SIGKILL)


def statuses(server: LiveServer, token: str) -> set[int]:
    """How an access token is answered; 0: not at all."""
    found = set()
    for _ in range(TRIES):
        params = {"token": token, "now": str(time.time_ns() // 1_000_000)}
        try:
            found.add(httpx.get(f"{server.url}{ENTRIES}", params=params, trust_env=False, verify=False).status_code)
        except httpx.TransportError:
            found.add(0)
    return found


# --- the database is away


def test_workers_that_start_while_postgresql_is_away(tmp_path: Path) -> None:
    """First one, beside another that was there before; then both."""
    with own_postgres() as postgres:
        server = LiveServer(Installation(tmp_path, postgres.new_database()), workers=2)
        server.start()
        token = server.subject("reader", "api:entries:read")
        postgres.stop()
        for started, killed in ((1, 1), (3, 2)):
            kill_workers(server, killed)
            wait_until(lambda: server.output.count("Requests that need it get 503") == started, server.output)  # noqa: B023
            assert statuses(server, token) == {503}  # no 401, upon which an app would forget its token
        time.sleep(LONGEST_DEATH)
        assert statuses(server, token) == {503}
        assert httpx.get(f"{server.url}/", trust_env=False, verify=False).status_code == 200
        postgres.start()
        wait_until(lambda: statuses(server, token) == {200}, server.output)
        server.stop()
        assert "Traceback" not in server.output


def test_workers_that_start_while_sqlite_cannot_be_opened(fresh_server: FreshServer) -> None:
    server = fresh_server(workers=2)
    token = server.subject("reader", "api:entries:read")
    file = Path(server.installation.database_url.removeprefix("sqlite:///"))
    aside = file.with_name("aside")
    for each in file.parent.glob(f"{file.name}*"):
        each.rename(aside.with_name(each.name.replace(file.name, aside.name)))
    file.mkdir()
    kill_workers(server, 2)
    wait_until(lambda: server.output.count("Requests that need it get 503") == 2, server.output)
    assert statuses(server, token) == {503}
    file.rmdir()
    for each in file.parent.glob(f"{aside.name}*"):
        each.rename(file.with_name(each.name.replace(aside.name, file.name)))
    wait_until(lambda: statuses(server, token) == {200}, server.output)
    assert "Traceback" not in server.output


# --- workers


def test_a_worker_that_dies_is_told_of_and_replaced(fresh_server: FreshServer) -> None:
    server = fresh_server(workers=2)
    [dead, *_] = before = server.worker_pids
    os.kill(dead, signal.SIGKILL)
    wait_until(lambda: len(server.worker_pids) == 2 and server.worker_pids != before, server.output)
    assert f"worker {dead} was ended by SIGKILL; another one takes its place" in server.output


def test_workers_that_cannot_start_are_tried_again(fresh_server: FreshServer) -> None:
    server = fresh_server(workers=2)
    token = server.subject("reader", "api:entries:read")
    hindrance = server.installation.folder / ".env"
    hindrance.write_text("BG_HIGH=nonsense\n")
    kill_workers(server, 2)
    wait_until(lambda: server.output.count("ended with exit status 1") >= 3, server.output)
    assert "Traceback" not in server.output
    hindrance.unlink()
    wait_until(lambda: statuses(server, token) == {200}, server.output)


# --- the parent is killed


@pytest.mark.parametrize(("number", "delay"), [(1, 0.5), (1, 1.0), (2, 0.2), (2, 0.5), (2, 1.0), (2, 2.0)])
def test_nothing_outlives_a_start_that_is_killed(tmp_path: Path, new_database: NewDatabase, number: int, delay: float) -> None:
    with new_database("sqlite") as url:
        installation, port = Installation(tmp_path, url), free_port()
        arguments = ("serve", "--port", str(port), "--workers", str(number))
        process = subprocess.Popen(
            installation.command(*arguments),
            cwd=installation.folder,
            env=installation.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        guardian = Guardian(process.pid, installation.folder)
        time.sleep(delay)
        process.kill()
        process.wait()
        wait_until(lambda: not is_there(process.pid), "something outlives its parent")
        guardian.dismiss()
        server = LiveServer(installation, workers=number)
        server.port, server.url = port, f"http://127.0.0.1:{port}"
        server.start()  # on the same port, and on what the first start has left
        server.stop()


def test_directories_of_killed_parents_are_removed(fresh_server: FreshServer) -> None:
    with TemporaryDirectory() as name:  # whose path is short enough for sockets in it
        folder = Path(name)
        (folder / "apiv3-file").touch()
        first = fresh_server(workers=2, env={"TMPDIR": str(folder)})
        [alive] = places(folder)
        second = fresh_server(workers=2, env={"TMPDIR": str(folder)})
        assert len(places(folder)) == 2
        second.kill_parent()
        assert len(places(folder)) == 2
        second.start()
        assert alive in places(folder)
        assert len(places(folder)) == 2
        first.stop()
        second.stop()
        assert places(folder) == []


def places(folder: Path) -> list[Path]:
    return [each for each in folder.glob("apiv3-*") if each.is_dir()]
