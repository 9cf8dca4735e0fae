"""Publish packages in the apt repository, offer them to devices, and sign the repository anew before devices refuse it."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import logging
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from email.utils import parsedate_to_datetime
from pathlib import Path

from debian.deb822 import Release as ReleaseFile

from apiv3.model.audit import Target
from apiv3.model.errors import Conflict, StorageUnavailable
from apiv3.model.timestamps import http_date
from apiv3.model.updates import SUITE, Release
from apiv3.security.authors import Author
from apiv3.storage.contracts.updates import OfferStore
from apiv3.updates.packages import Package, read_index
from apiv3.updates.repository import COMPONENT, Busy, Repository
from apiv3.updates.signing import SigningKey

_PAUSE = 0.1
"""Seconds between two attempts to begin while another process publishes."""
_LOOKS = 20
"""How often the repository is looked at while what was signed is valid."""
_DIGEST = re.compile(r"^ ([0-9a-f]{64}) ", re.ASCII | re.MULTILINE)
_log = logging.getLogger(__name__)


class Publisher:
    """Writes the repository, and stores what is offered. `valid`: seconds for which devices accept what is signed."""

    def __init__(self, repository: Repository, offers: OfferStore, valid: float) -> None:
        self._repository, self._offers, self._valid = repository, offers, valid

    @property
    def key(self) -> SigningKey:
        """The signing key, generated if nothing was signed yet.

        Raises OSError, and ValueError when it is missing although devices have pinned it, or when its file holds no key.
        """
        path = self._repository.folder / "signing_key"
        if self._repository.inrelease is None:
            self._repository.make_folder()
            return SigningKey.kept(path)
        try:
            return SigningKey.read(path)
        except FileNotFoundError:
            text = f"The file {path} is missing: restore it from a backup, since devices accept no other key"
            raise ValueError(text) from None

    def packages(self) -> list[Package]:
        """Return what is published."""
        return [each for index in self._repository.indexes().values() for each in read_index(index)]

    async def publish(self, file: Path, devices: Sequence[str], by: Author) -> Package:
        """Publish a package, and offer it to devices. `devices`: their ids; empty: to all, those of the future too.

        The same file again changes nothing but the offers. Raises BadRequest for a file that is no package; Conflict for
        another file of a name and version that are published, and for a version that is older than the published one; OSError
        and ValueError.
        """
        async with self._turn():
            package = await asyncio.to_thread(self._publish, file)
            target = Target("update", package.digest, f"{package.name} {package.version}")
            entry = by.entry("update-published", target, devices=list(devices))
            await self._offers.publish(self._release(), package.name, package.version, devices, entry)
        return package

    async def run(self) -> None:
        """Keep the repository signed, until cancelled. Every process does this; one of them signs."""
        reported = ""
        while True:
            try:
                await self.renew()
                reported = ""
            except StorageUnavailable:
                pass  # `revisions.follow` logs that
            except (OSError, ValueError) as error:
                if str(error) != reported:
                    _log.error("the repository of software updates cannot be signed anew: %s", error)
                reported = str(error)
            await asyncio.sleep(self._valid / _LOOKS)

    async def renew(self) -> None:
        """Sign the repository anew if half of its time is over, and let devices know. Does nothing while another one publishes.

        Mends what was published and not stored, because the publisher was killed between the two. Raises OSError, ValueError.
        """
        if self._repository.inrelease is None or not await self._is_due():
            return
        with suppress(Busy):
            async with self._turn(wait=False):
                if await self._is_due():
                    await asyncio.to_thread(self._renew)
                    await self._offers.renew(self._release())

    async def _is_due(self) -> bool:
        release = self._release()
        return _is_half_over(release) or await self._offers.release() != release

    def _renew(self) -> None:
        if _is_half_over(self._release()):
            self._sign(self._repository.indexes())

    @asynccontextmanager
    async def _turn(self, *, wait: bool = True) -> AsyncIterator[None]:
        """Hold the lock of the repository. Raises Busy when `wait` is False and another process holds it."""
        with ExitStack() as stack:
            while True:
                try:
                    stack.enter_context(self._repository.locked())
                    break
                except Busy:
                    if not wait:
                        raise
                    await asyncio.sleep(_PAUSE)
            yield

    def _publish(self, file: Path) -> Package:
        with self._repository.draft(file) as draft:
            package, published = Package.read(draft), self.packages()
            for each in published:
                if each.name == package.name:
                    _check(package, each)
            self._repository.add(draft, package.file_name)
        paragraphs: dict[str, dict[str, str]] = {}
        for each in [*published, package]:
            paragraphs.setdefault(each.architecture, {})[each.file_name] = each.paragraph
        self._sign({architecture: "\n".join(each.values()) for architecture, each in paragraphs.items()})
        return package

    def _sign(self, indexes: Mapping[str, str]) -> None:
        """Write these indexes, architecture -> text, and sign a release that names them."""
        before, now, lines = self._repository.inrelease or b"", int(time.time()), list[str]()
        for architecture, text in indexes.items():
            content = text.encode()
            lines.append(self._repository.write_index(architecture, "Packages", content))
            lines.append(self._repository.write_index(architecture, "Packages.gz", gzip.compress(content, mtime=0)))
        fields = {
            "Origin": "apiv3",
            "Label": "apiv3",
            "Suite": SUITE,
            "Codename": SUITE,
            "Date": http_date(now).decode(),  # in English and UTC, whatever the locale and time zone
            "Valid-Until": http_date(now + max(1, round(self._valid))).decode(),
            "Acquire-By-Hash": "yes",
            "Architectures": " ".join(indexes),
            "Components": COMPONENT,
        }
        text = "".join(f"{name}: {value}\n" for name, value in fields.items()) + "SHA256:\n" + "".join(lines)
        self._repository.write_inrelease(self.key.sign(text))
        self._repository.clean(_DIGEST.findall(before.decode() + text), self._valid)

    def _release(self) -> Release:
        content = self._repository.inrelease or b""
        fields = ReleaseFile(content)
        signed, until = (int(parsedate_to_datetime(fields[name]).timestamp()) for name in ("Date", "Valid-Until"))
        return Release(SUITE, hashlib.sha256(content).hexdigest(), self.key.fingerprint, signed, until)


def _check(package: Package, published: Package) -> None:
    """Raise Conflict if a package cannot stand beside a published one of its name."""
    if package.is_older_than(published):
        raise Conflict(f"{package.name} {published.version} is published, which is newer: devices do not go back")
    is_other = package.architecture == published.architecture and package.digest != published.digest
    if is_other and not published.is_older_than(package):
        raise Conflict(f"Another file is published as {package.name} {published.version}: give this one a new version")


def _is_half_over(release: Release) -> bool:
    return 2 * time.time() >= release.signed + release.valid_until
