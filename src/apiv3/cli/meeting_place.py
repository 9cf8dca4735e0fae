"""The directory of the sockets over which the workers of one server reach each other."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import gettempdir, mkdtemp

_PREFIX = "apiv3-workers-"
_LONGEST_PATH = 60
"""Most characters of the directory's path: the path of a socket can have about 100."""


@contextmanager
def meeting_place() -> Iterator[Path]:
    """Create a directory that only this user can enter, for the length of a block. Remove those of killed servers first.

    A lock on the directory shows that its server is alive; the system releases it when the process ends for any reason.
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
    """Create and lock a directory. Try again if another process removed it as abandoned before it was locked."""
    while True:
        place = Path(mkdtemp(prefix=_PREFIX, dir=parent))
        with suppress(FileNotFoundError):
            lock = _lock(place, wait=True)
            if place.exists():
                return place, lock
            os.close(lock)


def _remove_abandoned(place: Path) -> None:
    """Remove the directory if it is ours, holds nothing but sockets, and nobody holds its lock."""
    with suppress(OSError):  # another user's, no directory, or in use
        if place.is_symlink() or place.stat().st_uid != os.geteuid() or not all(each.is_socket() for each in place.iterdir()):
            return
        lock = _lock(place, wait=False)
        try:
            shutil.rmtree(place, ignore_errors=True)
        finally:
            os.close(lock)


def _lock(place: Path, *, wait: bool) -> int:
    """Return a descriptor that holds the lock. Raises OSError when another process holds it."""
    import fcntl  # not available on Windows

    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
