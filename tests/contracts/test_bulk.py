"""Many documents at once end as they would have ended one by one: outcomes, what is stored, and in which order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apiv3.model.collections import STANDARD, Collection
from apiv3.model.documents import Document
from apiv3.model.errors import ApiError, BadRequest, MissingPermission, StorageUnavailable
from apiv3.operations.batch import Batch
from apiv3.operations.bulk import Bulk
from apiv3.operations.writing import Rules, Writing, Written
from apiv3.security.permissions import Permission, PermissionSet
from apiv3.security.principal import Principal
from apiv3.storage.documents import DocumentTable
from tests.support.storage import DATE, document, history, insert, sequence, unique

RIGHTS = {name: PermissionSet([Permission.parse(f"api:*:{name}")]) for name in ("create", "update", "create,update")}
FALLBACKS = sorted({each.fallback for each in STANDARD})

_dates = st.integers(DATE, DATE + 2)
_sent = st.fixed_dictionaries(
    {"app": st.sampled_from(["test", "", 5]) | st.just("test")},
    optional={
        "identifier": st.sampled_from(["a", "b", "c", "", None, 7, "x" * 2000]),
        "date": _dates | st.just("yesterday"),
        "device": st.sampled_from(["one", "two"]),
        "type": st.sampled_from(["sgv", "mbg"]),
        "eventType": st.sampled_from(["Note", None]),
        "isValid": st.booleans(),
        "isReadOnly": st.booleans(),
        "duration": st.integers(0, 9),
    },
)
_item = st.one_of(_sent, st.just(BadRequest("Bad or missing request body")))
_before = st.lists(
    st.fixed_dictionaries(
        {"identifier": st.sampled_from("abcde"), "date": _dates, "created_at": st.just("2023-11-14T22:13:20.000Z")},
        optional={"type": st.just("sgv"), "device": st.just("one"), "eventType": st.just("Note"), "isValid": st.booleans()},
    ),
    max_size=3,
    unique_by=lambda each: str(each["identifier"]),
)


def outcome_of(outcome: Written | ApiError) -> Any:
    """An outcome without its time, and without the name of the collection."""
    if isinstance(outcome, MissingPermission):
        return outcome.permission.rpartition(":")[2]
    if isinstance(outcome, ApiError):
        return outcome.status, outcome.message
    return outcome.identifier, outcome.created, outcome.deduplicated, outcome.former


def without_times(stored: Document) -> Document:
    return {name: value for name, value in stored.items() if name not in ("srvModified", "srvCreated")}


async def one_by_one(writing: Writing, who: Principal, collection: Collection, items: list[Any]) -> list[Written | ApiError]:
    outcomes: list[Written | ApiError] = []
    for item in items:
        try:
            if isinstance(item, ApiError):
                raise item
            outcomes.append(await writing.create(who, collection, item))
        except ApiError as refusal:
            outcomes.append(refusal)
    return outcomes


@pytest.mark.parametrize("rights", RIGHTS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=_before,
    unidentified=_before,
    items=st.lists(_item, max_size=8),
    fallback=st.sampled_from(FALLBACKS),
    dedup=st.booleans(),
)
async def test_many_are_as_one_by_one(
    store: DocumentTable,
    rights: str,
    before: list[Document],
    unidentified: list[Document],
    items: list[Any],
    fallback: tuple[str, ...],
    dedup: bool,
) -> None:
    who = Principal("tester", RIGHTS[rights])
    writing = Writing(store, Rules(dedup_fallback=dedup))
    alone, together = (Collection(unique(name), fallback) for name in ("alone", "together"))
    await store.prepare([alone.name, together.name])
    for each in (alone, together):
        await insert(store, each.name, *before)
        others = [{**old, "identifier": f"old-{old['identifier']}"} for old in unidentified]
        await insert(store, each.name, *others, identified=False)

    expected = await one_by_one(writing, who, alone, items)
    outcomes = await Bulk(writing).create(who, together, items)

    assert list(map(outcome_of, outcomes)) == list(map(outcome_of, expected))
    stored, model = await history(store, together.name), await history(store, alone.name)
    assert list(map(without_times, stored)) == list(map(without_times, model))
    assert [each["srvCreated"] == each["srvModified"] for each in stored] == [
        each["srvCreated"] == each["srvModified"] for each in model
    ]
    steps = [outcome.srv_modified for outcome in outcomes if isinstance(outcome, Written)]
    assert sequence(steps)


async def test_each_document_is_one_step_of_the_clock(store: DocumentTable, collection: str) -> None:
    """Refused ones take none, and the next writer goes on after the last one."""
    who = Principal("tester", RIGHTS["create,update"])
    bulk = Bulk(Writing(store, Rules()))
    items: list[Any] = [document("a"), document("b", app=""), document("c"), document("a"), BadRequest("no"), document("d")]
    outcomes = await bulk.create(who, Collection(collection), items)
    steps = [outcome.srv_modified for outcome in outcomes if isinstance(outcome, Written)]
    assert steps == list(range(steps[0], steps[0] + 4))
    [last] = await insert(store, collection, document("e"))
    assert last["srvModified"] > steps[-1]


async def test_what_is_kept_is_not_touched(store: DocumentTable, collection: str) -> None:
    """Neither a document that is there, nor a deleted one; and to keep them takes no right to update."""
    who = Principal("tester", RIGHTS["create"])
    before = await insert(store, collection, document("a", notes="old"), document("b", isValid=False))
    items: list[Any] = [document("a", notes="new"), document("b", notes="new"), document("c"), document("c", notes="again")]
    outcomes = await Bulk(Writing(store, Rules())).create(who, Collection(collection), items, keep=True)
    assert [outcome_of(each) for each in outcomes] == [
        ("a", False, True, None),
        ("b", False, True, None),
        ("c", True, False, None),
        ("c", False, True, None),
    ]
    assert [each.srv_modified for each in outcomes[:2] if isinstance(each, Written)] == [each["srvModified"] for each in before]
    assert [each.get("notes") for each in await history(store, collection)] == ["old", None, None]
    [refused] = await Bulk(Writing(store, Rules())).create(
        Principal("other", RIGHTS["update"]), Collection(collection), [document("a")], keep=True
    )
    assert isinstance(refused, MissingPermission)


async def test_a_failure_undoes_all(store: DocumentTable, collection: str, monkeypatch: pytest.MonkeyPatch) -> None:
    who = Principal("tester", RIGHTS["create,update"])
    items: list[Any] = [document("a"), document("b"), document("a", again=True), document("c")]
    flush, flushes = Batch.flush, list[int]()

    async def fail(self: Batch) -> None:
        await flush(self)
        flushes.append(1)
        if len(flushes) == 2:
            raise StorageUnavailable

    monkeypatch.setattr(Batch, "flush", fail)
    with pytest.raises(StorageUnavailable):
        await Bulk(Writing(store, Rules())).create(who, Collection(collection), items)
    assert await history(store, collection) == []


@pytest.mark.parametrize("number", [1, 9, 10, 11, 99, 100, 101, 1234])
async def test_any_number_in_their_order(store: DocumentTable, collection: str, number: int) -> None:
    """Also where one statement does not hold them all; and looked up again, all are found."""
    who = Principal("tester", RIGHTS["create,update"])
    bulk = Bulk(Writing(store, Rules()))
    items: list[Any] = [document(f"{each:04}", date=DATE + each) for each in range(number)]
    for created in (True, False):
        outcomes = await bulk.create(who, Collection(collection), items)
        assert [each.created for each in outcomes if isinstance(each, Written)] == [created] * number
        assert [each["identifier"] for each in await history(store, collection, limit=2000)] == [
            each["identifier"] for each in items
        ]
