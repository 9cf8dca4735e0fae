"""CREATE of a document that is there already: it is replaced, by its identifier or by the fields that a fallback compares."""

from typing import Any

import httpx
import pytest

from tests.support.documents import DATE, MINUTE, Corner, Json, NewApi, import_documents, says_modified
from tests.support.server import LiveServer

# --- the same document again


def test_the_same_identifier_again_replaces_the_document(corner: Corner) -> None:
    first = corner.document(identifier=corner.name(), notes="first", carbs=5)
    created = corner.api.post("/treatments", json=first).json()

    again = corner.api.post("/treatments", json={**first, "notes": "second", "insulin": 1} | {"carbs": 6})
    assert again.status_code == 200
    modified = again.json()["lastModified"]
    assert again.json() == {"status": 200, "identifier": corner.name(), "isDeduplication": True, "lastModified": modified}
    assert again.headers["Location"] == f"/api/v3/treatments/{corner.name()}"
    assert says_modified(again, modified)
    assert modified > created["lastModified"]

    [stored] = corner.search()
    assert (stored["notes"], stored["carbs"], stored["insulin"]) == ("second", 6, 1)
    assert (stored["srvCreated"], stored["srvModified"]) == (created["lastModified"], modified)
    assert "modifiedBy" not in stored


def test_what_is_left_out_the_second_time_is_gone(corner: Corner) -> None:
    identifier = corner.add(date=DATE, notes="first", utcOffset=60)
    again = corner.api.post("/treatments", json={"date": DATE, "app": "tests", "device": corner.device})
    assert again.status_code == 200
    stored = corner.read(identifier)
    assert "notes" not in stored
    assert stored["utcOffset"] == 60  # what the client did not say is not changed


def test_the_same_device_date_and_event_type_again_is_the_same_document(corner: Corner) -> None:
    identifier = corner.add(date=DATE, eventType="Note", notes="first")
    sent = {"date": "2020-09-14T12:36:40Z", "app": "tests", "device": corner.device, "eventType": "Note", "notes": "second"}
    again = corner.api.post("/treatments", json=sent)
    assert (again.status_code, again.json()["identifier"]) == (200, identifier)
    assert corner.api.post("/treatments", json={**sent, "eventType": "Meal"}).status_code == 201
    assert sorted(each["notes"] for each in corner.search({"fields": "notes"})) == ["second", "second"]


def test_a_deleted_document_is_revived(corner: Corner) -> None:
    document = corner.document(identifier=corner.name(), eventType="Note", notes="first")
    created = corner.api.post("/treatments", json=document).json()
    corner.api.delete(corner.url(corner.name()))

    # nothing of a deleted one is immutable
    revived = corner.api.post("/treatments", json={**document, "eventType": "Meal", "date": DATE, "utcOffset": 60})
    assert revived.status_code == 200
    assert revived.json()["isDeduplication"] is True
    assert "deduplicatedIdentifier" not in revived.json()
    stored = corner.read(corner.name())
    assert (stored["eventType"], stored["date"], stored["utcOffset"]) == ("Meal", DATE, 60)
    assert stored["srvCreated"] == created["lastModified"]
    assert "isValid" not in stored
    assert [each["identifier"] for each in corner.search()] == [corner.name()]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("date", DATE), ("utcOffset", 60), ("eventType", "Meal"), ("device", "another"), ("app", "another")),
        *(("srvCreated", 5), ("srvModified", 5), ("subject", "root"), ("modifiedBy", "root"), ("isValid", True)),
    ],
)
def test_the_same_document_cannot_change_what_is_immutable(corner: Corner, field: str, value: Any) -> None:
    document = corner.document(identifier=corner.name(), eventType="Note")
    assert corner.api.post("/treatments", json=document).status_code == 201
    answer = corner.api.post("/treatments", json={**document, field: value})
    assert answer.status_code == 400
    assert answer.json() == {"status": 400, "message": f"Field {field} cannot be modified by the client"}
    assert corner.read(corner.name()).get(field) != value


@pytest.mark.parametrize("mark", ["isReadOnly", "readOnly", "readonly"])
def test_a_read_only_document_is_not_replaced(corner: Corner, mark: str) -> None:
    document = corner.document(identifier=corner.name()) | {mark: True}
    assert corner.api.post("/treatments", json=document).status_code == 201
    answer = corner.api.post("/treatments", json=document)
    assert (answer.status_code, answer.json()["message"]) == (422, "Trying to modify read-only document")


def test_the_duration_of_a_document_that_comes_again(corner: Corner) -> None:
    document = corner.document(identifier=corner.name(), duration=30)
    corner.api.post("/treatments", json=document)
    assert "endmills" not in corner.read(corner.name())  # a plain insert stays as it was sent
    corner.api.post("/treatments", json=document)
    stored = corner.read(corner.name())
    assert stored["endmills"] == stored["date"] + 30 * MINUTE
    assert (stored["durationInMilliseconds"], stored["duration"]) == (30 * MINUTE, 30)


# --- documents from elsewhere, which have no identifier of their own


FALLBACKS: dict[str, Json] = {
    # collection: the fields by which a document is recognised; for each, another value
    "devicestatus": {"created_at": "2020-09-14T12:36:40.001Z", "device": "another"},
    "entries": {"date": DATE + 1, "type": "mbg"},
    "food": {"created_at": "2020-09-14T12:36:40.001Z"},
    "profile": {"created_at": "2020-09-14T12:36:40.001Z"},
    "treatments": {"created_at": "2020-09-14T12:36:40.001Z", "eventType": "Meal"},
}


def imported(corner: Corner, moment: int) -> Json:
    """A document as an import leaves it: its identifier is the `_id` that it had."""
    iso = f"2019-01-01T00:00:{moment // 1000 % 60:02d}.{moment % 1000:03d}Z"
    date = 1_546_300_800_000 + moment
    return {
        "identifier": f"{corner.device[-12:]}{moment:012d}",
        "date": date,
        "created_at": iso,
        "device": corner.device,
        "type": "sgv",
        "eventType": "Note",
    }


moments = iter(range(60_000))
"""Each imported document has a moment of its own: documents of other tests must not be taken for it."""


@pytest.mark.parametrize("collection", FALLBACKS)
def test_a_document_from_elsewhere_is_recognised(server: LiveServer, api: httpx.Client, collection: str) -> None:
    mine = Corner(api, collection)
    old = imported(mine, next(moments))
    import_documents(server, collection, old)
    assert mine.read(old["identifier"])["identifier"] == old["identifier"]

    new = {name: old[name] for name in ("date", "device", "type", "eventType")} | {"app": "tests", "identifier": mine.name()}
    answer = api.post(mine.path, json=new)
    assert answer.status_code == 200
    assert answer.json() == {
        "status": 200,
        "identifier": mine.name(),
        "isDeduplication": True,
        "deduplicatedIdentifier": old["identifier"],
        "lastModified": answer.json()["lastModified"],
    }
    assert answer.headers["Location"] == f"/api/v3/{collection}/{mine.name()}"
    assert [each["identifier"] for each in mine.search()] == [mine.name()]
    assert mine.read(mine.name())["app"] == "tests"
    assert api.get(mine.url(old["identifier"])).status_code == 404

    # now it has an identifier of its own, so another one is another document
    other = api.post(mine.path, json={**new, "identifier": mine.name("other")})
    assert (other.status_code, other.json()["identifier"]) == (201, mine.name("other"))


@pytest.mark.parametrize(("collection", "field"), [(name, field) for name, fields in FALLBACKS.items() for field in fields])
def test_all_fallback_fields_must_be_the_same(server: LiveServer, api: httpx.Client, collection: str, field: str) -> None:
    mine = Corner(api, collection)
    old = imported(mine, next(moments))
    import_documents(server, collection, old)
    changes = {field: FALLBACKS[collection][field], "identifier": mine.name(), "app": "tests"}
    new = {name: old[name] for name in ("date", "device", "type", "eventType")} | changes
    if field == "created_at":
        del new["date"]
    assert api.post(mine.path, json=new).status_code == 201
    assert mine.read(old["identifier"])["date"] == old["date"]


@pytest.mark.parametrize("collection", ["devicestatus", "entries", "treatments"])
def test_a_fallback_field_that_is_missing_is_not_the_same(server: LiveServer, api: httpx.Client, collection: str) -> None:
    mine = Corner(api, collection)
    missing = [*FALLBACKS[collection]][1]
    old = imported(mine, next(moments))
    bare = {name: value for name, value in imported(mine, next(moments)).items() if name != missing}
    import_documents(server, collection, old, bare)
    new = {"app": "tests", "device": mine.device, "type": "sgv", "eventType": "Note"}
    lacking = {name: value for name, value in new.items() if name != missing}
    assert api.post(mine.path, json={**lacking, "date": old["date"], "identifier": mine.name(1)}).status_code == 201
    assert api.post(mine.path, json={**new, "date": bare["date"], "identifier": mine.name(2)}).status_code == 201


def test_settings_are_recognised_by_their_identifier_only(server: LiveServer, api: httpx.Client) -> None:
    mine = Corner(api, "settings")
    old = imported(mine, next(moments))
    import_documents(server, "settings", old)
    new = old | {"app": "tests", "identifier": mine.name()}
    assert api.post("/settings", json=new).status_code == 201
    assert len(mine.search()) == 2


def test_documents_with_an_identifier_are_recognised_by_that_only(api: httpx.Client) -> None:
    mine = Corner(api, "entries")
    mine.add(date=DATE, type="sgv", identifier=mine.name(1))
    mine.add(date=DATE, type="sgv", identifier=mine.name(2))
    assert len(mine.search()) == 2


def test_a_deleted_document_from_elsewhere_is_revived(server: LiveServer, api: httpx.Client) -> None:
    mine = Corner(api, "entries")
    old = imported(mine, next(moments))
    import_documents(server, "entries", old)
    assert api.delete(mine.url(old["identifier"])).status_code == 200
    answer = api.post("/entries", json={**mine.document(type="sgv", app="another"), "date": old["date"]})
    assert (answer.status_code, answer.json()["deduplicatedIdentifier"]) == (200, old["identifier"])
    assert [each["app"] for each in mine.search()] == ["another"]


def test_a_document_from_elsewhere_is_addressed_by_its_id(server: LiveServer, api: httpx.Client) -> None:
    mine = Corner(api, "treatments")
    old = imported(mine, next(moments)) | {"app": "elsewhere", "utcOffset": 60}
    import_documents(server, "treatments", old)
    address = mine.url(old["identifier"])
    assert api.patch(address, json={"notes": "patched"}).status_code == 200
    assert api.put(address, json=mine.document(**old, notes="put")).status_code == 200
    assert mine.read(old["identifier"])["notes"] == "put"
    assert api.delete(address).status_code == 200
    assert api.get(address).status_code == 410


def test_without_the_fallback_only_identifiers_count(sparse: LiveServer, new_api: NewApi) -> None:
    mine = Corner(new_api(sparse, "api:*:*"), "entries")
    old = imported(mine, next(moments))
    import_documents(sparse, "entries", old)
    assert mine.api.post("/entries", json={**mine.document(type="sgv"), "date": old["date"]}).status_code == 201
    assert len(mine.search()) == 2


# --- permissions


def test_a_duplicate_needs_update(server: LiveServer, new_api: NewApi, corner: Corner) -> None:
    document = corner.document(identifier=corner.name())
    creator = new_api(server, "api:treatments:create")
    assert creator.post("/treatments", json=document).status_code == 201
    # before what is in it is looked at, and also where it was deleted
    for again in (document, {**document, "app": 5}):
        refused = creator.post("/treatments", json=again)
        assert (refused.status_code, refused.json()["message"]) == (403, "Missing permission api:treatments:update")
    corner.api.delete(corner.url(corner.name()))
    assert creator.post("/treatments", json=document).status_code == 403
    assert corner.api.get(corner.url(corner.name())).status_code == 410
