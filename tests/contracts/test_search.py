"""SEARCH on every DocumentStore: what SQL decides and what is left to Python is the same, and the same on both databases."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from itertools import chain, product
from typing import Any

import pytest
import re2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apiv3.model import timestamps
from apiv3.model.documents import Document
from apiv3.model.queries import OPERATORS, Filter, Path, Query, Sort
from apiv3.storage import postgresql, sqlite
from apiv3.storage.contracts import DocumentStore
from apiv3.storage.database import Database
from apiv3.storage.documents import DocumentTable
from tests.support.storage import DATE, DAY, assert_whole, document, expected, identifiers, insert, unique

# Texts whose order by UTF-16 units, by locale or without case differs from that by code point.
TEXTS = ("", " ", "1", "A", "B", "a", "a\U0001f34e", "b", "e\u0301", "sgv", "true", "z", "\u00e4", "\uffee", "\U0001f34e")
NUMBERS: Sequence[float] = (0, 1, -1, 1.0, 0.5, 2**53 + 1, float(2**53), 2**63 - 1, -(2**63), 1e300, -1e-300)
COLUMNS: Sequence[Path] = tuple(
    (name,) for name in ("identifier", "date", "srvModified", "srvCreated", "created_at", "type", "eventType")
)
OTHERS: Sequence[Path] = (("value",), ("deep", "value"), ("list", "value"), ("list", "0"), ("absent",), ("date", "absent"))
PATTERNS = tuple(map(re2.compile, ("^s", "(?i)A", r"\d", "", "ä|🍎")))


def _rich_documents(random: random.Random) -> list[Document]:
    """Documents with something of every kind in every place where a client can put it."""
    kinds: list[Any] = [*TEXTS, *NUMBERS, True, False, None, {"a": 1}, {"b": 0, "aa": 2}]
    made = []
    for number, identifier in enumerate(TEXTS[2:]):
        made.append(document(identifier, date=DATE + number // 2 * DAY, isValid=number % 7 != 6))
        if number % 3:
            made[-1]["created_at"] = timestamps.iso(DATE + number // 3 * DAY)
        for name in ("type", "eventType", "value"):
            if random.random() < 0.8:
                made[-1][name] = random.choice(kinds)
        made[-1]["deep"] = random.choice([{}, {"value": random.choice(kinds)}, None, 1])
        made[-1]["list"] = [{"value": each} for each in random.sample(kinds, 2)] + random.sample(kinds, 2)
    return made


def _values(path: Path, documents: Sequence[Document]) -> list[Any]:
    """What a filter on `path` may be compared with: values that are there, and some of every kind."""
    there = [each[path[0]] for each in documents if isinstance(each.get(path[0]), str | int)]
    return [*there[:6], "sgv", "", "\uffee", 1, 1.0, 0.5, DATE + DAY, float(DATE), 2**63, -(2**70), True, False]


def _filters(path: Path, operator: str, documents: Sequence[Document]) -> list[Filter]:
    if operator == "re":
        return [Filter(path, operator, pattern) for pattern in PATTERNS]
    values = _values(path, documents)
    if operator in ("in", "nin"):
        numbers = tuple(value for value in values if type(value) is int and abs(value) < 2**63)
        texts = tuple(value for value in values if isinstance(value, str))
        return [Filter(path, operator, choice) for choice in (numbers, texts, tuple(values), (), tuple(values[:1]))]
    return [Filter(path, operator, value) for value in values]


@pytest.mark.parametrize("operator", sorted(OPERATORS))
async def test_every_operator_on_every_field(store: DocumentStore, collection: str, operator: str) -> None:
    stored = await insert(store, collection, *_rich_documents(random.Random(operator)))
    for path in (*COLUMNS, *OTHERS):
        for condition in _filters(path, operator, stored):
            query = Query((condition,))
            assert await identifiers(store, collection, query) == expected(stored, query), condition


@pytest.mark.parametrize("name", ["type", "eventType"])
async def test_any_element_of_a_list_matches(store: DocumentStore, collection: str, name: str) -> None:
    """Also in the company of filters that are decided elsewhere, and in a collection that once had no lists."""
    stored = await insert(store, collection, document("text", **{name: "sgv"}, value=1))
    text = Filter((name,), "eq", "sgv")
    alone, among = Query((text,)), Query((Filter((name,), "in", ("mbg", "sgv")), Filter(("value",), "eq", 1)))
    for query in (alone, among):
        assert await identifiers(store, collection, query) == ["text"]
    stored += await insert(store, collection, document("list", **{name: ["sgv", "mbg"]}, value=1))
    stored += await insert(store, collection, document("other", **{name: ["cal"]}, value=1))
    for query in (alone, among, Query((text,), Sort(("value",))), Query((Filter((name,), "gt", "sga"),), limit=1, skip=1)):
        assert await identifiers(store, collection, query) == expected(stored, query)
    assert await identifiers(store, collection, alone) == ["list", "text"]


async def test_a_list_that_is_gone_matches_no_more(store: DocumentStore, collection: str) -> None:
    query = Query((Filter(("type",), "eq", "sgv"),))
    [kept] = await insert(store, collection, document("list", type=["sgv"]))
    async with store.writing(collection) as writer:
        stored = await writer.find("list")
        assert stored is not None
        await writer.replace(stored, kept | {"type": "mbg", "srvModified": writer.tick()})
    assert await identifiers(store, collection, query) == []


@pytest.mark.parametrize("descending", [False, True], ids=["ascending", "descending"])
@pytest.mark.parametrize("path", [None, *COLUMNS, *OTHERS], ids=lambda path: ".".join(path or ["unsorted"]))
async def test_order(store: DocumentStore, collection: str, path: Path | None, descending: bool) -> None:
    documents = _rich_documents(random.Random(str(path)))
    for each in documents:
        if each.get("created_at") == timestamps.iso(DATE + DAY):
            each["created_at"] = timestamps.iso(DATE)
    stored = await insert(store, collection, *documents)
    sort = Sort(path, descending) if path else None
    for filters in ((), (Filter(("value",), "ne", "absent"),)):
        query = Query(filters, sort)
        assert await identifiers(store, collection, query) == expected(stored, query)


async def test_order_of_kinds_is_written_down(store: DocumentStore, collection: str) -> None:
    """Missing and null, numbers, texts by code point, objects, lists, booleans; the same number in two forms is a tie."""
    ascending: list[Any] = [None, -(2**63), -0.5, 0, 0.25, 2**53 + 1, 2**63 - 1, 1e300, "", "A", "a", "ä", "\uffee", "🍎"]
    ascending += [{"a": 1}, [1], False, True]
    names = [f"{number:02}" for number in range(len(ascending))]
    shuffled = random.Random(1).sample(list(zip(names, ascending, strict=True)), len(names))
    await insert(store, collection, *(document(name, value=value) for name, value in shuffled), document("00-missing"))
    names.insert(1, "00-missing")
    for path in (("value",),):
        assert await identifiers(store, collection, Query(sort=Sort(path))) == names
        assert await identifiers(store, collection, Query(sort=Sort(path, descending=True))) == names[::-1]


async def test_equal_numbers_tie_whatever_their_form(store: DocumentStore, collection: str) -> None:
    forms: dict[str, float] = {"a": 1.0, "b": 1, "c": 1.0, "d": 1}
    await insert(store, collection, *(document(name, value=value) for name, value in forms.items()))
    assert await identifiers(store, collection, Query(sort=Sort(("value",)))) == ["a", "b", "c", "d"]
    assert await identifiers(store, collection, Query(sort=Sort(("value",), descending=True))) == ["d", "c", "b", "a"]


# --- any query on any documents

_texts = st.sampled_from(TEXTS)
_scalars = st.one_of(_texts, st.sampled_from(NUMBERS), st.booleans())
_anything = st.one_of(_scalars, st.none(), st.sampled_from([{"a": 1}, {"b": 0, "aa": 2}]))
_types = st.one_of(_anything, st.lists(_anything, max_size=2))
_dates = st.integers(DATE, DATE + 3)
_fields: dict[str, st.SearchStrategy[Any]] = {
    "type": _types,
    "eventType": _types,
    "value": _anything,
    "deep": st.one_of(_anything, st.fixed_dictionaries({"value": _anything})),
    "list": st.lists(st.one_of(_anything, st.fixed_dictionaries({"value": _anything})), max_size=3),
    "created_at": _dates.map(timestamps.iso),
    "isValid": st.booleans(),
}
_documents = st.lists(
    st.fixed_dictionaries(
        {"identifier": st.text(st.sampled_from("aAä\uffee🍎1 "), min_size=1, max_size=2), "date": _dates}, optional=_fields
    ),
    max_size=8,
    unique_by=lambda each: str(each["identifier"]),
)
_paths = st.sampled_from([*COLUMNS, *OTHERS])
_operands = st.one_of(_scalars, _dates, _dates.map(timestamps.iso))
_any_filter = st.one_of(
    st.builds(Filter, _paths, st.sampled_from(["eq", "ne", "gt", "gte", "lt", "lte"]), _operands),
    st.builds(Filter, _paths, st.sampled_from(["in", "nin"]), st.lists(_operands, max_size=3).map(tuple)),
    st.builds(Filter, _paths, st.just("re"), st.sampled_from(PATTERNS)),
)
_queries = st.builds(
    Query,
    st.lists(_any_filter, max_size=3).map(tuple),
    st.none() | st.builds(Sort, st.one_of(_paths, st.just(("list",))), st.booleans()),
    st.integers(1, 10),
    st.integers(0, 4),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(documents=_documents, queries=st.lists(_queries, min_size=3, max_size=8))
async def test_any_query_finds_what_the_model_says(
    store: DocumentTable, documents: list[Document], queries: list[Query]
) -> None:
    collection = unique("property")
    await store.prepare([collection])
    stored = await insert(store, collection, *documents)
    for query in queries:
        assert await identifiers(store, collection, query) == expected(stored, query), query


# --- the window


@pytest.mark.parametrize("scanned", [False, True], ids=["in SQL", "streamed"])
async def test_skip_and_limit(
    store: DocumentStore, opened: Database, collection: str, scanned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also deep into a stream of many chunks, and past its end."""
    monkeypatch.setattr(sqlite, "CHUNK", 7)
    monkeypatch.setattr(postgresql, "CHUNK", 7)
    stored = await insert(
        store, collection, *(document(f"{number:03}", date=DATE - number, even=number % 2 == 0) for number in range(100))
    )
    filters = (Filter(("even",), "eq", True), Filter(("identifier",), "re", re2.compile("[02468]"))) if scanned else ()
    for skip, limit in product((0, 1, 6, 7, 8, 43, 99, 100, 10**18 - 1), (1, 6, 7, 8, 50, 1000)):
        query = Query(filters, Sort(("date",)), limit, skip)
        assert await identifiers(store, collection, query) == expected(stored, query), query
    await assert_whole(opened)


@pytest.mark.parametrize("descending", [False, True], ids=["ascending", "descending"])
async def test_pages_are_a_partition(store: DocumentStore, collection: str, descending: bool) -> None:
    await insert(
        store, collection, *(document(f"{number:02}", date=DATE + number % 3, value=number % 2) for number in range(20))
    )
    for path in (("date",), ("value",)):
        pages = [await identifiers(store, collection, Query((), Sort(path, descending), 3, skip)) for skip in range(0, 21, 3)]
        assert sorted(chain.from_iterable(pages)) == [f"{number:02}" for number in range(20)]


# --- hostile names

LETTERS = (
    '"',
    "'",
    "`",
    "\\",
    "$",
    "%",
    "?",
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    ",",
    ".",
    ":",
    ";",
    "*",
    "#",
    "@",
    "-",
    "/",
    "|",
    "&",
)
NAMES = (
    *LETTERS,
    *(f"a{letter}b" for letter in LETTERS),
    *(letter * 2 for letter in LETTERS),
    "",
    " ",
    "\n",
    "\r\t\x01\x1f\x7f",
    "\u2028",
    "ä",
    "🍎",
    "e\u0301",
    "\ufeff",
    "0",
    "-1",
    "[0]",
    "[#-1]",
    "$[*]",
    '$."a"',
    "$1",
    "%s",
    "%(a)s",
    "{0}",
    "{a,b}",
    '{"a"}',
    "NULL",
    "null",
    "id",
    "body",
    "collection",
    "valid",
    "; DROP TABLE documents; --",
    "') OR 1=1 --",
    "\\'; SELECT 1; --",
    "a" * 5000,
)


async def test_hostile_field_names_are_just_names(store: DocumentStore, collection: str) -> None:
    stored = await insert(store, collection, *(document(f"{number:03}", **{name: number}) for number, name in enumerate(NAMES)))
    for number, name in enumerate(NAMES):
        for filters in ((Filter((name,), "eq", number),), (Filter((name,), "gte", 0), Filter((name, name), "ne", "x"))):
            query = Query(filters)
            assert await identifiers(store, collection, query) == expected(stored, query) == [f"{number:03}"]


@pytest.mark.parametrize("descending", [False, True], ids=["ascending", "descending"])
async def test_sorting_by_a_hostile_name(store: DocumentStore, collection: str, descending: bool) -> None:
    """All documents come out, whatever the name; ordered by it, unless SQLite has no way to write it."""
    stored = await insert(store, collection, document("a"), document("b", **dict.fromkeys(NAMES, 1)), document("c"))
    for name in NAMES:
        for path in ((name,), (name, name), ("a", name), (name, "0")):
            query = Query((), Sort(path, descending))
            found = await identifiers(store, collection, query)
            assert sorted(found) == ["a", "b", "c"], path
            if '"' not in name:
                assert found == expected(stored, query), path


async def test_hostile_values_are_just_values(store: DocumentStore, collection: str) -> None:
    stored = await insert(store, collection, *(document(name or "none", type=name, value=name) for name in NAMES))
    for name, path in product(NAMES, (("type",), ("value",), ("identifier",))):
        query = Query((Filter(path, "eq", name),))
        assert await identifiers(store, collection, query) == expected(stored, query)


async def test_a_very_deep_path(store: DocumentStore, collection: str) -> None:
    value: Any = 1
    for _ in range(90):
        value = {"a": value}
    stored = await insert(store, collection, document("b", **value), document("c"))
    for depth in (50, 90, 91, 1000, 8000):
        for query in (Query((Filter(("a",) * depth, "eq", 1),)), Query((), Sort(("a",) * depth, descending=True))):
            assert await identifiers(store, collection, query) == expected(stored, query), depth


async def test_many_conditions(store: DocumentStore, collection: str) -> None:
    """As many as a request may bring: a hundred parameters, thousands of choices."""
    stored = await insert(store, collection, document("a", type="sgv"))
    filters = tuple(Filter(("date",), "gte", number) for number in range(50)) + (Filter(("type",), "eq", "sgv"),) * 50
    choices = Filter(("identifier",), "in", (*map(str, range(8000)), "a"))
    for query in (Query(filters), Query((choices,)), Query((*filters, choices))):
        assert await identifiers(store, collection, query) == expected(stored, query) == ["a"]


async def test_numbers_that_no_float_holds(store: DocumentStore, collection: str) -> None:
    values: dict[str, float] = {"a": 2**63 - 1, "b": 2**63 - 2, "c": float(2**63), "d": -(2**63), "e": math.nextafter(1, 2)}
    stored = await insert(store, collection, *(document(name, value=value) for name, value in values.items()))
    for value in values.values():
        query = Query((Filter(("value",), "gte", value),), Sort(("value",)))
        assert await identifiers(store, collection, query) == expected(stored, query)
