"""Makers of databases and servers, behind the fixtures of conftest.py."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from tests.support.installation import Installation
from tests.support.postgres import Postgres
from tests.support.server import LiveServer

NewFolder = Callable[[str], Path]
NewDatabase = Callable[[str], AbstractContextManager[str]]


class FreshServer(Protocol):
    """Starts a server of the test's own: `env` overrides settings (None unsets), `arguments` go to `apiv3 serve`."""

    def __call__(
        self,
        database: str = "sqlite",
        *,
        workers: int = 1,
        env: Mapping[str, str | None] | None = None,
        arguments: Sequence[str] = (),
    ) -> LiveServer: ...


def database_maker(new_folder: NewFolder, postgres: Callable[[], Postgres]) -> NewDatabase:
    @contextmanager
    def new_database(kind: str) -> Iterator[str]:
        if kind == "sqlite":
            yield f"sqlite:///{new_folder('database') / 'apiv3.db'}"
            return
        with postgres().database() as url:
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
) -> Iterator[LiveServer]:
    with new_database(database) as url:
        installation = Installation(new_folder("installation"), url, env or {})
        server = LiveServer(installation, workers=workers, arguments=arguments)
        try:
            server.start()
            yield server
        finally:
            server.stop()
