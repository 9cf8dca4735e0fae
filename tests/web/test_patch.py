"""PATCH: some fields of a document."""

from typing import Any

import pytest

from tests.support.documents import DATE, MINUTE, TESTER, Corner, Json, NewApi, says_modified
from tests.support.server import LiveServer


def test_some_fields_are_set(corner: Corner) -> None:
    identifier = corner.add(notes="first", carbs=5, nested={"a": 1, "b": 2})
    before = corner.read(identifier)
    answer = corner.api.patch(corner.url(identifier), json={"carbs": 6, "insulin": 1, "nested": {"c": 3}})
    assert (answer.status_code, answer.json()) == (200, {"status": 200})

    after = corner.read(identifier)
    modified = after["srvModified"]
    assert modified > before["srvModified"]
    assert says_modified(answer, modified)
    changes = {"carbs": 6, "insulin": 1, "nested": {"c": 3}, "modifiedBy": TESTER, "srvModified": modified}
    assert after == before | changes
    assert list(after)[: len(before)] == list(before)


def test_who_patched_is_told_apart_from_who_created(server: LiveServer, new_api: NewApi, corner: Corner) -> None:
    identifier = corner.add()
    other = new_api(server, "api:treatments:update")
    assert other.patch(corner.url(identifier), json={"notes": "mine"}).status_code == 200
    stored = corner.read(identifier)
    assert (stored["subject"], stored["modifiedBy"]) == (TESTER, "tester api:treatments:update")
    assert corner.api.patch(corner.url(identifier), json={"notes": "mine again"}).status_code == 200
    assert corner.read(identifier)["modifiedBy"] == TESTER


def test_the_whole_document_may_be_sent_back(corner: Corner) -> None:
    identifier = corner.add(eventType="Note", utcOffset=120, isValid=True)
    for _ in range(2):
        stored = corner.read(identifier)
        assert corner.api.patch(corner.url(identifier), json={**stored, "notes": "new"}).status_code == 200
    assert corner.read(identifier)["notes"] == "new"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("identifier", "another"), ("identifier", ""), ("date", DATE + 1), ("date", None)),
        *(("utcOffset", 60), ("eventType", "Meal"), ("device", None), ("app", "another"), ("srvCreated", 5)),
        *(("srvModified", 5), ("subject", "root"), ("modifiedBy", "root"), ("isValid", False), ("isValid", True)),
    ],
)
def test_what_is_immutable(corner: Corner, field: str, value: Any) -> None:
    identifier = corner.add(date=DATE, eventType="Note")
    before = corner.read(identifier)
    answer = corner.api.patch(corner.url(identifier), json={"notes": "new", field: value})
    assert answer.status_code == 400
    assert answer.json() == {"status": 400, "message": f"Field {field} cannot be modified by the client"}
    assert corner.read(identifier) == before


@pytest.mark.parametrize(
    ("patch", "field"),
    [
        ({"app": ""}, "app"),
        ({"utcOffset": "bad"}, "utcOffset"),
        ({"date": "yesterday"}, "date"),
        ({"identifier": 5}, "identifier"),
        ({"app": " ", "date": DATE + 1}, "date"),
    ],
)
def test_immutability_comes_before_the_other_checks(corner: Corner, patch: Json, field: str) -> None:
    answer = corner.api.patch(corner.url(corner.add(date=DATE)), json=patch)
    assert (answer.status_code, answer.json()["message"]) == (400, f"Field {field} cannot be modified by the client")


def test_an_immutable_field_can_be_sent_as_it_is(corner: Corner) -> None:
    identifier = corner.add(date=DATE, utcOffset=120)
    same = {"identifier": identifier, "date": "2020-09-14T14:36:40+02:00", "device": corner.device, "app": "tests"}
    assert corner.api.patch(corner.url(identifier), json=same).status_code == 200
    assert corner.read(identifier)["date"] == DATE


@pytest.mark.parametrize("field", ["date", "created_at"])
def test_an_instant_can_be_written_by_any_offset(corner: Corner, field: str) -> None:
    """What READ shows as created_at is in UTC, wherever the document comes from."""
    identifier = corner.add(date=DATE, utcOffset=120)
    for same in (corner.read(identifier)["created_at"], "2020-09-14T12:36:40Z", "2020-09-14T09:06:40-03:30"):
        answer = corner.api.patch(corner.url(identifier), json={field: same, "notes": same})
        assert answer.status_code == 200, answer.text
        stored = corner.read(identifier)
        assert (stored["date"], stored["utcOffset"], stored["notes"]) == (DATE, 120, same)


@pytest.mark.parametrize("value", ["2021-02-03T04:05:06Z", "2021-02-03T05:05:06+01:00", 1612325106000, "1612325106"])
def test_created_at_can_be_changed_alone(corner: Corner, value: Any) -> None:
    """It touches neither `date` nor `utcOffset`, and is stored in UTC, as every other one."""
    identifier = corner.add(date=DATE, utcOffset=120, duration=5)
    before = corner.read(identifier)
    assert corner.api.patch(corner.url(identifier), json={"created_at": value}).status_code == 200
    after = corner.read(identifier)
    begin = 1612325106000
    assert after["created_at"] == "2021-02-03T04:05:06.000Z"
    assert (after["date"], after["utcOffset"]) == (before["date"], before["utcOffset"])
    assert (after["endmills"], after["duration"]) == (begin + 5 * MINUTE, 5)
    [found] = corner.api.get(f"/treatments?identifier='{identifier}'&created_at$eq=2021-02-03T04:05:06Z").json()["result"]
    assert found == after


@pytest.mark.parametrize("value", ["yesterday", "", 5, [], None])
def test_a_bad_created_at(corner: Corner, value: Any) -> None:
    identifier = corner.add()
    answer = corner.api.patch(corner.url(identifier), json={"created_at": value})
    assert (answer.status_code, answer.json()["message"]) == (400, "Bad or missing created_at field")
    assert corner.api.get("/lastModified").status_code == 200


# --- conditions


def test_an_unknown_document(corner: Corner) -> None:
    answer = corner.api.patch(corner.url(corner.name()), json={"notes": "new"})
    assert (answer.status_code, answer.json()) == (404, {"status": 404})


def test_a_deleted_document_is_gone(corner: Corner) -> None:
    identifier = corner.add()
    corner.api.delete(corner.url(identifier))
    for patch in ({"notes": "new"}, {"isValid": True}, {"app": 5}):
        answer = corner.api.patch(corner.url(identifier), json=patch)
        assert (answer.status_code, answer.json()) == (410, {"status": 410})


@pytest.mark.parametrize("mark", ["isReadOnly", "readOnly", "readonly"])
def test_a_read_only_document(corner: Corner, mark: str) -> None:
    identifier = corner.add(**{mark: True})
    answer = corner.api.patch(corner.url(identifier), json={mark: False})
    assert (answer.status_code, answer.json()) == (422, {"status": 422, "message": "Trying to modify read-only document"})


def test_a_document_can_be_made_read_only(corner: Corner) -> None:
    identifier = corner.add()
    assert corner.api.patch(corner.url(identifier), json={"isReadOnly": True}).status_code == 200
    assert corner.api.patch(corner.url(identifier), json={"isReadOnly": False}).status_code == 422


# --- durations


@pytest.mark.parametrize(
    ("stored", "patch", "end", "length", "minutes"),
    [
        ({}, {"duration": 30}, 30 * MINUTE, 30 * MINUTE, 30),
        ({"duration": 30}, {"notes": "x"}, 30 * MINUTE, 30 * MINUTE, 30),
        ({"duration": 30}, {"duration": 45}, 45 * MINUTE, 45 * MINUTE, 45),
        ({"durationInMilliseconds": 90_000}, {"notes": "x"}, 90_000, 90_000, 2),
        ({"durationInMilliseconds": 90_000}, {"duration": 45}, 45 * MINUTE, 45 * MINUTE, 45),
        ({"duration": 30}, {"endmills": DATE + 90_000}, 90_000, 90_000, 2),
        ({"mills": DATE + 1000}, {"duration": 1}, 61_000, 60_000, 1),
        ({"mills": DATE + 1000}, {"mills": DATE + 2000, "duration": 1}, 62_000, 60_000, 1),
    ],
)
def test_durations(corner: Corner, stored: Json, patch: Json, end: int, length: int, minutes: int) -> None:
    identifier = corner.add(date=DATE, **stored)
    assert corner.api.patch(corner.url(identifier), json=patch).status_code == 200
    found = corner.read(identifier)
    assert found["endmills"] - DATE == end
    assert (found["durationInMilliseconds"], found["duration"]) == (length, minutes)


def test_a_patch_of_something_without_duration_adds_none(corner: Corner) -> None:
    identifier = corner.add()
    corner.api.patch(corner.url(identifier), json={"notes": "x"})
    assert not {"endmills", "duration", "durationInMilliseconds"} & corner.read(identifier).keys()


# --- permissions


def test_a_stranger_learns_nothing(server: LiveServer, new_api: NewApi, corner: Corner) -> None:
    creator = new_api(server, "api:*:create,read,delete", "api:entries:update")
    for path in (corner.url(corner.add()), corner.url(corner.name("nothing"))):
        refused = creator.patch(path, content=b"{")
        assert (refused.status_code, refused.json()["message"]) == (403, "Missing permission api:treatments:update")
