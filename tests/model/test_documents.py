"""The rules of documents: their address, their dates, what may not be, what may not change, how long something lasts."""

import copy
import json
import re
from typing import Any
from uuid import UUID, uuid5

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiv3.model import documents, timestamps
from apiv3.model.documents import IMMUTABLE, Document
from apiv3.model.errors import BadRequest, ReadOnly

DATE = 1_600_087_000_000
CREATED_AT = "2020-09-14T12:36:40.000Z"
MINUTE = 60_000
GOOD: Document = {"identifier": "one", "date": DATE, "utcOffset": 0, "app": "tests"}

scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=5)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
)
common_fields = (
    *IMMUTABLE,
    "created_at",
    "isReadOnly",
    "mills",
    "endmills",
    "duration",
    "durationInMilliseconds",
    "_id",
    "sgv",
)
telling = st.sampled_from([DATE, str(DATE), DATE // 1000, CREATED_AT, "2020-09-14T14:36:40+02:00", 5, 2**53 - 1, 1e15])
wild_documents = st.dictionaries(st.sampled_from(common_fields), telling | values)


# --- the identifier


@pytest.mark.parametrize(
    ("document", "identifier"),
    [
        ({"date": 1600087000000, "device": "dev0"}, "b2629ac0-e2cd-5119-9d4d-fe6b1b3c0678"),
        ({"date": 1600088800000, "device": "dev3", "eventType": "Note"}, "d268b8ae-da6a-54a2-9394-dc95f63d1a32"),
        ({"created_at": "2020-09-13T12:26:40.000Z", "device": "created7"}, "8c3035f5-29d9-5712-b76d-11a74b63cbff"),
        ({"date": "2021-03-04T05:06:07Z", "device": "iso12"}, "d791745d-babc-5bb3-ace5-80a85796b633"),
        (
            {"date": "Thu, 04 Mar 2021 05:06:07 GMT", "device": "iso33", "eventType": "Carb Correction"},
            "6dd7aafa-bbe8-566f-8ea9-58ff3bf6804e",
        ),
    ],
)
def test_an_identifier_as_other_servers_make_it(document: Document, identifier: str) -> None:
    assert documents.normalise(document)["identifier"] == identifier


@pytest.mark.parametrize(
    ("document", "name"),
    [
        ({"date": DATE}, "undefined_1600087000000"),
        ({"date": DATE, "device": "pump"}, "pump_1600087000000"),
        ({"date": DATE, "device": "pump", "eventType": ""}, "pump_1600087000000"),
        ({"date": DATE, "device": "pump", "eventType": "Note"}, "pump_1600087000000_Note"),
        ({"date": DATE, "device": "ポンプ"}, "ポンプ_1600087000000"),
        ({"date": DATE, "device": None}, "null_1600087000000"),
        ({}, "undefined_undefined"),
    ],
)
def test_an_identifier_is_made_from_device_date_and_event_type(document: Document, name: str) -> None:
    assert documents.identify(document) == str(uuid5(UUID(bytes=b"NightscoutRocks!"), name))


# --- normalising


@pytest.mark.parametrize(
    ("sent", "date", "offset", "created_at"),
    [
        ({"date": DATE}, DATE, 0, CREATED_AT),
        ({"date": DATE // 1000}, DATE, 0, CREATED_AT),
        ({"date": "2020-09-14T12:36:40Z"}, DATE, 0, CREATED_AT),
        ({"date": "2020-09-14T14:36:40+02:00"}, DATE, 120, CREATED_AT),
        ({"date": "2020-09-14T14:36:40+02:00", "utcOffset": -60}, DATE, -60, CREATED_AT),
        ({"date": "Mon, 14 Sep 2020 07:36:40 -0500"}, DATE, -300, CREATED_AT),
        ({"created_at": "2020-09-14T14:36:40+02:00"}, DATE, 120, CREATED_AT),
        ({"date": None, "created_at": CREATED_AT}, DATE, 0, CREATED_AT),
        ({"date": DATE, "created_at": "2021-01-01T00:00:00Z"}, DATE, 0, CREATED_AT),  # date goes first
    ],
)
def test_dates_are_filled_in(sent: Document, date: int, offset: int, created_at: str) -> None:
    document = documents.normalise(sent)
    assert (document["date"], document["utcOffset"], document["created_at"]) == (date, offset, created_at)


@pytest.mark.parametrize(
    ("date", "created_at"),
    [
        (253402300800000, "+010000-01-01T00:00:00.000Z"),
        (8640000000000000, "+275760-09-13T00:00:00.000Z"),
        (8.64e15, "+275760-09-13T00:00:00.000Z"),
        ("+012000-02-29T00:00:00.001Z", "+012000-02-29T00:00:00.001Z"),
    ],
)
def test_a_date_after_9999(date: Any, created_at: str) -> None:
    """Up to the last instant of JavaScript's Date; what is written back is understood."""
    document = documents.normalise({"date": date, "app": "tests"})
    documents.validate(document)
    assert document["created_at"] == created_at
    assert type(document["date"]) is int
    assert documents.normalise(document) == document
    assert documents.normalise({"created_at": created_at, "app": "tests"})["date"] == document["date"]
    patch = documents.normalise({"created_at": created_at}, partial=True)
    documents.validate(patch, partial=True)
    assert patch == {"created_at": created_at}


def test_without_the_fallback_there_is_no_created_at() -> None:
    document = documents.normalise({"date": DATE, "created_at": CREATED_AT}, created_at_fallback=False)
    assert "created_at" not in document
    undated = documents.normalise({"created_at": CREATED_AT}, created_at_fallback=False)
    assert "date" not in undated
    assert "created_at" not in undated


def test_what_the_client_said_stays_in_its_order() -> None:
    sent = {"z": 1, "date": str(DATE), "a": [2], "_id": "5f5f6a3e9d1c4b0012345678", "app": "tests", "identifier": "one"}
    assert list(documents.normalise(sent)) == ["z", "date", "a", "app", "identifier", "utcOffset", "created_at"]


def test_a_patch_is_not_filled_in() -> None:
    assert documents.normalise({"sgv": 5}, partial=True) == {"sgv": 5}
    patch = documents.normalise({"date": DATE}, partial=True)
    assert patch == {"date": DATE}


@pytest.mark.parametrize(
    ("sent", "patch"),
    [
        ({"date": "2020-09-14T14:36:40+02:00"}, {"date": DATE}),
        ({"created_at": "2020-09-14T14:36:40+02:00"}, {"created_at": CREATED_AT}),
        ({"created_at": DATE, "date": DATE + 1}, {"created_at": CREATED_AT, "date": DATE + 1}),
        ({"created_at": "yesterday", "date": None}, {"created_at": "yesterday", "date": None}),
    ],
)
def test_a_patch_derives_no_date_from_the_other(sent: Document, patch: Document) -> None:
    assert documents.normalise(sent, partial=True) == patch


WHOLE: list[tuple[Any, Any]] = [
    (20.0, 20),
    (-20.0, -20),
    (0.0, 0),
    (-0.0, 0),
    (1e15, 10**15),
    (float(2**53), 2**53),
    (-float(2**53), -(2**53)),
    (2.0**53 + 2, 2.0**53 + 2),
    (1e300, 1e300),
    (20.5, 20.5),
    (5e-324, 5e-324),
    (True, True),
    ("20.0", "20.0"),
    (None, None),
    ([1.0, [2.0, {"x": 3.0}], "4.0"], [1, [2, {"x": 3}], "4.0"]),
    ({"a": {"b": [5.0]}, "c": 6.5}, {"a": {"b": [5]}, "c": 6.5}),
]


@pytest.mark.parametrize(("value", "shown"), WHOLE, ids=repr)
def test_whole_numbers_are_integers(value: Any, shown: Any) -> None:
    assert repr(documents.whole(value)) == repr(shown)
    for partial in (False, True):
        assert repr(documents.normalise({"x": value}, partial=partial)["x"]) == repr(shown)


@given(values)
def test_only_whole_numbers_change_and_only_their_form(value: Any) -> None:
    made = documents.whole(value)
    assert made == value
    assert documents.whole(made) == made
    whole = re.findall(r"(\d+)\.0[,}\]]", orjson.dumps([made]).decode())
    assert all(int(number) > 2**53 for number in whole) or ".0" in json.dumps(_texts_of(value))


def _texts_of(value: Any) -> list[str]:
    """Every text in a JSON value, names included."""
    if isinstance(value, dict):
        return [*value, *(text for inner in value.values() for text in _texts_of(inner))]
    if isinstance(value, list):
        return [text for inner in value for text in _texts_of(inner)]
    return [value] if isinstance(value, str) else []


def test_a_whole_device_is_the_same_in_an_identifier() -> None:
    assert documents.normalise({"date": DATE, "device": 5.0}) == documents.normalise({"date": DATE, "device": 5})


@given(wild_documents, st.booleans(), st.booleans())
def test_normalising_never_raises_nor_changes_what_was_sent(sent: Document, fallback: bool, partial: bool) -> None:
    before = copy.deepcopy(sent)
    document = documents.normalise(sent, created_at_fallback=fallback, partial=partial)
    assert sent == before
    assert "_id" not in document
    if not partial and isinstance(document.get("date"), int):
        assert documents.normalise(document, created_at_fallback=fallback) == document


# --- validation


def test_a_good_document() -> None:
    documents.validate(GOOD)


BAD: dict[str, list[Any]] = {
    "identifier": [None, "", " ", "\t\n", 5, True, [], {}, "x" * 1025],
    "date": [None, "", "yesterday", str(DATE), 0, -1, 946684800000, 8640000000000001, DATE + 0.5, True, []],
    "utcOffset": [None, "0", True, [], 1441, -1441, 1440.5],
    "app": [None, "", " ", 5, False, [], {}],
}
AT_THE_BOUNDS: dict[str, list[Any]] = {
    "identifier": [".", "history", "a/b", " x", "x" * 1024, "😀"],
    "date": [946684800001, 253402300799999],
    "utcOffset": [-1440, 1440, 345, 0.5],
}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in BAD.items() for value in values])
def test_a_bad_common_field(field: str, value: object) -> None:
    with pytest.raises(BadRequest, match=f"Bad or missing {field} field"):
        documents.validate(GOOD | {field: value})
    with pytest.raises(BadRequest, match=f"Bad or missing {field} field"):
        documents.validate({field: value}, partial=True)


@pytest.mark.parametrize("field", GOOD)
def test_a_missing_common_field(field: str) -> None:
    lacking = {name: value for name, value in GOOD.items() if name != field}
    with pytest.raises(BadRequest, match=f"Bad or missing {field} field"):
        documents.validate(lacking)
    documents.validate(lacking, partial=True)


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in AT_THE_BOUNDS.items() for value in values])
def test_the_bounds_of_a_common_field(field: str, value: object) -> None:
    documents.validate(GOOD | {field: value})


def test_the_first_bad_field_is_named() -> None:
    with pytest.raises(BadRequest, match="Bad or missing date field"):
        documents.validate({"identifier": "one"})


# --- what may not change


@pytest.mark.parametrize("field", IMMUTABLE)
def test_a_field_that_may_not_change(field: str) -> None:
    documents.check_change({field: "same"}, {field: "same"})
    with pytest.raises(BadRequest, match=f"Field {field} cannot be modified by the client"):
        documents.check_change({field: "new"}, {field: "old"})
    with pytest.raises(BadRequest, match=f"Field {field} cannot be modified by the client"):
        documents.check_change({field: "new"}, {})
    documents.check_change({field: "new"}, {field: "old"}, free={field})


def test_whatever_else_may_change() -> None:
    documents.check_change({"sgv": 5, "type": "mbg", "created_at": "x"}, {"sgv": 6, "type": "sgv"})


@pytest.mark.parametrize("field", [field for field in IMMUTABLE if field != "isValid"])
def test_a_deleted_document_may_change(field: str) -> None:
    documents.check_change({field: "new", "isValid": True}, {field: "old", "isValid": False})


@pytest.mark.parametrize("mark", ["isReadOnly", "readOnly", "readonly"])
def test_a_read_only_document_may_not(mark: str) -> None:
    with pytest.raises(ReadOnly):
        documents.check_change({}, {mark: True})
    with pytest.raises(ReadOnly):
        documents.check_change({}, {mark: True, "isValid": False})
    for nothing in (False, None, "true", 1):
        documents.check_change({}, {mark: nothing})


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        *((1, 1.0, True), (1, 2, False), (0, False, False), (True, 1, False), (True, True, True), ("1", 1, False)),
        *((None, None, True), (None, 0, False), ([1, 2], [1, 2], True), ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True)),
    ],
)
def test_sameness_of_values(one: object, other: object, same: bool) -> None:
    assert documents.same(one, other) is same
    assert documents.same(other, one) is same


@pytest.mark.parametrize(
    ("document", "valid"), [({}, True), ({"isValid": True}, True), ({"isValid": None}, True), ({"isValid": False}, False)]
)
def test_only_false_means_deleted(document: Document, valid: bool) -> None:
    assert documents.is_valid(document) is valid


@pytest.mark.parametrize(
    ("stored", "sent", "offset"),
    [
        ({"utcOffset": 60}, {}, 60),
        ({"utcOffset": 60}, {"utcOffset": 0}, 0),
        ({}, {}, 0),
        ({"utcOffset": 60, "isValid": False}, {}, 0),
    ],
)
def test_an_offset_that_was_left_out_stays(stored: Document, sent: Document, offset: int) -> None:
    new = {"utcOffset": 0}
    documents.inherit(new, stored, sent)
    assert new == {"utcOffset": offset}


# --- durations

HOUR_LATER = DATE + 60 * MINUTE
LATER = "2020-09-14T13:36:40.000Z"  # HOUR_LATER


@pytest.mark.parametrize(
    ("sent", "stored", "result"),
    [
        # what is sent decides where it begins: mills, created_at, date; nothing that is stored
        ({"mills": 1000, "created_at": LATER, "date": DATE, "duration": 1}, {}, (61_000, 60_000, 1)),
        ({"created_at": LATER, "date": DATE, "duration": 1}, {}, (HOUR_LATER + 60_000, 60_000, 1)),
        ({"date": DATE, "duration": 1}, {"created_at": LATER}, (DATE + 60_000, 60_000, 1)),
        ({"duration": 1}, {"created_at": LATER, "mills": 5, "date": DATE}, (None, None, 1)),
        ({"mills": "1000", "date": DATE, "duration": 1}, {}, (61_000, 60_000, 1)),
        ({"mills": None, "created_at": None, "date": DATE, "duration": 1}, {}, (DATE + 60_000, 60_000, 1)),
        ({"mills": 0, "date": DATE, "duration": 1}, {}, (DATE + 60_000, 60_000, 1)),
        ({"created_at": "yesterday", "date": DATE, "duration": 1}, {}, (DATE + 60_000, 60_000, 1)),
        ({"duration": 1}, {"mills": 5, "date": DATE}, (None, None, 1)),
        # how long: the first that is there decides, whatever it says: durationInMilliseconds, duration
        ({"date": DATE, "durationInMilliseconds": 90_000, "duration": 5}, {}, (DATE + 90_000, 90_000, 2)),
        ({"date": DATE, "durationInMilliseconds": 0, "duration": 5}, {}, (None, 0, 5)),
        ({"date": DATE, "durationInMilliseconds": -1, "duration": 5}, {}, (None, -1, 5)),
        ({"date": DATE, "durationInMilliseconds": None, "duration": 5}, {}, (None, None, 5)),
        ({"date": DATE, "durationInMilliseconds": "90000"}, {}, (DATE + 90_000, 90_000, 2)),
        ({"date": DATE, "duration": 0.5}, {}, (DATE + 30_000, 30_000, 1)),
        ({"date": DATE, "duration": 0}, {}, (DATE, 0, 0)),
        ({"date": DATE, "duration": None}, {}, (DATE, 0, 0)),
        ({"date": DATE, "duration": -5}, {}, (DATE - 300_000, None, -5)),
        ({"date": DATE, "duration": "20"}, {}, (DATE + 1_200_000, 1_200_000, 20)),
        ({"date": DATE, "duration": " 2e1 "}, {}, (DATE + 1_200_000, 1_200_000, 20)),
        ({"date": DATE, "duration": ".5"}, {}, (DATE + 30_000, 30_000, 1)),
        ({"date": DATE, "duration": "20 minutes"}, {}, (DATE, 0, 0)),
        ({"date": DATE, "duration": [20]}, {}, (DATE, 0, 0)),
        # endmills goes before both
        ({"date": DATE, "endmills": DATE + 89_999, "duration": 5}, {}, (DATE + 89_999, 89_999, 1)),
        ({"date": DATE, "endmills": DATE + 90_000}, {}, (DATE + 90_000, 90_000, 2)),
        ({"date": DATE, "endmills": DATE}, {}, (DATE, 0, 0)),
        ({"date": DATE, "endmills": None, "duration": 5}, {}, (DATE + 300_000, 300_000, 5)),
        ({"date": DATE, "endmills": str(DATE + 90_000)}, {}, (str(DATE + 90_000), 90_000, 2)),
        ({"date": DATE, "endmills": "soon", "duration": 5}, {}, ("soon", None, 5)),
        ({"date": DATE, "endmills": DATE - 1, "duration": 5}, {}, (DATE - 1, None, 5)),
        # a stored duration is none of a replacement's
        ({"date": DATE}, {"date": DATE, "duration": 5, "durationInMilliseconds": 5}, (None, None, None)),
        # nonsense says nothing
        ({"date": DATE, "duration": True}, {}, (DATE, 0, 0)),
        ({"mills": "soon", "date": DATE, "duration": 5}, {}, (DATE + 300_000, 300_000, 5)),
        ({"date": "yesterday", "duration": 5}, {}, (None, None, 5)),
        ({"duration": 5}, {}, (None, None, 5)),
        # numbers that no millisecond count can hold are left alone
        ({"date": DATE, "duration": 2**53 - 2}, {}, (None, None, 2**53 - 2)),
        ({"date": DATE, "duration": 1e15}, {}, (None, None, 1e15)),
        ({"date": DATE, "durationInMilliseconds": 1e300, "duration": 1}, {}, (None, 1e300, 1)),
        ({"date": DATE, "endmills": 1e300, "duration": 1}, {}, (1e300, None, 1)),
    ],
)
def test_the_duration_of_a_replacement(sent: Document, stored: Document, result: tuple[Any, Any, Any]) -> None:
    documents.resolve_duration(sent, stored, patch=False)
    assert (sent.get("endmills"), sent.get("durationInMilliseconds"), sent.get("duration")) == result


@pytest.mark.parametrize(
    ("sent", "stored", "result"),
    [
        # where it begins: sent mills, stored mills, sent created_at, sent date, stored created_at, stored date
        ({"mills": 1000, "duration": 1}, {"mills": 5}, (61_000, 60_000, 1)),
        ({"created_at": LATER, "duration": 1}, {"mills": 1000}, (61_000, 60_000, 1)),
        ({"created_at": LATER, "duration": 1}, {"created_at": CREATED_AT}, (HOUR_LATER + 60_000, 60_000, 1)),
        ({"duration": 1}, {"created_at": LATER, "date": DATE}, (HOUR_LATER + 60_000, 60_000, 1)),
        ({"duration": 1}, {"date": DATE}, (DATE + 60_000, 60_000, 1)),
        # how long: what is sent, else what is stored
        ({"duration": 1}, {"date": DATE, "durationInMilliseconds": 5_000}, (DATE + 60_000, 60_000, 1)),
        ({"sgv": 1}, {"date": DATE, "durationInMilliseconds": 90_000, "duration": 7}, (DATE + 90_000, 90_000, 2)),
        ({"sgv": 1}, {"date": DATE, "durationInMilliseconds": 0, "duration": 7}, (None, None, None)),
        ({"durationInMilliseconds": 0}, {"date": DATE, "duration": 7}, (None, 0, None)),
        ({"endmills": None}, {"date": DATE, "duration": "7"}, (DATE + 420_000, 420_000, 7)),
        ({"mills": None, "duration": 1}, {"mills": 1000, "date": DATE}, (61_000, 60_000, 1)),
        ({"endmills": DATE + 60_000}, {"date": DATE, "duration": 7}, (DATE + 60_000, 60_000, 1)),
        ({"sgv": 1}, {"date": DATE}, (None, None, None)),
    ],
)
def test_the_duration_of_a_patch(sent: Document, stored: Document, result: tuple[Any, Any, Any]) -> None:
    documents.resolve_duration(sent, stored, patch=True)
    assert (sent.get("endmills"), sent.get("durationInMilliseconds"), sent.get("duration")) == result


@given(wild_documents, wild_documents, st.booleans())
def test_durations_never_raise_and_always_fit_into_64_bits(sent: Document, stored: Document, patch: bool) -> None:
    before = copy.deepcopy(sent)
    documents.resolve_duration(sent, stored, patch=patch)
    for field in ("endmills", "durationInMilliseconds", "duration"):
        if sent.get(field) != before.get(field):
            assert isinstance(sent[field], int | float)
            assert -(2**63) <= sent[field] < 2**63
    untouched = {name: value for name, value in sent.items() if name not in ("endmills", "durationInMilliseconds", "duration")}
    assert untouched == {name: before[name] for name in untouched}


@given(st.integers(timestamps.EPOCH_2000 + 1, timestamps.LAST), st.floats(0, 1e6))
def test_a_duration_and_its_end_agree(date: int, minutes: float) -> None:
    sent: Document = {"date": date, "duration": minutes}
    documents.resolve_duration(sent, {}, patch=False)
    assert sent["endmills"] - date == pytest.approx(minutes * MINUTE, abs=1)
    assert sent["durationInMilliseconds"] == pytest.approx(minutes * MINUTE, abs=1)
    assert abs(sent["duration"] - minutes) <= 0.5 + 1e-6
    assert isinstance(sent["duration"], int)
