"""The command `apiv3`: in a process of its own, or inside this one, which saves it the start.

A command migrates the tables in a fork. What that imports is imported here, once, instead of by each fork.
"""

import os
from contextlib import chdir
from typing import NamedTuple

import click
from click.testing import CliRunner

import apiv3.storage.schema  # noqa: F401
from apiv3.cli.commands import main
from tests.support.installation import Installation


class Done(NamedTuple):
    """How a command ended."""

    status: int
    output: str
    errors: str


def children(group: click.Group) -> dict[str, click.Command]:
    """The commands of a group, by name; those of `apiv3` itself are loaded."""
    context = click.Context(group)
    found = {name: group.get_command(context, name) for name in group.list_commands(context)}
    return {name: command for name, command in found.items() if command}


def process(installation: Installation, *arguments: str) -> Done:
    """Runs a command in a process of its own."""
    done = installation.run(*arguments)
    return Done(done.returncode, done.stdout, done.stderr)


def here(installation: Installation, *arguments: str, stdin: bytes = b"") -> Done:
    """Runs a command inside this process, in the installation's folder and environment."""
    environment: dict[str, str | None] = {**dict.fromkeys(os.environ), **installation.environment()}
    before = os.umask(0o022)
    try:
        with chdir(installation.folder):
            done = CliRunner().invoke(main, arguments, prog_name="apiv3", env=environment, input=stdin)
    finally:
        os.umask(before)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Done(done.exit_code, done.stdout, done.stderr)
