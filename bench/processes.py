"""Server processes: the cores that they run on, their processor time and their memory."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import httpx

from tests.support.processes import Guardian, clean_environment, free_port

START_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Cpus:
    """The cores of each process. None: any core."""

    server: frozenset[int] | None
    load: frozenset[int] | None
    database: frozenset[int] | None

    @classmethod
    def share(cls) -> Self:
        """Assign the first core to the measured server, the second to the load generator, the others to PostgreSQL."""
        if not hasattr(os, "sched_getaffinity") or len(cpus := sorted(os.sched_getaffinity(0))) < 2:
            return cls(None, None, None)
        first, second, *others = cpus
        return cls(frozenset({first}), frozenset({second}), frozenset(others or [second]))

    def __str__(self) -> str:
        if self.server is None or self.load is None:
            return "nothing is pinned: server, load generator and database share what there is"
        shared = " (shared with the load generator)" if self.database == self.load else ""
        return f"server on core {_list(self.server)}, load on {_list(self.load)}, PostgreSQL on {_list(self.database)}{shared}"


def _list(cpus: frozenset[int] | None) -> str:
    return ",".join(map(str, sorted(cpus or ())))


def pin(pid: int, cpus: frozenset[int] | None) -> None:
    """Pin a process, and all processes that it starts from now on, to the given cores."""
    if cpus is not None:
        os.sched_setaffinity(pid, cpus)


@dataclass(frozen=True, slots=True)
class Installation:
    """The folder, the database and the secret that the servers on one database share."""

    folder: Path
    url: str
    api_secret: str

    @classmethod
    def make(cls, folder: Path, url: str) -> Self:
        folder.mkdir(parents=True)
        return cls(folder, url, secrets.token_urlsafe(24))

    def environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        ours = {"APIV3_DATA": str(self.folder / "data"), "DATABASE_URL": self.url, "API_SECRET": self.api_secret}
        path = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
        return clean_environment() | ours | {"API3_JWT_LIFETIME": "86400", "PYTHONPATH": path} | dict(settings)


class Server:
    """A server process, started and ended with a `with` block."""

    def __init__(
        self,
        installation: Installation,
        name: str,
        cpus: frozenset[int] | None,
        module: Sequence[str] = (),
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.name, self.port = name, free_port()
        self._installation, self._cpus, self._settings = installation, cpus, settings or {}
        self._module = [part.replace("{port}", str(self.port)) for part in module or ("apiv3", "serve", "--port", "{port}")]
        self._log = installation.folder / f"{name.replace(' ', '-')}.log"

    @property
    def pid(self) -> int:
        return self._process.pid

    def known_as(self, name: str) -> Self:
        """Return the same running server under another name, to measure different requests to it in turn."""
        other = copy(self)
        other.name = name
        return other

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", *self._module],
                cwd=self._installation.folder,
                env=self._installation.environment(self._settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        pin(self.pid, self._cpus)
        self._guardian = Guardian(self.pid, self._installation.folder)
        try:
            self._wait_until_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._guardian.dismiss()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} does not start:\n{self._log.read_text(errors='replace')}")
            time.sleep(0.02)

    def _listens(self) -> bool:
        with suppress(httpx.TransportError):
            httpx.head(f"http://127.0.0.1:{self.port}/api/v3/status", trust_env=False)
            return True
        return False

    @property
    def cpu_seconds(self) -> float | None:
        """Processor time so far in seconds; None if the system does not report it."""
        try:
            tasks = list(Path(f"/proc/{self.pid}/task").iterdir())
            return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
        except (OSError, ValueError):
            return None

    @property
    def memory(self) -> float | None:
        """Resident memory in MB; None if the system does not report it."""
        return _memory(self.pid, "VmRSS")

    @property
    def peak_memory(self) -> float | None:
        """The highest resident memory so far in MB; None if the system does not report it."""
        return _memory(self.pid, "VmHWM")


def _memory(pid: int, name: str) -> float | None:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    found = re.search(rf"{name}:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else None


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a program: seconds, seconds of processor time, and peak resident memory (MB) if the system reports it."""

    seconds: float
    cpu: float | None
    memory: float | None


def run_command(installation: Installation, cpus: frozenset[int] | None, *arguments: str) -> Cost:
    """Run `apiv3` with these arguments to its end. Raise RuntimeError with its output if it fails."""
    started = time.perf_counter()
    with (installation.folder / f"{arguments[0]}.log").open("w+b") as log:
        command = [sys.executable, "-m", "apiv3", *arguments]
        environment = installation.environment({})
        process = subprocess.Popen(command, cwd=installation.folder, env=environment, stdout=log, stderr=log)  # noqa: S603
        try:
            pin(process.pid, cpus)
            cpu, memory = _wait(process)
        except BaseException:
            process.kill()
            raise
        if process.returncode:
            log.seek(0)
            raise RuntimeError(f"apiv3 {arguments[0]} failed:\n{log.read().decode(errors='replace')}")
    return Cost(time.perf_counter() - started, cpu, memory)


def _wait(process: subprocess.Popen[bytes]) -> tuple[float, float | None]:
    """Wait for a process to end, and return its processor time and its peak memory."""
    memory = None
    # The peak that wait4 reports also includes the process that started this one.
    while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
        memory = _memory(process.pid, "VmHWM") or memory
        time.sleep(0.02)
    process.returncode = os.waitstatus_to_exitcode(ended[1])
    return ended[2].ru_utime + ended[2].ru_stime, memory
