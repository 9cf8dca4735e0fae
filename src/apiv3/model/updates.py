"""Software updates for devices: what the apt repository holds, and which versions devices are offered."""

from __future__ import annotations

from typing import NamedTuple

SUITE = "stable"
"""The one suite of the repository, as apt calls it."""


class Release(NamedTuple):
    """The repository as it was signed last.

    `inrelease`: the hex SHA-256 of the file InRelease. `signed_by`: the fingerprint of the key that signed it, as hex digits.
    `signed`, `valid_until`: from when and until when devices accept it, in seconds since 1970.
    """

    suite: str
    inrelease: str
    signed_by: str
    signed: int
    valid_until: int


class Offer(NamedTuple):
    """A version of a package that a device shall install, and the release of the repository that has it."""

    package: str
    version: str
    release: Release

    def fields(self) -> dict[str, str]:
        """Return the offer as a device is told of it."""
        release = self.release
        signed = {"suite": release.suite, "inrelease_sha256": release.inrelease, "signed_by": release.signed_by}
        return {"package": self.package, "version": self.version, **signed}
