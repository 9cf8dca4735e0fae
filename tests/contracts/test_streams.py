"""What is large is read as a stream; streams of different queries take turns on the same connections."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import orjson

from apiv3.model.queries import Filter, Query
from apiv3.storage.contracts import LARGE, SMALL, DocumentStore, LargeDocument, LargePage
from apiv3.storage.database import MOST_SCANS, Database
from tests.support.storage import DATE, DAY, document, insert

NUMBER = 5
NAMES = [f"d{number}" for number in range(NUMBER)]


async def test_streams_with_other_columns_follow_each_other(store: DocumentStore, collection: str) -> None:
    """HISTORY, SEARCH, a search by what has no column, and an export have different columns beside the document."""
    text = "x" * (SMALL // NUMBER + 1)
    await insert(store, collection, *(document(name, date=DATE + at, notes=text) for at, name in enumerate(NAMES)))
    for _ in range(2):
        history = await store.history(collection, 0, 1000)
        assert isinstance(history, LargePage)
        assert [each["identifier"] for each in history.documents] == NAMES
        assert history.srv_modified == history.documents[-1]["srvModified"]
        history.release()
        for query in (Query(()), Query((Filter(("notes",), "eq", text),))):
            page = await store.search(collection, query)
            assert isinstance(page, LargePage)
            assert sorted(each["identifier"] for each in page.documents) == NAMES
            page.release()
        exported = [row async for rows in store.export(collection, DATE - DAY, DATE + DAY) for row in rows]
        assert [identified for _, identified in exported] == [True] * NUMBER


async def test_a_large_document_is_read_by_itself(store: DocumentStore, collection: str) -> None:
    (stored,) = await insert(store, collection, document("large", notes="🍎" * (LARGE // 4)))
    found = await store.get(collection, "large")
    assert found is not None
    assert found.is_large
    large = await store.get_large(collection, "large", "somebody")
    assert isinstance(large, LargeDocument)
    assert orjson.loads(large.body) == stored
    assert (large.srv_modified, large.valid) == (stored["srvModified"], True)
    assert large.hold.places >= len(large.body)
    large.hold.release()
    assert await store.get_large(collection, "nothing", "somebody") is None


async def test_streams_leave_connections_to_others(opened: Database, store: DocumentStore, collection: str) -> None:
    """Two run at a time, of two callers; the others wait without a connection."""
    await insert(store, collection, document("first"))
    begun, enough, go_on = list[str](), asyncio.Event(), asyncio.Event()

    async def stream(caller: str) -> None:
        async with aclosing(opened.stream("SELECT body, id FROM documents", caller=caller)) as chunks:
            async for _ in chunks:
                begun.append(caller)
                if len(begun) == MOST_SCANS:
                    enough.set()
                await go_on.wait()

    streams = [asyncio.create_task(stream(caller)) for caller in ["greedy"] * 10 + ["modest"] * 10]
    async with asyncio.timeout(10):
        await enough.wait()
        await insert(store, collection, document("second"))
    assert sorted(begun) == ["greedy", "modest"]
    go_on.set()
    await asyncio.gather(*streams)
