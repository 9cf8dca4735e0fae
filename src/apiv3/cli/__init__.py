"""The command `apiv3`: one module for each group of commands."""

from __future__ import annotations

import os
from typing import Any

import click

from apiv3 import __version__
from apiv3.app import configure_logging
from apiv3.cli.db import db
from apiv3.cli.role import role
from apiv3.cli.serve import serve
from apiv3.cli.subject import check, subject
from apiv3.cli.watch import watch
from apiv3.model.errors import ApiError
from apiv3.settings import SettingsError


class _Commands(click.Group):
    """Turns what can go wrong on the way into one sentence and the exit status 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (ApiError, SettingsError) as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="apiv3")
def main() -> None:
    """A self-hosted data API for people who live with diabetes, and for those who build for them.

    Settings come from the environment or from a file .env in the current directory; .env.example lists them all.

    \b
    apiv3 serve                                  start the server
    apiv3 subject add phone --role readable      a new subject and its access token
    apiv3 check phone api:entries:read           may it?
    """
    os.umask(0o077)  # whatever is created here holds secrets or health data
    configure_logging()


for command in (serve, subject, role, check, db, watch):
    main.add_command(command)
