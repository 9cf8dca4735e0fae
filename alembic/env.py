"""The environment of Alembic's commands. They use the connection that `apiv3.storage.schema` passes; on the command line, a
connection to the database that the settings in this folder name.
"""

import os

from alembic import context
from alembic.util import CommandError
from sqlalchemy import Connection

from apiv3.cli.place import here
from apiv3.provisioning import make_folder
from apiv3.settings import SettingsError
from apiv3.storage.schema import locked


def run(connection: Connection) -> None:
    context.configure(connection=connection, transactional_ddl=True)
    with context.begin_transaction():
        context.run_migrations()


def run_from_command_line() -> None:
    os.umask(0o077)  # the database holds health data
    try:
        settings = here(makes=True)
        make_folder(settings)
    except SettingsError as error:
        raise CommandError(str(error)) from error
    locked(settings.database, run)


if "connection" in context.config.attributes:
    run(context.config.attributes["connection"])
else:
    run_from_command_line()
