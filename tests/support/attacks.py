"""What an attack does to a server and to a bystander: memory, waits, and what is left when the attacker has gone."""

import os
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from tests.support.server import LiveServer
from tests.support.wire import request

BYSTANDER = "127.0.0.2"
"""Where somebody calls from who has nothing to do with it."""
SECONDS = float(os.environ.get("ATTACK_SECONDS", "4"))
"""How long an attack goes on. `ATTACK_SECONDS=30 scripts/test -n 0 -s tests/attacks` measures what the documentation says."""
MEGABYTE = 1_048_576
_PAUSE = 0.02
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Damage:
    """`peak` and `left`: bytes that the process holds more than before, at most during the attack, and a while after it.

    `p99` and `longest`: seconds that the bystander waited for an answer. `answered` of `asked`: its requests.
    """

    peak: int
    left: int
    p99: float
    longest: float
    answered: int
    asked: int

    def __str__(self) -> str:
        memory = f"peak +{self.peak / MEGABYTE:.1f} MB, after it {self.left / MEGABYTE:+.1f} MB"
        waits = f"bystander p99 {self.p99 * 1000:.0f} ms, longest {self.longest * 1000:.0f} ms"
        return f"{memory}, {waits}, {self.answered} of {self.asked} answered"


def resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


class Bystander:
    """Asks for something simple now and then, from another address, on a connection of its own each time."""

    def __init__(self, port: int, target: str = "/api/v3/version") -> None:
        self._port, self._request = port, request("GET", target, ("Connection", "close"))
        self._stop = threading.Event()
        self.waits: list[float] = []
        self.asked = 0
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Bystander":
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_PAUSE):
            self.asked += 1
            started = time.monotonic()
            if self._is_answered():
                self.waits.append(time.monotonic() - started)

    def _is_answered(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self._port), 30, source_address=(BYSTANDER, 0)) as line:
                line.sendall(self._request)
                answer = b""
                while piece := line.recv(65_536):
                    answer += piece
        except OSError:
            return False
        return answer.startswith(b"HTTP/1.1 200 ")

    @property
    def p99(self) -> float:
        return sorted(self.waits)[int(len(self.waits) * 0.99)] if self.waits else float("inf")

    @property
    def longest(self) -> float:
        return max(self.waits, default=float("inf"))


class MemoryWatch:
    """The most memory that a process holds while the block lasts."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.peak = resident(pid)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "MemoryWatch":
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.02):
            self.peak = max(self.peak, resident(self._pid))


def attack(server: LiveServer, name: str, *, connections: int = 20, seconds: float = SECONDS) -> Damage:
    """Run one of `attackers` against the server, which has one process, and see what it does."""
    command = [sys.executable, "-m", "tests.support.attackers", name, str(server.port), str(connections), str(seconds)]
    before = resident(server.pid)
    with MemoryWatch(server.pid) as memory, Bystander(server.port) as bystander:
        subprocess.run(command, cwd=_ROOT, check=True, stdout=subprocess.DEVNULL, timeout=seconds + 60)
    left = _memory_left(server.pid, before)
    return Damage(memory.peak - before, left, bystander.p99, bystander.longest, len(bystander.waits), bystander.asked)


def _memory_left(pid: int, before: int, enough: int = 4 * MEGABYTE, patience: float = 15.0) -> int:
    """How much more the process holds some seconds after the attack; less waiting when it is little."""
    deadline = time.monotonic() + patience
    while (left := resident(pid) - before) > enough and time.monotonic() < deadline:
        time.sleep(0.2)
    return left


def usual_wait(port: int, seconds: float = 1.0) -> float:
    """Seconds that a bystander waits on this machine, as busy as it is now, when nobody attacks: the longest of a second."""
    with Bystander(port) as bystander:
        time.sleep(seconds)
    return bystander.longest
