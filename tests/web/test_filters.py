"""SEARCH: filters compare by type, reach into objects and lists, and all of them hold."""

import time

import httpx
import pytest
import re2

from apiv3.web.parameters import parse_query
from apiv3.web.search_parameters import PATTERN_OPTIONS, search_query
from tests.support.documents import DATE, MINUTE, Corner, letters


@pytest.mark.parametrize(
    ("query", "found"),
    [
        # equal
        ("x=5", "aj"),
        ("x$eq=5", "aj"),
        ("x=5.0", "aj"),
        ("x=5e0", "aj"),
        ("x=+5", "aj"),
        ("x=-3", "c"),
        ("x='5'", "d"),
        ("x=snack", "ek"),
        ("x='snack'", "ek"),
        ("x=Snack Bar", "f"),
        ("x=true", "g"),
        ("x=false", "h"),
        ("x='true'", ""),
        ("x=null", ""),
        ("x=", ""),
        ("nothing=5", ""),
        # unequal: also what has no such field, or another kind of value
        ("x$ne=5", "bcdefghiklmn"),
        ("x$ne='5'", "abcefghijklmn"),
        ("x$ne=true", "abcdefhijklmn"),
        ("nothing$ne=5", "abcdefghijklmn"),
        # greater and less: within one kind
        ("x$gt=5", "bk"),
        ("x$gte=5", "abjk"),
        ("x$lt=5", "cj"),
        ("x$lte=5", "acj"),
        ("x$gt=-1e300", "abcjk"),
        ("x$gt='a'", "ek"),
        ("x$lt='a'", "df"),
        ("x$gte=false", "gh"),
        ("x$lt=true", "h"),
        # one of several: numbers also as texts
        ("x$in=5|7", "adjk"),
        ("x$in=5", "adj"),
        ("x$in='5'|-3", "cd"),
        ("x$in=snack|true", "egk"),
        ("x$in=", ""),
        ("x$nin=5|7", "bcefghilmn"),
        ("x$nin=snack|true", "abcdfhijlmn"),
        ("x$nin=|", "abcdefghijklmn"),
        # patterns
        ("x$re=snack", "ek"),
        ("x$re='snack'", "ek"),
        ("x$re=''", "defk"),
        ("x$re=(?i)snack", "efk"),
        ("x$re=^S.*B", "f"),
        ("x$re=5", "d"),
        ("x$re=", "defk"),
        ("x$re=^$", ""),
        # inside of objects, and of objects in lists
        ("x.y=5", "l"),
        ("x.y$gt=5", "m"),
        ("x.y$in=5|7", "lm"),
        ("x.y$ne=5", "abcdefghijkmn"),
        ("x.0=1", "j"),
        ("x.1.y=7", "m"),
        ("x.y.z=5", ""),
        # several filters: all of them hold
        ("x$gt=5&x$lt=6", "b"),
        ("x$gte=5&x$ne=5.5&x$nin=snack|1", "a"),
        ("x=5&x=1", "j"),
        ("x$ne=5&x$ne=5.5&x$ne=-3&x$ne=snack", "dfghilmn"),
    ],
)
def test_filters(zoo: Corner, query: str, found: str) -> None:
    pairs = (pair.partition("=") for pair in query.split("&"))
    assert letters(zoo.search(tuple((name, value) for name, _, value in pairs))) == found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"x$eq": "x+y"}, "a"),
        ({"x": "'"}, "b"),
        ({"x": "''"}, "c"),
        ({"x": "'''"}, "b"),
        ({"x": "'it''"}, "d"),
        ({"x": "100%"}, "e"),
        ({"x": "a&b=c#d"}, "f"),
        ({"x": "Übergrößenträger"}, "g"),
        ({"x": "🍕"}, "h"),
        ({"x$gt": "🍔", "x$lt": "🍖"}, "h"),
        ({"x": "'007'"}, "i"),
        ({"x": "1e999"}, "j"),
        ({"x": "NaN"}, "k"),
        ({"x": "0x10"}, "l"),
        ({"x": "1_000"}, "m"),
        ({"x": "٣"}, "n"),
        ({"x": "''1'|'2''"}, "o"),
    ],
)
def test_what_stands_in_a_value(corner: Corner, query: dict[str, str], found: str) -> None:
    texts = ["x+y", "'", "", "it'", "100%", "a&b=c#d", "Übergrößenträger", "🍕", "007", "1e999", "NaN", "0x10", "1_000", "٣"]
    corner.fill(*({"x": text} for text in texts), {"x": "'1'|'2'"})
    assert letters(corner.search(query)) == found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("x=9223372036854775807", "a"),
        ("x=9223372036854775806", "b"),
        ("x$gt=9223372036854775806", "af"),
        ("x=-9223372036854775808", "c"),
        ("x=9007199254740993", "d"),
        ("x$gt=9223372036854775808", "f"),
        ("x$lt=-99999999999999999999999999", "g"),
        ("x=1e300", "f"),
        ("x=0", "h"),
        ("x=-0.0", "h"),
    ],
)
def test_numbers_are_compared_exactly(corner: Corner, query: str, found: str) -> None:
    corner.fill(*({"x": each} for each in (2**63 - 1, 2**63 - 2, -(2**63), 2**53 + 1, 2**53, 1e300, -1e300, 0)))
    assert letters(corner.search(query)) == found


@pytest.mark.parametrize("operator", ["foo", "eqq", "EQ", "regex", "where", "exists"])
@pytest.mark.parametrize("name", ["notes", "notes.deeper", "sort", ""])
def test_an_unknown_operator(api: httpx.Client, name: str, operator: str) -> None:
    answer = api.get("/treatments", params={f"{name}${operator}": "5"})
    assert answer.status_code == 400
    assert answer.json() == {"status": 400, "message": f"Unsupported filter operator {operator}"}


@pytest.mark.parametrize("name", ["x[$gt]", "x[$ne]", "x[]", "x[y]", "x$", "x$1", "x$g t", "__proto__", "constructor", ""])
def test_odd_names_are_names(corner: Corner, name: str) -> None:
    """What other servers' frameworks turn into operators is nothing special here."""
    corner.fill({"x": 5}, {name: 5}, {name: 6})
    assert letters(corner.search({name: "5"})) == "b"
    assert letters(corner.search({f"{name}$gt": "5"})) == "c"


def test_a_dollar_may_be_encoded(corner: Corner) -> None:
    corner.fill({"x": 5}, {"x": 6})
    found = corner.api.get(f"/treatments?device={corner.device}&x%24gt=5&sort%24desc=date").json()["result"]
    assert letters(found) == "b"


# --- moments


@pytest.mark.parametrize(
    "form",
    ["{ms}", "{seconds}", "2020-09-14T12:41:40Z", "2020-09-14T14:41:40%2B02:00", "2020-09-14T14:41:40+02:00", "{mail}"],
)
@pytest.mark.parametrize("field", ["date", "created_at"])
def test_a_moment_in_any_form(corner: Corner, field: str, form: str) -> None:
    corner.fill(*({"date": DATE + minutes * MINUTE} for minutes in (0, 5, 10)))
    moment = DATE + 5 * MINUTE
    text = form.format(ms=moment, seconds=moment // 1000, mail="Mon, 14 Sep 2020 12:41:40 GMT")

    def ask(operator: str) -> str:
        answer = corner.api.get(f"/treatments?device={corner.device}&{field}{operator}={text}")
        return letters(answer.json()["result"])

    assert {operator: ask(operator) for operator in ("", "$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin")} == {
        "": "b",
        "$eq": "b",
        "$ne": "ac",
        "$gt": "c",
        "$gte": "bc",
        "$lt": "a",
        "$lte": "ab",
        "$in": "b",
        "$nin": "ac",
    }


def test_the_servers_own_moments(corner: Corner) -> None:
    corner.fill({}, {}, {})
    moments = [corner.read(corner.name(letter))["srvCreated"] for letter in "abc"]
    corner.api.patch(corner.url(corner.name("a")), json={"notes": "x"})
    modified = corner.read(corner.name("a"))["srvModified"]
    assert letters(corner.search({"srvCreated$gt": str(moments[0])})) == "bc"
    assert letters(corner.search({"srvModified$gte": str(moments[1])})) == "abc"
    assert letters(corner.search({"srvModified": str(modified)})) == "a"
    assert letters(corner.search({"srvCreated$in": f"{moments[0]}|{moments[2]}"})) == "ac"
    assert letters(corner.search({"srvModified$gt": "2100-01-01"})) == ""


@pytest.mark.parametrize("name", ["date", "srvModified$gt", "srvCreated$lt", "date$in", "date$nin", "date$ne"])
@pytest.mark.parametrize("value", ["yesterday", "9999-12-31T24:00:00Z", "2020-13-01", ""])
def test_a_moment_that_is_none(api: httpx.Client, name: str, value: str) -> None:
    answer = api.get("/treatments", params={name: value})
    assert answer.status_code == 400
    assert answer.json() == {"status": 400, "message": f"Bad timestamp in parameter {name}"}


@pytest.mark.parametrize(
    ("query", "found"), [("date$gt=0", "ab"), ("date$gt=-1", "ab"), ("date$lt=99999999999999999999999", "ab"), ("date='x'", "")]
)
def test_a_number_beyond_time_is_a_number(corner: Corner, query: str, found: str) -> None:
    corner.fill({}, {})
    assert letters(corner.search(query)) == found


# --- fields with columns of their own


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("type=sgv", "ab"),
        ("type$eq=sgv", "ab"),
        ("type$ne=sgv", "cdef"),
        ("type$gt=sgv", ""),
        ("type$gte=mbg", "abc"),
        ("type$in=sgv|mbg", "abc"),
        ("type$nin=sgv|mbg", "def"),
        ("type$re=^s", "ab"),
        ("type=5", "d"),
        ("type$in=5", "de"),
        ("type='5'", "e"),
        ("type$gt=4", "d"),
        ("type.x=5", ""),
        ("identifier$gt=zzz", ""),
    ],
)
def test_the_type_of_entries(api: httpx.Client, query: str, found: str) -> None:
    mine = Corner(api, "entries")
    mine.fill({"type": "sgv"}, {"type": "sgv"}, {"type": "mbg"}, {"type": 5}, {"type": "5"}, {})
    assert letters(mine.search(query)) == found


@pytest.mark.parametrize(
    ("operator", "found"), [("", "b"), ("$ne", "ac"), ("$gt", "c"), ("$gte", "bc"), ("$lt", "a"), ("$lte", "ab"), ("$in", "b")]
)
def test_the_identifier(corner: Corner, operator: str, found: str) -> None:
    corner.fill({}, {}, {})
    assert letters(corner.search({f"identifier{operator}": corner.name("b")})) == found


def test_event_types(corner: Corner) -> None:
    corner.fill({"eventType": "Note"}, {"eventType": "Meal Bolus"}, {"eventType": ""}, {})
    assert letters(corner.search({"eventType": "Meal Bolus"})) == "b"
    assert letters(corner.search({"eventType$in": "Note|Meal Bolus"})) == "ab"
    assert letters(corner.search({"eventType": ""})) == "c"
    assert letters(corner.search({"eventType$ne": "Note"})) == "bcd"
    assert letters(corner.search({"eventType$gt": "'N'"})) == "a"


@pytest.mark.parametrize(
    ("operator", "found"), [("$eq", "c"), ("$ne", "abdef"), ("$gt", "def"), ("$gte", "cdef"), ("$lt", "ab"), ("$in", "c")]
)
@pytest.mark.parametrize("length", [10, 199, 200, 201, 5000])
def test_texts_of_any_length(corner: Corner, length: int, operator: str, found: str) -> None:
    text = ("Übergrößenträger-" * 300)[:length]
    texts = (text[: length // 2], text[:-1], text, text + "a", text + "b", text[:-1] + "🍕")
    corner.fill(*({"eventType": each} for each in texts))
    assert letters(corner.search({f"eventType{operator}": text})) == found


# --- patterns


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        (r"^\d+$", "a"),
        (r"\bbar\b", "b"),
        (r"(?i)BAR", "bc"),
        (r"(?i:B)ar", "bc"),
        (r"(?s)x.y", "d"),
        (r"x.y", ""),
        (r"(?m)^y", "d"),
        (r"^y", ""),
        (r"\p{Greek}", "e"),
        (r"Σ|σ", "e"),
        (r"(?i)ΣΊΓΜΑ", "e"),
        (r"[[:digit:]]{3}", "a"),
        (r"a{2,3}$", "f"),
        (r"\Qa+b\E", "g"),
        (r"(a|b)\+(?P<name>b)", "g"),
        (r"\x{1F355}", "h"),
        (r"^.$", "h"),
    ],
)
def test_patterns(corner: Corner, pattern: str, found: str) -> None:
    corner.fill(*({"x": text} for text in ("12345", "candy bar", "Barley", "x\ny", "Σίγμα", "baaa", "a+b", "🍕")))
    assert letters(corner.search({"x$re": pattern})) == found


NO_PATTERNS = ["(", "[", "*", "a{2,1}", r"\1", r"\8", "(?=a)", "(?!a)", "(?<=a)b", "(?P<n>a", "a{1001}", "(?z)"]


@pytest.mark.parametrize("pattern", NO_PATTERNS)
def test_what_is_no_pattern(api: httpx.Client, pattern: str) -> None:
    answer = api.get("/treatments", params={"notes$re": pattern})
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("Parameter notes$re is no regular expression")


@pytest.mark.parametrize(
    "pattern", ["(a+)+$", "(a|aa)+$", "(a*)*b", "(.*)(.*)(.*)(.*)(.*)=", "([a-z]+)*[0-9]", "(?i)(a|A)*X", "(a?){50}a{50}"]
)
def test_a_catastrophic_pattern_costs_little(corner: Corner, pattern: str) -> None:
    corner.fill({"x": "a" * 50_000 + "!"})
    began = time.monotonic()
    corner.search({"x$re": pattern})
    assert time.monotonic() - began < 10  # a backtracking engine would take longer than the universe has


def test_no_pattern_is_kept_longer_than_its_search() -> None:
    """The library would keep the latest ones; it would then return the same object for the same text."""
    [condition] = search_query(parse_query(b"x$re=a.c"), 10).filters
    assert condition.value is not re2.compile("a.c", PATTERN_OPTIONS)


def test_a_pattern_of_monstrous_size(api: httpx.Client) -> None:
    for pattern in ("x" * 1001, "((a{100}){100}){100}", "(" * 400 + ")" * 400):
        answer = api.get("/treatments", params={"notes$re": pattern})
        assert answer.status_code == 400 or pattern.startswith("((((")
