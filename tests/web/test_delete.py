"""DELETE: a document is marked as deleted, or removed for good."""

import pytest

from tests.support.documents import TESTER, Corner, NewApi
from tests.support.server import LiveServer


def test_a_document_is_marked(corner: Corner) -> None:
    identifier = corner.add(notes="kept")
    before = corner.read(identifier)
    answer = corner.api.delete(corner.url(identifier))
    assert (answer.status_code, answer.json()) == (200, {"status": 200})
    assert corner.api.get(corner.url(identifier)).status_code == 410
    assert corner.search() == []

    [kept] = corner.api.get(f"/treatments/history/{before['srvModified']}").json()["result"]
    assert kept == before | {"isValid": False, "modifiedBy": TESTER, "srvModified": kept["srvModified"]}
    assert kept["srvModified"] > before["srvModified"]


def test_a_document_is_deleted_again(corner: Corner) -> None:
    identifier = corner.add()
    began = corner.read(identifier)["srvModified"]
    seen = [began]
    for _ in range(3):
        assert corner.api.delete(corner.url(identifier)).status_code == 200
        [deleted] = corner.api.get(f"/treatments/history/{began}").json()["result"]
        seen.append(deleted["srvModified"])
    assert seen == sorted(set(seen))


@pytest.mark.parametrize("permanent", ["true", "TRUE", "True"])
def test_a_document_is_removed(corner: Corner, permanent: str) -> None:
    identifier = corner.add()
    began = corner.read(identifier)["srvModified"]
    answer = corner.api.delete(corner.url(identifier), params={"permanent": permanent})
    assert (answer.status_code, answer.json()) == (200, {"status": 200})
    assert corner.api.get(corner.url(identifier)).status_code == 404
    assert corner.api.delete(corner.url(identifier)).status_code == 404
    assert corner.api.get(f"/treatments/history/{began - 1}").json()["result"] == []


def test_a_deleted_document_can_be_removed(corner: Corner) -> None:
    identifier = corner.add()
    corner.api.delete(corner.url(identifier))
    assert corner.api.delete(corner.url(identifier), params={"permanent": "true"}).status_code == 200
    assert corner.api.get(corner.url(identifier)).status_code == 404


@pytest.mark.parametrize("permanent", ["", "false", "False"])
def test_whatever_else_only_marks(corner: Corner, permanent: str) -> None:
    identifier = corner.add()
    assert corner.api.delete(corner.url(identifier), params={"permanent": permanent}).status_code == 200
    assert corner.api.get(corner.url(identifier)).status_code == 410


@pytest.mark.parametrize("query", ["permanent=yes", "permanent=1", "permanent=true&permanent=false"])
def test_what_is_unclear_removes_nothing(corner: Corner, query: str) -> None:
    identifier = corner.add()
    assert corner.api.delete(f"{corner.url(identifier)}?{query}").status_code == 400
    assert corner.read(identifier)


def test_an_unknown_document(corner: Corner) -> None:
    for query in ("", "?permanent=true"):
        answer = corner.api.delete(corner.url(corner.name()) + query)
        assert (answer.status_code, answer.json()) == (404, {"status": 404})


@pytest.mark.parametrize("mark", ["isReadOnly", "readOnly", "readonly"])
def test_a_read_only_document(corner: Corner, mark: str) -> None:
    identifier = corner.add(**{mark: True})
    for query in ("", "?permanent=true"):
        answer = corner.api.delete(corner.url(identifier) + query)
        assert answer.status_code == 422
        assert answer.json() == {"status": 422, "message": "Trying to modify read-only document"}
    assert corner.read(identifier)[mark] is True


def test_a_stranger_learns_nothing(server: LiveServer, new_api: NewApi, corner: Corner) -> None:
    other = new_api(server, "api:*:create,read,update", "api:entries:delete")
    for path in (corner.url(corner.add()), corner.url(corner.name("nothing"))):
        for query in ("", "?permanent=true"):
            refused = other.delete(path + query)
            assert (refused.status_code, refused.json()["message"]) == (403, "Missing permission api:treatments:delete")
