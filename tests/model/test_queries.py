"""Filters compare by type and reach into objects and lists; a choice of fields keeps just those."""

import re
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiv3.model.queries import NEGATIVE, OPERATORS, Fields, Filter, Query, Sort, candidates

numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
scalars = numbers | st.booleans() | st.text(max_size=3)
names = st.sampled_from(["a", "b", "c", "0"])
values = st.recursive(
    scalars | st.none(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=8
)
documents = st.dictionaries(names, values, max_size=4)
paths = st.lists(names, min_size=1, max_size=3).map(tuple)
comparisons = st.sampled_from(["eq", "gt", "gte", "lt", "lte"])


def matches(document: dict[str, Any], name: str, operator: str, value: Any) -> bool:
    return Filter(tuple(name.split(".")), operator, value).matches(document)


@pytest.mark.parametrize(
    ("stored", "operator", "value", "expected"),
    [
        # numbers
        (5, "eq", 5, True),
        (5, "eq", 5.0, True),
        (5.5, "eq", 5, False),
        (2**63 - 1, "eq", 2**63 - 1, True),
        (2**63 - 1, "eq", 2**63 - 2, False),
        (5, "gt", 4, True),
        (5, "gt", 5, False),
        (5, "gte", 5, True),
        (5, "lt", 5.1, True),
        (5, "lt", 5, False),
        (5, "lte", 5, True),
        (-1, "lt", 0, True),
        # texts, by code point
        ("b", "eq", "b", True),
        ("b", "eq", "B", False),
        ("b", "gt", "a", True),
        ("B", "lt", "a", True),
        ("é", "gt", "z", True),
        ("10", "lt", "9", True),
        ("", "lt", "a", True),
        ("b", "lte", "b", True),
        # booleans
        (True, "eq", True, True),
        (True, "eq", False, False),
        (True, "gt", False, True),
        # one type never meets another
        ("5", "eq", 5, False),
        (5, "eq", "5", False),
        (True, "eq", 1, False),
        (0, "eq", False, False),
        ("x", "gt", 5, False),
        ("x", "lt", 5, False),
        (5, "gt", "", False),
        (True, "gt", 0, False),
        (None, "eq", "", False),
        (None, "lt", 5, False),
        (None, "gte", False, False),
        # ... which is why it is unequal to it
        ("5", "ne", 5, True),
        (True, "ne", 1, True),
        (None, "ne", 5, True),
        (5, "ne", 5.0, False),
        # in and nin
        (5, "in", (4, 5), True),
        (5, "in", ("5",), False),
        ("5", "in", (5, "5"), True),
        (5, "in", (5, "5"), True),
        (None, "in", ("",), False),
        (5, "nin", (4, 5), False),
        (6, "nin", (4, 5), True),
        (True, "nin", (1,), True),
        (5, "in", (), False),
        (5, "nin", (), True),
        # patterns look anywhere in a text, and at texts only
        ("snack bar", "re", re.compile("k b"), True),
        ("snack bar", "re", re.compile("^bar"), False),
        ("", "re", re.compile(""), True),
        (55, "re", re.compile("5"), False),
        (True, "re", re.compile("true"), False),
        (None, "re", re.compile(""), False),
        # a list matches when any of its elements does
        ([1, 5, "x"], "eq", 5, True),
        ([1, 5, "x"], "eq", "x", True),
        ([1, 5], "eq", 6, False),
        ([1, 9], "gt", 5, True),
        ([1, 5], "ne", 5, False),
        ([1, 5], "ne", 6, True),
        ([1, 5], "nin", (5, 7), False),
        (["snack", 5], "re", re.compile("nac"), True),
        ([], "eq", 5, False),
        ([], "ne", 5, True),
        ([[5]], "eq", 5, False),
        ([None], "ne", 5, True),
        # an object is none of these
        ({"a": 5}, "eq", 5, False),
        ({"a": 5}, "ne", 5, True),
    ],
)
def test_a_filter(stored: Any, operator: str, value: Any, expected: bool) -> None:
    assert matches({"field": stored, "other": value if operator != "re" else "x"}, "field", operator, value) is expected


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [
        *((operator, 0, False) for operator in ("eq", "gt", "gte", "lt", "lte")),
        *((operator, "", False) for operator in ("eq", "gt", "gte", "lt", "lte")),
        *(("in", (0, ""), False), ("re", re.compile(""), False)),
        *(("ne", 0, True), ("nin", (0, ""), True)),
    ],
)
def test_a_missing_field_is_unequal_to_everything(operator: str, value: Any, expected: bool) -> None:
    assert matches({}, "field", operator, value) is expected
    assert matches({"field": 5}, "field.deeper", operator, value) is expected
    assert matches({"field": {}}, "field.deeper", operator, value) is expected
    assert matches({"field": [5, [{"deeper": 0}]]}, "field.deeper", operator, value) is expected


@pytest.mark.parametrize(
    ("document", "name", "value", "expected"),
    [
        ({"a": {"b": {"c": 5}}}, "a.b.c", 5, True),
        ({"a": {"b": {"c": 5}}}, "a.b", 5, False),
        ({"a.b": 5}, "a.b", 5, False),
        # objects in lists
        ({"a": [{"b": 4}, {"b": 5}]}, "a.b", 5, True),
        ({"a": [{"b": 4}, {"b": [1, 5]}]}, "a.b", 5, True),
        ({"a": [{"b": [{"c": 5}]}]}, "a.b.c", 5, True),
        ({"a": [{"b": 4}, 5]}, "a.b", 5, False),
        # a place in a list
        ({"a": [4, 5]}, "a.1", 5, True),
        ({"a": [4, 5]}, "a.0", 5, False),
        ({"a": [4, 5]}, "a.2", 5, False),
        ({"a": [{"b": 4}, {"b": 5}]}, "a.1.b", 5, True),
        ({"a": [{"b": 4}, {"b": 5}]}, "a.0.b", 5, False),
        ({"a": {"0": 5}}, "a.0", 5, True),
        ({"a": [{"0": 5}]}, "a.0", 5, True),
        ({"a": [5]}, "a.²", 5, False),
        ({"a": [5]}, f"a.{'9' * 5000}", 5, False),
        # odd names are names
        ({"": 5}, "", 5, True),
        ({"a": {"": 5}}, "a.", 5, True),
        ({"$where": 5}, "$where", 5, True),
        ({"a[$gt]": 5}, "a[$gt]", 5, True),
        ({"__proto__": 5}, "__proto__", 5, True),
    ],
)
def test_a_dotted_name(document: dict[str, Any], name: str, value: Any, expected: bool) -> None:
    assert matches(document, name, "eq", value) is expected
    assert matches(document, name, "ne", value) is not expected


@given(documents, paths, scalars)
def test_ne_is_the_opposite_of_eq_and_nin_of_in(document: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    equal = Filter(path, "eq", value).matches(document)
    assert Filter(path, "ne", value).matches(document) is not equal
    assert Filter(path, "in", (value,)).matches(document) is equal
    assert Filter(path, "nin", (value,)).matches(document) is not equal


@given(documents, paths, scalars, scalars)
def test_in_is_any_of_several_eq(document: dict[str, Any], path: tuple[str, ...], one: Any, other: Any) -> None:
    either = Filter(path, "eq", one).matches(document) or Filter(path, "eq", other).matches(document)
    assert Filter(path, "in", (one, other)).matches(document) is either


@given(scalars, scalars)
def test_one_of_three_holds_between_two_of_a_kind(stored: Any, value: Any) -> None:
    found = [operator for operator in ("lt", "eq", "gt") if matches({"field": stored}, "field", operator, value)]
    kinds = [bool if isinstance(each, bool) else str if isinstance(each, str) else float for each in (stored, value)]
    assert len(found) == (1 if kinds[0] == kinds[1] else 0)
    assert matches({"field": stored}, "field", "lte", value) is (found in (["lt"], ["eq"]))
    assert matches({"field": stored}, "field", "gte", value) is (found in (["gt"], ["eq"]))


@given(st.lists(values, max_size=4), comparisons, scalars)
def test_a_list_matches_when_an_element_does(elements: list[Any], operator: str, value: Any) -> None:
    single = any(
        Filter(("field",), operator, value).matches({"field": each}) for each in elements if not isinstance(each, list)
    )
    assert Filter(("field",), operator, value).matches({"field": elements}) is single


def test_the_operators() -> None:
    assert frozenset(["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "re"]) == OPERATORS
    assert frozenset({"ne", "nin"}) == NEGATIVE


def test_queries_are_values() -> None:
    assert (Query().filters, Query().sort, Query().limit, Query().skip) == ((), None, 1000, 0)
    assert len({Filter(("a",), "eq", 5), Filter(("a",), "eq", 5), Sort(("a",)), Sort(("a",))}) == 2


# --- fields


def fields(*dotted: str) -> Fields:
    return Fields(tuple(tuple(name.split(".")) for name in dotted))


@pytest.mark.parametrize(
    ("document", "chosen", "expected"),
    [
        ({"a": 1, "b": 2, "c": 3}, ("c", "a"), {"a": 1, "c": 3}),  # in the document's own order
        ({"a": 1}, ("b",), {}),
        ({"a": None, "b": [], "c": {}}, ("a", "b", "c"), {"a": None, "b": [], "c": {}}),
        ({"a": 1}, ("a", "a"), {"a": 1}),
        # dotted
        ({"a": {"b": 1, "c": 2}, "d": 3}, ("a.b",), {"a": {"b": 1}}),
        ({"a": {"b": 1, "c": 2}}, ("a.b", "a.c"), {"a": {"b": 1, "c": 2}}),
        ({"a": {"b": {"c": 1, "d": 2}}}, ("a.b.d",), {"a": {"b": {"d": 2}}}),
        ({"a": {"b": 1, "c": 2}}, ("a", "a.b"), {"a": {"b": 1, "c": 2}}),
        ({"a": {"b": 1, "c": 2}}, ("a.b", "a"), {"a": {"b": 1, "c": 2}}),
        ({"a": {"c": 2}}, ("a.b",), {"a": {}}),
        ({"a": 1}, ("a.b",), {}),
        ({"a.b": 1}, ("a.b",), {}),
        # into lists
        ({"a": [{"b": 1, "c": 2}, {"b": 3}]}, ("a.b",), {"a": [{"b": 1}, {"b": 3}]}),
        ({"a": [{"b": 1}, 5, {"c": 2}]}, ("a.b",), {"a": [{"b": 1}, {}]}),
    ],
)
def test_a_choice_of_fields(document: dict[str, Any], chosen: tuple[str, ...], expected: dict[str, Any]) -> None:
    found = fields(*chosen).project(document)
    assert found == expected
    assert list(found) == list(expected)


def test_no_choice_is_false() -> None:
    assert not Fields()
    assert fields("a")


@given(documents, st.lists(paths, min_size=1, max_size=3))
def test_a_choice_keeps_nothing_else_and_chooses_once(document: dict[str, Any], chosen: list[tuple[str, ...]]) -> None:
    choice = Fields(tuple(chosen))
    found = choice.project(document)
    assert found.keys() <= document.keys() & {path[0] for path in chosen}
    assert choice.project(found) == found
    for path in chosen:
        if len(path) == 1 and path[0] in document:
            assert found[path[0]] == document[path[0]]


class Counted(dict[str, Any]):
    """An object that counts how often something is looked up in it."""

    looks = 0

    def __contains__(self, name: object) -> bool:
        Counted.looks += 1
        return super().__contains__(name)


@pytest.mark.parametrize("operator", sorted(OPERATORS))
@pytest.mark.parametrize("depth", [10, 49])
def test_each_value_is_visited_once_at_each_place_of_a_path(operator: str, depth: int) -> None:
    """Each level of lists leads to the next one twice, by its place and by its name: 2^49 ways in all."""
    value: Any = 5
    for _ in range(depth):
        value = [Counted({"0": value})]
    operand: Any = {"in": (6,), "nin": (6,), "re": re.compile("x")}.get(operator, 6)
    Counted.looks = 0
    for path in (("0",) * (depth + 1), ("0",) * (2 * depth + 1)):
        assert matches({"0": value}, ".".join(path), operator, operand) == (operator in {*NEGATIVE, "lt", "lte"})
    assert matches({"0": value}, ".".join(["0"] * 500), operator, operand) == (operator in NEGATIVE)
    assert Counted.looks <= 10 * depth**2


@given(documents, paths)
def test_candidates_are_those_of_every_way_through_a_document(document: dict[str, Any], path: tuple[str, ...]) -> None:
    def ways(node: Any, path: tuple[str, ...]) -> list[Any]:
        if not path:
            return [node, *(node if isinstance(node, list) else ())]
        if isinstance(node, dict):
            return ways(node[path[0]], path[1:]) if path[0] in node else []
        if not isinstance(node, list):
            return []
        place = [node[int(path[0])]] if path[0].isdecimal() and int(path[0]) < len(node) else []
        return [
            *(each for element in place for each in ways(element, path[1:])),
            *(each for element in node if isinstance(element, dict) for each in ways(element, path)),
        ]

    def spelled(found: Iterable[Any]) -> set[str]:
        return {repr(each) for each in found}

    assert spelled(candidates(document, path)) == spelled(ways(document, path))
