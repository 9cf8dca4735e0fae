"""Makers of databases and servers, behind the fixtures of conftest.py."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from apiv3.storage import schema
from tests.support.installation import Installation
from tests.support.postgres import Postgres
from tests.support.server import LiveServer

NewFolder = Callable[[str], Path]


class NewDatabase(Protocol):
    """Makes a database: `with new_database("postgres") as url`. `migrated`: with tables, otherwise empty."""

    def __call__(self, kind: str, *, migrated: bool = False) -> AbstractContextManager[str]: ...


class FreshServer(Protocol):
    """Starts a server of the test's own: `env` overrides settings (None unsets), `arguments` go to `apiv3 serve`.

    `real`: see `LiveServer`.
    """

    def __call__(
        self,
        database: str = "sqlite",
        *,
        workers: int = 1,
        env: Mapping[str, str | None] | None = None,
        arguments: Sequence[str] = (),
        real: bool = False,
    ) -> LiveServer: ...


def database_maker(new_folder: NewFolder, postgres: Callable[[], Postgres]) -> NewDatabase:
    """Makes databases. Those with tables are copies of one that was migrated, which takes a tenth of the time."""

    @cache
    def migrated_file() -> Path:
        file = new_folder("migrated") / "apiv3.db"
        schema.upgrade(f"sqlite:///{file}")
        return file

    @contextmanager
    def new_database(kind: str, *, migrated: bool = False) -> Iterator[str]:
        if kind == "sqlite":
            file = new_folder("database") / "apiv3.db"
            if migrated:
                shutil.copy(migrated_file(), file)
            yield f"sqlite:///{file}"
            return
        with postgres().database(migrated=migrated) as url:
            yield url

    return new_database


@contextmanager
def running_server(
    new_folder: NewFolder,
    new_database: NewDatabase,
    database: str = "sqlite",
    *,
    workers: int = 1,
    env: Mapping[str, str | None] | None = None,
    arguments: Sequence[str] = (),
    real: bool = False,
) -> Iterator[LiveServer]:
    with new_database(database, migrated=True) as url:
        installation = Installation(new_folder("installation"), url, env or {})
        server = LiveServer(installation, workers=workers, arguments=arguments, real=real)
        try:
            server.start()
            yield server
        finally:
            server.stop()


@contextmanager
def lasting_servers(new_folder: NewFolder, new_database: NewDatabase) -> Iterator[FreshServer]:
    """Starts servers that last until the end of the block, and then end all at once."""
    servers: list[LiveServer] = []
    with ExitStack() as running:

        def start(*arguments: Any, **options: Any) -> LiveServer:
            servers.append(running.enter_context(running_server(new_folder, new_database, *arguments, **options)))
            return servers[-1]

        yield start
        for server in servers:
            server.end()
