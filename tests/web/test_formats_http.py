"""JSON, CSV and XML, by the Accept header or by the end of the path."""

import csv
import io
import json
import xml.etree.ElementTree as ET
from typing import Any

import httpx
import pytest

from tests.support.documents import CREATED_AT, DATE, TESTER, Corner, Json
from tests.support.server import LiveServer

ORDER = ["identifier", "date", "app", "device", "zebra", "apple", "text", "tags", "nested", "empty", "flag", "big", "gap"]


@pytest.fixture
def shelf(corner: Corner) -> Corner:
    """Two documents with different fields."""
    document = {
        "identifier": corner.name("a"),
        "date": DATE,
        "app": "tests",
        "device": corner.device,
        "zebra": 1.5,
        "apple": None,
        "text": 'kůň, 🐎 "said"\r\n<&> 007',
        "tags": ["a", 2],
        "nested": {"z": {"y": True}, "a": []},
        "empty": "",
        "flag": False,
        "big": 2**63 - 1,
    }
    for each in (document, corner.document(identifier=corner.name("b"), gap=1, text="second")):
        assert corner.api.post(corner.path, json=each).status_code == 201
    return corner


def rows(answer: httpx.Response) -> list[dict[str, str]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(answer.content.decode(), newline=""), strict=True))


def items(answer: httpx.Response) -> ET.Element:
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/xml; charset=utf-8"
    assert answer.content.startswith(b"<?xml version='1.0' encoding='utf-8'?>")
    return ET.fromstring(answer.content)


def ways(path: str, form: str) -> list[tuple[str, dict[str, str]]]:
    """The ways to ask for a format: by the path, by the header, and by both, when the path wins."""
    accept = {"csv": "text/csv", "xml": "application/xml", "json": "application/json"}[form]
    return [(f"{path}.{form}", {}), (path, {"Accept": accept}), (f"{path}.{form}", {"Accept": "image/png"})]


def test_csv_of_a_search(shelf: Corner) -> None:
    for path, headers in ways("/treatments", "csv"):
        answer = shelf.api.get(path, params={"device": shelf.device}, headers=headers)
        first, second = rows(answer)
        assert list(first) == [*ORDER[:12], "utcOffset", "created_at", "srvModified", "srvCreated", "subject", "gap"]
        assert first["text"] == 'kůň, 🐎 "said"\r\n<&> 007'
        assert (json.loads(first["tags"]), json.loads(first["nested"])) == (["a", 2], {"z": {"y": True}, "a": []})
        assert (first["zebra"], first["apple"], first["empty"], first["flag"]) == ("1.5", "", "", "false")
        assert (first["big"], first["date"], first["gap"]) == (str(2**63 - 1), str(DATE), "")
        assert (second["text"], second["gap"], second["zebra"]) == ("second", "1", "")


def test_csv_of_one_document(shelf: Corner) -> None:
    for path, headers in ways(shelf.url(shelf.name("a")), "csv"):
        answer = shelf.api.get(path, headers=headers)
        [row] = rows(answer)
        assert list(row) == [*ORDER[:12], "utcOffset", "created_at", "srvModified", "srvCreated", "subject"]
        assert (row["created_at"], row["subject"]) == (CREATED_AT, TESTER)
        assert answer.headers["Last-Modified"]


def test_xml_of_a_search(shelf: Corner) -> None:
    for path, headers in ways("/treatments", "xml"):
        root = items(shelf.api.get(path, params={"device": shelf.device}, headers=headers))
        assert (root.tag, [child.tag for child in root]) == ("items", ["item", "item"])
        first, second = root
        assert [child.tag for child in first][:12] == ORDER[:12]
        assert first.findtext("text") == 'kůň, 🐎 "said"\r\n<&> 007'
        assert [(tag.tag, tag.text) for tag in first.iterfind("tags/*")] == [("tag", "a"), ("tag", "2")]
        assert first.findtext("nested/z/y") == "true"
        assert (first.findtext("big"), second.findtext("gap")) == (str(2**63 - 1), "1")


def test_xml_of_one_document(shelf: Corner) -> None:
    for path, headers in ways(shelf.url(shelf.name("b")), "xml"):
        root = items(shelf.api.get(path, headers=headers))
        assert (root.tag, root.findtext("identifier")) == ("item", shelf.name("b"))


def test_json_of_a_search_and_of_one(shelf: Corner) -> None:
    for path, headers in ways("/treatments", "json"):
        answer = shelf.api.get(path, params={"device": shelf.device}, headers=headers)
        assert answer.json()["result"] == shelf.search()
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    for path, headers in ways(shelf.url(shelf.name("a")), "json"):
        assert shelf.api.get(path, headers=headers).json()["result"] == shelf.read(shelf.name("a"))


@pytest.mark.parametrize("form", ["csv", "xml", "json"])
def test_a_history(shelf: Corner, form: str) -> None:
    modified = shelf.read(shelf.name("b"))["srvModified"]

    def found(answer: httpx.Response) -> list[Any]:
        assert answer.headers["ETag"] == f'W/"{modified}"'
        assert answer.headers["Last-Modified"]
        if form == "xml":
            return [each.findtext("identifier") for each in items(answer)]
        return [each["identifier"] for each in (rows(answer) if form == "csv" else answer.json()["result"])]

    for path, headers in ways(f"/treatments/history/{modified - 1}", form):
        assert found(shelf.api.get(path, headers=headers)) == [shelf.name("b")]
    for path, headers in ways("/treatments/history", form):
        since = {"Last-Modified": str(modified)}
        assert found(shelf.api.get(path, headers=headers | since))[-1:] == [shelf.name("b")]


@pytest.mark.parametrize("fields", ["zebra,text", "text,zebra"])
def test_a_choice_of_fields(shelf: Corner, fields: str) -> None:
    params = {"device": shelf.device, "fields": fields}
    assert shelf.api.get("/treatments.csv", params=params | {"sort": "zebra"}).text.startswith("text,zebra\r\nsecond,\r\n")
    root = items(shelf.api.get("/treatments.xml", params=params))
    assert [[child.tag for child in each] for each in root] == [["zebra", "text"], ["text"]]


def test_nothing_found(corner: Corner) -> None:
    nobody = {"device": corner.device}
    for path in ("/treatments.csv", f"/treatments/history/{corner.cursor()}.csv"):
        empty = corner.api.get(path, params={**nobody, "identifier": "nobody"} if "history" not in path else {})
        assert (empty.status_code, empty.content) == (200, b"")
        assert empty.headers["content-type"] == "text/csv; charset=utf-8"
    answer = corner.api.get("/treatments.xml", params={**nobody, "identifier": "nobody"})
    assert answer.text == "<?xml version='1.0' encoding='utf-8'?><items />"
    assert corner.api.get("/treatments.csv", params={**nobody, "fields": "nothing"}).content == b""


@pytest.mark.parametrize("accept", ["image/png", "text/plain, image/*", "*/*;q=0"])
@pytest.mark.parametrize("path", ["/treatments", "/treatments/{}", "/treatments/history/1600087000000"])
def test_a_format_that_there_is_not(corner: Corner, path: str, accept: str) -> None:
    answer = corner.api.get(path.format(corner.add()), headers={"Accept": accept})
    assert answer.status_code == 406
    assert answer.json() == {"status": 406, "message": "Unsupported output format requested"}


@pytest.mark.parametrize("ending", ["ttf", "pdf", "CSV", "Json", "xmlx", "mp3"])
def test_an_ending_that_nobody_serves(corner: Corner, ending: str) -> None:
    """406, where no document has that very identifier."""
    identifier = corner.add()
    moments = ("1600087000000", "2020-09-14T12:36:40Z", "2020-09-14T12:36:40.123%2B01:00")
    histories = [f"/treatments/history/{moment}" for moment in moments]
    for path in (corner.url(identifier), "/treatments", "/treatments/history", "/version", "/status", *histories):
        for method in ("GET", "HEAD"):
            answer = corner.api.request(method, f"{path}.{ending}")
            assert answer.status_code == 406, path
        assert corner.api.get(f"{path}.{ending}").json() == {
            "status": 406,
            "message": "Unsupported output format requested",
        }
    assert corner.api.get(f"/treatments/nothing.{ending}").status_code == 406
    assert corner.api.get(f"/treatments/history/yesterday.{ending}").status_code == 400
    assert corner.api.post(f"/treatments.{ending}", json={}).status_code == 404
    assert corner.api.get(f"/nothing.{ending}").status_code == 404

    named = corner.add(identifier=f"{identifier}.{ending}")
    assert corner.read(named)["identifier"] == named
    corner.api.delete(corner.url(named))
    assert corner.api.get(corner.url(named)).status_code == 410
    corner.api.delete(f"{corner.url(named)}?permanent=true")
    assert corner.api.get(corner.url(named)).status_code == 406


def test_a_stranger_does_not_learn_which_endings_there_are(server: LiveServer, corner: Corner) -> None:
    nobody = server.client()
    for path in (corner.url(corner.add()), "/treatments", "/treatments/history/1600087000000", "/status"):
        assert nobody.get(f"/api/v3{path}.ttf").status_code == 401


@pytest.mark.parametrize("name", ["version", "status", "lastModified"])
def test_json_of_the_server(api: httpx.Client, name: str) -> None:
    plain, ending = api.get(f"/{name}"), api.get(f"/{name}.json")
    assert (ending.status_code, ending.json().keys()) == (200, plain.json().keys())
    assert ending.json()["result"].keys() == plain.json()["result"].keys()
    for form in ("csv", "xml", "ttf"):
        assert api.get(f"/{name}.{form}").status_code == 406
    assert api.get(f"/{name}.").status_code == 404


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("text/csv;q=0.5, application/xml", "application/xml"),
        ("text/*", "text/csv"),
        ("*/*", "application/json"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "application/xml"),
        ("", "application/json"),
    ],
)
def test_what_the_client_likes_best(corner: Corner, accept: str, media_type: str) -> None:
    answer = corner.api.get(corner.url(corner.add()), headers={"Accept": accept})
    assert answer.headers["Content-Type"] == f"{media_type}; charset=utf-8"


@pytest.mark.parametrize("accept", ["text/csv", "application/xml"])
def test_an_error_is_json_whatever_was_asked_for(corner: Corner, accept: str) -> None:
    for path, status in ((corner.url("nobody"), 404), ("/treatments?limit=0", 400), ("/treatments/history/x", 400)):
        answer = corner.api.get(path, headers={"Accept": accept})
        assert (answer.status_code, answer.json()["status"]) == (status, status)
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"


def test_fields_that_xml_forbids(corner: Corner) -> None:
    names: Json = {"1st try": 1, "a<b>": 2, "xmlns": 3, "": 4, "ns:x": 5, "ключ": 6, "ctrl": "\u0001\u000b\ufffe|"}
    identifier = corner.add(**names)
    root = items(corner.api.get(f"{corner.url(identifier)}.xml"))
    assert [root[index].text for index in range(3, 9)] == ["1", "2", "3", "4", "5", "6"]
    assert root.findtext("ctrl") == "\ufffd\ufffd\ufffd|"


FORMULAS = [
    "=1+1",
    "+1+1",
    "-1+1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    " =1",
    "\uff1d1",
    "=",
    "-",
    "- ate",
    "+49 30",
    "=cmd|' /C calc'!A0",
]
PLAIN = ["-5", "+5", "-5.5", "-.5", "+1e-3", "a=1", "5-3", "'=1", "", "2026-03-01", "a\n=1"]


def test_no_text_of_a_csv_is_a_formula(corner: Corner) -> None:
    """Unless it is asked for as it is: then what went in comes out."""
    texts = [*FORMULAS, *PLAIN]
    corner.fill(*({"text": text, "number": -5.5, "list": ["=1"]} for text in texts[:26]))
    corner.add(identifier=corner.name("name"), **{"=1+1": 1})
    for path, headers in ways("/treatments", "csv"):
        params = {"device": corner.device, "sort": "date"}
        found = rows(corner.api.get(path, params=params, headers=headers))
        assert [row["text"] for row in found[:-1]] == [f"'{text}" for text in FORMULAS] + PLAIN
        assert {(row["number"], row["list"]) for row in found[:-1]} == {("-5.5", '["=1"]')}
        assert found[-1]["'=1+1"] == "1"
        exact = rows(corner.api.get(path, params=params | {"csv$exact": "true"}, headers=headers))
        assert [row["text"] for row in exact[:-1]] == texts
        assert exact[-1]["=1+1"] == "1"
    one = corner.api.get(corner.url(f"{corner.name('a')}.csv"))
    assert rows(one)[0]["text"] == "'=1+1"
    assert rows(corner.api.get(corner.url(f"{corner.name('a')}.csv"), params={"csv$exact": "TRUE"}))[0]["text"] == "=1+1"
    refused = corner.api.get("/treatments.csv", params={"csv$exact": "yes"})
    assert (refused.status_code, refused.json()["message"]) == (400, "Parameter csv$exact must be true or false")


@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_a_csv_of_many_documents_without_the_wanted_field_is_empty(corner: Corner, coding: str) -> None:
    long = [corner.document(identifier=corner.name(f"long{number}"), notes="n" * 20_000) for number in range(4)]
    assert corner.api.post(f"{corner.path}/bulk", json=long).status_code == 200
    query = {"device": corner.device, "fields": "nothing"}
    answer = corner.api.get(f"{corner.path}.csv", params=query, headers={"Accept-Encoding": coding})
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"


@pytest.mark.parametrize("form", ["csv", "xml"])
def test_what_is_a_file_says_its_name(shelf: Corner, form: str) -> None:
    for path, headers in (
        *ways("/treatments", form),
        *ways(shelf.url(shelf.name("a")), form),
        *ways("/treatments/history/1600000000000", form),
    ):
        answer = shelf.api.get(path, params={"limit": "1"} if "history" in path else {"fields": "text"}, headers=headers)
        assert answer.headers["Content-Disposition"] == f'attachment; filename="treatments.{form}"'
    assert "Content-Disposition" not in shelf.api.get("/treatments", params={"device": shelf.device}).headers
