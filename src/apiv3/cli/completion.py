"""`apiv3 completion`: let the shell complete commands, options, and the names of collections, subjects and roles."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import TypeVar

import click
from click.shell_completion import get_completion_class

from apiv3.cli.place import is_there
from apiv3.model import collections
from apiv3.model.accounts import Person
from apiv3.model.identity import BUILT_IN_ROLES
from apiv3.settings import Settings, load
from apiv3.storage.accounts import AccountTable
from apiv3.storage.contracts import Policy
from apiv3.storage.database import Database
from apiv3.storage.policy import PolicyTable

T = TypeVar("T")

COMPLETION_TIMEOUT = 2.0
"""Seconds that a completion waits for the database."""


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a script that lets SHELL complete the commands of `apiv3`.

    \b
    eval "$(apiv3 completion bash)"               in ~/.bashrc
    eval "$(apiv3 completion zsh)"                in ~/.zshrc
    apiv3 completion fish | source                in ~/.config/fish/config.fish
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise click.ClickException(f"There is no completion for {shell}.")
    click.echo(kind(context.find_root().command, {}, "apiv3", "_APIV3_COMPLETE").source())


def _completing(names: Callable[[Settings], Iterable[str]]) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Return a completion function for names. On any error it returns no names, since it must not print while a user types."""

    def complete(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
        with suppress(Exception):
            return sorted(name for name in names(load()) if name.startswith(typed))
        return []

    return complete


def _asked(settings: Settings, ask: Callable[[Database], Awaitable[T]]) -> T | None:
    """Query the database of the installation in this directory, without changing it. None if there is no installation."""
    if not is_there(settings):
        return None

    async def asked() -> T:
        database = Database(settings.database)
        await database.connect()
        try:
            return await ask(database)
        finally:
            await database.disconnect()

    return asyncio.run(asyncio.wait_for(asked(), COMPLETION_TIMEOUT))


def _policy(settings: Settings) -> Policy:
    return _asked(settings, lambda database: PolicyTable(database).load()) or Policy(0, (), ())


def _people(settings: Settings) -> Sequence[Person]:
    return _asked(settings, lambda database: AccountTable(database).all()) or ()


collection_names = _completing(lambda settings: collections.table(settings.api3_extra_collections))
subject_names = _completing(lambda settings: [each.name for each in _policy(settings).subjects])
role_names = _completing(lambda settings: {each.name for each in (*BUILT_IN_ROLES, *_policy(settings).roles)})
own_role_names = _completing(lambda settings: [each.name for each in _policy(settings).roles])
user_emails = _completing(lambda settings: [each.account.email.address for each in _people(settings)])
