"""The load generator: HTTP/1.1 over keep-alive connections, in a separate process."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count, cycle
from multiprocessing import parent_process
from typing import Any

import uvloop

from bench.options import CONNECTIONS

GRACE = 30.0
"""The longest time in seconds that an answer may arrive after the end of a round."""


class WrongAnswer(Exception):
    """A server gave a wrong answer."""


@dataclass(frozen=True, slots=True)
class Requests:
    """The requests to send, and the status and body length of the right answer; None: pages, which vary in length.

    `texts` are sent in turn. `template`, where there is one, makes requests that are all different: it takes the number of
    the request, counted from `start`, and the date of its document, as many ms before `newest`.
    """

    status: int
    length: int | None
    texts: tuple[bytes, ...] = ()
    template: bytes = b""
    start: int = 0
    newest: int = 0
    connections: int = CONNECTIONS

    def __iter__(self) -> Iterator[bytes]:
        if not self.template:
            return cycle(self.texts)
        return (self.template % (number, self.newest - number) for number in count(self.start))


@dataclass(frozen=True, slots=True)
class Sample:
    """One round: its duration and that of each request (seconds), and how busy this process was (0 to 1)."""

    seconds: float
    latencies: array[float] = field(repr=False)
    busy: float

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds


def start_up(cpus: Iterable[int] | None) -> None:
    """Prepare the process: pin it to `cpus`, switch off garbage collection, and let it end together with its parent."""
    if cpus is not None:
        os.sched_setaffinity(0, cpus)
    gc.disable()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if parent := parent_process():
        parent.join()
        os._exit(1)


def run_round(port: int, requests: Requests, seconds: float) -> Sample:
    """Send requests for the given seconds, each as soon as the connection has its last answer. Raise WrongAnswer."""
    gc.collect()
    return uvloop.run(_run(port, requests, seconds))


async def _run(port: int, requests: Requests, seconds: float) -> Sample:
    return await _Round(requests, seconds).run(port)


class _Round:
    def __init__(self, requests: Requests, seconds: float) -> None:
        self.seconds = seconds
        self.connections = requests.connections
        self.requests = iter(requests)
        self.status_line = b"HTTP/1.1 %d " % requests.status
        self.length = requests.length
        self.latencies = array("d")
        self.deadline = 0.0
        self._running = requests.connections
        self._done = asyncio.get_running_loop().create_future()

    async def run(self, port: int) -> Sample:
        loop = asyncio.get_running_loop()
        made = [await loop.create_connection(lambda: _Connection(self), "127.0.0.1", port) for _ in range(self.connections)]
        started, busy = time.perf_counter(), time.process_time()
        self.deadline = started + self.seconds
        for _, connection in made:
            connection.send_next()
        try:
            await asyncio.wait_for(self._done, self.seconds + GRACE)
        except TimeoutError:
            raise WrongAnswer(f"a request was not answered within {GRACE:.0f} seconds") from None
        finally:
            for transport, _ in made:
                transport.close()
        took = time.perf_counter() - started
        return Sample(took, self.latencies, (time.process_time() - busy) / took)

    def finish(self) -> None:
        """Note that a connection has received its last answer."""
        self._running -= 1
        if not self._running and not self._done.done():
            self._done.set_result(None)

    def fail(self, reason: str) -> None:
        if not self._done.done():
            self._done.set_exception(WrongAnswer(reason))


class _Connection(asyncio.Protocol):
    """A connection that sends one request at a time."""

    def __init__(self, round: _Round) -> None:
        self._round = round
        self._head = b""
        self._left = 0
        self._sent = 0.0

    def connection_made(self, transport: Any) -> None:
        self._write = transport.write

    def connection_lost(self, _error: Exception | None) -> None:
        self._round.fail("the server closed a connection")

    def send_next(self) -> None:
        self._sent = time.perf_counter()
        self._write(next(self._round.requests))

    def data_received(self, data: bytes) -> None:
        if self._left:
            self._left -= len(data)
        elif not self._read_head(data):
            return
        if self._left == 0:
            self._answered()
        elif self._left < 0:
            self._round.fail("an answer is longer than it says")

    def _read_head(self, data: bytes) -> bool:
        """Return whether the head is complete. If so, `_left` is the number of bytes of the body that are still missing."""
        if self._head:
            data = self._head + data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._head = data
            return False
        self._head = b""
        at = data.find(b"content-length: ", 0, end) + 16
        length = int(data[at : data.find(b"\r", at)]) if at >= 16 else -1
        if length < 0 or self._round.length not in (None, length) or not data.startswith(self._round.status_line):
            expected = f"{self._round.status_line.decode()}with {self._round.length or 'some'} bytes"
            self._round.fail(f"not {expected}, but: {data[:600]!r}")
        self._left = end + 4 + length - len(data)
        return True

    def _answered(self) -> None:
        now = time.perf_counter()
        self._round.latencies.append(now - self._sent)
        if now < self._round.deadline:
            self.send_next()
        else:
            self._round.finish()
