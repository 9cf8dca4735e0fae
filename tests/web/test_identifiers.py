"""Identifiers of any shape: a document can be created, found by its Location, changed and deleted."""

import re
from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest

from tests.support.documents import DATE, Corner
from tests.support.server import LiveServer

SHAPES = [
    *("a.b", ".hidden", "dot.", ".", "..", "...", "v1.2.3"),
    *("a/b", "/", "//", "a//b", "../../etc/passwd", "a\\b", "%2F", "%", "100%", "%zz"),
    *("a b", " a", "a ", "a+b", "a\tb", "a\nb", "\u00a0x"),
    *("history", "history/5", "history.csv", "history.xml", "history.json", "History"),
    *("status", "entries", "undefined", "null"),
    *("foo.csv", "foo.xml", "foo.json", "foo.csv.csv", ".csv", "csv", "foo.CSV", "foo.pdf"),
    *("é", "e\u0301", "žluťoučký kůň", "идентификатор", "識別子", "🍕", "👨‍👩‍👧", "\u202edlrow", "\ufeff"),
    *("a?b", "a#b", "a&b=c", "a;b", "a:b", "a,b", "a|b", "*", "'", "''", '"', "<x>", "{x}", "$x", "a@b", "~", "`"),
    *("0", "-1", "1600087000000", "5f5f6a3e9d1c4b0012345678", "true", "x" * 1024, "é" * 512),
]


@pytest.fixture
def mine(api: httpx.Client) -> Iterator[Corner]:
    """A corner whose identifiers other tests may want too."""
    corner = Corner(api, "devicestatus")
    yield corner
    for document in corner.search({"limit": "1000"}):
        api.delete(f"/devicestatus/{quote(document['identifier'], safe='').replace('.', '%2E')}?permanent=true")


def raw(api: httpx.Client, server: LiveServer, method: str, path: str, **options: object) -> httpx.Response:
    """A request to a path that nobody tidies up on the way."""
    url = httpx.URL(server.url).copy_with(raw_path=path.encode("ascii"))
    answer = api.request(method, url, **options)  # type: ignore[arg-type]
    assert answer.request.url.raw_path == path.encode()
    return answer


@pytest.mark.parametrize("identifier", SHAPES, ids=lambda text: ascii(text)[1:21])
def test_an_identifier(mine: Corner, server: LiveServer, identifier: str) -> None:
    document = mine.document(identifier=identifier)
    made = mine.api.post("/devicestatus", json=document)
    assert (made.status_code, made.json()["identifier"]) == (201, identifier)
    location = made.headers["Location"]
    assert location.startswith("/api/v3/devicestatus/")
    assert location.count("/") == 4

    read = raw(mine.api, server, "GET", location)
    assert read.status_code == 200, read.text
    assert read.json()["result"]["identifier"] == identifier
    assert [each["identifier"] for each in mine.search({"identifier": f"'{identifier}'"})] == [identifier]

    assert raw(mine.api, server, "PUT", location, json=document).status_code == 200
    assert raw(mine.api, server, "PATCH", location, json={"identifier": identifier, "x": 1}).status_code == 200
    assert raw(mine.api, server, "GET", location).json()["result"]["x"] == 1
    assert raw(mine.api, server, "DELETE", location).status_code == 200
    assert raw(mine.api, server, "GET", location).status_code == 410
    assert raw(mine.api, server, "DELETE", f"{location}?permanent=true").status_code == 200
    has_ending = re.search(r".\.[A-Za-z][A-Za-z0-9]*\Z", identifier) and not identifier.endswith((".csv", ".xml", ".json"))
    assert raw(mine.api, server, "GET", location).status_code == (406 if has_ending else 404)


@pytest.mark.parametrize("identifier", ["history", ".", "..", "a/b", "foo.csv", "history.csv", "é", "x" * 1024])
def test_an_identifier_chosen_by_the_path(mine: Corner, server: LiveServer, identifier: str) -> None:
    everything = "".join(f"%{byte:02X}" for byte in identifier.encode())
    made = raw(mine.api, server, "PUT", f"/api/v3/devicestatus/{everything}", json=mine.document())
    assert (made.status_code, made.json()["identifier"]) == (201, identifier)
    assert raw(mine.api, server, "GET", made.headers["Location"]).json()["result"]["identifier"] == identifier


@pytest.mark.parametrize("identifier", ["é", "a b", "a+b", "a:b", "A~b-c_d.e"])
def test_every_spelling_of_a_path_is_the_same(mine: Corner, server: LiveServer, identifier: str) -> None:
    mine.api.post("/devicestatus", json=mine.document(identifier=identifier))
    everything = "".join(f"%{byte:02x}" for byte in identifier.encode())
    for spelling in (quote(identifier, safe=""), quote(identifier, safe="+:"), everything):
        found = raw(mine.api, server, "GET", f"/api/v3/devicestatus/{spelling}").json()
        assert found["result"]["identifier"] == identifier


def test_a_document_goes_before_a_format(mine: Corner) -> None:
    mine.add(identifier="foo", date=DATE)
    assert mine.api.get("/devicestatus/foo.csv").text.startswith("date,app,device,identifier")
    mine.add(identifier="foo.csv")
    assert mine.read("foo.csv")["identifier"] == "foo.csv"
    assert mine.read("foo.csv.json")["identifier"] == "foo.csv"
    assert mine.api.get("/devicestatus/foo.csv.csv").headers["Content-Type"].startswith("text/csv")
    assert mine.api.get("/devicestatus/foo.csv", headers={"Accept": "text/csv"}).text.count("foo.csv") == 1
    assert mine.read("foo.json")["identifier"] == "foo"

    # one that was deleted still stands in the way, one that was removed does not
    mine.api.delete("/devicestatus/foo.csv")
    assert mine.api.get("/devicestatus/foo.csv").status_code == 410
    mine.api.delete("/devicestatus/foo.csv?permanent=true")
    assert mine.api.get("/devicestatus/foo.csv").text.startswith("date,app,device,identifier")
    # formats are for reading only
    assert mine.api.patch("/devicestatus/foo.csv", json={"x": 1}).status_code == 404
    assert mine.api.delete("/devicestatus/foo.csv").status_code == 404


def test_letters_of_another_case_are_other_letters(mine: Corner) -> None:
    mine.add(identifier="Case")
    assert mine.api.get("/devicestatus/case").status_code == 404
    mine.add(identifier="case")
    assert {each["identifier"] for each in mine.search()} == {"Case", "case"}


@pytest.mark.parametrize("segment", ["%00", "a%00b", "%ff", "%C3", "%ED%A0%80", "%C0%80"])
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_what_is_no_identifier(api: httpx.Client, server: LiveServer, method: str, segment: str) -> None:
    path = f"/api/v3/devicestatus/{segment}"
    body = {"date": DATE, "app": "tests"} if method in ("PUT", "PATCH") else None
    answer = raw(api, server, method, path, json=body)
    assert answer.status_code == 400
    assert answer.json() == {"status": 400, "message": "Bad or missing identifier field"}
    assert raw(server.client(), server, method, path).status_code == 401


@pytest.mark.parametrize("query", ["x=%00", "%00=x", "x=%ff", "%C3=x", "x=%ED%A0%80", "x$re=%00"])
def test_what_is_no_query(api: httpx.Client, query: str) -> None:
    for path in ("/devicestatus", "/devicestatus/one", "/devicestatus/history/1600087000000"):
        answer = api.get(f"{path}?{query}")
        if answer.status_code != 404:  # where no parameter is asked for, none is looked at
            assert (answer.status_code, answer.json()["message"]) == (400, "Bad query parameters")


@pytest.mark.parametrize("query", ["x=%00", "x=%ff"])
def test_a_query_that_may_hold_a_token_is_read_before_anybody_is_asked_who_they_are(server: LiveServer, query: str) -> None:
    answer = server.client().get(f"/api/v3/devicestatus?{query}")
    assert (answer.status_code, answer.json()) == (400, {"status": 400, "message": "Bad query parameters"})
