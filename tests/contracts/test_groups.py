"""Writes that wait for each other share a commit, and end as they would have ended one by one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apiv3.model.collections import Collection
from apiv3.model.documents import Document
from apiv3.model.errors import ApiError, BadRequest, NotFound, StorageUnavailable
from apiv3.operations import groups
from apiv3.operations.batch import Batch
from apiv3.operations.bulk import Bulk
from apiv3.operations.writing import Rules, Writing, Written
from apiv3.security.permissions import Permission, PermissionSet
from apiv3.security.principal import Principal
from apiv3.storage.database import Database
from apiv3.storage.documents import DocumentTable, DocumentTableWriter
from tests.contracts.test_bulk import outcome_of, without_times
from tests.support.storage import DATE, assert_whole, document, history, insert, interrupt_everywhere, sequence, unique

Work = Callable[[Writing, Collection], Awaitable[Any]]


def principal(rights: str) -> Principal:
    return Principal(rights, PermissionSet([Permission.parse(f"api:*:{rights}")]))


EVERYTHING = principal("create,update,delete,read")


class Counted(DocumentTable):
    """Counts its transactions. `fail`: each of those from the second on fails at its commit."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.transactions, self.fail = 0, False

    @asynccontextmanager
    async def writing(self, collection: str, at: int | None = None, ticks: int = 1) -> AsyncIterator[DocumentTableWriter]:
        self.transactions += 1
        async with super().writing(collection, at, ticks) as writer:
            yield writer
            if self.fail and self.transactions > 1:
                raise StorageUnavailable


@pytest.fixture
def counted(opened: Database) -> Counted:
    return Counted(opened)


@pytest.fixture
def writing(counted: Counted) -> Writing:
    return Writing(counted, Rules())


def create(name: str, who: Principal = EVERYTHING, **fields: Any) -> Work:
    return lambda writing, collection: writing.create(who, collection, document(name, **fields))


def fault(name: str) -> Work:
    """Stores a document twice, as no operation does: the database refuses that, but not before all others are done."""

    async def insert_twice(batch: Batch) -> None:
        tick = batch.tick()
        await batch.insert(*[document(name, srvModified=tick, srvCreated=tick)] * 2)

    return lambda writing, collection: writing.groups.write(collection, insert_twice, [document(name)])


def refused_too_late(name: str) -> Work:
    async def insert_and_refuse(batch: Batch) -> None:
        tick = batch.tick()
        await batch.insert(document(name, srvModified=tick, srvCreated=tick))
        raise BadRequest("too late")

    return lambda writing, collection: writing.groups.write(collection, insert_and_refuse, [document(name)])


async def started(writing: Writing, collection: Collection, first: Work, *others: Work) -> list[asyncio.Future[Any]]:
    """The first runs alone; the others come in the turn in which it begins, wait for it and run together."""
    tasks = [asyncio.ensure_future(first(writing, collection))]
    for _ in range(groups._TURNS):
        await asyncio.sleep(0)
    return tasks + [asyncio.ensure_future(work(writing, collection)) for work in others]


async def at_once(writing: Writing, collection: Collection, *works: Work) -> list[Any]:
    """What came of each of those that are `started`."""
    return await asyncio.gather(*await started(writing, collection, *works), return_exceptions=True)


async def names(store: DocumentTable, collection: str) -> list[str]:
    return [each["identifier"] for each in await history(store, collection)]


async def test_those_that_wait_share_a_commit_in_their_order(writing: Writing, counted: Counted, collection: str) -> None:
    expected = [f"{number:02}" for number in range(20)]
    outcomes = await at_once(writing, Collection(collection), *map(create, expected))
    assert counted.transactions == 2
    assert sequence([each.srv_modified for each in outcomes])
    assert await names(counted, collection) == expected
    [last] = await insert(counted, collection, document("after"))
    assert last["srvModified"] > outcomes[-1].srv_modified
    await create("alone")(writing, Collection(collection))
    assert counted.transactions == 4


async def test_those_that_come_together_share_a_commit(writing: Writing, counted: Counted, collection: str) -> None:
    """Also the first of them, which finds nobody under way, and which keeps its place before the others."""
    works = [create(name)(writing, Collection(collection)) for name in "abc"]
    outcomes = await asyncio.gather(*works)
    assert counted.transactions == 1
    assert sequence([each.srv_modified for each in outcomes])
    assert await names(counted, collection) == ["a", "b", "c"]


# --- as one by one

_NAMES = st.sampled_from("abc")
_FIELDS = st.fixed_dictionaries(
    {"app": st.sampled_from(["test", "other", ""])},
    optional={
        "date": st.sampled_from([DATE, DATE + 1, "yesterday"]),
        "device": st.sampled_from(["one", "two"]),
        "type": st.just("sgv"),
        "isReadOnly": st.booleans(),
        "notes": st.sampled_from(["x", "y"]),
    },
)
_WHO = st.sampled_from(["create,update,delete", "create", "update", "delete", "read"]).map(principal)
_since = st.sampled_from([None, 0])


def _operation(kind: str, who: Principal, name: str, fields: Document, since: int | None, permanent: bool) -> Work:
    async def run(writing: Writing, collection: Collection) -> Any:
        if kind == "create":
            return await writing.create(who, collection, {"date": DATE, **fields, "identifier": name})
        if kind == "computed":
            return await writing.create(who, collection, {"date": DATE, **fields})
        if kind == "update":
            return await writing.update(who, collection, name, {"date": DATE, **fields}, since)
        if kind == "patch":
            return await writing.patch(who, collection, name, {k: v for k, v in fields.items() if k != "app"}, since)
        if kind == "delete":
            return await writing.delete(who, collection, name, permanent=permanent)
        items: list[Any] = [{"date": DATE, **fields, "identifier": each} for each in (name, "d", name)]
        return await Bulk(writing).create(who, collection, items)

    return run


_operations = st.lists(
    st.builds(
        _operation,
        st.sampled_from(["create", "computed", "update", "update", "patch", "patch", "delete", "bulk"]),
        _WHO | st.just(EVERYTHING),
        _NAMES,
        _FIELDS,
        _since,
        st.booleans(),
    ),
    min_size=2,
    max_size=12,
)


def _told(outcome: Any) -> Any:
    if isinstance(outcome, list):
        return list(map(_told, outcome))
    if outcome is None:
        return None
    if isinstance(outcome, BaseException) and not isinstance(outcome, ApiError):
        raise outcome
    return outcome_of(outcome)


async def _one_by_one(writing: Writing, collection: Collection, works: list[Work]) -> list[Any]:
    return [(await asyncio.gather(work(writing, collection), return_exceptions=True))[0] for work in works]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(works=_operations, fallback=st.sampled_from([(), ("date", "type"), ("created_at", "device")]), old=st.booleans())
async def test_together_is_as_one_by_one(store: DocumentTable, works: list[Work], fallback: tuple[str, ...], old: bool) -> None:
    """Each sees what those before it did, is refused what it would have been refused alone, and undoes nobody else."""
    alone, together = (Collection(unique(name), fallback) for name in ("alone", "together"))
    await store.prepare([alone.name, together.name])
    for each in (alone, together):
        await insert(store, each.name, document("a", type="sgv"))
        if old:
            times = {"created_at": "2023-11-14T22:13:20.000Z", "device": "one", "type": "sgv"}
            await insert(store, each.name, document("old", **times), identified=False)
    expected = await _one_by_one(Writing(store, Rules()), alone, works)
    outcomes = await at_once(Writing(store, Rules()), together, *works)
    assert list(map(_told, outcomes)) == list(map(_told, expected))
    stored, model = await history(store, together.name), await history(store, alone.name)
    assert list(map(without_times, stored)) == list(map(without_times, model))
    assert sequence([each.srv_modified for each in outcomes if isinstance(each, Written)])
    assert await _log(store, together) == await _log(store, alone)


async def _log(store: DocumentTable, collection: Collection) -> list[tuple[str, str]]:
    return [(change.kind, change.identifier) for change in await store.changes(collection.name, 0, 100)]


async def test_a_tombstone_comes_before_what_follows(store: DocumentTable) -> None:
    """A document that takes over an older one leaves a tombstone, whose place in the log is that of its own write."""
    both = Collection(unique("entries"), ("date", "type"))
    await store.prepare([both.name])
    await insert(store, both.name, document("old", type="sgv"), identified=False)
    await at_once(Writing(store, Rules()), both, create("a"), create("c", type="sgv"), create("b"))
    assert await _log(store, both) == [("create", "a"), ("create", "c"), ("delete", "old"), ("create", "b")]


# --- faults


@pytest.mark.parametrize("bad", [fault, refused_too_late])
async def test_a_fault_undoes_its_member_alone(
    writing: Writing, counted: Counted, opened: Database, collection: str, bad: Callable[[str], Work]
) -> None:
    works = [create("first"), create("a"), bad("bad"), create("b"), create("a", notes="again"), create("c", app="")]
    outcomes = await at_once(writing, Collection(collection), *works)
    kinds = [type(each) for each in outcomes]
    assert kinds[:2] + kinds[3:] == [Written, Written, Written, Written, BadRequest]
    assert isinstance(outcomes[2], Exception)
    assert not isinstance(outcomes[2], StorageUnavailable)
    assert (outcomes[1].created, outcomes[4].created) == (True, False)
    assert await names(counted, collection) == ["first", "b", "a"]
    await assert_whole(opened)


async def test_a_failed_commit_is_told_to_every_member(writing: Writing, counted: Counted, collection: str) -> None:
    counted.fail = True
    outcomes = await at_once(writing, Collection(collection), *map(create, "abcd"), create("e", app=""))
    assert [type(each) for each in outcomes] == [Written, *[StorageUnavailable] * 4]
    assert await names(counted, collection) == ["a"]
    counted.fail = False
    await create("f")(writing, Collection(collection))
    assert await names(counted, collection) == ["a", "f"]


async def test_where_all_are_refused_nothing_is_written(writing: Writing, store: DocumentTable, collection: str) -> None:
    before = await store.clock(collection)
    outcomes = await at_once(writing, Collection(collection), *[_operation("patch", EVERYTHING, "a", {}, None, False)] * 4)
    assert [type(each) for each in outcomes] == [NotFound] * 4
    assert await store.clock(collection) == before


# --- bounds


@contextmanager
def _sizes() -> Iterator[list[int]]:
    """How many members each group has."""
    sizes = list[int]()
    take = groups._Queue._take

    def spy(queue: Any) -> Any:
        members = take(queue)
        sizes.append(len(members))
        return members

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(groups._Queue, "_take", spy)
        yield sizes


async def test_a_group_is_bounded_in_documents(writing: Writing, counted: Counted, collection: str) -> None:
    many = [document(f"bulk-{number}") for number in range(groups.MOST_DOCUMENTS)]
    works: list[Work] = [create(str(number)) for number in range(2 * groups.MOST_DOCUMENTS)]
    works.insert(20, lambda writing, collection: Bulk(writing).create(EVERYTHING, collection, many))
    with _sizes() as sizes:
        outcomes = await at_once(writing, Collection(collection), *works)
    assert not [each for each in outcomes if isinstance(each, BaseException)]
    assert sizes == [19, 1, 64, 44, 0]
    assert len(await names(counted, collection)) == 3 * groups.MOST_DOCUMENTS


async def test_a_group_is_bounded_in_bytes(writing: Writing, counted: Counted, collection: str) -> None:
    half = "x" * (groups.MOST_BYTES // 2)
    works = [create("0"), create("1"), create("2", notes=half), create("3", notes=half), create("4", notes=half * 3)]
    with _sizes() as sizes:
        outcomes = await at_once(writing, Collection(collection), *works, create("5"))
    assert not [each for each in outcomes if isinstance(each, BaseException)]
    assert sizes == [2, 1, 1, 1, 0]
    assert await names(counted, collection) == list("012345")


async def test_nobody_waits_for_those_before_for_ever(
    writing: Writing, counted: Counted, collection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is told to come back later is not stored later."""
    monkeypatch.setattr(groups, "TURN_TIMEOUT", 0.05)
    async with counted.writing(collection):
        tasks = await started(writing, Collection(collection), create("a"), create("b"))
        with pytest.raises(StorageUnavailable):
            await tasks[1]
    await tasks[0]
    assert await names(counted, collection) == ["a"]


# --- cancellation


@pytest.mark.parametrize("again", [False, True], ids=["once", "again and again"])
@pytest.mark.parametrize("place", [0, 1, 2], ids=["alone", "first of a group", "last of a group"])
async def test_a_member_that_goes_away_harms_nobody(
    writing: Writing, store: DocumentTable, opened: Database, collection: str, place: int, again: bool
) -> None:
    """Whenever it goes: the others are stored and answered, and of its own two documents there are both or none."""
    others = list[asyncio.Task[Any]]()

    async def leaver() -> None:
        name = unique("pair")
        for _ in range(place):
            start_another()
        pair: list[Any] = [document(f"{name}.1"), document(f"{name}.2")]
        task = Bulk(writing).create(EVERYTHING, Collection(collection), pair)
        asyncio.get_running_loop().call_soon(start_another)
        await task

    def start_another() -> None:
        others.append(asyncio.ensure_future(create(unique("other"))(writing, Collection(collection))))

    await interrupt_everywhere(leaver, again=again)
    for each in others:
        assert (await each).created
    stored = await names(store, collection)
    assert sum(name.startswith("other") for name in stored) == len(others)
    halves = [name.partition(".")[0] for name in stored if name.startswith("pair")]
    assert halves
    assert all(halves.count(name) == 2 for name in halves)
    await assert_whole(opened)


async def test_who_goes_away_while_it_waits_is_not_stored(writing: Writing, counted: Counted, collection: str) -> None:
    tasks = [asyncio.ensure_future(create(name)(writing, Collection(collection))) for name in "abc"]
    await asyncio.sleep(0)
    tasks[1].cancel()
    with suppress(asyncio.CancelledError):
        await tasks[1]
    await asyncio.gather(tasks[0], tasks[2])
    assert await names(counted, collection) == ["a", "c"]


# --- several processes


async def test_groups_of_two_processes_do_not_mix(
    opened: Database, another: Database, store: DocumentTable, collection: str
) -> None:
    writers = [Writing(DocumentTable(each), Rules()) for each in (opened, another)]
    works = [_operation("create", EVERYTHING, f"{number % 10}", {"app": "test"}, None, False) for number in range(40)]
    outcomes = [
        each
        for some in await asyncio.gather(*(at_once(each, Collection(collection), *works) for each in writers))
        for each in some
    ]
    assert sum(each.created for each in outcomes) == 10
    ticks = [each.srv_modified for each in outcomes]
    assert len(set(ticks)) == len(ticks)
    assert {each["srvModified"] for each in await history(store, collection)} <= set(ticks)
