"""What an attack does to a server and to a bystander: memory, waits, and what is left when the attacker has gone."""

import itertools
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import TypeVar

from tests.support.server import LiveServer
from tests.support.wire import request

T = TypeVar("T")
BYSTANDER = "127.0.0.2"
"""Where somebody calls from who has nothing to do with it."""
SECONDS = float(os.environ.get("ATTACK_SECONDS", "2"))
"""How long an attack goes on. `ATTACK_SECONDS=30 scripts/test -n 0 -s tests/attacks` measures what the documentation says."""
MEGABYTE = 1_048_576
MOST_LEFT = 16 * MEGABYTE
"""What the allocator cannot give back, because something small lies in between, varies."""
MOST_MEDIAN = 2.0
"""Seconds that a bystander waits in half of all cases, on a machine that does other things too."""
_MINUTE = 60.0
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Damage:
    """`peak` and `left`: bytes that the process holds more than before, at most during the attack, and after it, as soon as
    that is little enough.

    `waits`: seconds that the bystander waited for each answer, in order of length; `worked`: seconds of processor time that the
    server's event loop spent before one of them came, at most. `asked`: the bystander's requests.
    """

    peak: int
    left: int
    waits: list[float]
    worked: float
    asked: int

    @property
    def median(self) -> float:
        return self._wait(0.5)

    @property
    def p99(self) -> float:
        return self._wait(0.99)

    def _wait(self, share: float) -> float:
        return self.waits[int(len(self.waits) * share)] if self.waits else float("inf")

    def __str__(self) -> str:
        memory = f"peak +{self.peak / MEGABYTE:.1f} MB, after it {self.left / MEGABYTE:+.1f} MB"
        waits = ", ".join(f"{name} {getattr(self, name) * 1000:.0f} ms" for name in ("median", "p99", "worked"))
        return f"{memory}, bystander {waits}, {len(self.waits)} of {self.asked} answered"


def resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


class Bystander:
    """Asks for something simple now and then, from another address, while the block lasts; see `tests.support.bystander`. The
    block begins after its first request.

    After the block: `asked` requests, `waits` and `works` of those that were answered: seconds until the answer, and seconds of
    processor time that the server's event loop spent meanwhile. `jwt`: whose it is.
    """

    def __init__(self, server: LiveServer, target: str = "/api/v3/version", jwt: str | None = None) -> None:
        headers = [("Connection", "close"), ("Date", formatdate(usegmt=True))]
        if jwt is not None:
            headers.append(("Authorization", f"Bearer {jwt}"))
        asking = request("GET", target, *headers).decode("latin-1")
        self._command = [sys.executable, "-m", "tests.support.bystander", str(server.port), str(server.pid), BYSTANDER, asking]
        self.waits: list[float] = []
        self.works: list[float] = []
        self.asked = 0

    def __enter__(self) -> "Bystander":
        self._process = subprocess.Popen(self._command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self._process.stdout.readline()
        return self

    def __exit__(self, *_error: object) -> None:
        answers = [line.split() for line in self._process.communicate()[0].splitlines()]
        assert self._process.returncode == 0
        self.asked = len(answers)
        self.waits = [float(waited) for answered, waited, _ in answers if answered == "1"]
        self.works = [float(worked) for answered, _, worked in answers if answered == "1"]


class Witness:
    """Watches a server of one process, and a bystander of it, while the block lasts. `jwt`: the bystander's."""

    def __init__(self, server: LiveServer, target: str = "/api/v3/version", jwt: str | None = None) -> None:
        self._pid = server.pid
        self._bystander = Bystander(server, target, jwt)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "Witness":
        self._bystander.__enter__()
        self._before = self._peak = resident(self._pid)
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()
        self._bystander.__exit__()

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            self._peak = max(self._peak, resident(self._pid))

    def damage(self) -> Damage:
        """What it was, after the block; it waits for memory that goes back to the system later, a minute at most."""
        seen, left = self._bystander, self._memory_left()
        return Damage(self._peak - self._before, left, sorted(seen.waits), max(seen.works, default=0), seen.asked)

    def _memory_left(self) -> int:
        deadline = time.monotonic() + _MINUTE
        while (left := resident(self._pid) - self._before) > MOST_LEFT and time.monotonic() < deadline:
            time.sleep(0.1)
        return left


def attack(server: LiveServer, name: str, *, connections: int = 20, seconds: float = SECONDS) -> Damage:
    """Run one of `attackers` against the server, which has one process, and see what it does."""
    command = [sys.executable, "-m", "tests.support.attackers", name, str(server.port), str(connections), str(seconds)]
    with Witness(server) as witness:
        subprocess.run(command, cwd=_ROOT, check=True, stdout=subprocess.DEVNULL, timeout=seconds + 60)
    return witness.damage()


@contextmanager
def unread(server: LiveServer, ask: bytes, number: int, *more: bytes) -> Iterator[None]:
    """So many connections that send a request, and `more` once the server has said something, and read nothing else."""
    with ExitStack() as lines:
        for _ in range(number):
            line = lines.enter_context(socket.create_connection(("127.0.0.1", server.port), 30))
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            line.sendall(ask)
            for each in more:
                line.recv(1024)
                line.sendall(each)
        yield


def many(work: Callable[[], T], times: int, at_once: int) -> list[T]:
    """What comes of some work, done so many times by so many attackers at once."""
    with ThreadPoolExecutor(at_once) as threads:
        return [task.result() for task in [threads.submit(work) for _ in range(times)]]


def while_it_lasts(work: Callable[[], object], at_once: int) -> int:
    """Do some work over and over by so many attackers at once, for the length of an attack; how often."""
    end, done = time.monotonic() + SECONDS, itertools.count()

    def go_on() -> None:
        while time.monotonic() < end:
            work()
            next(done)

    many(go_on, at_once, at_once)
    return next(done)


def assert_harmless(damage: Damage, most_memory: float, most_work: float, kept: float = 0) -> None:
    """`most_memory`: megabytes. `kept`: megabytes that the server rightly keeps, since the attack has stored something.

    `most_work`: seconds that the event loop may work, for whomever, before a bystander has its answer. This is processor time,
    which does not depend on what else the machine does. How long a bystander waits does, so that only its median is checked.
    """
    print(f"\n{damage}")  # noqa: T201 (the measurement)
    assert damage.peak < most_memory * MEGABYTE, damage
    assert damage.left < MOST_LEFT + kept * MEGABYTE, damage
    assert damage.worked < most_work, damage
    assert damage.median < MOST_MEDIAN, damage
    assert len(damage.waits) == damage.asked, damage
