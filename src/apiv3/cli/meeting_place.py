"""The directory in which the workers of one server reach each other."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import gettempdir, mkdtemp

_PREFIX = "apiv3-"
_LONGEST_PATH = 60
"""Characters of a directory in which sockets can have names: the whole path has about 100."""


@contextmanager
def meeting_place() -> Iterator[Path]:
    """A directory that only we can enter, for the length of a block. Those whose servers were killed are removed first.

    A lock on the directory tells whether its server is alive: it ends with the process, however that ends.
    """
    usual = gettempdir()
    parent = Path(usual if len(usual) <= _LONGEST_PATH else "/tmp")  # noqa: S108 (mode 0700)
    for each in parent.glob(f"{_PREFIX}*"):
        _remove_abandoned(each)
    place, lock = _make(parent)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
        os.close(lock)


def _make(parent: Path) -> tuple[Path, int]:
    """A new directory and the lock on it; another one when somebody took it for abandoned before it was locked."""
    while True:
        place = Path(mkdtemp(prefix=_PREFIX, dir=parent))
        with suppress(FileNotFoundError):
            lock = _lock(place, wait=True)
            if place.exists():
                return place, lock
            os.close(lock)


def _remove_abandoned(place: Path) -> None:
    """Remove the directory if it is ours and nobody holds its lock."""
    with suppress(OSError):  # another user's, no directory, or in use
        if place.is_symlink() or place.stat().st_uid != os.geteuid():
            return
        lock = _lock(place, wait=False)
        try:
            shutil.rmtree(place, ignore_errors=True)
        finally:
            os.close(lock)


def _lock(place: Path, *, wait: bool) -> int:
    """A descriptor that holds the lock. Raises OSError when somebody else does."""
    import fcntl  # which Windows has not

    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
