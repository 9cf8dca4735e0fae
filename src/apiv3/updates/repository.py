"""The directory of the apt repository: what stands where, and how it changes so that it fits together at every moment.

The file InRelease holds the digests of the indexes, and these those of the packages. Whoever publishes writes packages first,
then indexes under the names of their digests (`Acquire-By-Hash`), and replaces InRelease last, in one step. So a client that
began with any InRelease that is valid finds all that this one names, and a publisher that is killed half-way has changed
nothing. What stands in InRelease is what is published; other files count for nothing.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import copyfile

from apiv3.model.updates import SUITE

COMPONENT = "main"
_DRAFT = ".draft"
"""The name of a file that is not complete. There is one at most in a folder, since those who write have a lock."""
_PATH = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9.+~_-]*/)*[A-Za-z0-9][A-Za-z0-9.+~_-]*", re.ASCII)
_SERVED = ("dists/", "pool/")
_SUM = re.compile(rf"^ ([0-9a-f]{{64}}) +\d+ {COMPONENT}/binary-([a-z0-9-]+)/Packages$", re.ASCII | re.MULTILINE)
"""A line of InRelease that names an index."""


class Busy(Exception):
    """Another process is publishing or signing."""


class Repository:
    """The apt repository in a directory, which may not exist yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._suite = folder / "dists" / SUITE
        self._inrelease = self._suite / "InRelease"

    def find(self, path: str) -> Path | None:
        """Return the file that is served under a path, None when there is none. The signing key and drafts are not served."""
        if not _PATH.fullmatch(path) or not path.startswith(_SERVED):
            return None
        found = self.folder / path
        return found if found.is_file() else None

    @property
    def inrelease(self) -> bytes | None:
        """The file InRelease, None before anything is published."""
        try:
            return self._inrelease.read_bytes()
        except FileNotFoundError:
            return None

    def indexes(self) -> dict[str, str]:
        """Return the index of each architecture, as InRelease names them."""
        named = _SUM.findall((self.inrelease or b"").decode())
        return {architecture: self._by_hash(architecture, digest).read_text("utf-8") for digest, architecture in named}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of those who change the repository, one at a time. The system releases it if the process is killed.

        Raises Busy when another process holds it; OSError.
        """
        import fcntl  # not available on Windows

        self.make_folder()
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Busy from None
            yield
        finally:
            os.close(descriptor)

    def make_folder(self) -> None:
        """Create the directory, accessible only to its owner. Raises OSError."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    # --- for those who hold the lock

    @contextmanager
    def draft(self, file: Path) -> Iterator[Path]:
        """Copy a file into the repository for the length of a block, so that nobody changes it after it was checked."""
        draft = self.folder / _DRAFT
        try:
            copyfile(file, draft)
            yield draft
        finally:
            draft.unlink(missing_ok=True)

    def add(self, draft: Path, name: str) -> None:
        """Move a package into the pool. One of this name that is not published gives way."""
        pool = self.folder / "pool"
        pool.mkdir(mode=0o700, exist_ok=True)
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(pool / name)
        _sync(pool)

    def write_index(self, architecture: str, form: str, content: bytes) -> str:
        """Write an index, and return the line of Release that names it. `form`: `Packages` or `Packages.gz`."""
        digest = hashlib.sha256(content).hexdigest()
        _write(self._by_hash(architecture, digest), content)
        _write(self._suite / _binary(architecture) / form, content)
        return f" {digest} {len(content)} {_binary(architecture)}/{form}\n"

    def write_inrelease(self, content: bytes) -> None:
        """Publish all that was written: from here on, clients see it."""
        _write(self._inrelease, content)

    def clean(self, keep: Sequence[str], seconds: float) -> None:
        """Remove indexes that no valid InRelease names. `keep`: digests of those in use; `seconds`: how long others stay."""
        now = time.time()
        for path in self._suite.glob(f"{COMPONENT}/*/by-hash/SHA256/*"):
            if path.name in keep:
                os.utime(path)
            elif path.stat().st_mtime < now - seconds:
                path.unlink()

    def _by_hash(self, architecture: str, digest: str) -> Path:
        return self._suite / _binary(architecture) / "by-hash" / "SHA256" / digest


def _binary(architecture: str) -> str:
    return f"{COMPONENT}/binary-{architecture}"


def _write(path: Path, content: bytes) -> None:
    """Replace a file in one step, so that it is there after a power cut too."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(_DRAFT)
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    """Make the names in a directory last."""
    with suppress(PermissionError):  # Windows opens no directories
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
