"""A real pgbouncer before a real PostgreSQL."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from tests.support.needs import do_without
from tests.support.postgres import Postgres
from tests.support.processes import Guardian, clean_environment, free_port
from tests.support.waiting import wait_until

PROGRAM = "pgbouncer"

# Few connections for many clients, so that each transaction gets another one than the last; a session needs its own.
SIZES = {"transaction": 3, "statement": 3, "session": 100}
CONFIGURATION = """
[databases]
* = host={host} port={port} user={user} password={password}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own_port}
auth_type = any
pool_mode = {mode}
default_pool_size = {size}
max_client_conn = 500
server_round_robin = 1
unix_socket_dir =
pidfile =
"""


@contextmanager
def pgbouncer(postgres: Postgres, mode: str) -> Iterator[int]:
    """The port of a pgbouncer before the server; any name and password will do there."""
    program = shutil.which(PROGRAM, path=os.environ.get("PATH", "") + ":/usr/sbin")
    if program is None:
        do_without("pgbouncer", "no pgbouncer is installed")
    folder = Path(tempfile.mkdtemp(prefix="apiv3-pgbouncer-"))
    port = free_port()
    _configure(folder, postgres.url, port, mode)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, folder / "pgbouncer.ini"],
            stdout=log,
            stderr=log,
            cwd=folder,
            env=clean_environment(),
            start_new_session=True,
            **_owner(folder),
        )
    guardian = Guardian(process.pid, folder)
    try:
        _wait_until_ready(postgres.url, port, process, folder / "log")
        yield port
    finally:
        process.kill()
        process.wait()
        guardian.dismiss()
        shutil.rmtree(folder, ignore_errors=True)


def through(port: int, url: str, parameters: str = "") -> str:
    """The URL of the same database through the pgbouncer at a port."""
    parts = urlsplit(url)
    return f"postgresql://{parts.username}:{parts.password}@127.0.0.1:{port}{parts.path}{parameters}"


def _owner(folder: Path) -> dict[str, Any]:
    """It refuses to run as root, too."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    for path in (folder, folder / "pgbouncer.ini"):
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _configure(folder: Path, url: str, port: int, mode: str) -> None:
    parts = urlsplit(url)
    configuration = CONFIGURATION.format(
        host=parts.hostname,
        port=parts.port or 5432,
        user=parts.username,
        password=parts.password or "",
        own_port=port,
        mode=mode,
        size=SIZES[mode],
    )
    (folder / "pgbouncer.ini").write_text(configuration)


def _wait_until_ready(url: str, port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    wait_until(lambda: process.poll() is not None or _answers(through(port, url)), log.read_text)
    if process.poll() is not None:
        raise RuntimeError(f"pgbouncer does not start: {log.read_text()}")


def _answers(url: str) -> bool:
    try:
        Postgres(url).execute("SELECT 1")
    except (OSError, asyncpg.PostgresError):
        return False
    return True
