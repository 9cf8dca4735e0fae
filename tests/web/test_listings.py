"""Tables of pages: what an address asks for, and where their links lead."""

from typing import Any
from urllib.parse import urlencode

import pytest

from apiv3.web.calls import Call
from apiv3.web.site.listings import ROWS, Column, Listing

COLUMNS = [Column[str]("name", "Name", lambda row: row), Column[str]("length", "Length", len), Column[str]("buttons", "")]
NAMES = [f"name-{number:03d}" for number in range(2 * ROWS + 1)]


async def _receive() -> Any:
    raise AssertionError


def listing(*names: str, usual: str = "name", **query: str) -> Listing[str]:
    scope = {
        "method": "GET",
        "raw_path": b"/admin/things",
        "headers": [],
        "query_string": urlencode(query).encode(),
    }
    return Listing.of(Call(scope, _receive, "1"), COLUMNS, usual, ["kind"]).among(names)


def test_rows_are_sorted_without_regard_to_case() -> None:
    assert listing("b", "A", "c").rows == ["A", "b", "c"]
    assert listing("b", "A", "c", sort="-name").rows == ["c", "b", "A"]
    assert listing("bb", "a", "ccc", usual="-length").rows == ["ccc", "bb", "a"]


def test_rows_are_sought_in_all_columns_that_can_be_sorted() -> None:
    found = listing("Anna", "Ben", "Susanna", search=" ANNA ")
    assert (found.rows, found.total, found.search) == (["Anna", "Susanna"], 2, "ANNA")
    assert listing("Anna", "Ben", search="3").rows == ["Ben"]


@pytest.mark.parametrize(
    ("page", "shown", "first"),
    [("", 1, "name-000"), ("2", 2, "name-050"), ("3", 3, "name-100"), ("99", 3, "name-100"), ("0", 1, "name-000")],
)
def test_rows_are_cut_into_pages(page: str, shown: int, first: str) -> None:
    cut = listing(*NAMES, page=page)
    assert (cut.page, cut.rows[0], cut.pages, cut.total) == (shown, first, 3, len(NAMES))


@pytest.mark.parametrize(
    "query", [{"sort": "buttons"}, {"sort": "x"}, {"sort": "--name"}, {"page": "-1"}, {"page": "9" * 99}, {"page": "²"}]
)
def test_what_makes_no_sense_counts_as_missing(query: dict[str, str]) -> None:
    assert listing("a", "b", **query) == listing("a", "b")


def test_links_keep_what_the_table_shows() -> None:
    shown = listing(*NAMES, search="name", sort="-length", page="2", kind="a&b", other="x")
    assert shown.link(page=3) == "/admin/things?kind=a%26b&search=name&sort=-length&page=3"
    assert shown.link(search="", page=1, sort="name") == "/admin/things?kind=a%26b"
    assert listing().link() == "/admin/things"


def test_a_second_click_turns_the_order() -> None:
    assert listing().turned("name") == "-name"
    assert listing(sort="-name").turned("name") == "name"
    assert listing().turned("length") == "length"
