"""The command `apiv3`: one module for each group of commands."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from typing import Any

import click

from apiv3 import __version__
from apiv3.__main__ import INTERRUPTED
from apiv3.app import configure_logging
from apiv3.cli.completion import completion
from apiv3.cli.db import db
from apiv3.cli.export import export
from apiv3.cli.import_ import import_
from apiv3.cli.role import role
from apiv3.cli.serve import serve
from apiv3.cli.subject import check, subject
from apiv3.cli.typos import typos
from apiv3.cli.watch import watch
from apiv3.client.errors import Refused, Unreachable
from apiv3.model.errors import ApiError
from apiv3.settings import SettingsError

_log = logging.getLogger("apiv3")


class _Commands(click.Group):
    """Turns what can go wrong on the way into one sentence and the exit status 1, and Ctrl-C into a silent end."""

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


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="apiv3")
def main() -> None:
    """A self-hosted data API for people who live with diabetes, and for those who build for them.

    Settings come from the environment or from a file .env in the current directory; .env.example lists them all.

    \b
    apiv3 serve                                  start the server
    apiv3 subject add phone --role readable      a new subject and its access token
    apiv3 check phone api:entries:read           may it?
    apiv3 import clarity.csv                     readings from a file
    apiv3 export entries --output entries.ndjson a file from readings
    """
    os.umask(0o077)  # whatever is created here holds secrets or health data
    configure_logging()
    for typo in typos():
        _log.warning(typo)


for command in (serve, subject, role, check, import_, export, db, watch, completion):
    main.add_command(command)
