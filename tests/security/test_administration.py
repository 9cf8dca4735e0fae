"""Subjects, roles and permissions under /api/v2/authorization (docs/reference/protocol.md, section 2).

A change takes effect within a second.
"""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.factories import FreshServer
from tests.support.server import LiveServer
from tests.support.wire import api_secret, ask, undated, unique

V2 = "/api/v2/authorization"
ENTRIES = "/api/v3/entries"
COLLECTIONS = ["devicestatus", "entries", "food", "profile", "settings", "treatments"]
REFUSED = {"status": 401, "message": "Unauthorized", "description": "Invalid/Missing"}
"""Seconds that a crowded machine gets for what takes a server one."""

SUBJECT_FIELDS = {"_id", "name", "roles", "notes", "created_at", "timestamp", "groups", "ous", "accessToken"}
ROLE_FIELDS = {"_id", "name", "permissions", "notes", "created_at"}


@pytest.fixture
def administrator(server: LiveServer) -> httpx.Client:
    """Who knows API_SECRET."""
    return _administrator(server)


def _administrator(server: LiveServer) -> httpx.Client:
    client = undated(server)
    client.base_url = httpx.URL(f"{server.url}{V2}")
    client.headers["api-secret"] = api_secret(server)
    return client


def _made(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def _subject(client: httpx.Client, **fields: Any) -> dict[str, Any]:
    return _made(client.post("/subjects", json={"name": unique("subject"), "roles": [], **fields}))


def _role(client: httpx.Client, *permissions: str, **fields: Any) -> dict[str, Any]:
    return _made(client.post("/roles", json={"name": unique("role"), "permissions": permissions, **fields}))


def _works(server: LiveServer, token: str) -> bool:
    """Whether an access token is good."""
    return server.knows(token)


# --- subjects ---------------------------------------------------------------------------------------------------------


def test_the_life_of_a_subject(server: LiveServer, administrator: httpx.Client) -> None:
    name = unique("A subject")
    made = _made(administrator.post("/subjects", json={"name": name, "roles": ["readable"], "notes": "of a test"}))
    assert made.keys() == SUBJECT_FIELDS
    assert (made["name"], made["roles"], made["notes"]) == (name, ["readable"], "of a test")
    assert len(made["_id"]) == 24
    assert int(made["_id"], 16) >= 0
    assert made["created_at"].endswith("Z")
    assert made in administrator.get("/subjects").json()
    assert _works(server, made["accessToken"])

    renamed = made["name"] = unique("Renamed")
    changed = _made(
        administrator.put("/subjects", json={"_id": made["_id"], "name": renamed, "roles": ["denied"], "notes": ""})
    )
    assert changed.keys() == SUBJECT_FIELDS
    assert (changed["_id"], changed["name"], changed["roles"], changed["notes"]) == (made["_id"], renamed, ["denied"], "")
    assert changed["created_at"] == made["created_at"]
    assert changed["accessToken"] == f"renamed{renamed[8:11]}-{made['accessToken'][-16:]}"
    assert _works(server, made["accessToken"])  # its digits are the same
    assert changed in administrator.get("/subjects").json()

    removed = administrator.delete(f"/subjects/{made['_id']}")
    assert (removed.status_code, removed.json()) == (200, {})
    assert not _works(server, made["accessToken"])
    assert made["_id"] not in {each["_id"] for each in administrator.get("/subjects").json()}
    assert administrator.delete(f"/subjects/{made['_id']}").status_code == 404


def test_an_id_that_is_sent_is_kept(server: LiveServer, administrator: httpx.Client) -> None:
    subject_id = f"{time.time_ns():024x}"
    moved = _subject(administrator, _id=subject_id, created_at="2019-08-05T21:44:06.908Z")
    assert (moved["_id"], moved["created_at"]) == (subject_id, "2019-08-05T21:44:06.908Z")
    again = administrator.post("/subjects", json={"_id": subject_id, "name": unique("other"), "roles": []})
    assert again.status_code == 409
    role_id = f"{time.time_ns():024x}"
    assert _role(administrator, "api:entries:read", _id=role_id)["_id"] == role_id
    assert administrator.post("/roles", json={"_id": role_id, "name": unique("other")}).status_code == 409
    # What is derived cannot be sent.
    assert _subject(administrator, accessToken="chosen-0123456789abcdef")["accessToken"][-16:] != "0123456789abcdef"


@pytest.mark.parametrize("field", ["roles", "permissions"])
def test_a_list_may_be_sent_as_one_text(administrator: httpx.Client, field: str) -> None:
    """The admin tools of the field do so."""
    make, words = (_subject, ["readable", "careportal"]) if field == "roles" else (_role, ["api:a:read", "api:b:read"])
    for text in (" ".join(words), ",".join(words), f" {words[0]},  {words[1]} "):
        assert make(administrator, **{field: text})[field] == words


def test_a_comma_inside_of_a_permission_divides_nothing(administrator: httpx.Client) -> None:
    role = _role(administrator, permissions="api:entries:create,update")
    assert role["permissions"] == ["api:entries:create,update"]
    changed = administrator.put("/roles", json={**role, "permissions": "api:entries,food:read,update api:profile:read"})
    assert _made(changed)["permissions"] == ["api:entries,food:read,update", "api:profile:read"]


@pytest.mark.parametrize("field", ["roles", "permissions"])
def test_a_list_that_is_null(administrator: httpx.Client, field: str) -> None:
    """It is an empty one, where nothing is stored; what is stored stays."""
    path, make, words = ("/subjects", _subject, ["readable"]) if field == "roles" else ("/roles", _role, ["api:food:read"])
    made = make(administrator, **{field: None})
    assert made[field] == []
    assert _made(administrator.put(path, json={**made, field: None}))[field] == []
    assert _made(administrator.put(path, json={**made, field: words}))[field] == words
    assert _made(administrator.put(path, json={**made, field: None, "notes": "x"})) == {**made, field: words, "notes": "x"}


def test_what_is_hardly_meant_is_in_the_log(server: LiveServer, administrator: httpx.Client) -> None:
    """The answers are the stored objects alone."""
    role = _role(administrator, unique("api:entry"))
    assert f"{role['permissions'][0]!r} matches nothing that this server demands; the nearest is 'api:entries:" in server.output
    administrator.put("/roles", json={**role, "permissions": ["api:food"]})
    assert "'api:food' includes api:food:create, api:food:delete, api:food:read, api:food:update" in server.output
    administrator.put("/roles", json={**role, "permissions": []})
    assert f"the role {role['name']!r} has no permissions" in server.output
    subject = _subject(administrator)
    assert f"the subject {subject['name']!r} has no roles" in server.output


def test_the_time_of_a_subject(administrator: httpx.Client) -> None:
    """It has to send it, unless it is excused; who does not speak of that changes nothing."""
    assert [_subject(administrator)["timestamp"], _subject(administrator, timestamp=None)["timestamp"]] == ["required"] * 2
    made = _subject(administrator, timestamp="optional", roles=["readable"])
    assert made in administrator.get("/subjects").json()
    assert made["timestamp"] == "optional"
    said = {name: made[name] for name in ("_id", "name", "roles", "notes")}
    for sent in (said, {**said, "timestamp": None}):
        assert _made(administrator.put("/subjects", json=sent)) == made
    assert _made(administrator.post(f"/subjects/{made['_id']}/rotate"))["timestamp"] == "optional"
    assert _made(administrator.put("/subjects", json={**said, "timestamp": "required"}))["timestamp"] == "required"


def test_the_permissions_that_are_demanded(administrator: httpx.Client) -> None:
    """Also where no route demands them."""
    demanded = administrator.get("/permissions").json()
    assert {"api:entries:read", "api:settings:admin", "admin:api:subjects:create", "notifications:*:ack"} < set(demanded)
    assert demanded == sorted(set(demanded))
    assert "ack" in administrator.get("/permissions/trie").json()["notifications"]["*"]


GOOD_ID = "5f2b0a7e1c9d440000abcdef"
BAD_SUBJECTS: list[dict[str, Any]] = [
    {},
    {"roles": []},
    {"name": ""},
    {"name": "   "},
    {"name": " x"},
    {"name": "x\n"},
    {"name": "x\u0000"},
    {"name": "x\u202e"},
    {"name": "x" * 201},
    {"name": 7},
    {"name": None},
    {"name": ["x"]},
    {"name": "x", "roles": ["nonsense"]},
    {"name": "x", "roles": ["readable", "READABLE"]},
    {"name": "x", "roles": [7]},
    {"name": "x", "roles": [["readable"]]},
    {"name": "x", "roles": {"readable": True}},
    {"name": "x", "timestamp": "off"},
    {"name": "x", "timestamp": ""},
    {"name": "x", "timestamp": "Optional"},
    {"name": "x", "timestamp": False},
    {"name": "x", "timestamp": ["optional"]},
    {"name": "x", "notes": 7},
    {"name": "x", "notes": "x" * 10_001},
    {"name": "x", "_id": "x"},
    {"name": "x", "_id": GOOD_ID[:-1]},
    {"name": "x", "_id": GOOD_ID + "0"},
    {"name": "x", "_id": GOOD_ID.upper()},
    {"name": "x", "_id": 7},
    {"name": "x", "_id": f" {GOOD_ID}"},
    {"name": "x", "_id": "/" * 24},
]
BAD_ROLES: list[dict[str, Any]] = [
    {},
    {"permissions": []},
    {"name": ""},
    {"name": "x\t"},
    {"name": "x" * 201},
    {"name": "x", "permissions": [""]},
    {"name": "x", "permissions": [":"]},
    {"name": "x", "permissions": ["api:,:read"]},
    {"name": "x", "permissions": ["api:entries:read", ","]},
    {"name": "x", "permissions": ["x" * 1001]},
    {"name": "x", "permissions": ["api:entries:read, api:treatments:*"]},
    {"name": "x", "permissions": ["api:entries:read", "api:food:read;"]},
    {"name": "x", "permissions": "api:entries:create, update"},
    {"name": "x", "permissions": "api:entries:read *"},
    {"name": "x", "permissions": [7]},
    {"name": "x", "permissions": 7},
    {"name": "x", "notes": []},
    {"name": "x", "_id": "5f2b0a7e"},
]
BAD_BODIES = [b"", b"{", b"[]", b"null", b'"x"', b"7", b"NaN", b"\xff", b'{"name":"\\ud800"}', b"[" * 10_000, b"{}"]


@pytest.mark.parametrize(
    ("path", "body"), [*(("/subjects", body) for body in BAD_SUBJECTS), *(("/roles", body) for body in BAD_ROLES)]
)
def test_what_is_no_good_is_refused(administrator: httpx.Client, path: str, body: dict[str, Any]) -> None:
    """When it is added, and when something is changed into it; and nothing of it is stored."""
    kept = (_subject if path == "/subjects" else _role)(administrator)
    before = administrator.get(path).json()
    for answer in (administrator.post(path, json=body), administrator.put(path, json={"_id": kept["_id"], **body})):
        unknown_id = answer.status_code == 404 and answer.request.method == "PUT" and "_id" in body
        assert answer.status_code == 400 or unknown_id, answer.text
        assert answer.json()["status"] == answer.status_code
        assert answer.json()["message"]
    assert administrator.get(path).json() == before


@pytest.mark.parametrize("path", ["/subjects", "/roles"])
@pytest.mark.parametrize("body", BAD_BODIES)
def test_a_body_that_is_no_object_is_refused(administrator: httpx.Client, path: str, body: bytes) -> None:
    for method in ("POST", "PUT"):
        assert administrator.request(method, path, content=body).status_code == 400


def test_what_is_wrong_is_said(administrator: httpx.Client) -> None:
    def said(path: str, **body: Any) -> str:
        return str(administrator.post(path, json=body).json()["message"])

    assert "nonsense" in said("/subjects", name="x", roles=["nonsense"])
    assert "readable" in said("/subjects", name="x", roles=["nonsense"])  # what there is instead
    assert "api:,:read" in said("/roles", name="x", permissions=["api:,:read"])
    assert "24" in said("/subjects", name="x", _id="x")


def test_names_are_given_once(administrator: httpx.Client) -> None:
    one, two = _subject(administrator), _subject(administrator)
    assert administrator.post("/subjects", json={"name": one["name"], "roles": []}).status_code == 409
    assert administrator.put("/subjects", json={**two, "name": one["name"]}).status_code == 409
    assert administrator.put("/subjects", json={**two, "notes": "still itself"}).status_code == 200
    first, second = _role(administrator), _role(administrator)
    assert administrator.post("/roles", json={"name": first["name"]}).status_code == 409
    assert administrator.put("/roles", json={**second, "name": first["name"]}).status_code == 409


def test_any_good_name_is_kept(administrator: httpx.Client) -> None:
    for name in (
        "Jürgen's 📱 (neu)",
        "日本語",
        "a:b,c;d",
        "<b>x</b>",
        "'; DROP TABLE subjects; --",
        "%s%n",
        "../../etc",
        "x" * 190,
    ):
        made = _subject(administrator, name=unique(name), notes="line\nline")
        assert made in administrator.get("/subjects").json()
        assert administrator.delete(f"/subjects/{made['_id']}").status_code == 200


@pytest.mark.parametrize("id", ["x", GOOD_ID, GOOD_ID.upper(), "%00", "%ff", "a%2Fb", "'", "admin"])
@pytest.mark.parametrize("path", ["/subjects", "/roles"])
def test_what_is_not_there_cannot_be_changed(administrator: httpx.Client, path: str, id: str) -> None:
    assert administrator.delete(f"{path}/{id}").status_code in (400, 404)
    assert administrator.put(path, json={"_id": id, "name": unique("x")}).status_code in (400, 404)
    assert administrator.put(path, json={"name": unique("x")}).status_code in (400, 404)
    if path == "/subjects":
        assert administrator.post(f"/subjects/{id}/rotate").status_code in (400, 404)


def test_a_token_is_rotated(server: LiveServer, administrator: httpx.Client) -> None:
    made = _subject(administrator, roles=["readable"])
    old = made["accessToken"]
    jwt = server.jwt(old)
    tokens = {old}
    for _ in range(3):
        rotated = _made(administrator.post(f"/subjects/{made['_id']}/rotate"))
        assert rotated == {**made, "accessToken": rotated["accessToken"]}
        assert rotated["accessToken"].rpartition("-")[0] == old.rpartition("-")[0]
        assert len(rotated["accessToken"].rpartition("-")[2]) == 16
        assert not any(_works(server, token) for token in tokens)
        assert _works(server, rotated["accessToken"])
        tokens.add(rotated["accessToken"])
    assert len(tokens) == 4
    assert server.client().get(ENTRIES, headers={"Authorization": f"Bearer {jwt}"}).status_code == 401
    # A change keeps the new one.
    assert _made(administrator.put("/subjects", json={**made, "notes": "x"}))["accessToken"] == rotated["accessToken"]


POWER = {"status": 403, "message": "You cannot do this to one who holds a permission that you do not hold"}
GIFT = {"status": 403, "message": "You cannot give away a permission that you do not hold"}


def test_tokens_of_the_more_powerful_are_not_for_everybody(server: LiveServer, administrator: httpx.Client) -> None:
    own = _role(administrator, "admin:api:subjects", "api:entries:read")["name"]
    limited = server.client(_subject(administrator, roles=[own])["accessToken"])
    equal, powerful = _subject(administrator, roles=[own]), _subject(administrator, roles=["admin"])
    listed = {each["_id"]: each for each in limited.get(f"{V2}/subjects").json()}
    assert listed[equal["_id"]] == equal
    assert listed[powerful["_id"]] == {name: value for name, value in powerful.items() if name != "accessToken"}
    tries = [
        limited.post(f"{V2}/subjects/{powerful['_id']}/rotate"),
        limited.put(f"{V2}/subjects", json={**powerful, "roles": ["denied"]}),
        limited.delete(f"{V2}/subjects/{powerful['_id']}"),
    ]
    assert [(refused.status_code, refused.json()) for refused in tries] == [(403, POWER)] * 3
    assert _works(server, powerful["accessToken"])
    assert limited.post(f"{V2}/subjects/{equal['_id']}/rotate").json()["accessToken"] != equal["accessToken"]


def test_roles_of_the_more_powerful_are_not_weakened(server: LiveServer, administrator: httpx.Client) -> None:
    own = _role(administrator, "admin:api:roles", "api:entries:read", "api:food:read")["name"]
    limited = server.client(_subject(administrator, roles=[own])["accessToken"])
    shared = _role(administrator, "api:entries:read", "api:food:read")
    strong = _subject(administrator, roles=[shared["name"], "careportal"])
    weaker = {**shared, "permissions": ["api:entries:read"]}
    tries = [
        limited.put(f"{V2}/roles", json=weaker),
        limited.put(f"{V2}/roles", json={**shared, "permissions": []}),
        limited.post(f"{V2}/roles", json={"name": "careportal", "permissions": []}),
    ]
    assert [(refused.status_code, refused.json()) for refused in tries] == [(403, POWER)] * 3
    assert shared in administrator.get("/roles").json()
    assert _made(limited.put(f"{V2}/roles", json={**shared, "notes": "nobody loses anything"}))
    _made(administrator.put("/subjects", json={**strong, "roles": [shared["name"]]}))
    assert _made(limited.put(f"{V2}/roles", json=weaker))["permissions"] == ["api:entries:read"]


# --- roles ------------------------------------------------------------------------------------------------------------


def test_the_life_of_a_role(server: LiveServer, administrator: httpx.Client) -> None:
    made = _role(administrator, "api:entries:read", notes="of a test")
    assert made.keys() == ROLE_FIELDS
    assert (made["permissions"], made["notes"]) == (["api:entries:read"], "of a test")
    assert made in administrator.get("/roles").json()
    client = server.client(_subject(administrator, roles=[made["name"]])["accessToken"])
    assert client.get(ENTRIES).status_code == 200

    changed = _made(
        administrator.put("/roles", json={"_id": made["_id"], "name": made["name"], "permissions": ["api:food:read"]})
    )
    assert changed == {**made, "permissions": ["api:food:read"], "notes": ""}
    assert client.get(ENTRIES).status_code == 403
    assert client.get("/api/v3/food").status_code == 200


def test_a_role_in_use_stays(server: LiveServer, administrator: httpx.Client) -> None:
    role = _role(administrator, "api:entries:read")
    users = [_subject(administrator, roles=["denied", role["name"]]) for _ in range(2)]
    refused = [administrator.delete(f"/roles/{role['_id']}"), administrator.put("/roles", json={**role, "name": unique("x")})]
    for answer in refused:
        assert answer.status_code == 409
        for user in users:
            assert user["name"] in answer.json()["message"]
    assert server.client(users[0]["accessToken"]).get(ENTRIES).status_code == 200
    for user in users:
        administrator.put("/subjects", json={**user, "roles": []})
    assert administrator.put("/roles", json={**role, "name": unique("x")}).status_code == 200
    removed = administrator.delete(f"/roles/{role['_id']}")
    assert (removed.status_code, removed.json()) == (200, {})
    assert administrator.delete(f"/roles/{role['_id']}").status_code == 404


BUILT_IN = {
    "admin": ["*"],
    "denied": [],
    "status-only": ["api:status:read"],
    "readable": ["*:*:read"],
    "careportal": ["api:treatments:create"],
    "devicestatus-upload": ["api:devicestatus:create"],
    "activity": ["api:activity:create"],
}


def test_the_built_in_roles(administrator: httpx.Client) -> None:
    roles = {role["name"]: role["permissions"] for role in administrator.get("/roles").json()}
    assert {name: roles[name] for name in BUILT_IN} == BUILT_IN


def test_a_stored_role_goes_before_the_built_in_one(server: LiveServer, administrator: httpx.Client) -> None:
    client = server.client(_subject(administrator, roles=["activity"])["accessToken"])
    stored = _role(administrator, "api:entries:read", name="activity")
    try:
        assert client.get(ENTRIES).status_code == 200
        [shown] = [role for role in administrator.get("/roles").json() if role["name"] == "activity"]
        assert shown["permissions"] == ["api:entries:read"]
    finally:
        # It is in use, but the built-in one takes its place.
        assert administrator.delete(f"/roles/{stored['_id']}").status_code == 200
    assert client.get(ENTRIES).status_code == 403
    [shown] = [role for role in administrator.get("/roles").json() if role["name"] == "activity"]
    assert shown["permissions"] == ["api:activity:create"]


def test_no_name_of_a_role_gives_away_what_its_author_does_not_hold(server: LiveServer, administrator: httpx.Client) -> None:
    """Who has a role of that name would get the permissions, also the author."""
    own = _role(administrator, "admin:api:roles")["name"]
    limited = server.client(_subject(administrator, roles=[own])["accessToken"])
    unused = _role(administrator, "*")
    refused = limited.put(f"{V2}/roles", json=unused | {"name": "activity"})
    assert (refused.status_code, refused.json()) == (403, GIFT)
    stored = _role(administrator, name="activity")
    try:
        answers = [
            limited.put(f"{V2}/roles", json=stored | {"name": unique("role")}),
            limited.delete(f"{V2}/roles/{stored['_id']}"),
        ]
        assert [(answer.status_code, answer.json()) for answer in answers] == [(403, GIFT)] * 2
    finally:
        assert administrator.delete(f"/roles/{stored['_id']}").status_code == 200


# What each built-in role implies, of all that the server demands anywhere. Whatever is not for every reader has four parts.
IMPLIED: dict[str, set[str] | None] = {
    "admin": None,  # all of it
    "denied": set(),
    "status-only": set(),
    "readable": {f"api:{name}:read" for name in COLLECTIONS},
    "careportal": {"api:treatments:create"},
    "devicestatus-upload": {"api:devicestatus:create"},
    "activity": set(),
    "reader": {f"api:{name}:read" for name in COLLECTIONS},
    "writer": {f"api:{name}:{action}" for name in COLLECTIONS for action in ("create", "update", "delete")},
    "moderator": {f"api:{name}:{action}" for name in COLLECTIONS for action in ("create", "read", "update", "delete")},
    "administrator": None,
}


@pytest.mark.parametrize("role", IMPLIED)
def test_what_a_built_in_role_implies(server: LiveServer, administrator: httpx.Client, role: str) -> None:
    demanded = administrator.get("/permissions").json()
    headers = {"Authorization": f"Bearer {server.jwt(_subject(administrator, roles=[role])['accessToken'])}"}
    caller = undated(server, headers=headers)
    held = {permission for permission in demanded if caller.get(f"{V2}/debug/check/{permission}").json()["check"]}
    implied = IMPLIED[role]
    assert held == (set(demanded) if implied is None else implied)


def test_what_the_readable_may_do(server: LiveServer, administrator: httpx.Client) -> None:
    client = server.client(_subject(administrator, roles=["readable"])["accessToken"])
    status = client.get("/api/v3/status").json()["result"]
    assert status["apiPermissions"] == dict.fromkeys(COLLECTIONS, "r")
    for path in ("/subjects", "/roles", "/permissions", "/permissions/trie"):
        assert client.get(f"{V2}{path}").json() == REFUSED


# --- permissions ------------------------------------------------------------------------------------------------------

DEMANDED = {
    *(f"api:{name}:{action}" for name in COLLECTIONS for action in ("create", "read", "update", "delete")),
    "api:settings:admin",
    *(f"admin:api:subjects:{action}" for action in ("read", "create", "update", "delete")),
    *(f"admin:api:roles:{action}" for action in ("list", "create", "update", "delete")),
    "admin:api:permissions:read",
}


def test_every_permission_that_is_demanded_is_listed(administrator: httpx.Client) -> None:
    listed = administrator.get("/permissions").json()
    assert listed == sorted(set(listed))
    assert set(listed) >= DEMANDED


def test_the_permissions_as_a_tree(administrator: httpx.Client) -> None:
    def leaves(tree: dict[str, Any], before: str = "") -> Iterator[str]:
        for name, below in tree.items():
            yield from leaves(below, f"{before}{name}:") if below else [f"{before}{name}"]

    tree = administrator.get("/permissions/trie").json()
    assert set(leaves(tree)) == set(administrator.get("/permissions").json())


def test_the_page_shows_every_route_with_its_permission(server: LiveServer, administrator: httpx.Client) -> None:
    page = undated(server).get("/api3-docs").text
    for permission in set(administrator.get("/permissions").json()) - {"notifications:*:ack"}:  # no route's
        assert f"{permission}" in page, permission
    for path in (f"{V2}/subjects/{{_id}}/rotate", "/api/v3/entries/history/{lastModified}", "/api/v3/version"):
        assert f"<code>{path}</code>" in page


@pytest.mark.parametrize(
    ("permission", "held"),
    [
        ("api:entries:read", True),
        ("API:Entries:READ", True),
        ("api:entries:read:abc", True),
        ("api:entries:create", False),
        ("api:entries", False),
        ("api:food,entries:read", False),
        ("*", False),
        ("any%3Athing", False),
        ("api%3Aentries%3Aread", True),
    ],
)
def test_a_caller_may_ask_what_it_holds(server: LiveServer, administrator: httpx.Client, permission: str, held: bool) -> None:
    token = _subject(administrator, roles=[_role(administrator, "api:entries:read")["name"]])["accessToken"]
    assert undated(server).get(f"{V2}/debug/check/{permission}", params={"token": token}).json() == {"check": held}
    assert administrator.get(f"/debug/check/{permission}").json() == {"check": True}
    assert undated(server).get(f"{V2}/debug/check/{permission}").json() == REFUSED


@pytest.mark.parametrize("permission", [":", "%2C", "%20", "%00", "%ff", "x" * 1001])
def test_a_malformed_permission_cannot_be_asked_for(administrator: httpx.Client, permission: str) -> None:
    assert administrator.get(f"/debug/check/{permission}").status_code == 400


# --- who may administrate ---------------------------------------------------------------------------------------------

ENDPOINTS = [
    ("GET", "/subjects", "subjects:read"),
    ("POST", "/subjects", "subjects:create"),
    ("PUT", "/subjects", "subjects:update"),
    ("DELETE", "/subjects/{id}", "subjects:delete"),
    ("POST", "/subjects/{id}/rotate", "subjects:update"),
    ("GET", "/roles", "roles:list"),
    ("POST", "/roles", "roles:create"),
    ("PUT", "/roles", "roles:update"),
    ("DELETE", "/roles/{id}", "roles:delete"),
    ("GET", "/permissions", "permissions:read"),
    ("GET", "/permissions/trie", "permissions:read"),
]


@pytest.mark.parametrize(("method", "path", "demanded"), ENDPOINTS)
def test_each_endpoint_demands_its_permission(
    server: LiveServer, administrator: httpx.Client, method: str, path: str, demanded: str
) -> None:
    others = [f"admin:api:{other}" for other in {each for _, _, each in ENDPOINTS} - {demanded}]
    victim = _subject(administrator) if "subjects" in path else _role(administrator)
    without = _subject(administrator, roles=[_role(administrator, "api", "notifications", *others)["name"]])
    granted = _subject(administrator, roles=[_role(administrator, f"admin:api:{demanded}")["name"]])
    target = f"{V2}{path.format(id=victim['_id'])}"
    callers: list[dict[str, Any]] = [
        {},
        {"params": {"token": without["accessToken"]}},
        {"headers": {"Authorization": f"Bearer {server.jwt(without['accessToken'])}"}},
        {"headers": {"Authorization": "Bearer x"}},
        {"headers": {"api-secret": server.secret}},
        {"headers": {"api-secret": ""}},
        {"params": {"secret": server.secret}},
    ]
    for credentials in callers:
        answer = undated(server).request(method, target, json=victim, **credentials)
        assert (answer.status_code, answer.json()) == (401, REFUSED)
    assert undated(server).request(method, target, json=victim, params={"token": granted["accessToken"]}).status_code in (
        200,
        409,
    )


def test_the_digest_of_the_secret_may_have_capitals(server: LiveServer) -> None:
    assert ask(server, "GET", f"{V2}/subjects", ("API-Secret", api_secret(server).upper())).status == 200


@pytest.fixture(scope="module")
def closed(lasting_server: FreshServer) -> LiveServer:
    """A server without the api-secret header and without timestamps; everybody may read entries."""
    settings = {
        "API_SECRET_ENABLE": "false",
        "API3_CLIENT_TIMESTAMP": "off",
        "AUTH_DEFAULT_ROLES": "denied, status-only:readable",
    }
    return lasting_server(env=settings)


def test_the_api_secret_can_be_switched_off(closed: LiveServer) -> None:
    administrator = undated(closed, headers={"api-secret": api_secret(closed)})
    for path in ("/subjects", "/roles", "/debug/check/x"):
        assert administrator.get(f"{V2}{path}").json() == REFUSED
    token = (
        closed.installation.run("subject", "show", "admin", "--json").stdout.partition('"accessToken": "')[2].partition('"')[0]
    )
    # The header is nothing then, beside another credential too.
    assert administrator.get(f"{V2}/subjects", params={"token": token}).status_code == 200
    # And the default roles are everybody's.
    assert undated(closed).get("/api/v3/settings", params={"token": token}).status_code == 200
    made = undated(closed).post(f"{V2}/subjects", params={"token": token}, json={"name": "nobody", "roles": []}).json()
    assert made["roles"] == []
    assert undated(closed).get(ENTRIES, params={"token": made["accessToken"]}).status_code == 200
    exchanged = undated(closed).get(f"{V2}/request/{made['accessToken']}").json()
    assert exchanged["permissionGroups"] == [[], ["api:status:read"], ["*:*:read"]]
    assert undated(closed).post(ENTRIES, params={"token": made["accessToken"]}, json={"app": "x"}).status_code == 403


# --- how soon a change bites ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def crowd(request: pytest.FixtureRequest, lasting_server: FreshServer) -> LiveServer:
    """A server of two processes."""
    return lasting_server(request.param, workers=2)


def _status(server: LiveServer, secret: str, path: str = ENTRIES) -> int:
    """The answer on a connection of its own."""
    headers = {"Authorization": f"Bearer {secret}"}
    with httpx.Client(base_url=server.url, trust_env=False, verify=False) as client:
        return client.get(path, params={"now": str(time.time_ns() // 1_000_000)}, headers=headers).status_code


def test_a_change_bites_in_every_process(crowd: LiveServer) -> None:
    administrator = _administrator(crowd)
    role = _role(administrator, "api:entries:read")
    subject = _subject(administrator, roles=[role["name"]])
    crowd.wait_everywhere(lambda: _works(crowd, subject["accessToken"]))
    jwt = crowd.jwt(subject["accessToken"])
    crowd.wait_everywhere(lambda: _status(crowd, jwt) == 200)

    administrator.put("/roles", json={**role, "permissions": ["api:food:read"]})
    crowd.wait_everywhere(lambda: (_status(crowd, jwt), _status(crowd, jwt, "/api/v3/food")) == (403, 200))

    administrator.put("/subjects", json={**subject, "roles": ["denied"]})
    crowd.wait_everywhere(lambda: _status(crowd, jwt, "/api/v3/food") == 403)

    rotated = _made(administrator.post(f"/subjects/{subject['_id']}/rotate"))
    crowd.wait_everywhere(lambda: _status(crowd, jwt) == 401 and not _works(crowd, subject["accessToken"]))
    crowd.wait_everywhere(lambda: _works(crowd, rotated["accessToken"]))
    fresh = crowd.jwt(rotated["accessToken"])
    crowd.wait_everywhere(lambda: _status(crowd, fresh) == 403)

    administrator.delete(f"/subjects/{subject['_id']}")
    crowd.wait_everywhere(lambda: _status(crowd, fresh) == 401 and not _works(crowd, rotated["accessToken"]))


def test_every_process_tells_of_all_subjects(crowd: LiveServer) -> None:
    """What one process has added, another one lists and changes at once."""
    for _ in range(8):
        made = _subject(_administrator(crowd))
        assert made in _administrator(crowd).get("/subjects").json()
        rotated = _made(_administrator(crowd).post(f"/subjects/{made['_id']}/rotate"))
        assert rotated in _administrator(crowd).get("/subjects").json()
        assert _administrator(crowd).delete(f"/subjects/{made['_id']}").json() == {}


def test_a_change_outlives_the_server(fresh_server: FreshServer, database: str) -> None:
    server = fresh_server(database)
    administrator = _administrator(server)
    role = _role(administrator, "api:entries:read", notes="notes")
    subject = _subject(administrator, roles=[role["name"]])
    rotated = _made(administrator.post(f"/subjects/{subject['_id']}/rotate"))
    server.kill()
    server.start()
    administrator = _administrator(server)
    assert role in administrator.get("/roles").json()
    assert rotated in administrator.get("/subjects").json()
    assert server.client(rotated["accessToken"]).get(ENTRIES).status_code == 200
    assert not _works(server, subject["accessToken"])
