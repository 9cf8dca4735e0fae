"""Rounds: check the database when the bell rings, and every few seconds without a bell."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from apiv3.model.errors import StorageUnavailable

LOOK = 3.0
"""Seconds after which a check is made without a bell."""

_log = logging.getLogger(__name__)


async def go(bell: asyncio.Event, look: Callable[[], Awaitable[object]], what: str, gather: float = 0) -> None:
    """Call `look` at every ring, and every few seconds, until cancelled. Failures are logged and do not end it.

    `what`: what is being checked, for the log. An unavailable database is logged once. `gather`: the least seconds between two
    checks, so that a burst of changes causes only a few.
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
                _log.warning("the database is unavailable; %s are sent when it is back", what)
            away = True
        except Exception:
            _log.exception("cannot check for %s", what)
        if gather:
            await asyncio.sleep(gather)
