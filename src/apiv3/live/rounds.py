"""The rounds of whoever follows the database: a look when the bell rings, and now and then without a bell."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from apiv3.model.errors import StorageUnavailable

LOOK = 3.0
"""Seconds between two looks without a bell."""

_log = logging.getLogger(__name__)


async def go(bell: asyncio.Event, look: Callable[[], Awaitable[object]], what: str, gather: float = 0) -> None:
    """Look for ever; no failure ends it. `what` is looked for, for the log; a database that is away is told there once.

    `gather`: seconds between two looks at least, so that a burst is looked at a few times only.
    """
    away = False
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK):
                await bell.wait()
        bell.clear()
        try:
            await look()
            away = False
        except StorageUnavailable:
            if not away:
                _log.warning("the database is unavailable; %s are told when it is back", what)
            away = True
        except Exception:
            _log.exception("cannot look for %s", what)
        if gather:
            await asyncio.sleep(gather)
