"""The collections as a table: the six of the protocol, and the names that an installation may add."""

import pytest

from apiv3.model import collections

STANDARD = {
    # name: fallback fields, the field that counts for /lastModified, the permission to list
    "devicestatus": (("created_at", "device"), "created_at", "read"),
    "entries": (("date", "type"), "date", "read"),
    "food": (("created_at",), "created_at", "read"),
    "profile": (("created_at",), "created_at", "read"),
    "settings": ((), None, "admin"),
    "treatments": (("created_at", "eventType"), "created_at", "read"),
}


def test_the_six() -> None:
    table = collections.table()
    assert {name: (each.fallback, each.clock_field, each.list_action) for name, each in table.items()} == STANDARD


def test_further_ones_have_no_fallback_fields() -> None:
    table = collections.table(["pump_log", "x1"])
    assert list(table) == [*STANDARD, "pump_log", "x1"]
    assert table["pump_log"] == collections.Collection("pump_log", (), "created_at", "read")


@pytest.mark.parametrize(
    "name",
    [
        *("", "Notes", "1st", "_x", "a-b", "a.b", "a/b", "a b", "ñ", "x" * 51),  # no names
        *("entries", "settings"),  # there already
        *("version", "status", "events", "history", "openapi", "bulk"),  # routes
        "policy",  # a clock
    ],
)
def test_a_name_that_cannot_be(name: str) -> None:
    with pytest.raises(ValueError, match=name or "no name"):
        collections.table([name])


def test_a_name_can_be_given_once() -> None:
    with pytest.raises(ValueError, match="taken"):
        collections.table(["notes", "notes"])
