"""The command `apiv3`. Its subcommands are in the other modules of this package, one for each group."""

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
    "client": "client",
    "device": "device",
    "audit": "audit",
    "check": "subject",
    "update": "update",
    "import": "import_",
    "export": "export",
    "db": "db",
    "watch": "watch",
    "completion": "completion",
}
"""Command -> the module with a function of its name. Only the module of the command in use is imported, to save time."""


class Commands(Group):
    """Loads the command in use. Turns expected errors into one sentence and exit status 1, and Ctrl-C into a silent exit."""

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
        except ConnectionError:  # such as a closed pipe, on which click exits silently
            raise
        except OSError as error:
            if error.filename is not None:
                raise
            _give_up_output()
            raise click.ClickException(f"The output cannot be written: {error.strerror}.") from error


def _give_up_output() -> None:
    """Discard what could not be written to the standard output. Python would try again at exit, and print an error."""
    with suppress(OSError):  # the standard output may have no file descriptor
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
    os.umask(0o077)  # all files created here contain secrets or health data
    configure_logging()
    for typo in typos():
        _log.warning(typo)
