"""Take over what other processes have changed: subjects and roles, and which sessions have ended.

Everything that must take effect in every process within a second has a revision in the database. Each process compares it with
its own twice a second.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from apiv3.model.errors import StorageUnavailable

INTERVAL = 0.5
"""Seconds between two regular checks for a new revision."""
_log = logging.getLogger(__name__)


class Revised(Protocol):
    async def catch_up(self) -> None:
        """Take over what has changed since the last call. Raises StorageUnavailable."""


async def follow(*parts: Revised) -> None:
    """Keep all parts up to date until cancelled. While the database is unavailable, they stay as they are."""
    away = False
    while True:
        await asyncio.sleep(INTERVAL)
        try:
            for part in parts:
                await part.catch_up()
            away = False
        except StorageUnavailable:
            if not away:
                _log.warning("the database is unavailable; subjects, roles and sessions stay as they are until it is back")
            away = True
        except Exception:
            _log.exception("cannot take over what has changed")
