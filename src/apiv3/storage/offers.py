"""Offers of software updates in the database. The row of a release is the repository as devices are told of it."""

from __future__ import annotations

from collections.abc import Sequence

from apiv3.model.audit import Entry
from apiv3.model.updates import SUITE, Offer, Release
from apiv3.retrying import retried
from apiv3.storage import audit
from apiv3.storage.database import Connection, Database
from apiv3.storage.devices import LANE, NEXT_REVISION

_EVERYBODY = ""
"""Stands in the column `device` of an offer to all devices. An offer to one device takes precedence."""
_RELEASE = "SELECT suite, inrelease, signed_by, signed, valid_until FROM releases WHERE suite = ?"
_PUT_RELEASE = """INSERT INTO releases (suite, inrelease, signed_by, signed, valid_until) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (suite) DO UPDATE SET inrelease = excluded.inrelease, signed_by = excluded.signed_by,
    signed = excluded.signed, valid_until = excluded.valid_until"""
_OFFERS = "SELECT package, version FROM offers WHERE device IN (?, ?) ORDER BY package, device"
_PUT_OFFER = """INSERT INTO offers (package, device, version) VALUES (?, ?, ?)
    ON CONFLICT (package, device) DO UPDATE SET version = excluded.version"""
_DROP_OFFERS = "DELETE FROM offers WHERE package = ?"
_TOUCH = "UPDATE devices SET changed = ?"


class OfferTable:
    """The OfferStore of both databases."""

    def __init__(self, database: Database) -> None:
        self._database, self._sql = database, database.dialect.sql

    async def of(self, device: str) -> Sequence[Offer]:
        release = await self.release()
        if release is None:
            return ()
        rows = await self._database.fetch(self._sql(_OFFERS), _EVERYBODY, device)
        return [Offer(package, version, release) for package, version in dict(map(tuple, rows)).items()]

    async def release(self) -> Release | None:
        rows = await self._database.fetch(self._sql(_RELEASE), SUITE)
        return Release(*rows[0]) if rows else None

    @retried
    async def publish(self, release: Release, package: str, version: str, devices: Sequence[str], entry: Entry) -> None:
        async with self._database.transaction(LANE) as connection:
            await self._put(connection, release)
            if not devices:
                await connection.execute(self._sql(_DROP_OFFERS), package)
            for device in sorted(devices) or [_EVERYBODY]:
                await connection.execute(self._sql(_PUT_OFFER), package, device, version)
            await audit.add(connection, self._database.dialect, entry)

    @retried
    async def renew(self, release: Release) -> None:
        async with self._database.transaction(LANE) as connection:
            await self._put(connection, release)

    async def _put(self, connection: Connection, release: Release) -> None:
        """Store the release, and let all devices be told: their offers have a new digest of InRelease."""
        ((revision,),) = await connection.fetch(NEXT_REVISION)
        await connection.execute(self._sql(_PUT_RELEASE), *release)
        await connection.execute(self._sql(_TOUCH), revision)
