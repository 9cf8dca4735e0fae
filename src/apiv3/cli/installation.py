"""What the commands that work on the database have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from pydantic import SecretStr

from apiv3.cli.db import migrate
from apiv3.cli.place import here, is_there
from apiv3.installation import Installation
from apiv3.security.secrets import mint
from apiv3.settings import Settings, is_lacking, provision, secret_missing

T = TypeVar("T")


def run(work: Callable[[Installation], Awaitable[T]], *, makes: bool = False, shows_tokens: bool = False) -> T:
    """Run `work` on the installation here, with its subjects and roles loaded. `makes`: where there is none, on a new one.

    `shows_tokens`: it cannot be done when API_SECRET is lost. Raises SettingsError.
    """
    settings = here(makes=makes)
    is_new = not is_there(settings)
    settings = provision(settings, ("api_secret",)) if is_new else with_secret(settings, shows_tokens=shows_tokens)
    migrate(settings, makes=is_new)
    return run_on(settings, work)


def run_on(settings: Settings, work: Callable[[Installation], Awaitable[T]]) -> T:
    """The same for settings that have a secret already, and a database with tables."""

    async def connected() -> T:
        installation = Installation(settings)
        async with installation.opened():
            return await work(installation)

    return asyncio.run(connected())


def with_secret(settings: Settings, *, shows_tokens: bool = False) -> Settings:
    """Only the start of a server makes a secret where subjects may be; work that shows no tokens does with a passing one."""
    if is_lacking(settings):
        if shows_tokens:
            raise secret_missing(settings)
        settings = settings.model_copy(update={"api_secret": SecretStr(mint())})
    return provision(settings, ("api_secret",))
