"""Waiting for something to happen, in tests. How long it takes is never what they prove, so there is one long patience."""

import asyncio
import time
from collections.abc import Callable

PATIENCE = 60.0
"""Seconds after which something will not happen any more, however slow the machine is."""
_PAUSE = 0.02


def wait_until(condition: Callable[[], object], otherwise: str | Callable[[], str] = "it never happens") -> None:
    """Return as soon as the condition holds. Raises AssertionError if it never does, with `otherwise` or what that returns."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, otherwise if isinstance(otherwise, str) else otherwise()
        time.sleep(_PAUSE)


async def until(condition: Callable[[], object], otherwise: str = "it never happens") -> None:
    """The same inside an event loop, whose other tasks go on meanwhile."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, otherwise
        await asyncio.sleep(_PAUSE)
