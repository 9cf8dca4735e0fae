"""The gate: its checks, their order, and what it says to whom it refuses (docs/reference/protocol.md, section 1)."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime, formatdate, parsedate_to_datetime
from typing import Any, cast

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from apiv3.model.errors import BadRequest, MissingToken, Unauthorized
from apiv3.security.authenticator import Authenticator
from apiv3.security.devices.updates import DeviceAuthentication
from apiv3.security.gate import Access, Gate, TimestampRule
from apiv3.security.oauth2.access_tokens import AccessTokens
from apiv3.security.policy import Policies
from apiv3.security.safeguard import Safeguard
from apiv3.security.throttle import Throttle
from apiv3.storage.contracts import PolicyStore
from apiv3.storage.contracts.oauth2 import GrantStore
from apiv3.web.calls import Call
from tests.support.factories import FreshServer
from tests.support.server import LiveServer
from tests.support.wire import Line, api_secret, ask, now_ms, request, undated, unique

MINUTE = 60_000
FORWARDED = {"X-Forwarded-For": "192.0.2.7"}
SHARED = "/api/v3/entries"

NOT_SECURE = (403, "Not using SSL/TLS")
NO_DATE = (401, "Missing Date header")
BAD_DATE = (401, "Bad Date header")
OFF = (401, "Date header out of tolerance")
NO_TOKEN = (401, "Missing or bad access token or JWT")
BAD_TOKEN = (401, "Bad access token or JWT")
NOT_THERE = (404, "Bad operation or collection")


@pytest.fixture(scope="module")
def sqlite_server(shared_servers: Callable[[str], LiveServer]) -> LiveServer:
    return shared_servers("sqlite")


@pytest.fixture(scope="module")
def reader(sqlite_server: LiveServer) -> str:
    """The access token of one who may read entries."""
    return sqlite_server.subject(unique("reader"), "api:entries:read")


def _refusal(answer: httpx.Response) -> tuple[int, str]:
    """Status and message of a refusal, which says nothing else."""
    body = answer.json()
    assert body == {"status": answer.status_code, "message": body["message"]}
    return answer.status_code, body["message"]


# --- the order of the checks ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def writer(strict: LiveServer) -> str:
    """The access token of one who may create entries and nothing else."""
    return strict.subject(unique("writer"), "api:entries:create")


NOW = "{now}"
LONG_AGO = "Sun, 12 May 2019 07:49:58 GMT"
UNKNOWN = "nobody-0123456789abcdef"
MALFORMED = b'{"app":'

# Each has one thing less wrong with it than the one before: method, path, headers, body, what it is told.
ORDER: list[tuple[str, str, dict[str, str], tuple[int, str]]] = [
    ("POST", "/api/v3/nonsense", {**FORWARDED, "Date": "nonsense", "Authorization": "Bearer x"}, NOT_THERE),
    ("POST", "/api/v3/food", {**FORWARDED, "Date": "nonsense", "Authorization": "Bearer x"}, NOT_SECURE),
    ("POST", "/api/requestAuthToken", FORWARDED, NOT_SECURE),
    ("POST", "/api/requestAuthToken", {}, (400, "Bad or missing request body")),
    ("POST", "/api/v3/food", {"Authorization": "Bearer x"}, NO_DATE),
    ("POST", "/api/v3/food", {"Date": "nonsense", "Authorization": "Bearer x"}, BAD_DATE),
    ("POST", "/api/v3/food", {"Date": LONG_AGO, "Authorization": "Bearer x"}, OFF),
    ("POST", "/api/v3/food", {"Date": NOW}, NO_TOKEN),
    ("POST", "/api/v3/food", {"Date": NOW, "Authorization": "Bearer x"}, BAD_TOKEN),
    ("POST", "/api/v3/food", {"Date": NOW, "Authorization": "Bearer {jwt}"}, (403, "Missing permission api:food:create")),
    ("POST", "/api/v3/entries", {"Date": NOW, "Authorization": "Bearer {jwt}"}, (400, "Bad or missing request body")),
]


@pytest.mark.parametrize(("method", "path", "headers", "told"), ORDER)
def test_the_order_of_the_checks(
    strict: LiveServer, writer: str, method: str, path: str, headers: dict[str, str], told: tuple[int, str]
) -> None:
    known = {"{now}": str(now_ms()), "Bearer {jwt}": f"Bearer {strict.jwt(writer)}"}
    sent = {name: known.get(value, value) for name, value in headers.items()}
    answer = undated(strict).request(method, path, headers=sent, content=MALFORMED)
    body = answer.json()
    assert (answer.status_code, body["message"]) == told


@pytest.mark.parametrize(
    ("method", "path", "demanded"),
    [
        ("GET", "/api/v3/{}", "read"),
        ("GET", "/api/v3/{}.csv", "read"),
        ("GET", "/api/v3/{}/abc", "read"),
        ("GET", "/api/v3/{}/history", "read"),
        ("GET", "/api/v3/{}/history/1565041446908", "read"),
        ("POST", "/api/v3/{}", "create"),
        ("PUT", "/api/v3/{}/abc", "update"),
        ("PATCH", "/api/v3/{}/abc", "update"),
        ("DELETE", "/api/v3/{}/abc", "delete"),
    ],
)
@pytest.mark.parametrize("collection", ["devicestatus", "entries", "food", "profile", "settings", "treatments"])
def test_a_refusal_names_the_permission(
    sqlite_server: LiveServer, method: str, path: str, demanded: str, collection: str
) -> None:
    stranger = sqlite_server.client(_token(sqlite_server, "stranger"))
    if collection == "settings" and "abc" not in path and method == "GET":
        demanded = "admin"  # SEARCH and HISTORY of settings, docs/reference/protocol.md, section 2
    answer = stranger.request(method, path.format(collection))
    assert _refusal(answer) == (403, f"Missing permission api:{collection}:{demanded}")


def _token(server: LiveServer, name: str, *permissions: str, known: dict[tuple[Any, ...], str] = {}) -> str:  # noqa: B006
    """The access token of a subject that is made once for each server."""
    key = (server.url, name)
    if key not in known:
        known[key] = server.subject(unique(name), *permissions)
    return known[key]


@pytest.mark.parametrize(
    "path",
    [
        "/api",
        "/api/v3",
        "/api/v3/",
        "/api/v3/nonsense",
        "/api/v3/Entries",
        "/api/v3/entries//",
        "/api/v3/entries/a/b",
        "/api/v3/%65ntries",
        "//api/v3/entries",
        "/api/v3/version/x",
        "/api/v4/entries",
        "/api/v2/authorization",
        "/api/v2/authorization/request/",
        "/nonsense",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_what_is_not_there_is_told_without_any_check(strict: LiveServer, method: str, path: str) -> None:
    answer = undated(strict).request(method, path, headers=FORWARDED)
    assert _refusal(answer) == NOT_THERE


def test_public_routes_ask_for_nothing_but_https(strict: LiveServer) -> None:
    caller = undated(strict)
    for path, refused in (("/api/v3/version", 403), ("/", 308)):
        assert caller.get(path).status_code == 200
        assert caller.get(path, headers={"Date": "nonsense", "Authorization": "Bearer x"}).status_code == 200
        assert caller.get(path, headers=FORWARDED).status_code == refused


def test_every_answer_has_a_date_and_a_request_id_and_is_not_stored(sqlite_server: LiveServer, reader: str) -> None:
    answers = [
        undated(sqlite_server).get("/api/v3/version"),
        undated(sqlite_server).get(SHARED),
        undated(sqlite_server).get("/api/v3/nonsense"),
        sqlite_server.client(reader).get(SHARED),
        sqlite_server.client(reader).post(SHARED),
        sqlite_server.client().get("/api/v2/authorization/subjects"),
        sqlite_server.client().get(f"/api/v2/authorization/request/{reader}"),
        sqlite_server.client().get("/api/v2/authorization/request/nonsense"),
    ]
    for answer in answers:
        assert answer.headers["cache-control"] == "no-store", answer.url
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert abs(parsedate_to_datetime(answer.headers["date"]).timestamp() - time.time()) < 60
        assert "server" not in answer.headers
    assert len({answer.headers["x-request-id"] for answer in answers}) == len(answers)


def test_a_page_stands_in_no_frame_and_tells_no_address(sqlite_server: LiveServer) -> None:
    headers = undated(sqlite_server).get("/").headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"


# --- timestamps, by a clock that stands still -------------------------------------------------------------------------

STOPPED = 1_565_041_446_908  # 2019-08-05T21:44:06.908Z

# Forms of that moment, with what they leave out of it (ms).
FORMS = [
    ("1565041446908", 0),
    (" 1565041446908 ", 0),
    ("1565041446", 908),
    ("1565041446.908", 0),
    ("2019-08-05T21:44:06.908Z", 0),
    ("2019-08-05T21:44:06Z", 908),
    ("2019-08-05T21:44:06.908", 0),
    ("2019-08-05T21:44:06.908+00:00", 0),
    ("2019-08-05T23:44:06.908+02:00", 0),
    ("2019-08-05T23:44:06.908+0200", 0),
    ("2019-08-05T14:14:06.908-07:30", 0),
    ("2019-08-05t21:44:06.908z", 0),
    ("2019-08-05 21:44:06.908Z", 0),
    ("Mon, 05 Aug 2019 21:44:06 GMT", 908),
    ("Mon, 5 Aug 2019 21:44:06 +0000", 908),
    ("Mon, 05 Aug 2019 14:44:06 -0700", 908),
    ("05 Aug 2019 23:44:06 +0200", 908),
]

NO_TIMESTAMPS = [
    "nonsense",
    "0",
    "-1565041446908",
    "+1565041446908",
    "156504144690x",
    "0x16c6403c4bc",
    "1.5e12",
    "NaN",
    "Infinity",
    "true",
    "٣" * 13,
    "9" * 13 + "999",
    "9" * 400,
    # before 2000
    "946684799999",
    "946684799",
    "1999-12-31T23:59:59.999Z",
    "2000-01-01T00:59:59+01:00",
    "Fri, 31 Dec 1999 23:59:59 GMT",
    # no such moment
    "2019-02-30T00:00:00Z",
    "2019-13-01T00:00:00Z",
    "2019-08-05T25:00:00Z",
    "2019-08-05T21:44:06+99:99",
    "0000-00-00T00:00:00Z",
    "Mon, 05 Foo 2019 21:44:06 GMT",
    # beyond what a date can hold
    "9999-12-31T24:00:00Z",
    "9999-12-31T23:59:59-12:00",
    "Fri, 31 Dec 9999 23:59:59 -1200",
    "Mon, 05 Aug 2019 21:44:06 +99999999999999999999",
    "Mon, 05 Aug 99999999999999999999 21:44:06 GMT",
    "Mon,",
    ",",
    "()",
    '"',
]


@pytest.fixture
def _stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apiv3.security.gate.time.time_ns", lambda: STOPPED * 1_000_000)


async def _told(
    date: str | None = None, now: str | None = None, *, rule: TimestampRule = "required", tolerance: float = 5
) -> str:
    """What a call without a token is told: that it has none, once its timestamp is good."""
    nobody = Authenticator((), Throttle(0), Policies(cast("PolicyStore", None), ""))
    tokens = AccessTokens(cast("GrantStore", None))
    devices = cast("DeviceAuthentication", None)
    gate = Gate(nobody, cast("Safeguard", None), tokens, devices, require_https=False, timestamp_rule=rule, tolerance=tolerance)
    query = "" if now is None else str(httpx.QueryParams({"now": now}))
    headers = [] if date is None else [(b"date", date.strip().encode())]
    scope = {"method": "GET", "raw_path": SHARED.encode(), "headers": headers, "query_string": query.encode()}
    with pytest.raises((Unauthorized, BadRequest)) as refused:
        await gate.admit(Call(scope, cast("Any", None), "1"), Access())
    return str(refused.value)


GOOD = str(MissingToken())


@pytest.mark.usefixtures("_stopped")
@pytest.mark.parametrize(("text", "left_out"), FORMS)
async def test_every_form_of_a_timestamp(text: str, left_out: int) -> None:
    # It is just as far off as its form is coarse.
    assert await _told(date=text, tolerance=left_out / MINUTE) == GOOD
    assert await _told(now=text, tolerance=left_out / MINUTE) == GOOD
    if left_out:
        assert await _told(date=text, tolerance=(left_out - 1) / MINUTE) == OFF[1]


@pytest.mark.usefixtures("_stopped")
@pytest.mark.parametrize("text", NO_TIMESTAMPS)
async def test_what_is_no_timestamp(text: str) -> None:
    assert await _told(date=text) == BAD_DATE[1]
    assert await _told(now=text) == BAD_DATE[1]


@pytest.mark.usefixtures("_stopped")
@pytest.mark.parametrize("text", ["946684800000", "946684800", "2000-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
async def test_the_first_and_the_last_timestamp(text: str) -> None:
    assert await _told(date=text) == OFF[1]


@given(st.text(max_size=70))
@example("9999-12-31T24:00:00")
async def test_any_text_as_a_timestamp_is_answered(text: str) -> None:
    assert await _told(date=text) in (BAD_DATE[1], OFF[1], NO_DATE[1], GOOD)


@pytest.mark.usefixtures("_stopped")
@pytest.mark.parametrize("tolerance", [0, 0.001, 1, 5, 1440])
async def test_the_bounds_are_inclusive(tolerance: float) -> None:
    most = round(tolerance * MINUTE)
    for off, told in ((most, GOOD), (-most, GOOD), (most + 1, OFF[1]), (-most - 1, OFF[1])):
        assert await _told(date=str(STOPPED + off), tolerance=tolerance) == told
        assert await _told(now=str(STOPPED + off), tolerance=tolerance) == told


@pytest.mark.usefixtures("_stopped")
@pytest.mark.parametrize(
    ("date", "now", "told"),
    [
        ("1565041446908", "nonsense", GOOD),
        ("nonsense", "1565041446908", BAD_DATE[1]),
        ("1465041446908", "1565041446908", OFF[1]),
        ("", "1565041446908", GOOD),
        ("", "nonsense", BAD_DATE[1]),
        ("", "", NO_DATE[1]),
        (None, None, NO_DATE[1]),
    ],
)
async def test_date_goes_before_now(date: str | None, now: str | None, told: str) -> None:
    assert await _told(date, now) == told


@pytest.mark.usefixtures("_stopped")
@pytest.mark.parametrize(
    ("rule", "date", "told"),
    [
        ("required", None, NO_DATE[1]),
        ("required", "nonsense", BAD_DATE[1]),
        ("required", "1465041446908", OFF[1]),
        ("optional", None, GOOD),
        ("optional", "", GOOD),
        ("optional", "1565041446908", GOOD),
        ("optional", "nonsense", BAD_DATE[1]),
        ("optional", "1465041446908", OFF[1]),
        ("off", None, GOOD),
        ("off", "nonsense", GOOD),
        ("off", "1465041446908", GOOD),
    ],
)
async def test_the_rule_for_timestamps(rule: TimestampRule, date: str | None, told: str) -> None:
    assert await _told(date, rule=rule) == told
    assert await _told(now=date, rule=rule) == told


# --- timestamps, over the wire ----------------------------------------------------------------------------------------


def _forms(moment: datetime) -> Iterator[str]:
    yield str(int(moment.timestamp() * 1000))
    yield str(int(moment.timestamp()))
    yield moment.isoformat(timespec="milliseconds")
    yield moment.isoformat().replace("+00:00", "Z")
    yield moment.astimezone(timezone(timedelta(hours=-7))).isoformat()
    yield format_datetime(moment, usegmt=True)
    yield format_datetime(moment.astimezone(timezone(timedelta(hours=2))))


@pytest.mark.parametrize(
    ("minutes", "status"), [(0, 200), (-4, 200), (4, 200), (-6, 401), (6, 401), (-1_000_000, 401), (1_000_000, 401)]
)
def test_a_clock_may_be_off_by_five_minutes(sqlite_server: LiveServer, reader: str, minutes: int, status: int) -> None:
    caller = undated(sqlite_server)
    for text in _forms(datetime.now(UTC) + timedelta(minutes=minutes)):
        by_header = caller.get(SHARED, params={"token": reader}, headers={"Date": text})
        by_query = caller.get(SHARED, params={"token": reader, "now": text})
        for answer in (by_header, by_query):
            assert answer.status_code == status, (text, answer.text)
            assert status == 200 or _refusal(answer) == OFF


def test_a_timestamp_is_asked_of_every_secured_call(sqlite_server: LiveServer, reader: str) -> None:
    caller = undated(sqlite_server)
    jwt = {"Authorization": f"Bearer {sqlite_server.jwt(reader)}"}
    for path in (SHARED, f"{SHARED}/abc", f"{SHARED}/history/1", "/api/v3/status", "/api/v3/lastModified"):
        assert _refusal(caller.get(path, params={"token": reader})) == NO_DATE
        assert _refusal(caller.get(path, headers=jwt)) == NO_DATE
        assert _refusal(caller.get(path, headers=jwt | {"Date": "nonsense"})) == BAD_DATE


def test_a_timestamp_that_is_repeated_is_clear(sqlite_server: LiveServer, reader: str) -> None:
    now = str(now_ms())
    assert ask(sqlite_server, "GET", f"{SHARED}?token={reader}&now={now}&now={now}").status == 400
    twice = (("Date", now), ("Date", now))
    assert ask(sqlite_server, "GET", f"{SHARED}?token={reader}", *twice).status == 400


@pytest.fixture(scope="module")
def lenient(lasting_server: FreshServer) -> LiveServer:
    """A server that asks for no timestamp, but checks one, and lets clocks be off by a day."""
    settings = {"API3_CLIENT_TIMESTAMP": "optional", "API3_TIME_SKEW_TOLERANCE": "1440"}
    return lasting_server(env=settings)


def test_optional_timestamps_are_checked_when_there_are_any(lenient: LiveServer) -> None:
    caller, query = undated(lenient), {"token": lenient.subject("reader", "api:entries:read")}
    hours = 3600
    assert caller.get(SHARED, params=query).status_code == 200
    assert caller.get(SHARED, params=query, headers={"Date": formatdate(time.time() - 23 * hours)}).status_code == 200
    assert _refusal(caller.get(SHARED, params=query, headers={"Date": formatdate(time.time() - 25 * hours)})) == OFF
    assert _refusal(caller.get(SHARED, params=query | {"now": "nonsense"})) == BAD_DATE


# --- permission for one document --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def documents(sqlite_server: LiveServer) -> str:
    """The beginning of the identifiers of some entries that are there."""
    prefix = unique("doc")
    owner = sqlite_server.client(_token(sqlite_server, "owner", "api:entries"))
    for ending in ("mine", "Mine", "other", "a", "a:b", "a,b", "*", "mine/x"):
        entry = {"identifier": f"{prefix}{ending}", "app": "test", "date": now_ms(), "device": ending}
        assert owner.post(SHARED, json=entry).status_code == 201
    return prefix


def _address(*identifier: str) -> str:
    segment = httpx.QueryParams({"x": "".join(identifier)})
    return f"{SHARED}/{str(segment)[2:].replace('+', '%20')}"


def _only(server: LiveServer, actions: str, *identifiers: str) -> httpx.Client:
    return server.client(server.subject(unique("narrow"), f"api:entries:{actions}:{','.join(identifiers)}"))


def test_a_right_to_read_one_document(sqlite_server: LiveServer, documents: str) -> None:
    narrow = _only(sqlite_server, "read", f"{documents}mine")
    refused = (403, "Missing permission api:entries:read")
    assert narrow.get(_address(documents, "mine")).json()["result"]["device"] == "mine"
    assert narrow.head(_address(documents, "mine")).status_code == 200
    assert narrow.get(_address(documents, "mine").replace("mine", "%6D%69ne")).status_code == 200
    for ending in ("Mine", "other", "a", "a:b", "a,b", "*", "mine/x", "mine ", "nothing"):
        assert _refusal(narrow.get(_address(documents, ending))) == refused, ending
    for path in (SHARED, f"{SHARED}.csv", f"{SHARED}/history/1565041446908"):
        assert _refusal(narrow.get(path)) == refused
    for method, name in (("PUT", "update"), ("PATCH", "update"), ("DELETE", "delete")):
        answer = narrow.request(method, _address(documents, "mine"), json={"note": "x"})
        assert _refusal(answer) == (403, f"Missing permission api:entries:{name}")


@pytest.mark.parametrize("form", ["json", "csv", "xml"])
def test_a_right_to_read_one_document_is_one_to_read_it_in_any_format(
    sqlite_server: LiveServer, documents: str, form: str
) -> None:
    narrow = _only(sqlite_server, "read", f"{documents}mine")
    assert narrow.get(_address(documents, f"mine.{form}")).status_code == 200
    assert narrow.get(_address(documents, f"other.{form}")).status_code == 403


def test_identifiers_that_would_mean_something_if_they_were_parsed(sqlite_server: LiveServer, documents: str) -> None:
    comma = _only(sqlite_server, "read", f"{documents}a", f"b,{documents}x")
    star = _only(sqlite_server, "read", f"{documents}*")
    assert [comma.get(_address(documents, each)).status_code for each in ("a", "a,b", "x")] == [200, 403, 404]
    # A star within a word is a letter like others.
    assert [star.get(_address(documents, each)).status_code for each in ("*", "mine", "a,b")] == [200, 403, 403]
    everything = sqlite_server.client(sqlite_server.subject(unique("all"), "api:entries:read:*"))
    assert [everything.get(_address(documents, each)).status_code for each in ("*", "a:b", "a,b", "mine/x")] == [200] * 4
    assert everything.get(SHARED, params={"limit": 1}).status_code == 200


def test_rights_to_change_one_document(sqlite_server: LiveServer) -> None:
    owner = sqlite_server.client(_token(sqlite_server, "owner", "api:entries"))
    mine, other = unique("mine"), unique("other")
    entry = {"app": "test", "date": now_ms(), "device": "d"}
    for identifier in (mine, other):
        assert owner.put(_address(identifier), json=entry).status_code == 201
    narrow = _only(sqlite_server, "create,update,delete", mine)
    assert narrow.put(_address(mine), json=entry | {"note": "put"}).status_code == 200
    assert narrow.patch(_address(mine), json={"note": "patched"}).status_code == 200
    assert narrow.get(_address(mine)).status_code == 403
    assert narrow.delete(_address(mine)).status_code == 200
    assert narrow.delete(_address(mine), params={"permanent": "true"}).status_code == 200
    assert narrow.put(_address(mine), json=entry).status_code == 201
    for method, name in (("PUT", "update"), ("PATCH", "update"), ("DELETE", "delete")):
        for identifier in (other, unique("nothing")):
            answer = narrow.request(method, _address(identifier), json=entry)
            assert _refusal(answer) == (403, f"Missing permission api:entries:{name}")
    # POST demands the base permission, even for the one document.
    answer = narrow.post(SHARED, json=entry | {"identifier": mine})
    assert _refusal(answer) == (403, "Missing permission api:entries:create")


def test_who_may_only_update_is_told_after_the_lookup(sqlite_server: LiveServer, documents: str) -> None:
    nothing = unique("nothing")
    narrow = _only(sqlite_server, "update", nothing)
    answer = narrow.put(_address(nothing), json={"app": "test", "date": now_ms()})
    assert _refusal(answer) == (403, "Missing permission api:entries:create")
    narrow = _only(sqlite_server, "create", f"{documents}other")
    answer = narrow.put(_address(documents, "other"), json={"app": "test", "date": now_ms()})
    assert _refusal(answer) == (403, "Missing permission api:entries:update")


def test_a_right_to_one_document_is_none_in_the_status(sqlite_server: LiveServer, documents: str) -> None:
    narrow = _only(sqlite_server, "read", f"{documents}mine")
    assert set(narrow.get("/api/v3/status").json()["result"]["apiPermissions"].values()) == {""}
    assert narrow.get("/api/v3/lastModified").json()["result"]["collections"] == {}


def test_settings_are_listed_for_their_administrator_only(sqlite_server: LiveServer) -> None:
    administrator = sqlite_server.client(_token(sqlite_server, "settings", "api:settings:admin,create"))
    readers = sqlite_server.client(_token(sqlite_server, "readable", "*:*:read"))
    identifier = unique("setting")
    document = {"identifier": identifier, "app": "test", "date": now_ms()}
    assert administrator.post("/api/v3/settings", json=document).status_code == 201
    listings = [f"/api/v3/settings{ending}" for ending in ("", ".csv", "/history/1565041446908", "/history", "/history.xml")]
    for path in listings:
        assert administrator.get(path, headers={"Last-Modified": LONG_AGO}).status_code == 200
        assert _refusal(readers.get(path)) == (403, "Missing permission api:settings:admin")
    assert readers.get(f"/api/v3/settings/{identifier}").status_code == 200
    assert _refusal(administrator.get(f"/api/v3/settings/{identifier}")) == (403, "Missing permission api:settings:read")


# --- a stranger learns nothing ----------------------------------------------------------------------------------------


def test_a_stranger_is_told_the_same_of_what_is_there_and_what_is_not(sqlite_server: LiveServer, documents: str) -> None:
    nobody, stranger = sqlite_server.client(), sqlite_server.client(_token(sqlite_server, "stranger"))
    for caller in (nobody, stranger):
        for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE"):
            answers = {
                (answer.status_code, answer.content, answer.headers.get("last-modified"))
                for identifier in ("mine", "nothing", "mine.csv", "a:b")
                for answer in [caller.request(method, _address(documents, identifier))]
            }
            assert len(answers) == 1, answers


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_a_stranger_is_refused_before_the_body_is_read(sqlite_server: LiveServer, method: str) -> None:
    path = SHARED if method == "POST" else f"{SHARED}/abc"
    jwt = sqlite_server.jwt(_token(sqlite_server, "stranger"))
    for credential, status in ((("Authorization", f"Bearer {jwt}"), 403), (("Authorization", "Bearer x"), 401)):
        with Line(sqlite_server) as line:
            # The body is promised, and never sent.
            line.send(request(method, path, ("Date", str(now_ms())), credential, ("Content-Length", "1000")))
            assert line.reply().status == status


def test_a_stranger_is_refused_before_a_body_that_is_too_large(sqlite_server: LiveServer) -> None:
    jwt = sqlite_server.jwt(_token(sqlite_server, "stranger"))
    headers = (("Date", str(now_ms())), ("Authorization", f"Bearer {jwt}"), ("Content-Length", str(2**40)))
    assert ask(sqlite_server, "POST", SHARED, *headers).status == 403


# --- no security ------------------------------------------------------------------------------------------------------

WARNING = "API3_SECURITY_ENABLE is false"


def test_without_security_everything_is_allowed_and_each_start_warns(fresh_server: FreshServer) -> None:
    settings: dict[str, str | None] = {"API3_SECURITY_ENABLE": "false", "API3_REQUIRE_HTTPS": None}
    server = fresh_server(env=settings)
    for starts, spelling in enumerate(("false", "OFF", "False"), start=1):
        settings["API3_SECURITY_ENABLE"] = spelling
        if starts > 1:
            server.restart()
        assert server.output.count(WARNING) == starts
        _check_that_everything_is_allowed(undated(server), f"doc{starts}")
    settings["API3_SECURITY_ENABLE"] = "On"
    server.restart()
    assert _refusal(undated(server).get(SHARED)) == NO_DATE
    assert server.output.count(WARNING) == 3


def _check_that_everything_is_allowed(caller: httpx.Client, identifier: str) -> None:
    address = f"{SHARED}/{identifier}"
    created = caller.post(SHARED, json={"identifier": identifier, "app": "test", "date": now_ms()})
    assert created.status_code == 201
    wrong = {"Date": "nonsense", "Authorization": "Bearer nonsense"}
    read = caller.get(address, headers=wrong)
    assert read.status_code == 200
    assert "subject" not in read.json()["result"]
    assert caller.patch(address, json={"note": "x"}).status_code == 200
    assert caller.delete(address).status_code == 200
    assert caller.get("/api/v3/settings").status_code == 200
    assert set(caller.get("/api/v3/status").json()["result"]["apiPermissions"].values()) == {"crud"}
    assert caller.get("/api/v2/authorization/subjects").status_code == 200
    assert caller.get("/api/v2/authorization/debug/check/any:thing").json() == {"check": True}


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_without_security_the_network_is_refused(sqlite_server: LiveServer, host: str) -> None:
    settings = {**sqlite_server.installation.settings, "API3_SECURITY_ENABLE": "false"}
    installation = type(sqlite_server.installation)(
        sqlite_server.installation.folder, sqlite_server.installation.database_url, settings
    )
    refused = installation.run("serve", "--host", host, "--port", "0")
    assert refused.returncode != 0
    assert "Traceback" not in refused.stdout + refused.stderr
    [sentence] = [line for line in refused.stderr.splitlines() if line.startswith("Error: ")]
    for named in ("API3_SECURITY_ENABLE", host, "127.0.0.1", "API3_SECURITY_DISABLED_ON_NETWORK=true"):
        assert named in sentence


def test_without_security_the_network_is_served_when_told_twice(fresh_server: FreshServer) -> None:
    settings = {"API3_SECURITY_ENABLE": "off", "API3_SECURITY_DISABLED_ON_NETWORK": "true"}
    server = fresh_server(env=settings, arguments=("--host", "0.0.0.0"))
    assert WARNING in server.output
    assert undated(server).get(SHARED).status_code == 200


# --- API_SECRET -------------------------------------------------------------------------------------------------------


def test_the_api_secret_is_no_credential_for_the_data(sqlite_server: LiveServer) -> None:
    for headers in ({"api-secret": api_secret(sqlite_server)}, {"api-secret": sqlite_server.secret}):
        assert _refusal(sqlite_server.client().get(SHARED, headers=headers)) == NO_TOKEN
    for secret in (sqlite_server.secret, api_secret(sqlite_server)):
        assert _refusal(sqlite_server.client().get(SHARED, params={"token": secret})) == NO_TOKEN
        assert _refusal(sqlite_server.client().get(SHARED, headers={"Authorization": f"Bearer {secret}"})) == BAD_TOKEN
        assert _refusal(sqlite_server.client().get(SHARED, params={"secret": secret})) == NO_TOKEN
