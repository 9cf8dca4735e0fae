"""A time means the same wherever it comes in: in documents, filters, HISTORY, preconditions and the client's own time."""

import time
from datetime import UTC, datetime, timedelta, timezone
from email.utils import formatdate
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.support.documents import MINUTE, Corner, letters
from tests.support.server import LiveServer
from tests.support.wire import unique

MARCH = 1_709_629_200_000  # 2024-03-05T09:00:00Z
BERLIN = timezone(timedelta(hours=1))

AT_NINE = {
    "Tue Mar 05 2024 10:00:00 GMT+0100 (CET)": 60,
    "Tue Mar 05 2024 10:00:00 GMT+0100 (Central European Standard Time)": 60,
    "Tue Mar 05 2024 04:00:00 GMT-0500 (Eastern Standard Time)": -300,
    "Tue, 05 Mar 2024 10:00:00 +0100 (CET)": 60,
    "Tue, 05 Mar 2024 04:00:00 EST": -300,
    "Tue, 05 Mar 2024 09:00:00 GMT": 0,
    "Tuesday, 05-Mar-24 09:00:00 GMT": 0,
    "Tue Mar  5 09:00:00 2024": 0,
    "2024-03-05T10:00:00+01:00": 60,
}
UNREADABLE = [
    "Tue, 05 Mar 2024 10:00:00 CET",
    "Tue Mar 05 2024 10:00:00 UTC+0100",
    "Tue Mar 05 2024 10:00:00 GMT+01:00 (CET)",
    "Tue, 05 Mar 2024 10:00:00 JST",
    "Mar 5, 2024, 10:00:00 PM",
    "Tue, 05 Mar 2024 10:00:00 +0590",
    "Mon, 05 Mar 2024 10:00:00 GMT",
    "Tue, 05 Mar 0001 10:00:00 GMT",
]


def javascript(ms: float) -> str:
    """What `Date.toString()` gives for it in Berlin in winter."""
    return f"{datetime.fromtimestamp(ms / 1000, BERLIN):%a %b %d %Y %H:%M:%S} GMT+0100 (Central European Standard Time)"


@pytest.mark.parametrize("field", ["date", "created_at"])
def test_in_a_document(corner: Corner, field: str) -> None:
    for text, offset in AT_NINE.items():
        # one device each, as all the dates are the same
        document = {"app": "tests", "device": f"{corner.device} {text}", field: text}
        answer = corner.api.post(corner.path, json=document)
        assert answer.status_code == 201, answer.text
        stored = corner.read(answer.json()["identifier"])
        assert (stored["date"], stored["created_at"]) == (MARCH, "2024-03-05T09:00:00.000Z")
        assert stored["utcOffset"] == offset
    for text in UNREADABLE:
        answer = corner.api.post(corner.path, json={"app": "tests", "device": corner.device, field: text})
        assert (answer.status_code, answer.json()["message"]) == (400, "Bad or missing date field")
    assert corner.search() == []


@pytest.mark.parametrize("field", ["date", "created_at"])
def test_in_a_filter(corner: Corner, field: str) -> None:
    corner.fill(*({"date": MARCH + minutes * MINUTE} for minutes in (-60, 0, 60)))
    for text in AT_NINE:
        assert letters(corner.search({f"{field}$gte": text})) == "bc"
        assert letters(corner.search({field: text})) == "b"
    for text in UNREADABLE:
        answer = corner.api.get(corner.path, params={f"{field}$gte": text})
        assert (answer.status_code, answer.json()["message"]) == (400, f"Bad timestamp in parameter {field}$gte")
    for everything in ("1970-01-01T00:00:00.000Z", "1970-01-01", "Thu, 01 Jan 1970 00:00:00 GMT", "0", "2024"):
        assert letters(corner.search({"created_at$gt": everything})) == "abc"


def test_in_history(corner: Corner) -> None:
    before = corner.cursor()
    identifier = corner.add()
    for form in (javascript, lambda ms: formatdate(ms / 1000, usegmt=True)):
        for since, found in ((before - 1000, True), (before + 60_000, False)):
            for answer in (
                corner.api.get(f"{corner.path}/history/{quote(form(since))}"),
                corner.api.get(f"{corner.path}/history", headers={"Last-Modified": form(since)}),
            ):
                assert answer.status_code == 200, answer.text
                assert (identifier in [each["identifier"] for each in answer.json()["result"]]) == found
    for text in UNREADABLE:
        for answer in (
            corner.api.get(f"{corner.path}/history/{quote(text)}"),
            corner.api.get(f"{corner.path}/history", headers={"Last-Modified": text}),
            corner.api.get("/events", params={"since": text}),
        ):
            assert answer.status_code == 400, answer.text


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_in_if_unmodified_since(corner: Corner, method: str) -> None:
    document = corner.document()
    identifier = corner.add(**document)

    def change(since: str, **options: Any) -> int:
        headers = {"If-Unmodified-Since": since}
        return corner.api.request(method, corner.url(identifier), json=document, headers=headers, **options).status_code

    modified = corner.read(identifier)["srvModified"]
    half_an_hour_ago = modified - 30 * MINUTE
    assert change(javascript(half_an_hour_ago)) == 412
    assert change(javascript(modified + MINUTE)) == 200
    # What cannot be read for certain overwrites nothing, even where one reading of it would allow that.
    local = datetime.fromtimestamp(half_an_hour_ago / 1000, BERLIN)
    for text in (f"{local:%a, %d %b %Y %H:%M:%S} CET", f"{local:%a %b %d %Y %H:%M:%S} UTC+0100", *UNREADABLE):
        assert change(text) == 412
    for earlier in ("1999-12-31T23:59:59Z", "Thu Jan 01 1970 01:00:00 GMT+0100 (CET)"):
        assert change(earlier) == 412


def test_in_if_modified_since(corner: Corner) -> None:
    identifier = corner.add()
    modified = corner.read(identifier)["srvModified"]

    def status(since: str) -> int:
        return corner.api.get(corner.url(identifier), headers={"If-Modified-Since": since}).status_code

    assert status(javascript(modified)) == 304
    assert status(javascript(modified - 30 * MINUTE)) == 200
    assert all(status(text) == 200 for text in ("Fri, 31 Dec 2100 23:59:59 CET", *UNREADABLE))


@pytest.mark.parametrize("place", ["Date", "now"])
def test_in_the_clients_own_time(server: LiveServer, place: str) -> None:
    token = server.subject(unique("punctual"), "api:entries:read")

    def ask(text: str) -> tuple[int, str]:
        bearer = {"Authorization": f"Bearer {server.jwt(token)}"}
        headers, params = (bearer | {"Date": text}, {}) if place == "Date" else (bearer, {"now": text})
        answer = httpx.get(f"{server.url}/api/v3/entries", params=params, headers=headers, verify=False, trust_env=False)
        return answer.status_code, answer.json().get("message", "")

    now = time.time() * 1000
    assert ask(javascript(now)) == (200, "")
    assert ask(javascript(now - 60 * MINUTE)) == (401, "Date header out of tolerance")
    local = datetime.fromtimestamp(now / 1000, UTC)
    for text in (f"{local:%a, %d %b %Y %H:%M:%S} WET", f"{local:%b %d, %Y, %I:%M:%S %p}", *UNREADABLE):
        assert ask(text) == (401, "Bad Date header")
