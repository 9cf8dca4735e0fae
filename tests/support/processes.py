"""Starting processes from tests: a clean environment, a free port, and nothing left behind."""

import itertools
import os
import random
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

INHERITED = ("HOME", "LANG", "LC_ALL", "PATH", "TMPDIR", "TZ")


def clean_environment() -> dict[str, str]:
    """What a process needs of this machine, and none of the settings that the one who runs the tests has set."""
    return {name: os.environ[name] for name in INHERITED if name in os.environ}


def _ports() -> Iterator[int]:
    """Ports below those that the system gives to outgoing connections: each worker of a run has its own, in an order
    that no other run has, and none comes twice before all have come."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    ports = list(range(20_000 + worker, 32_000, 16))
    random.SystemRandom().shuffle(ports)  # the common generator is seeded again by test tools, and would repeat itself
    return itertools.cycle(ports)


_PORTS = _ports()


def free_port() -> int:
    """A port that nobody listens on, and that no one else in this run is given."""
    for port in _PORTS:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
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
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", self.SCRIPT, "guardian", str(group), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def dismiss(self) -> None:
        self._process.communicate(b"dismissed\n")
