"""`apiv3 db`: manage the database's tables."""

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
from apiv3.provisioning import make_folder
from apiv3.settings import Settings, SettingsError
from apiv3.storage import revision


@click.group(cls=Group)
def db() -> None:
    """Manage the database's tables."""


@db.command()
@as_json
def upgrade(as_json: bool) -> None:
    """Migrate the tables to this version of apiv3. Several processes may do so at the same time.

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
    """Migrate the tables, and return the revisions before (None: no tables) and after.

    Raises SettingsError when the database cannot be used, and when it has no tables unless `makes`. A migration runs in a
    separate process, because the modules that Alembic imports would stay in the server's memory. Ctrl-C waits for its end.
    """
    check_file(settings)
    if revision.is_newest(settings.database):
        return revision.newest(), revision.newest()
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    with ProcessPoolExecutor(1, context, _begin) as process:
        return process.submit(_migrate, settings, makes).result()


def _begin() -> None:
    """Configure logging, ignore Ctrl-C, and end together with the parent: a child that outlives it would keep the port open."""
    configure_logging()  # a spawned process does not inherit the configuration
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()


def _migrate(settings: Settings, makes: bool) -> tuple[str | None, str]:
    from apiv3.storage import schema

    try:
        return schema.upgrade(settings.database, makes=makes)
    except Exception as error:
        reason = (str(error.__cause__ or error) or repr(error)).splitlines()[0]  # a timeout has no text
        raise SettingsError(f"{described(settings)} cannot be used: {reason}") from None
