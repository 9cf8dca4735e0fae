"""The requests of the clients in the field, written as they write them (docs/reference/protocol.md, section 6)."""

import re
import time
from typing import Any

import httpx
import pytest

from apiv3.model import timestamps
from tests.support.documents import SIX, Corner, Json, import_documents
from tests.support.server import LiveServer

MINUTE = 60_000
FULL = dict.fromkeys(SIX, "crud")


class App:
    """A closed-loop app: the heaviest user. It dates its calls with the digits of the epoch, and caches what it may."""

    def __init__(self, server: LiveServer, access_token: str) -> None:
        self._client = httpx.Client(base_url=f"{server.url}/api", trust_env=False, verify=False)
        self._access_token = access_token
        self._token = ""

    def __call__(self, method: str, path: str, body: Any = None, *, date: int | None = None) -> httpx.Response:
        answer = self._send(method, path, body, date)
        if answer.status_code in (401, 403) and "Date header out of tolerance" not in answer.text:
            self._token = str(self._client.get(f"/v2/authorization/request/{self._access_token}").json()["token"])
            answer = self._send(method, path, body, date)
        return answer

    def _send(self, method: str, path: str, body: Any, date: int | None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._token}".rstrip(), "Date": str(date or now())}
        answer = self._client.request(method, f"/v3/{path}", json=body, headers=headers)
        assert answer.headers["Cache-Control"] == "no-store"
        return answer

    def close(self) -> None:
        self._client.close()


def now() -> int:
    return time.time_ns() // 1_000_000


def result(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()["result"]


@pytest.fixture
def app(server: LiveServer) -> Any:
    app = App(server, server.subject(f"loop {now()}", "api:*:create,read,update,delete"))
    yield app
    app.close()


@pytest.fixture
def started(app: App) -> Json:
    """The app's first call, with a bare `Bearer`: it is refused, exchanges its token, and asks again."""
    status: Json = result(app("GET", "status"))
    assert status["apiPermissions"] == FULL
    return status


def bolus(date: int) -> Json:
    return {
        "eventType": "Correction Bolus",
        "insulin": 0.3,
        "date": date,
        "utcOffset": 120,
        "isValid": True,
        "app": "Loop",
        "device": f"pump {date}",
        "pumpId": 4148,
        "pumpType": "OMNIPOD_DASH",
        "type": "SMB",
        "isSMB": True,
    }


def test_the_first_call_carries_no_token(server: LiveServer) -> None:
    headers = {"Authorization": "Bearer", "Date": str(now())}
    answer = httpx.get(f"{server.url}/api/v3/status", headers=headers, trust_env=False, verify=False)
    assert (answer.status_code, answer.json()["message"]) == (401, "Missing or bad access token or JWT")


def test_a_clock_that_is_wrong_is_told_to_the_user(app: App, started: Json) -> None:
    answer = app("GET", "lastModified", date=now() - 6 * MINUTE)
    assert (answer.status_code, answer.json()["message"]) == (401, "Date header out of tolerance")


def test_an_upload_that_is_repeated(app: App, started: Json) -> None:
    treatment = bolus(now() - 5 * MINUTE)
    first = app("POST", "treatments", treatment)
    assert first.status_code == 201
    assert first.json().keys() == {"status", "identifier", "lastModified"}
    again = app("POST", "treatments", treatment)
    assert (again.status_code, again.json()["isDeduplication"]) == (200, True)
    assert again.json()["identifier"] == first.json()["identifier"]


def test_a_change_is_sent_as_the_whole_document(app: App, started: Json) -> None:
    identifier = app("POST", "treatments", bolus(now() - 4 * MINUTE)).json()["identifier"]
    stored = result(app("GET", f"treatments/{identifier}"))
    assert app("PATCH", f"treatments/{identifier}", stored | {"insulin": 0.5}).status_code == 200
    stored = result(app("GET", f"treatments/{identifier}"))
    assert app("PUT", f"treatments/{identifier}", stored | {"insulin": 0.6}).status_code == 200
    assert result(app("GET", f"treatments/{identifier}"))["insulin"] == 0.6
    assert app("DELETE", f"treatments/{identifier}").status_code == 200
    # 404 and 410 tell it apart whether something was there; both let its queue go on, or wait, as it wants
    assert app("PATCH", f"treatments/{identifier}", stored).status_code == 410
    assert app("DELETE", f"treatments/{identifier}?permanent=true").status_code == 200
    assert app("PATCH", f"treatments/{identifier}", stored).status_code == 404
    assert app("PUT", f"treatments/{identifier}", bolus(now() - 3 * MINUTE)).status_code == 201


def test_a_bad_document_is_dropped_for_good(app: App, started: Json) -> None:
    """400 and 404 do that, whatever else blocks the queue: so nothing that another try could mend is a 400."""
    assert app("POST", "treatments", bolus(now()) | {"app": None}).status_code == 400
    assert app("POST", "treatmentz", bolus(now())).status_code == 404


def test_history_is_paged_by_etag(app: App, started: Json) -> None:
    mine = [bolus(now() - number * MINUTE) for number in range(5)]
    began = app("POST", "treatments", mine[0]).json()["lastModified"] - 1
    identifiers = [app("POST", "treatments", each).json()["identifier"] for each in mine]
    cursor, found = began, []
    while page := result(answer := app("GET", f"treatments/history/{cursor}?limit=2")):
        etag = re.fullmatch(r'W/"(\d+)"', answer.headers["ETag"])
        assert etag is not None
        assert int(etag[1]) == page[-1]["srvModified"] > cursor
        cursor = int(etag[1])
        found += [each["identifier"] for each in page]
    assert found == identifiers
    assert result(app("GET", "treatments/history/" + str(now() + MINUTE) + "?limit=500")) == []


def test_its_searches(app: App, server: LiveServer, started: Json) -> None:
    began = now() - 30 * MINUTE
    for number in range(4):
        date = began + number * 5 * MINUTE
        for collection in ("entries", "treatments", "devicestatus", "food", "profile"):
            document = bolus(date) | ({"type": "sgv", "sgv": 100 + number} if collection == "entries" else {})
            assert app("POST", collection, document).status_code == 201

    latest = result(app("GET", "entries?sort$desc=date&type=sgv"))
    assert [each["date"] for each in latest] == sorted((each["date"] for each in latest), reverse=True)
    newer = result(app("GET", f"entries?sort=date&date$gt={began}&limit=500"))
    assert [each["date"] - began for each in newer if each.get("device", "").startswith("pump")][:3] == [
        each * 5 * MINUTE for each in (1, 2, 3)
    ]
    iso = newer[0]["created_at"]
    later = result(app("GET", f"treatments?sort=created_at&created_at$gt={iso}&limit=500"))
    assert [each["created_at"] for each in later] == sorted(each["created_at"] for each in later)
    assert min(each["created_at"] for each in later) > iso
    assert result(app("GET", f"devicestatus/history/{now() - 7 * MINUTE}"))
    assert len(result(app("GET", "food?limit=1000"))) >= 4
    [profile] = result(app("GET", "profile?sort$desc=date&limit=1"))
    assert profile["date"] >= began + 15 * MINUTE
    changed = result(app("GET", "lastModified"))["collections"]
    assert changed.keys() >= {"entries", "treatments", "devicestatus", "food", "profile"}


@pytest.mark.parametrize("identifier", ["preferences", "My settings: a/b?c#d", "čtyři pět", "v1.2.json"])
def test_settings_are_addressed_by_one_segment(app: App, started: Json, identifier: str) -> None:
    segment = "".join(f"%{byte:02X}" for byte in identifier.encode())
    document = {"date": now(), "app": "Loop", "value": {"units": "mmol"}}
    put = [app("PUT", f"settings/{segment}", document).status_code for _ in range(2)]
    assert put == [201, 200]
    assert result(app("GET", f"settings/{segment}"))["value"] == {"units": "mmol"}
    assert app("DELETE", f"settings/{segment}?permanent=true").status_code == 200


def test_a_document_from_elsewhere_becomes_its_own(app: App, server: LiveServer, started: Json) -> None:
    """It uploads what another server had without an identifier, and learns under which name that was known."""
    treatment = bolus(now() - 3600 * MINUTE)
    old = {
        "identifier": f"{treatment['date']:024x}",
        "date": treatment["date"],
        "created_at": timestamps.iso(treatment["date"]),
        "eventType": treatment["eventType"],
    }
    import_documents(server, "treatments", old)
    answer = app("POST", "treatments", treatment)
    assert (answer.status_code, answer.json()["deduplicatedIdentifier"]) == (200, old["identifier"])


# --- others


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("type$eq=sgv&sort$desc=date&date$gte={first}&date$lt={last}", [102, 101, 100]),
        ("type%24eq=sgv&sort%24desc=date&date%24gte={first}&date%24lt={last}", [102, 101, 100]),
        ("date$gte={first}&sort=date&fields=_all", [100, 101, 102, 103]),
        ("date$gte={first}&sort=date&fields=date,identifier,sgv", [100, 101, 102, 103]),
        ("date$gte={first}&notes$re=(?i)SNACK&sort=date", [101, 103]),
        ("sort$desc=created_at&limit=1&skip=0&date$gte={first}", [103]),
        ("now={now}&date$gte={first}&sort=date&limit=2&skip=1", [101, 102]),
    ],
)
def test_searches_of_others(server: LiveServer, query: str, found: list[int]) -> None:
    client = server.client(server.subject(f"other {now()}", "api:entries:create,read"))
    client.base_url = httpx.URL(f"{server.url}/api/v3")
    shelf = Corner(client, "entries")
    dates = [4_000_000_000_000 + number * 5 * MINUTE for number in range(4)]
    for number, date in enumerate(dates):
        shelf.add(type="sgv", sgv=100 + number, date=date, notes="a snack" if number % 2 else "nothing")
    filled = query.format(first=dates[0], last=dates[-1], now=now())
    if "fields=date" in query:
        assert result(client.get(f"/entries?device={shelf.device}&{filled}"))[0].keys() == {"date", "identifier", "sgv"}
    assert [each["sgv"] for each in result(client.get(f"/entries?device={shelf.device}&{filled}"))] == found
