"""Temporary databases for the time of a measurement."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.processes import Cpus, pin
from tests.support.postgres import postgres_server


@contextmanager
def databases(database: str, cpus: Cpus) -> Iterator[tuple[Path, Callable[[str], str]]]:
    """Yield a temporary folder and a function that creates an empty database with a given name and returns its URL."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="apiv3-bench-")))
        if database == "sqlite":
            yield folder, lambda name: f"sqlite:///{folder / name}.sqlite"
            return
        pin(os.getpid(), cpus.database)
        try:
            server = stack.enter_context(postgres_server())
        finally:
            pin(os.getpid(), cpus.load)
        yield folder, lambda _name: stack.enter_context(server.database())


def durability(database: str) -> str:
    """Return a note that says whether a commit waits for the disk."""
    if database == "sqlite":
        return "WAL, synchronous=FULL"
    return "TEST_DATABASE_URL" if "TEST_DATABASE_URL" in os.environ else "embedded, fsync=off"
