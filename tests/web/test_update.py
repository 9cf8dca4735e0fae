"""UPDATE: a new version of a document, or a document at a chosen identifier."""

import secrets
from email.utils import formatdate
from typing import Any

import httpx
import pytest

from tests.support.documents import CREATED_AT, DATE, MINUTE, TESTER, Corner, Json, NewApi, import_documents, says_modified
from tests.support.server import LiveServer


def http_date(ms: int, seconds: int = 0) -> str:
    """A moment, or some `seconds` after it, as a header says it."""
    return formatdate(ms // 1000 + seconds, usegmt=True)


def test_a_document_is_replaced(corner: Corner) -> None:
    identifier = corner.add(date=DATE, notes="first", carbs=5)
    before = corner.read(identifier)
    answer = corner.api.put(corner.url(identifier), json={"date": DATE, "app": "tests", "device": corner.device, "carbs": 6})
    assert answer.status_code == 200
    modified = answer.json()["lastModified"]
    assert answer.json() == {"status": 200, "lastModified": modified}
    assert says_modified(answer, modified)
    assert "Location" not in answer.headers

    del before["notes"]
    assert corner.read(identifier) == {**before, "carbs": 6, "srvModified": modified}
    assert modified > before["srvModified"]


def test_an_unknown_identifier_makes_a_document(corner: Corner) -> None:
    answer = corner.api.put(corner.url(corner.name("new")), json=corner.document(notes="first"))
    assert answer.status_code == 201
    modified = answer.json()["lastModified"]
    assert answer.json() == {"status": 201, "identifier": corner.name("new"), "lastModified": modified}
    assert answer.headers["Location"] == f"/api/v3/treatments/{corner.name('new')}"
    assert says_modified(answer, modified)
    stored = corner.read(corner.name("new"))
    assert stored["srvCreated"] == stored["srvModified"] == modified
    assert stored["subject"] == TESTER


def test_the_identifier_in_the_path_wins(corner: Corner) -> None:
    elsewhere = corner.document(identifier=corner.name("elsewhere"))
    assert corner.api.put(corner.url(corner.name("here")), json=elsewhere).status_code == 201
    assert corner.api.put(corner.url(corner.name("here")), json=elsewhere).status_code == 200
    assert corner.api.put(corner.url(corner.name("here")), json={**elsewhere, "identifier": 5}).status_code == 200
    assert [each["identifier"] for each in corner.search()] == [corner.name("here")]


def test_a_document_removed_for_good_can_be_made_again(corner: Corner) -> None:
    identifier = corner.add()
    corner.api.delete(corner.url(identifier), params={"permanent": "true"})
    assert corner.api.put(corner.url(identifier), json=corner.document()).status_code == 201


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("date", DATE + 1), ("date", "2020-09-14T12:36:41Z"), ("utcOffset", 60), ("eventType", "Meal"), ("eventType", None)),
        *(("device", "another"), ("app", "another"), ("srvCreated", 5), ("srvModified", 5), ("subject", "root")),
        *(("modifiedBy", "root"), ("isValid", True), ("isValid", False)),
    ],
)
def test_what_is_immutable(corner: Corner, field: str, value: Any) -> None:
    document = corner.document(date=DATE, eventType="Note")
    identifier = corner.add(**document)
    before = corner.read(identifier)
    answer = corner.api.put(corner.url(identifier), json={**document, field: value})
    assert answer.status_code == 400
    assert answer.json() == {"status": 400, "message": f"Field {field} cannot be modified by the client"}
    assert corner.read(identifier) == before


@pytest.mark.parametrize("date", [DATE, DATE // 1000, str(DATE), CREATED_AT, "2020-09-14T14:36:40+02:00"])
def test_the_same_date_may_be_spelled_otherwise(corner: Corner, date: Any) -> None:
    document = corner.document(date=DATE, utcOffset=120)
    identifier = corner.add(**document)
    answer = corner.api.put(corner.url(identifier), json={**document, "date": date})
    assert answer.status_code == 200
    assert corner.read(identifier)["date"] == DATE


def test_the_whole_document_may_be_sent_back(corner: Corner) -> None:
    identifier = corner.add(eventType="Note")
    stored = corner.read(identifier)
    assert corner.api.put(corner.url(identifier), json={**stored, "notes": "new"}).status_code == 200
    assert corner.read(identifier)["notes"] == "new"


def test_an_offset_that_is_left_out_stays(corner: Corner) -> None:
    identifier = corner.add(date="2020-09-14T14:36:40+02:00")
    again = {"date": DATE, "app": "tests", "device": corner.device}
    assert corner.api.put(corner.url(identifier), json=again).status_code == 200
    assert corner.read(identifier)["utcOffset"] == 120


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"date": None}, "Bad or missing date field"),
        ({"date": "yesterday"}, "Bad or missing date field"),
        ({"utcOffset": "0"}, "Bad or missing utcOffset field"),
        ({"app": " "}, "Bad or missing app field"),
    ],
)
def test_a_bad_document(corner: Corner, changes: Json, message: str) -> None:
    answer = corner.api.put(corner.url(corner.name()), json=corner.document() | changes)
    assert (answer.status_code, answer.json()["message"]) == (400, message)
    assert corner.api.get(corner.url(corner.name())).status_code == 404


@pytest.mark.parametrize("identifier", ["%20", "x" * 1025])
def test_a_bad_identifier(corner: Corner, identifier: str) -> None:
    answer = corner.api.put(corner.url(identifier), json=corner.document())
    assert (answer.status_code, answer.json()["message"]) == (400, "Bad or missing identifier field")


# --- conditions


def test_a_deleted_document_is_gone(corner: Corner) -> None:
    identifier = corner.add()
    corner.api.delete(corner.url(identifier))
    for document in (corner.document(), corner.document(app=5)):
        answer = corner.api.put(corner.url(identifier), json=document)
        assert (answer.status_code, answer.json()) == (410, {"status": 410})


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_if_unmodified_since(corner: Corner, method: str) -> None:
    document = corner.document()
    identifier = corner.add(**document)

    def change(since: str) -> httpx.Response:
        return corner.api.request(method, corner.url(identifier), json=document, headers={"If-Unmodified-Since": since})

    modified = corner.read(identifier)["srvModified"]
    for earlier in (http_date(modified, -1), "Fri, 31 Dec 1999 23:59:59 GMT", "Thu, 01 Jan 1970 00:00:00 GMT"):
        refused = change(earlier)
        assert (refused.status_code, refused.json()) == (412, {"status": 412})
    assert corner.read(identifier)["srvModified"] == modified

    assert change(http_date(modified)).status_code == 200
    assert change(http_date(corner.read(identifier)["srvModified"], 60)).status_code == 200
    for unreadable in ("yesterday", "", "0"):
        assert change(unreadable).status_code == 200


def test_if_unmodified_since_does_not_keep_from_inserting(corner: Corner) -> None:
    headers = {"If-Unmodified-Since": http_date(DATE)}
    assert corner.api.put(corner.url(corner.name()), json=corner.document(), headers=headers).status_code == 201


@pytest.mark.parametrize("mark", ["isReadOnly", "readOnly", "readonly"])
def test_a_read_only_document(corner: Corner, mark: str) -> None:
    document = corner.document() | {mark: True}
    identifier = corner.add(**document)
    answer = corner.api.put(corner.url(identifier), json={**document, mark: False})
    assert (answer.status_code, answer.json()) == (422, {"status": 422, "message": "Trying to modify read-only document"})
    assert corner.read(identifier)[mark] is True


@pytest.mark.parametrize("value", [False, None, "true", 1])
def test_only_true_means_read_only(corner: Corner, value: Any) -> None:
    document = corner.document(isReadOnly=value)
    identifier = corner.add(**document)
    assert corner.api.put(corner.url(identifier), json={**document, "isReadOnly": True}).status_code == 200
    assert corner.api.put(corner.url(identifier), json=document).status_code == 422


# --- durations


@pytest.mark.parametrize("collection", ["treatments", "entries", "food"])
@pytest.mark.parametrize(
    ("sent", "end", "length", "minutes"),
    [
        ({"duration": 30}, 30 * MINUTE, 30 * MINUTE, 30),
        ({"durationInMilliseconds": 90_000, "duration": 30}, 90_000, 90_000, 2),
        ({"endmills": DATE + 90_000, "duration": 30}, 90_000, 90_000, 2),
        ({"endmills": DATE - 1, "duration": 30}, -1, None, 30),
        ({"mills": DATE + 1000, "duration": 1}, 61_000, 60_000, 1),
        ({"duration": 0.5}, 30_000, 30_000, 1),
    ],
)
def test_durations(api: httpx.Client, collection: str, sent: Json, end: int, length: int | None, minutes: int) -> None:
    mine = Corner(api, collection)
    document = mine.document(date=DATE, **sent)
    assert api.put(mine.url(mine.name()), json=document).status_code == 201
    inserted = mine.read(mine.name())
    assert {name: inserted.get(name) for name in sent} == sent
    assert api.put(mine.url(mine.name()), json=document).status_code == 200
    stored = mine.read(mine.name())
    assert stored["endmills"] - DATE == end
    assert (stored.get("durationInMilliseconds"), stored["duration"]) == (length, minutes)


@pytest.mark.parametrize("duration", [2**53 - 2, 1e15, 1e300, -1e300, 2**63 - 1, "1e99"])
def test_a_duration_that_leads_nowhere_is_stored_as_it_is(corner: Corner, duration: Any) -> None:
    document = corner.document(duration=duration)
    identifier = corner.add(**document)
    assert corner.api.put(corner.url(identifier), json=document).status_code == 200
    stored = corner.read(identifier)
    assert stored["duration"] == duration
    assert "endmills" not in stored


@pytest.mark.parametrize(
    ("duration", "minutes"), [("30", 30), (" 2.5e1\n", 25), ("soon", 0), (True, 0), (None, 0), ([30], 0), ({}, 0)]
)
def test_a_duration_that_is_no_number(corner: Corner, duration: Any, minutes: int) -> None:
    """A text that is a number counts as that number, anything else as 0."""
    document = corner.document(duration=duration, date=DATE)
    identifier = corner.add(**document)
    assert corner.api.put(corner.url(identifier), json=document).status_code == 200
    stored = corner.read(identifier)
    assert (stored["endmills"], stored["duration"]) == (DATE + minutes * MINUTE, minutes)


# --- permissions


def test_update_alone_does_not_insert(server: LiveServer, new_api: NewApi, corner: Corner) -> None:
    updater = new_api(server, "api:treatments:update")
    for document in (corner.document(), corner.document(app=5)):
        refused = updater.put(corner.url(corner.name()), json=document)
        assert (refused.status_code, refused.json()["message"]) == (403, "Missing permission api:treatments:create")
    document = corner.document()
    identifier = corner.add(**document)
    assert updater.put(corner.url(identifier), json=document).status_code == 200
    assert corner.read(identifier)["subject"] == "tester api:treatments:update"


def test_create_alone_does_not_replace(server: LiveServer, new_api: NewApi, corner: Corner) -> None:
    creator = new_api(server, "api:treatments:create")
    document = corner.document()
    assert creator.put(corner.url(corner.name()), json=document).status_code == 201
    for again in (document, {**document, "app": 5}):
        refused = creator.put(corner.url(corner.name()), json=again)
        assert (refused.status_code, refused.json()["message"]) == (403, "Missing permission api:treatments:update")
    corner.api.delete(corner.url(corner.name()))
    assert creator.put(corner.url(corner.name()), json=document).status_code == 403  # and is not told that it is gone


def test_a_stranger_learns_nothing(server: LiveServer, new_api: NewApi, corner: Corner) -> None:
    reader = new_api(server, "api:*:read,delete", "api:entries:create,update")
    identifier = corner.add()
    for path in (corner.url(identifier), corner.url(corner.name("nothing"))):
        refused = reader.put(path, content=b"{")
        assert (refused.status_code, refused.json()["message"]) == (403, "Missing permission api:treatments:update")


def test_a_document_from_elsewhere_gets_what_it_never_had(server: LiveServer, corner: Corner) -> None:
    """An import keeps documents that never had an `app` or a `utcOffset`; apps may give them one, and change no other."""
    identifier = secrets.token_hex(12)
    old = {"identifier": identifier, "date": DATE, "created_at": CREATED_AT, "device": corner.device, "notes": "old"}
    import_documents(server, "treatments", old)
    new = {"date": DATE, "app": "tests", "utcOffset": 60, "device": corner.device, "notes": "new"}
    assert corner.api.put(corner.url(identifier), json=new | {"device": "other"}).status_code == 400
    assert corner.api.put(corner.url(identifier), json=new).status_code == 200
    assert new.items() <= corner.read(identifier).items()
    assert corner.api.patch(corner.url(identifier), json={"app": "other"}).status_code == 400

    import_documents(server, "treatments", old | {"identifier": identifier[::-1], "device": corner.name("patched")})
    assert corner.api.patch(corner.url(identifier[::-1]), json={"app": "tests", "notes": "new"}).status_code == 200
    assert corner.read(identifier[::-1])["app"] == "tests"


def test_a_replacement_has_no_modifier(corner: Corner) -> None:
    document = corner.document(date=DATE)
    identifier = corner.add(**document)
    for method, path in (("PUT", corner.url(identifier)), ("POST", "/treatments")):
        assert corner.api.patch(corner.url(identifier), json={"notes": "x"}).status_code == 200
        assert corner.read(identifier)["modifiedBy"] == TESTER
        assert corner.api.request(method, path, json={**document, "identifier": identifier}).status_code == 200
        stored = corner.read(identifier)
        assert (stored["subject"], "modifiedBy" in stored) == (TESTER, False)
