"""CREATE: a new document, or a new version of one that is there already."""

import time
from typing import Any
from uuid import UUID, uuid5

import httpx
import pytest

from tests.support.documents import CREATED_AT, DATE, TESTER, Corner, Json, NewApi, says_modified
from tests.support.server import LiveServer


def computed(name: str) -> str:
    """The identifier of a document that brings none."""
    return str(uuid5(UUID(bytes=b"NightscoutRocks!"), name))


# --- a new document


def test_a_new_document(api: httpx.Client, corner: Corner) -> None:
    before = time.time_ns() // 1_000_000
    answer = api.post("/treatments", json={"date": DATE, "app": "tests", "device": corner.device})
    assert answer.status_code == 201
    identifier = computed(f"{corner.device}_{DATE}")
    modified = answer.json()["lastModified"]
    assert answer.json() == {"status": 201, "identifier": identifier, "lastModified": modified}
    assert before <= modified <= before + 60_000
    assert answer.headers["Location"] == f"/api/v3/treatments/{identifier}"
    assert says_modified(answer, modified)
    assert answer.headers["Cache-Control"] == "no-store"

    stored = corner.read(identifier)
    assert stored["srvCreated"] == stored["srvModified"] == modified
    assert stored["subject"] == TESTER
    assert "modifiedBy" not in stored


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({}, "{}_1600087000000"),
        ({"date": "2020-09-14T14:36:40+02:00"}, "{}_1600087000000"),
        ({"identifier": ""}, "{}_1600087000000"),
        ({"identifier": None}, "{}_1600087000000"),
        ({"eventType": "Note"}, "{}_1600087000000_Note"),
        ({"eventType": "ポンプ交換"}, "{}_1600087000000_ポンプ交換"),
    ],
)
def test_a_document_without_an_identifier_gets_one(corner: Corner, fields: Json, name: str) -> None:
    assert corner.add(**{"date": DATE, **fields}) == computed(name.format(corner.device))


def test_a_document_without_a_device_gets_an_identifier_too(api: httpx.Client, corner: Corner) -> None:
    name = f"undefined_{DATE}_{corner.device}"
    answer = api.post("/treatments", json={"date": DATE, "app": "tests", "eventType": corner.device})
    assert answer.json()["identifier"] == computed(name)


@pytest.mark.parametrize(
    ("sent", "date", "offset", "created_at"),
    [
        ({"date": DATE}, DATE, 0, CREATED_AT),
        ({"date": DATE + 123}, DATE + 123, 0, "2020-09-14T12:36:40.123Z"),
        ({"date": DATE // 1000}, DATE, 0, CREATED_AT),
        ({"date": str(DATE)}, DATE, 0, CREATED_AT),
        ({"date": "2020-09-14T12:36:40Z"}, DATE, 0, CREATED_AT),
        ({"date": "2020-09-14T14:36:40+02:00"}, DATE, 120, CREATED_AT),
        ({"date": "Mon, 14 Sep 2020 07:36:40 -0500"}, DATE, -300, CREATED_AT),
        ({"date": "Mon, 14 Sep 2020 12:36:40 GMT"}, DATE, 0, CREATED_AT),
        ({"date": "2020-09-14T14:36:40+02:00", "utcOffset": 60}, DATE, 60, CREATED_AT),
        ({"date": DATE, "utcOffset": -1440}, DATE, -1440, CREATED_AT),
        ({"created_at": "2020-09-14T14:36:40+02:00"}, DATE, 120, CREATED_AT),
        ({"created_at": DATE}, DATE, 0, CREATED_AT),
        ({"date": DATE, "created_at": "2021-01-01T00:00:00Z"}, DATE, 0, CREATED_AT),
        ({"date": 946684800001}, 946684800001, 0, "2000-01-01T00:00:00.001Z"),
        ({"date": "9999-12-31T23:59:59.999Z"}, 253402300799999, 0, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_dates(corner: Corner, sent: Json, date: int, offset: int, created_at: str) -> None:
    answer = corner.api.post("/treatments", json={"app": "tests", "device": corner.device, **sent})
    assert answer.status_code == 201
    stored = corner.read(answer.json()["identifier"])
    assert (stored["date"], stored["utcOffset"], stored["created_at"]) == (date, offset, created_at)


def test_what_belongs_to_the_server_is_its_own(corner: Corner) -> None:
    forged = {"srvCreated": 1, "srvModified": 1, "subject": "root", "modifiedBy": "root", "_id": "5f5f6a3e9d1c4b0012345678"}
    identifier = corner.add(**forged)
    stored = corner.read(identifier)
    assert stored["srvCreated"] == stored["srvModified"] > DATE
    assert stored["subject"] == TESTER
    assert "modifiedBy" not in stored
    assert "_id" not in stored


def test_a_document_may_be_born_deleted(corner: Corner) -> None:
    identifier = corner.add(isValid=False)
    assert corner.api.get(corner.url(identifier)).status_code == 410


# --- bad documents


ABSURD = ["9999-12-31T24:00:00Z", "Mon, 01 Jan 2020 00:00:00 +99999999999999999999999"]
BAD: dict[str, list[Any]] = {
    "identifier": [" ", 5, 0, True, False, [], {}, [1], {"a": 1}, "x" * 1025],
    "date": [None, "", "yesterday", 0, -1, 946684800000, True, [], {}, *ABSURD],
    "utcOffset": [None, "0", 1441, -1441, True, []],
    "app": [None, "", " \t", 5, True, []],
}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        *(({field: value}, field) for field, values in BAD.items() for value in values),
        ({"date": "yesterday", "created_at": CREATED_AT}, "date"),
        ({"date": None, "created_at": "yesterday"}, "date"),
        # the first one that is bad is named
        ({"identifier": 5, "app": 5, "date": 5, "utcOffset": "5"}, "identifier"),
        ({"app": 5, "date": 5, "utcOffset": "5"}, "date"),
        ({"app": 5, "utcOffset": "5"}, "utcOffset"),
    ],
)
def test_a_bad_document(corner: Corner, changes: Json, field: str) -> None:
    answer = corner.api.post("/treatments", json=corner.document() | changes)
    assert answer.status_code == 400
    assert answer.json() == {"status": 400, "message": f"Bad or missing {field} field"}
    assert corner.search() == []


@pytest.mark.parametrize("field", ["date", "app"])
def test_a_missing_field(corner: Corner, field: str) -> None:
    document = corner.document()
    del document[field]
    answer = corner.api.post("/treatments", json=document)
    assert (answer.status_code, answer.json()["message"]) == (400, f"Bad or missing {field} field")


# --- permissions


def test_a_new_document_needs_create(server: LiveServer, new_api: NewApi, corner: Corner) -> None:
    updater = new_api(server, "api:treatments:update")
    for document in (corner.document(), corner.document(app=5)):
        refused = updater.post("/treatments", json=document)
        assert (refused.status_code, refused.json()["message"]) == (403, "Missing permission api:treatments:create")
    existing = corner.document(identifier=corner.name())
    corner.api.post("/treatments", json=existing)
    assert updater.post("/treatments", json=existing).status_code == 200


def test_a_stranger_is_refused_before_the_body_is_read(server: LiveServer, new_api: NewApi) -> None:
    reader = new_api(server, "api:*:read,delete", "api:entries:create,update")
    for body in (b"{", b"[]", b"{}"):
        refused = reader.post("/treatments", content=body)
        assert (refused.status_code, refused.json()["message"]) == (403, "Missing permission api:treatments:create")


def test_a_date_after_9999(corner: Corner) -> None:
    """The last one of JavaScript: it is stored, found, changed, and does not break what lists times."""
    last = 8_640_000_000_000_000
    identifier = corner.add(date=last)
    found = corner.read(identifier)
    assert (found["date"], found["created_at"]) == (last, "+275760-09-13T00:00:00.000Z")
    assert [each["identifier"] for each in corner.search({"date": str(last)})] == [identifier]
    assert corner.api.patch(corner.url(identifier), json={**found, "duration": 5}).status_code == 200
    assert corner.read(identifier)["endmills"] == last + 300_000
    assert corner.api.get("/lastModified").status_code == 200
    assert corner.api.post("/treatments", json=corner.document(date=last + 1)).status_code == 400
    corner.api.delete(f"{corner.url(identifier)}?permanent=true")
