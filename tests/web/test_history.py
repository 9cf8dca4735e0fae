"""HISTORY: what changed since, deleted documents included, oldest change first; and how clients page through it."""

from email.utils import formatdate, parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from apiv3.model import timestamps
from tests.support.documents import DATE, Corner, NewApi
from tests.support.server import LiveServer


def names(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [each["identifier"] for each in answer.json()["result"]]


def test_what_changed_since(corner: Corner) -> None:
    began = corner.cursor()
    one, two, three = corner.add(), corner.add(), corner.add()
    corner.api.patch(corner.url(two), json={"notes": "changed"})
    corner.api.delete(corner.url(one))

    answer = corner.api.get(f"/treatments/history/{began}")
    assert names(answer) == [three, two, one]
    assert list(answer.json()) == ["status", "result"]
    assert [each.get("isValid") for each in answer.json()["result"]] == [None, None, False]
    changes = [each["srvModified"] for each in answer.json()["result"]]
    assert changes == sorted(set(changes))
    assert answer.headers["ETag"] == f'W/"{changes[-1]}"'
    assert parsedate_to_datetime(answer.headers["Last-Modified"]).timestamp() <= changes[-1] / 1000
    assert answer.headers["Cache-Control"] == "no-store"

    # exclusive
    assert names(corner.api.get(f"/treatments/history/{changes[0] - 1}")) == [three, two, one]
    assert names(corner.api.get(f"/treatments/history/{changes[0]}")) == [two, one]
    assert names(corner.api.get(f"/treatments/history/{changes[-1]}")) == []


def test_nothing_new(corner: Corner) -> None:
    answer = corner.api.get(f"/treatments/history/{corner.cursor()}")
    assert (answer.status_code, answer.json()) == (200, {"status": 200, "result": []})
    assert "ETag" not in answer.headers
    assert "Last-Modified" not in answer.headers


def test_a_page_that_the_client_has(corner: Corner) -> None:
    """304 by its ETag, else by its time; whatever has changed since then is told."""
    began = corner.cursor()
    identifier = corner.add()
    path = f"/treatments/history/{began}"
    first = corner.api.get(path)
    etag, modified = first.headers["ETag"], first.headers["Last-Modified"]
    later = formatdate(parsedate_to_datetime(modified).timestamp() + 1, usegmt=True)
    earlier = formatdate(parsedate_to_datetime(modified).timestamp() - 1, usegmt=True)
    known: list[dict[str, str]] = [
        *({"If-None-Match": tag} for tag in (etag, etag.removeprefix("W/"), f'"x", {etag}', "*")),
        *({"If-Modified-Since": time} for time in (modified, later)),
        {"If-None-Match": etag, "If-Modified-Since": earlier},
    ]
    for headers in known:
        for ending in ("", ".csv", ".xml", "?fields=date"):
            answer = corner.api.get(f"{path}{ending}", headers=headers)
            assert (answer.status_code, answer.content) == (304, b""), headers
            assert (answer.headers["ETag"], answer.headers["Last-Modified"]) == (etag, modified)
    unknown = [
        *({"If-None-Match": tag} for tag in ('W/"1"', "", etag.replace('"', ""))),
        *({"If-Modified-Since": time} for time in (earlier, "yesterday", "")),
        {"If-None-Match": 'W/"1"', "If-Modified-Since": later},
    ]
    for headers in unknown:
        assert names(corner.api.get(path, headers=headers)) == [identifier], headers

    corner.api.patch(corner.url(identifier), json={"notes": "changed"})
    assert names(corner.api.get(path, headers={"If-None-Match": etag})) == [identifier]
    since = {"Last-Modified": formatdate(began // 1000, usegmt=True)}
    page = corner.api.get("/treatments/history", headers=since)
    assert corner.api.get("/treatments/history", headers={**since, "If-None-Match": page.headers["ETag"]}).status_code == 304


def test_nothing_new_is_an_empty_page_whatever_the_client_has(corner: Corner) -> None:
    """Clients ask until a page is empty."""
    cursor = corner.cursor()
    for headers in ({"If-None-Match": f'W/"{cursor}"'}, {"If-None-Match": "*"}, {"If-Modified-Since": formatdate(usegmt=True)}):
        assert names(corner.api.get(f"/treatments/history/{cursor}", headers=headers)) == []


def test_paging_to_the_end(corner: Corner) -> None:
    cursor = corner.cursor()
    added = [corner.add() for _ in range(7)]
    found: list[str] = []
    sizes = []
    while page := names(answer := corner.api.get(f"/treatments/history/{cursor}", params={"limit": 3})):
        found += page
        sizes.append(len(page))
        cursor = int(answer.headers["ETag"].removeprefix('W/"').removesuffix('"'))
    assert (found, sizes) == (added, [3, 3, 1])


def test_a_document_that_changes_while_paging_is_seen_again(corner: Corner) -> None:
    cursor = corner.cursor()
    one, two = corner.add(), corner.add()
    first = corner.api.get(f"/treatments/history/{cursor}", params={"limit": 1})
    corner.api.patch(corner.url(one), json={"notes": "changed"})
    cursor = first.json()["result"][0]["srvModified"]
    assert names(first) == [one]
    assert names(corner.api.get(f"/treatments/history/{cursor}")) == [two, one]


def test_since_the_header(corner: Corner) -> None:
    """Whole seconds, inclusive: nothing of the second is missed, whatever the header's second cut off."""
    identifier = corner.add()
    modified = corner.read(identifier)["srvModified"]

    def ask(seconds: int) -> list[str]:
        answer = corner.api.get("/treatments/history", headers={"Last-Modified": formatdate(seconds, usegmt=True)})
        return names(answer)

    assert identifier in ask(modified // 1000)
    assert identifier in ask(modified // 1000 - 1)
    assert identifier not in ask(modified // 1000 + 1)
    assert identifier in names(corner.api.get("/treatments/history", headers={"Last-Modified": str(modified)}))
    answer = corner.api.get("/treatments/history", headers={"Last-Modified": formatdate(modified // 1000, usegmt=True)})
    assert answer.headers["ETag"] == f'W/"{answer.json()["result"][-1]["srvModified"]}"'


@pytest.mark.parametrize("form", ["{ms}", "{seconds}", "{iso}", "{mail}"])
def test_every_form_of_timestamp(corner: Corner, form: str) -> None:
    identifier = corner.add()
    second = corner.read(identifier)["srvModified"] // 1000 - 1
    forms = {
        "ms": second * 1000,
        "seconds": second,
        "iso": timestamps.iso(second * 1000),
        "mail": formatdate(second, usegmt=True),
    }
    since = quote(form.format(**forms))
    assert identifier in names(corner.api.get(f"/treatments/history/{since}"))


@pytest.mark.parametrize("since", ["yesterday", "0", "-1", "1e12", "946684799999", "9999-12-31T24:00:00Z", "%20", "%00", "%ff"])
def test_a_bad_moment(api: httpx.Client, since: str) -> None:
    answer = api.get(f"/treatments/history/{since}")
    assert answer.status_code == 400
    if "%" not in since or since == "%20":
        assert answer.json() == {"status": 400, "message": "Bad or missing Last-Modified header/parameter"}


@pytest.mark.parametrize("headers", [{}, {"Last-Modified": ""}, {"Last-Modified": "yesterday"}, {"Last-Modified": "0"}])
def test_a_bad_or_missing_header(api: httpx.Client, headers: dict[str, str]) -> None:
    answer = api.get("/treatments/history", headers=headers)
    assert answer.status_code == 400
    assert answer.json() == {"status": 400, "message": "Bad or missing Last-Modified header/parameter"}


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "1.5", "x", ""])
def test_a_bad_limit(api: httpx.Client, limit: str) -> None:
    answer = api.get(f"/treatments/history/{DATE}", params={"limit": limit})
    assert (answer.status_code, answer.json()["message"]) == (400, "Parameter limit out of tolerance")


def test_a_choice_of_fields(corner: Corner) -> None:
    began = corner.cursor()
    identifier = corner.add(carbs=5)
    answer = corner.api.get(f"/treatments/history/{began}", params={"fields": "carbs,identifier"})
    assert answer.json()["result"] == [{"carbs": 5, "identifier": identifier}]
    assert answer.headers["ETag"] == f'W/"{corner.read(identifier)["srvModified"]}"'


def test_each_change_has_a_number_of_its_own(corner: Corner) -> None:
    """A client that pages by `greater than the last` would lose one of two changes that share a number."""
    began = corner.cursor()
    expected = []
    for _ in range(5):
        identifier = corner.add()
        expected.append(corner.read(identifier)["srvModified"])
    changes = [each["srvModified"] for each in corner.api.get(f"/treatments/history/{began}").json()["result"]]
    assert changes == expected == sorted(set(expected))


@pytest.mark.parametrize("method", ["put", "post", "patch"])
def test_the_number_in_an_answer_is_the_one_in_the_history(corner: Corner, method: str) -> None:
    identifier = corner.add(date=DATE)
    document: dict[str, Any] = {"date": DATE, "app": "tests", "device": corner.device}
    path = "/treatments" if method == "post" else corner.url(identifier)
    answer = corner.api.request(method.upper(), path, json=document)
    assert answer.status_code == 200
    modified = corner.read(identifier)["srvModified"]
    assert answer.json().get("lastModified", modified) == modified
    assert names(corner.api.get(f"/treatments/history/{modified - 1}")) == [identifier]


def test_the_listing_of_settings_is_for_administrators(server: LiveServer, new_api: NewApi) -> None:
    admin = new_api(server, "api:settings:admin")
    assert admin.get("/settings/history/1600087000000").status_code == 200
    assert admin.get("/settings/history", headers={"Last-Modified": formatdate(usegmt=True)}).status_code == 200
    assert admin.get("/settings").status_code == 200
