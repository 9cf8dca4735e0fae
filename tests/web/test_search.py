"""SEARCH: the order, the window and the fields; deleted documents are left out. Filters: see test_filters.py."""

from typing import Any

import httpx
import pytest

from tests.support.documents import DATE, Corner, NewApi, letters
from tests.support.server import LiveServer

# --- order


@pytest.fixture
def shelf(corner: Corner) -> Corner:
    corner.fill({"n": 3}, {"n": 1}, {"n": 2}, {}, {"n": None}, {"n": 1}, {"n": 10})
    return corner


@pytest.mark.parametrize(
    ("query", "order"),
    [
        ("", "abcdefg"),
        ("sort=n", "debfcag"),
        ("sort$desc=n", "gacfbed"),
        ("sort=identifier", "abcdefg"),
        ("sort$desc=identifier", "gfedcba"),
        ("sort=date", "abcdefg"),
        ("sort$desc=date", "gfedcba"),
        ("sort$desc=created_at", "gfedcba"),
        ("sort=srvModified", "abcdefg"),
        ("sort$desc=srvCreated", "gfedcba"),
        ("sort=nothing", "abcdefg"),
        ("sort$desc=nothing", "gfedcba"),
        ("sort=app", "abcdefg"),
        ("sort$desc=app", "gfedcba"),
        ("sort=", "abcdefg"),
        ("sort$desc=", "abcdefg"),
        ("sort=n.deeper", "abcdefg"),
    ],
)
def test_order(shelf: Corner, query: str, order: str) -> None:
    assert letters(shelf.search(query)) == order


def test_order_of_texts_is_by_code_point(corner: Corner) -> None:
    texts = ["b", "a", "B", "é", "z", "aa", "", "🍕", "\uffee", "10", "9"]
    corner.fill(*({"x": text} for text in texts))
    found = [each["x"] for each in corner.search("sort=x")]
    assert found == sorted(texts)
    assert [each["x"] for each in corner.search("sort$desc=x")] == found[::-1]


def test_order_inside_of_objects(corner: Corner) -> None:
    corner.fill({"x": {"y": {"z": 2}}}, {"x": {"y": {"z": 1}}}, {"x": {"y": 3}}, {"x": [{"y": 3}]}, {})
    assert letters(corner.search("sort=x.y.z")) == "cdeba"
    assert letters(corner.search("sort$desc=x.y.z")) == "abedc"


def test_order_of_numbers_and_ties(corner: Corner) -> None:
    """1 and 1.0 are the same number: the identifier decides."""
    corner.fill(*({"x": number} for number in (1.0, 1, 100.0, 1e2, 100, -1, 0.1, 2**63 - 1, 2**63 - 2)))
    assert letters(corner.search("sort=x")) == "fgabcdeih"
    assert letters(corner.search("sort$desc=x")) == "hiedcbagf"


def test_order_keeps_the_kinds_apart(zoo: Corner) -> None:
    ascending = letters(zoo.search("sort=x"))
    assert ascending[:2] == "in"  # null and nothing come first
    assert letters(zoo.search("sort$desc=x")) == ascending[::-1]
    assert [each for each in ascending if each in "abc"] == list("cab")
    assert [each for each in ascending if each in "def"] == list("dfe")


ODD_NAMES = ["a b", "a[0]", "$", "{", "a,b", "ключ", "NULL", "a'b", "a;b", "a--b", "%", "_", "?", ":a", "a\\b", "a\nb"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_order_by_an_odd_name(corner: Corner, name: str) -> None:
    corner.fill({name: 2}, {name: 1})
    assert letters(corner.search({"sort": name})) == "ba"
    assert letters(corner.search({"sort$desc": name})) == "ab"


@pytest.mark.parametrize("query", ["sort=n&sort$desc=n", "sort=&sort$desc=n", "sort=n&sort$desc="])
def test_two_orders_cannot_be_combined(api: httpx.Client, query: str) -> None:
    answer = api.get(f"/treatments?{query}")
    assert answer.status_code == 400
    assert answer.json() == {"status": 400, "message": "Parameters sort and sort_desc cannot be combined"}


# --- the window


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("limit=3", "abc"),
        ("limit=3&skip=2", "cde"),
        ("limit=3&skip=6", "g"),
        ("limit=3&skip=7", ""),
        ("skip=5", "fg"),
        ("skip=0", "abcdefg"),
        ("limit=1000", "abcdefg"),
        ("limit=007", "abcdefg"),
        ("skip=999999999999999999", ""),
        ("sort$desc=date&limit=2&skip=1", "fe"),
        ("n$gte=1&sort=n&limit=2&skip=1", "fc"),
        ("n$gte=1&sort=n&limit=2&skip=99", ""),
    ],
)
def test_the_window(shelf: Corner, query: str, found: str) -> None:
    assert letters(shelf.search(query)) == found


def test_a_window_over_an_index(shelf: Corner) -> None:
    """Filters that columns decide and filters that need a look at each document cut the same window."""
    low, high = shelf.read(shelf.name("a"))["srvCreated"], shelf.read(shelf.name("g"))["srvCreated"]
    window = {"srvCreated$gte": f"{low}", "srvCreated$lte": f"{high}", "sort$desc": "date", "limit": "3", "skip": "2"}
    by_column = shelf.api.get("/treatments", params=window)
    assert letters(by_column.json()["result"]) == letters(shelf.search(window)) == "edc"


NO_NUMBERS = ["-1", "+5", "1.9", "5.0", "0x10", "1e2", "٣", "x", "", " 5", "5 ", "1_0", "9" * 30, "NaN"]


@pytest.mark.parametrize("value", ["0", "1001", *NO_NUMBERS])
def test_a_bad_limit(api: httpx.Client, value: str) -> None:
    answer = api.get("/treatments", params={"limit": value})
    assert answer.status_code == 400
    assert answer.json() == {"status": 400, "message": "Parameter limit out of tolerance"}


@pytest.mark.parametrize("value", NO_NUMBERS)
def test_a_bad_skip(api: httpx.Client, value: str) -> None:
    answer = api.get("/treatments", params={"skip": value})
    assert answer.status_code == 400
    assert answer.json() == {"status": 400, "message": "Parameter skip out of tolerance"}


@pytest.mark.parametrize("name", ["sort", "sort$desc", "limit", "skip", "fields"])
def test_a_reserved_parameter_stands_once(api: httpx.Client, name: str) -> None:
    answer = api.get("/treatments", params=[(name, "1"), (name, "1")])
    assert (answer.status_code, answer.json()["message"]) == (400, f"Parameter {name} is repeated")


def test_more_parameters_than_anybody_needs(api: httpx.Client) -> None:
    assert api.get("/treatments", params=[("x", "1")] * 100).status_code == 200
    assert api.get("/treatments", params=[("x", "1")] * 101).status_code == 400


def test_no_more_than_the_limit_of_the_installation(sparse: LiveServer, new_api: NewApi) -> None:
    mine = Corner(new_api(sparse, "api:*:*"))
    mine.fill({}, {}, {}, {}, {})
    assert letters(mine.search()) == "abc"
    assert letters(mine.search("limit=3&skip=3")) == "de"
    for path in ("/treatments", f"/treatments/history/{DATE}"):
        answer = mine.api.get(path, params={"limit": 4})
        assert (answer.status_code, answer.json()["message"]) == (400, "Parameter limit out of tolerance")
        assert len(mine.api.get(path).json()["result"]) == 3


# --- fields


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("carbs", [{"carbs": 5}, {}]),
        ("insulin,carbs", [{"carbs": 5, "insulin": 1}, {"insulin": 2}]),
        ("nested.a", [{"nested": {"a": 1}}, {"nested": [{"a": 1}, {}]}]),
        ("nested.a,nested.b", [{"nested": {"a": 1, "b": 2}}, {"nested": [{"a": 1}, {"b": 2}]}]),
        ("nested,nested.a", [{"nested": {"a": 1, "b": 2}}, {"nested": [{"a": 1}, {"b": 2}]}]),
        ("nothing.at.all", [{}, {}]),
    ],
)
def test_a_choice_of_fields(corner: Corner, fields: str, expected: list[Any]) -> None:
    nested = {"a": 1, "b": 2}
    corner.fill({"carbs": 5, "insulin": 1, "nested": nested}, {"insulin": 2, "nested": [{"a": 1}, {"b": 2}]})
    assert corner.search({"fields": fields}) == expected


def test_all_fields(corner: Corner) -> None:
    corner.fill({"carbs": 5})
    assert corner.search({"fields": "_all"}) == corner.search() == [corner.read(corner.name("a"))]
