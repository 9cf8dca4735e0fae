"""What the commands that work on the database have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from apiv3.cli.db import migrate
from apiv3.cli.place import here
from apiv3.installation import Installation
from apiv3.settings import Settings, provision

T = TypeVar("T")


def run(work: Callable[[Installation], Awaitable[T]], *, makes: bool = False) -> T:
    """Run `work` on the installation here, with its subjects and roles loaded. `makes`: where there is none, on a new one.

    Raises SettingsError where there is none.
    """
    return run_on(provision(here(makes=makes)), work, makes=makes)


def run_on(settings: Settings, work: Callable[[Installation], Awaitable[T]], *, makes: bool) -> T:
    """The same for settings that are provisioned already."""
    migrate(settings, makes=makes)

    async def connected() -> T:
        installation = Installation(settings)
        async with installation.opened():
            return await work(installation)

    return asyncio.run(connected())
