"""What was exported and is imported into an empty collection is the same: server times, deletions, old addresses and all."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apiv3.files import json_documents
from apiv3.files.writing import Span, comma_separated, ndjson
from apiv3.model import timestamps
from apiv3.model.collections import Collection
from apiv3.model.documents import Document, normalise
from apiv3.model.errors import ApiError
from apiv3.operations.restoring import Restoring
from apiv3.operations.writing import Rules, Writing, Written
from apiv3.storage.database import Database
from apiv3.storage.documents import DocumentTable
from tests.support import hostile
from tests.support.storage import DATE, DAY, document, history, insert, sequence, unique

ALL = Span(0, timestamps.LAST_DATE + 1)

_documents = st.lists(
    st.fixed_dictionaries(
        {
            "identifier": st.text("aB1.é🍎 ", min_size=1, max_size=3).filter(str.strip),
            "date": st.integers(DATE, DATE + 9),
            "app": st.just("x"),
        },
        optional={
            "type": st.sampled_from(["sgv", ["sgv", "mbg"]]),
            "isValid": st.booleans(),
            "modifiedBy": st.just("someone"),
            "subject": st.text("é🍎\n", max_size=2),
            "value": st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.none(),
            "_id": st.just("5f5f6a3e9d1c4b0012345678"),
        },
    ),
    max_size=6,
    unique_by=lambda each: str(each["identifier"]),
)


def restoring(store: DocumentTable) -> Restoring:
    return Restoring(store, Writing(store, Rules()))


async def exported(store: DocumentTable, collection: str, span: Span = ALL) -> bytes:
    file = io.BytesIO()
    number = await ndjson(store, collection, span, file)
    assert number == file.getvalue().count(b"\n")
    return file.getvalue()


async def restored(store: DocumentTable, collection: str, data: bytes) -> list[Written | ApiError]:
    rows = json_documents.read(io.BufferedReader(io.BytesIO(data)))
    return await restoring(store).restore(Collection(collection, ("date", "type")), [row.item for row in rows])


def words(outcomes: list[Written | ApiError]) -> list[str]:
    return [str(each) if isinstance(each, ApiError) else "new" if each.created else "duplicate" for each in outcomes]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(documents=_documents, old=_documents)
async def test_there_and_back(store: DocumentTable, documents: list[Document], old: list[Document]) -> None:
    here, there = unique("here"), unique("there")
    await store.prepare([here, there])
    for each in documents:
        await insert(store, here, normalise(each))
    for each in old:
        await insert(store, here, normalise({**each, "identifier": f"old {each['identifier']}"}), identified=False)
    data = await exported(store, here)

    assert set(words(await restored(store, there, data))) <= {"new"}
    assert await history(store, there) == await history(store, here)
    assert await exported(store, there) == data
    # again, and nothing changes
    assert set(words(await restored(store, there, data))) <= {"duplicate"}
    assert await history(store, there) == await history(store, here)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=hostile.lines)
async def test_whatever_a_line_says_the_others_go_in(store: DocumentTable, lines: list[bytes]) -> None:
    name = unique("hostile")
    await store.prepare([name])
    good = [orjson.dumps(document(unique("good"), date=DATE + number)) for number in range(2)]
    outcomes = words(await restored(store, name, b"\n".join([good[0], *lines, good[1]])))
    assert len(outcomes) == len(lines) + 2
    assert (outcomes[0], outcomes[-1]) == ("new", "new")
    assert len((await exported(store, name)).splitlines()) == outcomes.count("new")


async def test_many_pages(store: DocumentTable, collection: str) -> None:
    """More than a stream hands over at a time; each one step of the clock after the one before."""
    other = unique("other")
    await store.prepare([other])
    await insert(store, collection, *(normalise(document(f"{number:04}", date=DATE + number)) for number in range(1234)))
    data = await exported(store, collection)
    assert data.count(b"\n") == 1234
    await restored(store, other, data)
    assert await history(store, other, limit=2000) == await history(store, collection, limit=2000)


async def test_server_times_that_would_break_the_order_are_given_anew(store: DocumentTable, collection: str) -> None:
    """Who follows HISTORY must not miss what is imported: it comes after everything that was there."""
    [before] = await insert(store, collection, document("before"))
    last = before["srvModified"]
    sent: list[Any] = [
        document("past", srvModified=DATE, srvCreated=DATE - 5),
        document("future", srvModified=last + 10 * DAY, srvCreated=last + 20 * DAY),
        document("absurd", srvModified="now", srvCreated=True, subject=5, modifiedBy=[]),
        document("none"),
    ]
    outcomes = await restoring(store).restore(Collection(collection), sent)
    assert words(outcomes) == ["new"] * 4
    stored = await history(store, collection)
    modified = [each["srvModified"] for each in stored]
    assert sequence(modified)
    assert [each["identifier"] for each in stored] == ["before", "past", "future", "absurd", "none"]
    assert modified[-1] < last + DAY
    assert stored[1]["srvCreated"] == DATE - 5
    assert [each["srvCreated"] for each in stored[2:]] == modified[2:]
    assert not {"subject", "modifiedBy"} & stored[3].keys()
    [after] = await insert(store, collection, document("after"))
    assert after["srvModified"] > modified[-1]


async def test_documents_from_before_apiv3_keep_their_address(store: DocumentTable, collection: str) -> None:
    """They need neither an identifier nor an app; who creates one of them again finds it by its fields."""
    old = "5f5f6a3e9d1c4b0012345678"
    sent: list[Any] = [
        {"_id": old, "type": "sgv", "sgv": 120, "date": DATE, "dateString": timestamps.iso(DATE)},
        {"_id": "b", "created_at": "2023-11-14T23:13:20+01:00"},
        {"_id": "c"},
        {"_id": old, "date": DATE + 1},
        {"_id": 5, "date": DATE},
        {"_id": "d", "date": "yesterday"},
        {"identifier": "own", "_id": "e", "date": DATE + 5, "app": "x"},
        {"date": DATE + 6, "type": "sgv"},
    ]
    outcomes = await restoring(store).restore(Collection(collection, ("date", "type")), sent)
    assert words(outcomes) == [
        *("new", "new", "new", "duplicate"),
        "Bad or missing identifier field",
        "Bad or missing date field",
        "new",
        "Bad or missing app field",
    ]
    found = await store.get(collection, old)
    assert found is not None
    assert not found.identified
    assert found.document["identifier"] == old
    assert (found.document["sgv"], found.document["created_at"]) == (120, "2023-11-14T22:13:20.000Z")
    other = await store.get(collection, "b")
    assert other is not None
    assert (other.document["date"], other.document["utcOffset"]) == (DATE, 60)
    lines = [orjson.loads(line) for line in (await exported(store, collection)).splitlines()]
    assert [(each.get("_id"), each.get("identifier")) for each in lines] == [
        (old, None),
        ("b", None),
        ("c", None),
        (None, "own"),
    ]
    # a duplicate by its fields
    again = await restoring(store).restore(Collection(collection, ("date", "type")), [document("new", date=DATE, type="sgv")])
    assert words(again) == ["duplicate"]


async def test_a_span(store: DocumentTable, collection: str) -> None:
    """From the one on, before the other; a document without a date counts by when it was stored."""
    await insert(store, collection, *(document(name, date=DATE + number) for number, name in enumerate("abcd")))
    await insert(store, collection, {"identifier": "e", "app": "x"})
    for span, names in (
        (Span(DATE + 1, DATE + 3), "bc"),
        (Span(0, DATE + 1), "a"),
        (Span(DATE + 3, ALL.until), "de"),
        (ALL, "abcde"),
    ):
        lines = (await exported(store, collection, span)).splitlines()
        assert "".join(orjson.loads(line)["identifier"] for line in lines) == names


async def test_csv(store: DocumentTable, collection: str) -> None:
    await insert(store, collection, document("a", notes='ü,"\n', tags=[1, {"b": None}]), document("b", sgv=5, isValid=False))
    file = io.BytesIO()
    assert await comma_separated(store, collection, ALL, file) == 2
    [first, second] = await history(store, collection)
    lines = file.getvalue().decode().split("\r\n")
    assert lines[0] == "srvModified,srvCreated,identifier,date,app,notes,tags,sgv,isValid"
    assert lines[1] == f'{first["srvModified"]},{first["srvCreated"]},a,{DATE},test,"ü,""\n","[1,{{""b"":null}}]",,'
    assert lines[2] == f"{second['srvModified']},{second['srvCreated']},b,{DATE},test,,,5,false"
    assert lines[3:] == [""]


class Rewritten(DocumentTable):
    """Whenever an export has read everything, somebody writes: the first document changes, and another one comes."""

    async def export(self, collection: str, since: int, until: int) -> AsyncGenerator[Sequence[tuple[bytes, bool]], None]:
        async for page in super().export(collection, since, until):
            yield page
        async with self.writing(collection) as writer:
            found = await writer.find("a")
            assert found is not None
            await writer.replace(found, found.document | {"srvModified": writer.tick(), "field": "new"})
        await insert(self, collection, document(unique("later"), date=DATE + 1))


@pytest.mark.parametrize(("span", "names"), [(ALL, "abc"), (Span(DATE, DATE + 2), "ab")])
async def test_csv_loses_nothing_that_changes_meanwhile(opened: Database, collection: str, span: Span, names: str) -> None:
    """Every document, as it was when the export began."""
    store = Rewritten(opened)
    await insert(store, collection, *(document(name, date=DATE + number) for number, name in enumerate("abc")))
    before = await history(store, collection)
    file = io.BytesIO()
    assert await comma_separated(store, collection, span, file) == len(names)
    rows = list(csv.DictReader(io.StringIO(file.getvalue().decode())))
    assert [row["identifier"] for row in rows] == list(names)
    assert rows == [{name: str(value) for name, value in each.items()} for each in before[: len(names)]]
