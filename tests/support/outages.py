"""A PostgreSQL that a test may stop, crash and start again, and writers that go on meanwhile."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.utils import formatdate
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from tests.support import postgres
from tests.support.postgres import Command, Postgres
from tests.support.processes import Guardian, free_port
from tests.support.server import LiveServer
from tests.support.waiting import PATIENCE, until

# A commit that was acknowledged has to survive a crash of the processes (of the machine need not be tried here).
SETTINGS = ("fsync=off", "synchronous_commit=on", "max_connections=50", "shared_buffers=16MB")


class OwnPostgres(Postgres):
    """A server of the test's own. It keeps its data and its port over all its starts."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._owner = folder, postgres._owner()
        self._programs = postgres._programs(folder, self._owner)
        self._port, password = free_port(), secrets.token_hex(16)
        postgres._create_cluster(self._programs, folder, password, self._owner)
        super().__init__(f"postgresql://apiv3:{password}@127.0.0.1:{self._port}/postgres")
        self._process: subprocess.Popen[bytes] | None = None
        self._guardian: Guardian | None = None

    def start(self) -> None:
        listen = (f"port={self._port}", "listen_addresses=127.0.0.1", "unix_socket_directories=")
        settings = [f"--{setting}" for setting in (*SETTINGS, *listen)]
        command: Command = [self._programs / "postgres", "-D", self._folder / "data", *settings]
        log = self._folder / "log"
        with log.open("ab") as output:
            self._process = postgres._start(command, output, self._folder, self._owner)
        self._guardian = Guardian(self._process.pid, self._folder)
        postgres._wait_until_ready(self, self._process, log)

    def stop(self) -> None:
        """As an operator does: connections are ended, everything is written down."""
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """At once, as in a crash: what was committed has to be recovered from its log."""
        self._end(signal.SIGQUIT)

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Its processes are there, and so are the connections, but nothing moves."""
        assert self._process is not None
        main = self._process.pid
        children = subprocess.run(["pgrep", "-P", str(main)], capture_output=True, text=True, check=True).stdout.split()
        processes = [main, *map(int, children)]
        for pid in processes:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in reversed(processes):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None or self._guardian is None:
            return
        os.kill(self._process.pid, how)
        self._process.wait(30)
        self._guardian.dismiss()
        self._process = self._guardian = None

    def new_database(self) -> str:
        name = f"apiv3_{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name}")
        return urlsplit(self.url)._replace(path=f"/{name}").geturl()


@contextmanager
def own_postgres() -> Iterator[OwnPostgres]:
    folder = Path(tempfile.mkdtemp(prefix="apiv3-outage-"))
    try:
        own = OwnPostgres(folder)
        try:
            own.start()
            yield own
        finally:
            own.crash()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Posters:
    """Writers that post one entry after the other; enough of them to share commits. `acknowledged`: identifier ->
    lastModified; `refused`: what got a 503.
    """

    def __init__(self, server: LiveServer, token: str, number: int = 16) -> None:
        self._url, self._jwt, self._number = server.url, server.jwt(token), number
        self.acknowledged: dict[str, int] = {}
        self.refused: set[str] = set()
        self.surprises: list[str] = []
        self._news = asyncio.Event()

    async def acknowledge(self, number: int) -> None:
        """Waits for so many more."""
        enough = len(self.acknowledged) + number
        async with asyncio.timeout(PATIENCE):
            while len(self.acknowledged) < enough and not self.surprises:
                self._news.clear()
                await self._news.wait()

    async def be_refused(self) -> None:
        """Waits for another refusal."""
        before = len(self.refused)
        await until(lambda: self.surprises or len(self.refused) > before)

    async def post_until(self, over: asyncio.Event) -> None:
        """Until told, or until the server is gone."""
        await asyncio.gather(*(self._post_until(over) for _ in range(self._number)))

    async def _post_until(self, over: asyncio.Event) -> None:
        prefix = secrets.token_hex(6)
        with suppress(httpx.TransportError):
            async with httpx.AsyncClient(base_url=self._url, trust_env=False, verify=False) as client:
                for number in count():
                    if over.is_set():
                        return
                    await self._post(client, f"{prefix}-{number}")

    async def _post(self, client: httpx.AsyncClient, identifier: str) -> None:
        body = {"identifier": identifier, "date": 1_700_000_000_000, "app": "test", "type": "sgv", "sgv": 120}
        headers = {"Authorization": f"Bearer {self._jwt}", "Date": formatdate(usegmt=True)}
        answer = await client.post("/api/v3/entries", json=body, headers=headers)
        if answer.status_code == 201:
            self.acknowledged[identifier] = answer.json()["lastModified"]
        elif answer.status_code == 503 and answer.headers.get("retry-after", "").isdigit():
            self.refused.add(identifier)
            await asyncio.sleep(0.02)
        else:
            self.surprises.append(f"{answer.status_code} {answer.text}")
        self._news.set()
