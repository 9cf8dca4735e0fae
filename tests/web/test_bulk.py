"""Bulk: many documents in one request, and for each the answer that CREATE would have given."""

import json
from typing import Any

import httpx
import pytest

from tests.support.documents import CREATED_AT, DATE, Corner, Json, NewApi, import_documents
from tests.support.factories import FreshServer
from tests.support.server import LiveServer

BULK = "/treatments/bulk"


def results(answer: httpx.Response) -> list[Json]:
    assert answer.status_code == 200, answer.text
    assert answer.json().keys() == {"status", "result"}
    found: list[Json] = answer.json()["result"]
    return found


def ndjson(*lines: object) -> bytes:
    return b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)


@pytest.fixture(params=["array", "ndjson"])
def post(request: pytest.FixtureRequest, api: httpx.Client) -> Any:
    """Sends documents in one of the two forms."""
    if request.param == "array":
        return lambda *documents: api.post(BULK, json=documents)
    headers = {"Content-Type": "application/x-ndjson"}
    return lambda *documents: api.post(BULK, content=ndjson(*documents), headers=headers)


def test_a_backlog(corner: Corner, post: Any) -> None:
    day = [corner.document(sgv=number) for number in range(288)]
    found = results(post(*day))
    assert [each["status"] for each in found] == [201] * 288
    modified = [each["lastModified"] for each in found]
    assert modified == list(range(modified[0], modified[0] + 288))
    stored = corner.search({"sort": "date", "limit": "1000"})
    assert [(each["identifier"], each["srvModified"], each["sgv"]) for each in stored] == [
        (each["identifier"], each["lastModified"], number) for number, each in enumerate(found)
    ]


def test_each_gets_its_own_answer(corner: Corner, post: Any) -> None:
    """What CREATE says to each of these, one after the other; a refused one does not undo the others."""
    corner.add(identifier=corner.name("locked"), isReadOnly=True)
    first = corner.document(identifier=corner.name("first"))
    found = results(
        post(
            first,
            {**first, "notes": "again"},
            {**first, "eventType": "other"},
            corner.document(identifier=corner.name("locked")),
            corner.document(app=" "),
            [1],
            corner.document(notes="last"),
        )
    )
    assert [each["status"] for each in found] == [201, 200, 400, 422, 400, 400, 201]
    assert found[1] == {**found[1], "isDeduplication": True, "identifier": first["identifier"]}
    assert [each.get("message") for each in found] == [
        None,
        None,
        "Field eventType cannot be modified by the client",
        "Trying to modify read-only document",
        "Bad or missing app field",
        "Bad or missing request body",
        None,
    ]
    assert corner.read(corner.name("first"))["notes"] == "again"


def test_a_malformed_line_is_one_refusal(api: httpx.Client, corner: Corner) -> None:
    good = corner.document(identifier=corner.name("good"))
    lines = (good, b'{"date":', b"", b'{"a":"\\u0000"}', b'{"a":18446744073709551616}', b"[" * 200, b"\xff", b"null")
    found = results(api.post(BULK, content=ndjson(*lines)))
    assert [each["status"] for each in found] == [201, 400, 400, 400, 400, 400, 400]
    assert {each["message"] for each in found[1:]} == {"Bad or missing request body"}
    assert "U+0000" in found[2]["description"]
    assert "64 bits" in found[3]["description"]


def test_an_element_that_cannot_be_stored_is_one_refusal(api: httpx.Client, corner: Corner) -> None:
    deep: Any = {}
    for _ in range(101):
        deep = {"deeper": deep}
    found = results(api.post(BULK, json=[corner.document(notes="\0"), corner.document(deep=deep), {}, corner.document()]))
    assert [each["status"] for each in found] == [400, 400, 400, 201]


@pytest.mark.parametrize("body", [b"", b" \n ", b"[", b'[{"a":1}', b"[1e999]", b'[{"a":18446744073709551616}]'])
def test_a_malformed_body(api: httpx.Client, body: bytes) -> None:
    answer = api.post(BULK, content=body)
    assert (answer.status_code, answer.json()["message"]) == (400, "Bad or missing request body")


def test_nothing_at_all(api: httpx.Client) -> None:
    assert results(api.post(BULK, json=[])) == []


def test_what_is_there_may_stay(corner: Corner, api: httpx.Client) -> None:
    corner.add(identifier=corner.name("old"), notes="old")
    sent = [corner.document(identifier=corner.name(name), notes="new") for name in ("old", "new")]
    found = results(api.post(BULK, params={"keep": "true"}, json=sent))
    assert [each["status"] for each in found] == [200, 201]
    assert found[0] == {
        "status": 200,
        "identifier": corner.name("old"),
        "isDeduplication": True,
        "lastModified": corner.read(corner.name("old"))["srvModified"],
    }
    assert [corner.read(corner.name(name))["notes"] for name in ("old", "new")] == ["old", "new"]
    answer = api.post(BULK, params={"keep": "maybe"}, json=sent)
    assert (answer.status_code, answer.json()["message"]) == (400, "Parameter keep must be true or false")


@pytest.mark.parametrize("rights", ["api:treatments:create", "api:treatments:create,update"])
def test_who_may_not_read_hears_nothing_of_what_is_there(
    server: LiveServer, new_api: NewApi, corner: Corner, rights: str
) -> None:
    corner.add(identifier=corner.name("old"), notes="old")
    stranger = {**corner.document(eventType=corner.name("meal")), "date": DATE, "created_at": CREATED_AT}
    import_documents(server, "treatments", {**stranger, "identifier": corner.name("imported")})
    sent = [corner.document(identifier=corner.name("old")), stranger, corner.document(identifier=7)]
    own = corner.name("own")
    kept = results(new_api(server, rights).post(BULK, params={"keep": "true"}, json=[*sent, {**stranger, "identifier": own}]))
    assert kept[0] == {"status": 200, "identifier": corner.name("old"), "isDeduplication": True}
    assert kept[1]["status"] == 200
    assert kept[1]["identifier"] != corner.name("imported")
    assert "lastModified" not in kept[1]
    assert (kept[2]["status"], kept[2]["message"]) == (400, "Bad or missing identifier field")
    assert kept[3] == {"status": 200, "identifier": own, "isDeduplication": True}
    one = new_api(server, rights, f"api:treatments:read:{corner.name('old')}")
    told = [each.get("lastModified") for each in results(one.post(BULK, params={"keep": "true"}, json=sent[:2]))]
    assert told == [corner.read(corner.name("old"))["srvModified"], None]


def test_rights(server: LiveServer, new_api: NewApi, corner: Corner) -> None:
    """Who may do neither is refused before the body is read; who may do one of both is told for each document."""
    stranger = new_api(server, "api:treatments:read")
    answer = stranger.post(BULK, content=b"[")
    assert (answer.status_code, answer.json()["message"]) == (403, "Missing permission api:treatments:create")
    corner.add(identifier=corner.name("old"), date=DATE)
    sent = [corner.document(identifier=corner.name(name), date=DATE) for name in ("old", "new")]
    creator, updater = new_api(server, "api:treatments:create"), new_api(server, "api:treatments:update")
    assert [each.get("message") for each in results(updater.post(BULK, json=sent))] == [
        None,
        "Missing permission api:treatments:create",
    ]
    sent.reverse()
    assert [each.get("message") for each in results(creator.post(BULK, json=sent))] == [
        None,
        "Missing permission api:treatments:update",
    ]


def test_bounds(fresh_server: FreshServer) -> None:
    server = fresh_server(env={"API3_MAX_BULK": "3", "API3_MAX_BULK_BODY": "2048", "API3_MAX_BODY": "1024"})
    api = server.client(server.subject("everything", "api:*:*"))
    url = f"{server.url}/api/v3{BULK}"
    documents = [{"identifier": str(number), "date": 1_600_000_000_000, "app": "tests"} for number in range(4)]
    answer = api.post(url, json=documents)
    assert (answer.status_code, answer.json()["message"]) == (413, "At most 3 documents in one request")
    assert api.post(url, content=ndjson(*documents)).status_code == 413
    assert results(api.post(url, json=[])) == []
    assert api.get(f"{server.url}/api/v3/treatments").json()["result"] == []
    assert [each["status"] for each in results(api.post(url, json=[*documents[:2], {"notes": "x" * 1500}]))] == [201, 201, 400]
    answer = api.post(url, json=[{"notes": "x" * 2048}])
    assert (answer.status_code, answer.json()["message"]) == (413, "Request body too large")


def test_a_document_may_be_called_bulk(corner: Corner) -> None:
    """The route takes POST only; everything else is about the document of that name."""
    document = corner.document(identifier="bulk")
    assert corner.api.post(corner.path, json=document).status_code == 201
    assert corner.read("bulk")["device"] == corner.device
    assert corner.api.patch(corner.url("bulk"), json={"notes": "more"}).status_code == 200
    assert corner.api.put(corner.url("bulk"), json=document).status_code == 200
    assert corner.api.delete(corner.url("bulk"), params={"permanent": "true"}).status_code == 200
    assert corner.api.get(corner.url("bulk")).status_code == 404
