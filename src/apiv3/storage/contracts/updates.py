"""What the rest of the server may ask of the storage of offers of software updates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from apiv3.model.audit import Entry
from apiv3.model.updates import Offer, Release


class OfferStore(Protocol):
    """Which versions devices are offered. Each change makes a new revision of the devices that it concerns (`DeviceStore`)."""

    async def of(self, device: str) -> Sequence[Offer]:
        """Return what a device is offered, one version for each package, in the order of their names."""

    async def release(self) -> Release | None:
        """Return the repository as devices are told of it; None before anything is published."""

    async def publish(self, release: Release, package: str, version: str, devices: Sequence[str], entry: Entry) -> None:
        """Store a release, the offer of a version in place of those before, and an entry of the audit trail.

        `devices`: the ids of those that are offered it; empty: all, those of the future too.
        """

    async def renew(self, release: Release) -> None:
        """Store a release that was signed anew."""
