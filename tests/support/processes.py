"""Starting processes from tests: a clean environment, a free port, and nothing left behind."""

import fcntl
import itertools
import os
import random
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import gettempdir

import pytest

INHERITED = ("HOME", "LANG", "LC_ALL", "PATH", "TMPDIR", "TZ")


def clean_environment() -> dict[str, str]:
    """What a process needs of this machine, and none of the settings that the one who runs the tests has set."""
    return {name: os.environ[name] for name in INHERITED if name in os.environ}


def _ports() -> Iterator[int]:
    """Ports below those that the system gives to outgoing connections, in an order of this process's own."""
    ports = list(range(20_000, 32_000))
    random.SystemRandom().shuffle(ports)  # the common generator is seeded again by test tools, and would repeat itself
    return itertools.cycle(ports)


_PORTS = _ports()


@cache
def _reservations() -> int:
    """A file of which each process that starts servers locks the bytes that its ports stand for, as long as it lives.

    Between the moment when a port is found free and the one when its server listens, nothing else would keep others from it:
    neither the other workers of this run, nor the benchmarks that they start, nor another run.
    """
    return os.open(Path(gettempdir()) / f"apiv3-test-ports-{os.getuid()}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def free_port() -> int:
    """A port that nobody listens on, and that no other process is given that asks here."""
    for port in _PORTS:
        with suppress(OSError), socket.socket() as probe:
            fcntl.lockf(_reservations(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("the ports never end")


def demand(program: str) -> None:
    """A test that needs a program is skipped without it, or fails where REQUIRE names it."""
    if shutil.which(program) is None:
        (pytest.fail if program in re.split(r"[\s,]+", os.environ.get("REQUIRE", "")) else pytest.skip)(f"no {program}")


class Guardian:
    """Ends a process group, and removes its folder, when this process dies without dismissing the guardian.

    A test run that is killed runs no clean-up of its own. The end of the pipe tells the guardian, whatever the cause.
    """

    SCRIPT = 'read -r dismissal || { kill -s KILL -- "-$1"; rm -rf "$2"; }'

    def __init__(self, group: int, folder: Path) -> None:
        self._group = group
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", self.SCRIPT, "guardian", str(group), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def dismiss(self) -> None:
        """End what is left of the group, since nobody will look after it any more; the folder stays."""
        with suppress(ProcessLookupError):
            os.killpg(self._group, signal.SIGKILL)
        self._process.communicate(b"dismissed\n")


def is_there(group: int) -> bool:
    """Whether any process of the group still runs."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
