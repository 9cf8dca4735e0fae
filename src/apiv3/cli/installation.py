"""Run the work of commands on the installation's database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from pydantic import SecretStr

from apiv3.cli.db import migrate
from apiv3.cli.place import here, is_there
from apiv3.installation import Installation
from apiv3.provisioning import is_lacking, provision, secret_missing
from apiv3.security.secrets import mint
from apiv3.settings import Settings

T = TypeVar("T")


def run(
    work: Callable[[Installation], Awaitable[T]],
    *,
    makes: bool = False,
    shows_tokens: bool = False,
    secrets: Sequence[str] = (),
) -> T:
    """Run `work` on the installation here, with its subjects and roles loaded, and return its result.

    `makes`: create an installation if there is none. `shows_tokens`: fail when API_SECRET is lost. `secrets`:
    further secrets that `work` needs. Raises SettingsError.
    """
    settings = here(makes=makes)
    is_new = not is_there(settings)
    settings = provision(settings, ("api_secret",)) if is_new else with_secret(settings, shows_tokens=shows_tokens)
    settings = provision(settings, secrets) if secrets else settings
    migrate(settings, makes=is_new)
    return run_on(settings, work)


def run_on(settings: Settings, work: Callable[[Installation], Awaitable[T]]) -> T:
    """Run `work` with settings that have a secret, on a database that has tables."""

    async def connected() -> T:
        installation = Installation(settings)
        async with installation.opened():
            return await work(installation)

    return asyncio.run(connected())


def with_secret(settings: Settings, *, shows_tokens: bool = False) -> Settings:
    """Return the settings with API_SECRET. If it is lost, raise SettingsError if `shows_tokens`, else use a temporary one.

    Only `apiv3 serve` generates a secret for an installation that may have subjects.
    """
    if is_lacking(settings):
        if shows_tokens:
            raise secret_missing(settings)
        settings = settings.model_copy(update={"api_secret": SecretStr(mint())})
    return provision(settings, ("api_secret",))
