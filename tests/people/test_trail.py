"""The audit trail can only be added to, whoever asks the database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from apiv3.model.audit import Actor, Entry
from apiv3.storage import audit, schema
from apiv3.storage.audit import AuditTable
from apiv3.storage.database import Database

ENTRY = Entry(1_700_000_000_000, Actor(None, "somebody", "test"), "sign-in", None, "failure", {"tries": 3})


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    import asyncio

    await asyncio.to_thread(schema.upgrade, url)
    database = Database(url)
    await database.connect()
    try:
        yield database
    finally:
        await database.disconnect()


@pytest.mark.parametrize("statement", ["UPDATE audit SET outcome = 'success'", "DELETE FROM audit"])
async def test_the_database_refuses_other_changes(statement: str, database_url: str) -> None:
    async with opened(database_url) as database:
        async with database.transaction("audit") as connection:
            await audit.add(connection, database.dialect, ENTRY)
        with pytest.raises(Exception, match="can only be added to"):
            async with database.transaction("audit") as connection:
                await connection.execute(statement)
        assert list(await AuditTable(database).find(0, None, None)) == [ENTRY]
