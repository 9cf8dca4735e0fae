"""What the commands that work on the database have in common."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import click

from apiv3.cli.db import migrate
from apiv3.installation import Installation
from apiv3.settings import load, provision

T = TypeVar("T")


def run(work: Callable[[Installation], Awaitable[T]]) -> T:
    """Run `work` on this installation's database, with its subjects and roles loaded."""
    settings = provision(load())
    migrate(settings)

    async def connected() -> T:
        installation = Installation(settings)
        async with installation.opened():
            return await work(installation)

    return asyncio.run(connected())


def show(value: Any, as_json: bool) -> None:
    """A record, or a list of them, for people or (as JSON) for programs."""
    if as_json:
        click.echo(json.dumps(value, ensure_ascii=False, indent=2))
        return
    for record in value if isinstance(value, list) else [value]:
        for name, field in record.items():
            text = ", ".join(field) if isinstance(field, list | tuple) else field
            click.echo(f"{name + ':':<14}{text}".rstrip())
        click.echo()


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
