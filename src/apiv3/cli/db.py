"""`apiv3 db`: the database's tables."""

from __future__ import annotations

import multiprocessing
import signal
import sys
from concurrent.futures import ProcessPoolExecutor

import click

from apiv3.cli.groups import Group
from apiv3.cli.options import as_json, show
from apiv3.cli.place import check_file, described, here, location
from apiv3.cli.supervisor import end_with_parent
from apiv3.logs import configure_logging
from apiv3.settings import Settings, SettingsError, make_folder


@click.group(cls=Group)
def db() -> None:
    """The database's tables."""


@db.command()
@as_json
def upgrade(as_json: bool) -> None:
    """Bring the tables to what this version needs. Any number of processes may do so at once.

    `apiv3 serve` does the same when it starts.

    \b
    apiv3 db upgrade
    """
    settings = here(makes=True)
    make_folder(settings)
    before, after = migrate(settings, makes=True)
    where = location(settings)
    if as_json:
        show({"database": where, "before": before, "after": after}, as_json=True)
    else:
        click.echo(f"{where}: {'nothing to do, ' if before == after else ''}the tables are at revision {after}.")


def migrate(settings: Settings, *, makes: bool = True) -> tuple[str | None, str]:
    """The revisions before and after. Raises SettingsError when the database cannot be reached or used, and when it holds
    no tables that it should not make.

    In a process of its own: what Alembic loads would stay in the server's memory for as long as it runs. On Ctrl-C it is
    waited for.
    """
    check_file(settings)
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    with ProcessPoolExecutor(1, context, _begin) as process:
        return process.submit(_migrate, settings, makes).result()


def _begin() -> None:
    """A child that outlived its parent would hold the port that it has inherited."""
    configure_logging()  # a process that was spawned inherits nothing of it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()


def _migrate(settings: Settings, makes: bool) -> tuple[str | None, str]:
    from apiv3.storage import schema

    try:
        return schema.upgrade(settings.database, makes=makes)
    except Exception as error:
        reason = (str(error.__cause__ or error) or repr(error)).splitlines()[0]  # a timeout has no text
        raise SettingsError(f"{described(settings)} cannot be used: {reason}") from None
