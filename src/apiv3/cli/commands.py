"""The command `apiv3`, whose subcommands stand in the other modules here: one for each group."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any

import click

from apiv3 import __version__
from apiv3.cli import INTERRUPTED
from apiv3.cli.groups import Group
from apiv3.cli.typos import typos
from apiv3.client.errors import Refused, Unreachable
from apiv3.logs import configure_logging
from apiv3.model.errors import ApiError
from apiv3.settings import SettingsError

_log = logging.getLogger("apiv3")


_MODULES = {
    "serve": "serve",
    "subject": "subject",
    "role": "role",
    "user": "user",
    "audit": "audit",
    "check": "subject",
    "import": "import_",
    "export": "export",
    "db": "db",
    "watch": "watch",
    "completion": "completion",
}
"""Command -> the module that has a function of its name. A command loads its own: a server takes half a second to load."""


class Commands(Group):
    """Loads the command that is asked for. Turns what can go wrong on the way into one sentence and the exit status 1, and
    Ctrl-C into a silent end.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return sorted(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _MODULES:
            return None
        module = import_module(f"apiv3.cli.{_MODULES[cmd_name]}")
        command: click.Command = getattr(module, "import_" if cmd_name == "import" else cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (ApiError, SettingsError, Refused, Unreachable) as error:
            raise click.ClickException(str(error)) from error
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        except ConnectionError:  # among them a pipe that nobody reads any more: click ends quietly
            raise
        except OSError as error:
            if error.filename is not None:
                raise
            _give_up_output()
            raise click.ClickException(f"The output cannot be written: {error.strerror}.") from error


def _give_up_output() -> None:
    """Let go of what the standard output will not take: Python would try once more at the end, and complain."""
    with suppress(OSError):  # it may be none of the system's files
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="apiv3")
def main() -> None:
    """A self-hosted data API for people who live with diabetes, and for those who build for them.

    Settings come from the environment or from a file .env in the current directory; .env.example lists them all.

    \b
    apiv3 serve                                  start the server
    apiv3 subject add phone --role readable      a new subject and its access token
    apiv3 check phone api:entries:read           may it?
    apiv3 user add anna@x.example --role admin   a new person and an invitation
    apiv3 import clarity.csv                     readings from a file
    apiv3 export entries --output entries.ndjson a file from readings
    """
    os.umask(0o077)  # whatever is created here holds secrets or health data
    configure_logging()
    for typo in typos():
        _log.warning(typo)
