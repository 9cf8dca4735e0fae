"""What an attack does to a server and to those who only want to use it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import httpx

from tests.support.server import LiveServer

T = TypeVar("T")
MEGABYTE = 1_000_000
PAUSE = 0.02
"""Seconds between two requests of a bystander."""


def memory(server: LiveServer) -> int:
    """Bytes of memory that the server process has."""
    return int(Path(f"/proc/{server.pid}/statm").read_text().split()[1]) * 4096


class Bystander:
    """Asks for something small, again and again, while others attack. `waits`: seconds of each; `peak`: bytes of the server."""

    def __init__(self, client: httpx.Client, path: str, server: LiveServer) -> None:
        self._client, self._path, self._server = client, path, server
        self._over = threading.Event()
        self.before = memory(server)
        self.peak = self.before
        self.waits: list[float] = []
        self.quiet = max(self._wait() for _ in range(20))
        """Seconds that somebody waits at most while nobody attacks."""

    def _wait(self) -> float:
        started = time.perf_counter()
        answer = self._client.get(self._path)
        assert answer.status_code == 200, answer.text
        return time.perf_counter() - started

    def look(self) -> None:
        while not self._over.is_set():
            self.waits.append(self._wait())
            self._over.wait(PAUSE)

    def watch(self) -> None:
        while not self._over.wait(PAUSE):
            self.peak = max(self.peak, memory(self._server))

    def end(self) -> None:
        self._over.set()

    @property
    def p99(self) -> float:
        """The wait that one in a hundred exceeds, in seconds."""
        return sorted(self.waits)[int(len(self.waits) * 0.99) - 1]

    @property
    def extra(self) -> float:
        """Megabytes that the attack made the server take."""
        return (self.peak - self.before) / MEGABYTE

    def left(self, patience: float = 60) -> float:
        """Megabytes that are left of it, a minute later at most."""
        deadline = time.monotonic() + patience
        while (left := (memory(self._server) - self.before) / MEGABYTE) > 16 and time.monotonic() < deadline:
            time.sleep(0.2)
        return left


@contextmanager
def bystander(client: httpx.Client, path: str, server: LiveServer) -> Iterator[Bystander]:
    """One who stands by for the length of the block."""
    found = Bystander(client, path, server)
    with ThreadPoolExecutor(2) as threads:
        tasks = [threads.submit(found.look), threads.submit(found.watch)]
        try:
            yield found
        finally:
            found.end()
    for task in tasks:
        task.result()


def many(work: Callable[[], T], times: int, at_once: int) -> list[T]:
    """What comes of some work, done so many times by so many attackers at once."""
    with ThreadPoolExecutor(at_once) as threads:
        return [task.result() for task in [threads.submit(work) for _ in range(times)]]
