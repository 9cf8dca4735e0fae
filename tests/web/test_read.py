"""READ: one document."""

import time
from email.utils import formatdate, parsedate_to_datetime

import httpx
import pytest

from tests.support.documents import Corner, Json, NewApi, import_documents, says_modified
from tests.support.server import LiveServer


def test_a_document(corner: Corner) -> None:
    identifier = corner.add(notes="here", nested={"list": [1, {"a": None}]})
    answer = corner.api.get(corner.url(identifier))
    assert answer.status_code == 200
    assert list(answer.json()) == ["status", "result"]
    result = answer.json()["result"]
    assert (result["notes"], result["nested"]) == ("here", {"list": [1, {"a": None}]})
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert says_modified(answer, result["srvModified"])
    assert answer.headers["Cache-Control"] == "no-store"
    assert "ETag" not in answer.headers


def test_last_modified_is_never_later_than_the_answer(server: LiveServer, api: httpx.Client) -> None:
    """RFC 9110, section 8.8.2.1; though the clock of a collection may run ahead in a burst of writes."""
    mine = Corner(api, "profile")
    ahead = {"identifier": mine.name(), "srvModified": time.time_ns() // 1_000_000 + 3_600_000}
    import_documents(server, "profile", ahead, identified=True)
    answers = [api.get(mine.url(mine.name())) for _ in range(20)]
    api.delete(mine.url(mine.name()), params={"permanent": "true"})
    for answer in answers:
        assert parsedate_to_datetime(answer.headers["Last-Modified"]) <= parsedate_to_datetime(answer.headers["Date"])


def test_no_document(corner: Corner) -> None:
    answer = corner.api.get(corner.url(corner.name()))
    assert (answer.status_code, answer.json()) == (404, {"status": 404})
    assert "Last-Modified" not in answer.headers


def test_a_deleted_document(corner: Corner) -> None:
    identifier = corner.add()
    corner.api.delete(corner.url(identifier))
    answer = corner.api.get(corner.url(identifier))
    assert (answer.status_code, answer.json()) == (410, {"status": 410})


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("carbs", {"carbs": 5}),
        (" insulin, carbs ", {"carbs": 5, "insulin": 1.5}),
        ("insulin,carbs", {"carbs": 5, "insulin": 1.5}),  # in the document's own order
        ("nested.a,carbs", {"carbs": 5, "nested": {"a": 1}}),
        ("nested.list.b", {"nested": {"list": [{"b": 1}, {"b": 3}]}}),
        ("nothing", {}),
        ("nothing,carbs,", {"carbs": 5}),
    ],
)
def test_a_choice_of_fields(corner: Corner, fields: str, expected: Json) -> None:
    nested = {"a": 1, "list": [{"b": 1, "c": 2}, {"b": 3}]}
    identifier = corner.add(carbs=5, insulin=1.5, nested=nested)
    answer = corner.api.get(corner.url(identifier), params={"fields": fields})
    assert answer.json() == {"status": 200, "result": expected}
    assert list(answer.json()["result"]) == list(expected)


@pytest.mark.parametrize("fields", ["_all", "", ",", "_all,carbs", "carbs,_all"])
def test_all_fields(corner: Corner, fields: str) -> None:
    identifier = corner.add(carbs=5)
    answer = corner.api.get(corner.url(identifier), params={"fields": fields})
    assert answer.json()["result"] == corner.read(identifier)


def test_if_modified_since(corner: Corner) -> None:
    identifier = corner.add()
    modified = corner.read(identifier)["srvModified"] // 1000

    def ask(since: str) -> httpx.Response:
        return corner.api.get(corner.url(identifier), headers={"If-Modified-Since": since})

    for unchanged in (modified, modified + 1, modified + 3600):
        answer = ask(formatdate(unchanged, usegmt=True))
        assert (answer.status_code, answer.content) == (304, b"")
        assert says_modified(answer, modified * 1000)
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Content-Type" not in answer.headers
    for changed in (modified - 1, modified - 3600):
        assert ask(formatdate(changed, usegmt=True)).status_code == 200
    for unreadable in ("yesterday", "", "0"):
        assert ask(unreadable).status_code == 200
    head = corner.api.head(corner.url(identifier), headers={"If-Modified-Since": formatdate(modified, usegmt=True)})
    assert head.status_code == 304


def test_a_condition_hides_neither_deletion_nor_absence(corner: Corner) -> None:
    later = {"If-Modified-Since": "Fri, 31 Dec 2100 23:59:59 GMT"}
    identifier = corner.add()
    corner.api.delete(corner.url(identifier))
    assert corner.api.get(corner.url(identifier), headers=later).status_code == 410
    assert corner.api.get(corner.url(corner.name()), headers=later).status_code == 404


def test_one_setting_needs_only_read(server: LiveServer, new_api: NewApi, api: httpx.Client) -> None:
    identifier = Corner(api, "settings").add()
    reader = new_api(server, "api:settings:read")
    assert reader.get(f"/settings/{identifier}").status_code == 200
    for path in ("/settings", "/settings/history/1600087000000"):
        refused = reader.get(path)
        assert (refused.status_code, refused.json()["message"]) == (403, "Missing permission api:settings:admin")


def test_a_stranger_learns_nothing(server: LiveServer, new_api: NewApi, corner: Corner) -> None:
    writer = new_api(server, "api:*:create,update,delete", "api:entries:read")
    documents = (corner.url(corner.add()), corner.url(corner.name("nothing")))
    for path in (*documents, "/treatments", "/treatments/history/1600087000000"):
        refused = writer.get(path)
        assert (refused.status_code, refused.json()["message"]) == (403, "Missing permission api:treatments:read")
