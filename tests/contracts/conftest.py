"""A store of each kind for the contract suite: one migrated database for a worker's whole run, one collection for each test."""

from collections.abc import AsyncIterator, Iterator

import pytest

from apiv3.storage import schema
from apiv3.storage.database import Database
from apiv3.storage.documents import DocumentTable
from apiv3.storage.policy import PolicyTable
from tests.support.factories import NewDatabase
from tests.support.storage import unique


@pytest.fixture(scope="session")
def migrated_url(database: str, new_database: NewDatabase) -> Iterator[str]:
    with new_database(database) as url:
        schema.upgrade(url)
        yield url


@pytest.fixture
async def opened(migrated_url: str) -> AsyncIterator[Database]:
    database = Database(migrated_url)
    await database.connect()
    yield database
    await database.disconnect()


@pytest.fixture
async def another(migrated_url: str) -> AsyncIterator[Database]:
    """The same database as `opened`, as another process would have opened it."""
    database = Database(migrated_url)
    await database.connect()
    yield database
    await database.disconnect()


@pytest.fixture
def store(opened: Database) -> DocumentTable:
    return DocumentTable(opened)


@pytest.fixture
async def collection(store: DocumentTable) -> str:
    """A collection of the test's own, empty."""
    name = unique("collection")
    await store.prepare([name])
    return name


@pytest.fixture
def policies(opened: Database) -> PolicyTable:
    return PolicyTable(opened)
