"""Starts of a command: real ones, and those of `apiv3` by a fork server, which take a tenth of the time.

A fork server is a process of this one, which starts it when first asked. `REAL_STARTS=1` in the environment makes all starts
real ones.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO, Any

from tests.support.forkserver import LARGEST
from tests.support.processes import clean_environment

ROOT = Path(__file__).parents[2]
ENVIRONMENT = clean_environment()
"""That of the fork server: what it was before any test has changed it."""
REAL = bool(os.environ.get("REAL_STARTS")) or not hasattr(os, "pidfd_open")
APIV3 = [sys.executable, "-m", "apiv3"]
OF_THE_INTERPRETER = ("PYTHON", "LD_", "MALLOC_", "GLIBC_", "OPENSSL_", "SSL_")
"""How the names of variables begin that are read before a program begins, or once: they need a real start."""


class ForkServer:
    """See `tests.support.forkserver`. It ends with this process, since its socket is closed then."""

    def __init__(self) -> None:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.forkserver", str(theirs.fileno())],
                cwd=ROOT,
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def ask(self, request: dict[str, Any], *descriptors: int) -> int:
        with self._lock:
            socket.send_fds(self._requests, [json.dumps(request).encode()], descriptors)
            answer = self._requests.recv(LARGEST)
        if not answer:
            raise RuntimeError(f"the fork server has ended, with status {self._process.wait()}")
        return int(json.loads(answer))


class Forked:
    """A process that the fork server has started, with what tests use of `subprocess.Popen`."""

    def __init__(self, server: ForkServer, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._server = server
        self._descriptor = os.pidfd_open(pid)

    def poll(self) -> int | None:
        """The exit status, or None if the process still runs."""
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        """The exit status. Raises TimeoutExpired if the process still runs after that many seconds."""
        status = self._look(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        return status

    def terminate(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)  # it is there, if only as a zombie, until it is asked how it ended

    def _look(self, timeout: float | None) -> int | None:
        if self.returncode is None and self._ends_within(timeout):
            self.returncode = self._server.ask({"ended": self.pid})
            os.close(self._descriptor)
        return self.returncode

    def _ends_within(self, timeout: float | None) -> bool:
        """Whether the process ends in so many seconds; None: any time."""
        waiting = select.poll()
        waiting.register(self._descriptor, select.POLLIN)
        return bool(waiting.poll(None if timeout is None else timeout * 1000))


@cache
def _fork_server() -> ForkServer:
    return ForkServer()


def start(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], output: IO[bytes], *, real: bool = False
) -> "subprocess.Popen[bytes] | Forked":
    """Start a command as the leader of a session of its own, so that what it starts can be ended with it.

    `output` receives its standard output and standard error. `real`: not by the fork server.
    """
    if not (REAL or real) and _can_be_forked(command, environment):
        request = {"arguments": command[len(APIV3) :], "folder": str(folder), "environment": dict(environment)}
        return Forked(_fork_server(), _fork_server().ask(request, output.fileno()))
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _can_be_forked(command: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether it is `apiv3`, and nothing is set for it that the fork server would have had to know at its own start."""
    return (
        list(command[: len(APIV3)]) == APIV3
        and ENVIRONMENT.items() <= environment.items()
        and not any(name.startswith(OF_THE_INTERPRETER) for name in environment)
    )
