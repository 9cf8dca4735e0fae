"""Both databases answer alike, and as a plain reading of the protocol says."""

import random
from collections.abc import Callable
from functools import cmp_to_key
from typing import Any, NamedTuple

import httpx
import pytest
import re2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apiv3.model.queries import Filter
from tests.support.documents import CREATED_AT, DATE, MINUTE, Corner, Json, NewApi
from tests.support.server import LiveServer

Pair = tuple[httpx.Client, httpx.Client]
brief = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="session")
def pair(shared_servers: Callable[[str], LiveServer], new_api: NewApi) -> Pair:
    """A caller of the server on each database."""
    return new_api(shared_servers("sqlite"), "api:*:*"), new_api(shared_servers("postgres"), "api:*:*")


# --- SEARCH

texts = st.text("aBé🍕 '%_\\1", max_size=3)
numbers = st.integers(-3, 3) | st.sampled_from([2**53 + 1, 2**63 - 1, -(2**63), 0.5, -0.0, 1.0, 1e300])
scalars = numbers | st.booleans() | texts
anything = st.recursive(
    scalars | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["x", "y"]), inner, max_size=2),
    max_leaves=4,
)
documents = st.fixed_dictionaries(
    {"date": st.integers(0, 4).map(lambda step: DATE + step * MINUTE)},
    optional={
        "x": anything,
        "y": anything,
        "s": scalars | st.none(),  # the order of lists and objects is anybody's choice
        "n": st.fixed_dictionaries({}, optional={"s": scalars | st.none()}),
        "type": texts,
        "eventType": texts,
    },
)
filtered = st.sampled_from(["x", "y", "s", "n.s", "x.y", "x.x", "y.0", "type", "eventType", "nothing"])
sorted_by = st.sampled_from(["s", "n.s", "date", "created_at", "identifier", "type", "nothing", "x", "x.y", "y.0"])
CHOOSABLE = ("x", "x.y", "y.0")


class Condition(NamedTuple):
    """A filter as a client writes it, and what it means."""

    parameter: str
    value: str
    meaning: Filter


def written(value: Any) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else repr(value)


@st.composite
def conditions(draw: st.DrawFn) -> Condition:
    name, operator = draw(filtered), draw(st.sampled_from(["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "re"]))
    path = tuple(name.split("."))
    if operator == "re":
        pattern = draw(st.sampled_from(["a", "(?i)b", "^$", ".", r"\d", "é|🍕", "(a+)+$", "^[^a]*$"]))
        return Condition(f"{name}$re", pattern, Filter(path, "re", re2.compile(pattern)))
    if operator in ("in", "nin"):
        values = draw(st.lists(scalars, min_size=1, max_size=3))
        # a number or a boolean stands for the text that it is written as, too
        meant = tuple(each for value in values for each in ({value} if isinstance(value, str) else (value, written(value))))
        return Condition(f"{name}${operator}", "|".join(map(written, values)), Filter(path, operator, meant))
    value = draw(scalars)
    parameter = name if operator == "eq" and draw(st.booleans()) else f"{name}${operator}"
    return Condition(parameter, written(value), Filter(path, operator, value))


class Search(NamedTuple):
    filters: list[Condition]
    sort: str | None
    descending: bool
    limit: int
    skip: int

    def query(self) -> tuple[tuple[str, str], ...]:
        order = [("sort$desc" if self.descending else "sort", self.sort)] if self.sort else []
        window = [("limit", str(self.limit)), ("skip", str(self.skip))]
        return (*((each.parameter, each.value) for each in self.filters), *order, *window)

    def expected(self, stored: list[Json]) -> list[str]:
        """The identifiers that it should find, the simple way."""
        found = [each for each in stored if all(condition.meaning.matches(each) for condition in self.filters)]
        found.sort(key=lambda document: str(document["identifier"]))
        if self.sort is not None:
            path = self.sort.split(".")
            found.sort(key=cmp_to_key(lambda one, other: compare(value_at(one, path), value_at(other, path))))
            if self.descending:
                found.reverse()
        return [str(each["identifier"]) for each in found[self.skip :][: self.limit]]


def value_at(document: Any, path: list[str]) -> Any:
    for name in path:
        document = document.get(name) if isinstance(document, dict) else None
    return document


def compare(one: Any, other: Any) -> int:
    """Nothing, numbers, texts, booleans; each kind among itself."""
    if rank(one) != rank(other):
        return rank(one) - rank(other)
    return 0 if one is None else (one > other) - (one < other)


def rank(value: Any) -> int:
    return 0 if value is None else 3 if isinstance(value, bool) else 2 if isinstance(value, str) else 1


searches = st.builds(
    Search,
    st.lists(conditions(), max_size=3),
    st.none() | sorted_by,
    st.booleans(),
    st.integers(1, 6),
    st.sampled_from([0, 0, 0, 1, 3]),
)


@brief
@given(st.lists(documents, max_size=6), st.lists(searches, min_size=1, max_size=5))
def test_a_search_finds_what_a_plain_reading_finds(pair: Pair, sent: list[Json], asked: list[Search]) -> None:
    shelves = [Corner(api, "food") for api in pair]
    for shelf in shelves:
        shelf.device = shelves[0].device
        for number, fields in enumerate(sent):
            shelf.add(identifier=shelf.name(number), **fields)
    stored = [shelf.search() for shelf in shelves]
    assert [without_times(each) for each in stored[0]] == [without_times(each) for each in stored[1]]
    assert [each["identifier"] for each in stored[0]] == [shelves[0].name(number) for number in range(len(sent))]
    for search in asked:
        one, other = ([each["identifier"] for each in shelf.search(search.query())] for shelf in shelves)
        assert one == other
        if search.sort not in CHOOSABLE:
            assert one == search.expected(stored[0])


def without_times(document: Json) -> Json:
    return {name: value for name, value in document.items() if not name.startswith("srv")}


# --- nothing makes a server fail

Request = tuple[str, str, tuple[tuple[str, str], ...], Json]

junk = st.sampled_from(
    [None, True, 0, -1, 1.5, 2**53, 2**63 - 1, 1e308, "", " ", "a", "é🍕", "x" * 2000, [], [1, [2]], {}, {"a": {"b": 1}}]
)
telling = st.sampled_from(
    [DATE, DATE // 1000, str(DATE), CREATED_AT, "9999-12-31T24:00:00Z", "Mon, 14 Sep 2020 12:00:00 +9999999999", "tests", 60]
)
fields = [
    *("identifier", "date", "utcOffset", "created_at", "app", "device", "eventType", "type", "isValid", "isReadOnly"),
    *("srvCreated", "srvModified", "subject", "modifiedBy", "mills", "endmills", "duration", "durationInMilliseconds"),
    *("x", "_id", "$x", "a.b"),
]
bodies = st.builds(
    lambda base, odd: base | odd,
    st.sampled_from([{}, {"date": DATE, "app": "tests"}, {"date": DATE, "app": "tests", "device": "fuzz"}]),
    st.dictionaries(st.sampled_from(fields), junk | telling, max_size=3),
)
segments = st.sampled_from(f"fuzz-1 fuzz-2 fuzz-3 history history/0 history/{DATE} %00 %FF .csv a%2Fb".split())
values = st.sampled_from(["", "\0", "é", *f"1 -1 1.5 true 'x' a|b ( (a+)+$ x.y {'9' * 30} {CREATED_AT} {DATE}".split()])
parameters = st.tuples(
    st.sampled_from([*fields, "sort", "sort$desc", "limit", "skip", "fields", "permanent", "now", "x[$gt]", ""]),
    st.sampled_from(["", "$eq", "$ne", "$gt", "$lte", "$in", "$nin", "$re", "$foo"]),
    values,
).map(lambda parts: (parts[0] + parts[1], parts[2]))
requests = st.tuples(
    st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]),
    st.just("") | segments.map(lambda segment: f"/{segment}") | st.sampled_from([".csv", ".xml"]),
    st.lists(parameters, max_size=2).map(tuple),
    bodies,
)


@settings(brief, max_examples=60)
@given(st.lists(requests, min_size=1, max_size=8))
def test_nothing_that_is_sent_makes_a_server_fail(pair: Pair, sent: list[Request]) -> None:
    for method, path, query, body in sent:
        content = body if method in ("POST", "PUT", "PATCH") else None
        one, other = (api.request(method, f"/profile{path}", params=httpx.QueryParams(query), json=content) for api in pair)
        assert one.status_code == other.status_code < 500
        if one.is_error:
            assert one.content == other.content
    assert [api.get("/lastModified").status_code for api in pair] == [200, 200]


LONG = "".join(random.Random(5).choices("abcdefghijklmnopqrstuvwxyz🍕", k=5000))
"""PostgreSQL puts no more than 2,704 bytes into a row of an index, once it has compressed them as far as it can."""


def outcomes(pair: Pair, document: Json) -> list[tuple[int, Any]]:
    """What each server says to a document, which is removed again."""
    found = []
    for api in pair:
        answer = api.post("/profile", json={"date": DATE, "app": "tests", **document})
        found.append((answer.status_code, answer.json().get("message")))
        if answer.is_success:
            api.delete(answer.headers["Location"].removeprefix("/api/v3"), params={"permanent": "true"})
    return found


@pytest.mark.parametrize("field", ["type", "eventType", "device", "notes", "subject", "created_at", "app"])
def test_a_long_text_is_taken_or_refused_alike(pair: Pair, field: str) -> None:
    one, other = outcomes(pair, {"identifier": "long", field: LONG})
    assert one == other
    assert one[0] in (201, 400)


def test_a_long_identifier_is_taken_or_refused_alike(pair: Pair) -> None:
    one, other = outcomes(pair, {"identifier": "".join(chr(0x10000 + number) for number in range(1024))})
    assert one == other
    assert one[0] in (201, 400)
