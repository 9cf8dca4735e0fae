"""Whatever happens, whoever applies what it is told has what the table has.

Several processes write what they like, some are killed in the middle; the server runs in two, and is killed and started
again; bells are cut. Followers are real ones: `apiv3 watch`, over HTTP.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from apiv3.model.documents import Document, is_valid
from apiv3.storage.database import Database
from apiv3.storage.documents import DocumentTable
from tests.support.factories import FreshServer
from tests.support.installation import Installation
from tests.support.live import State
from tests.support.processes import clean_environment
from tests.support.scribbler import COLLECTIONS
from tests.support.storage import history
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
CUT = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE query LIKE 'LISTEN%' AND datname = current_database()"""


class Watcher:
    """`apiv3 watch --json`, and what somebody has who applies its lines. `faults`: what it should not have said."""

    def __init__(self, installation: Installation, url: str, token: str, *options: str) -> None:
        self.states: dict[str, State] = {name: {} for name in COLLECTIONS}
        self.faults: list[str] = []
        self.last_id = ""
        self._newest = dict.fromkeys(COLLECTIONS, 0)
        self._process = subprocess.Popen(
            installation.command("watch", *COLLECTIONS, "--url", url, "--json", *options),
            env=installation.environment() | {"APIV3_TOKEN": token},
            cwd=installation.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                try:
                    told = json.loads(line)
                except ValueError:
                    return  # it was killed in the middle of a line
                self._apply(told)

    def _apply(self, told: dict[str, Any]) -> None:
        name, self.last_id = told["colName"], told["id"]
        document = told.get("doc") or told
        if document["srvModified"] <= self._newest[name]:
            self.faults.append(f"{told} after {self._newest[name]}")
        self._newest[name] = document["srvModified"]
        if told["event"] == "delete":
            self.states[name].pop(told["identifier"], None)
        elif told["event"] in ("create", "update"):
            self.states[name][document["identifier"]] = document
        else:
            self.faults.append(str(told))

    def go_on_after(self, other: Watcher) -> None:
        """Take over what another one had."""
        self.states, self._newest = other.states, other._newest

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._thread.join()


@contextmanager
def scribbling(url: str, seed: int) -> Iterator[None]:
    """A process writes; at the end of the block it is killed, wherever it is."""
    command = [sys.executable, "-m", "tests.support.scribbler", url, str(seed)]
    environment = clean_environment() | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        yield
        assert process.poll() is None, process.communicate()[1]
    finally:
        process.kill()
        process.communicate()


def query(url: str, work: Callable[[Database], Any]) -> Any:
    async def run() -> Any:
        database = Database(url)
        await database.connect()
        try:
            return await work(database)
        finally:
            await database.disconnect()

    return asyncio.run(run())


def table(url: str) -> dict[str, State]:
    """What is there, as a follower would have it."""

    async def look(database: Database) -> dict[str, State]:
        store = DocumentTable(database)
        return {name: _valid(await history(store, name, limit=100_000)) for name in COLLECTIONS}

    found: dict[str, State] = query(url, look)
    return found


def _valid(documents: list[Document]) -> State:
    return {each["identifier"]: each for each in documents if is_valid(each)}


def test_every_follower_has_the_table(fresh_server: FreshServer, database: str) -> None:
    server = fresh_server(database, workers=2)
    installation, url = server.installation, server.installation.database_url
    token = server.subject("follower", "api:*:read")
    watchers = [Watcher(installation, server.url, token, "--since", "2000-01-01") for _ in range(3)]
    try:
        with scribbling(url, 1), scribbling(url, 2):
            with scribbling(url, 3):
                _wait_for_changes(watchers)
                _cut_bells(url)
            _wait_for_changes(watchers)  # one of the writers is dead by now
            server.kill()
            with scribbling(url, 4):
                time.sleep(0.5)  # nobody listens, and much happens
            server.start()
            _wait_for_changes(watchers)
            watchers[0].kill()
            heir = Watcher(installation, server.url, token, "--after", watchers[0].last_id)
            heir.go_on_after(watchers[0])
            watchers[0] = heir
            late = Watcher(installation, server.url, token, "--since", "2000-01-01")
            watchers.append(late)
            _cut_bells(url)
            _wait_for_changes(watchers)
        _compare(watchers, url)
        assert sum(map(len, table(url).values())), "nothing is left to compare"
    finally:
        for watcher in watchers:
            watcher.kill()
    assert [watcher.faults for watcher in watchers] == [[]] * 4
    assert "Traceback" not in server.output


def _cut_bells(url: str) -> None:
    if not url.startswith("sqlite"):
        query(url, lambda database: database.fetch(CUT))


def _wait_for_changes(watchers: list[Watcher]) -> None:
    """Until each of them has heard of something new."""
    before = [watcher.last_id for watcher in watchers]
    wait_until(lambda: all(one.last_id != known for one, known in zip(watchers, before, strict=True)), "nothing is told")


def _compare(watchers: list[Watcher], url: str) -> None:
    expected = table(url)  # nobody writes any more
    wait_until(lambda: all(watcher.states == expected for watcher in watchers), "a follower has not what the table has")
