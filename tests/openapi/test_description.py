"""The description is valid OpenAPI 3.1, speaks of every route, and is true: its examples work, and are answered as it says."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import SecretStr

from apiv3.app import Server
from apiv3.installation import Installation
from apiv3.settings import load
from apiv3.web.openapi import examples
from apiv3.web.openapi.document import Undescribed, describe
from apiv3.web.operation import Bounds
from apiv3.web.router import Route
from tests.support.devices import pairing
from tests.support.factories import FreshServer
from tests.support.people import PASSWORD, add_person

Json = dict[str, Any]
ROOT = Path(__file__).parents[2]
BOUNDS = Bounds(1000, 1_048_576, 1000, 16_777_216, 5, created_at_fallback=True)


def installation(**settings: Any) -> Installation:
    secrets = {"api_secret": SecretStr("x" * 12), "jwt_key": SecretStr("x" * 32), "hub_key": SecretStr("x" * 43)}
    return Installation(load(database_url="sqlite:///nowhere", **secrets, **settings))


def plain_routes(made: Installation) -> list[Route]:
    """All but websockets, for which OpenAPI has no words (docs/reference/live.md and devices.md have), and pages for people."""
    return [each for each in Server(made).routes() if each.path.startswith("/api/") and each.talk is None]


def described(**settings: Any) -> Json:
    made = installation(**settings)
    return dict(describe(plain_routes(made), made.collections, BOUNDS, made.scopes))


DOCUMENT = described(api3_extra_collections=["weather"])


class Shown(NamedTuple):
    """One operation of a document."""

    method: str
    path: str
    about: Json

    @property
    def id(self) -> str:
        return str(self.about["operationId"])


def operations(document: Json) -> list[Shown]:
    return [Shown(method, path, about) for path, item in document["paths"].items() for method, about in item.items()]


ALL = operations(DOCUMENT)
each_operation = pytest.mark.parametrize("operation", ALL, ids=[each.id for each in ALL])


# --- its form


def test_it_is_valid_openapi() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_every_example_suits_its_schema() -> None:
    for operation in ALL:
        for parameter in operation.about["parameters"]:
            if "example" in parameter:
                value = parameter["example"]
                number = isinstance(value, str) and value.isdigit() and parameter["name"] == "lastModified"
                validate(DOCUMENT, parameter["schema"], int(value) if number else value)
        for media in operation.about.get("requestBody", {}).get("content", {}).values():
            for example in media["examples"].values():
                validate(DOCUMENT, media["schema"], example["value"])


def validate(document: Json, schema: Json, value: Any) -> None:
    Draft202012Validator({**schema, "components": document["components"]}).validate(value)


@each_operation
def test_every_operation_says_what_it_needs(operation: Shown) -> None:
    about = operation.about
    assert about["summary"]
    assert about["description"]
    assert about["x-permission"]
    assert set(about["tags"]) <= {tag["name"] for tag in DOCUMENT["tags"]}
    assert {"400", "403", "429", "431", "500"} <= about["responses"].keys()
    assert ("401" in about["responses"]) == bool(about["security"] or operation.id in ("exchange", "requestAuthToken", "enrol"))


VERBS = (
    *(
        "Accept",
        "Add",
        "Ask",
        "Cancel",
        "Change",
        "Check",
        "Confirm",
        "Connect",
        "Create",
        "Delete",
        "Describe",
        "Disable",
        "Enable",
        "End",
        "Enrol",
        "Exchange",
    ),
    *("Export", "Find", "Get", "Give", "Go", "Import", "Invite", "Issue", "List", "Make", "Mark", "Open", "Read", "Remove"),
    *("Rename", "Replace", "Revoke", "Search", "Send", "Set", "Show", "Sign", "Start", "Stop", "Stream", "Verify"),
)


def test_every_summary_tells_what_to_do() -> None:
    """As an imperative sentence: it begins with a verb, and ends with a full stop. The page `/api3-docs` shows them, too."""
    summaries = [route.summary for route in Server(installation()).routes()]
    assert summaries
    assert [each for each in summaries if each.split()[0] not in VERBS or not each.endswith(".")] == []


def test_operation_ids_are_unique() -> None:
    ids = [operation.id for operation in ALL]
    assert len(ids) == len(set(ids))


# --- it speaks of what is there


def paths_of(operation: Shown) -> Iterator[tuple[str, str, str]]:
    """Method, path and permission of each route that an operation stands for."""
    choices = {each["name"]: each["schema"].get("enum", []) for each in operation.about["parameters"] if each["in"] == "path"}
    other = operation.about.get("x-permission-for", {})
    for name in choices.get("collection", [""]):
        for form in choices.get("format", [""]):
            path = operation.path.replace("{collection}", name).replace("{format}", form)
            permission = other.get(name, operation.about["x-permission"].replace("{collection}", name))
            yield operation.method.upper(), path, permission


def test_every_route_is_described_with_its_permission() -> None:
    routes = plain_routes(installation(api3_extra_collections=["weather"]))
    assert {found for each in ALL for found in paths_of(each)} == {(r.method, r.path, r.permission) for r in routes}


def test_a_route_without_a_description_is_found_out() -> None:
    made = installation()
    [first, *others] = plain_routes(made)
    with pytest.raises(Undescribed, match="GET /api/v3/version has no operation"):
        describe([replace(first, operation=None), *others], made.collections, BOUNDS, made.scopes)


def test_a_route_that_is_not_where_its_operation_says_is_found_out() -> None:
    made = installation()
    lost = [replace(each, path="/elsewhere") if each.path == "/api/v3/entries" else each for each in plain_routes(made)]
    with pytest.raises(Undescribed, match="/elsewhere is not of the form"):
        describe(lost, made.collections, BOUNDS, made.scopes)


def test_messages_are_those_of_the_reference() -> None:
    page = (ROOT / "docs/reference/errors.md").read_text()
    assert messages()
    assert [message for message in sorted(messages()) if f"`{generalised(message)}`" not in page] == []


def messages() -> set[str]:
    responses = [response for each in ALL for status, response in each.about["responses"].items() if status >= "400"]
    examples = [response["content"]["application/json"]["examples"].values() for response in responses]
    return {each["value"]["message"] for group in examples for each in group if "message" in each["value"]}


def generalised(message: str) -> str:
    """As the reference writes it."""
    named = re.sub(r"^Missing permission .*", "Missing permission {permission}", message)
    return re.sub(r"^Parameter \S+ is repeated$", "Parameter {name} is repeated", named)


def test_settings_bound_it() -> None:
    made = installation()
    document = describe(plain_routes(made), made.collections, BOUNDS._replace(limit=7, created_at_fallback=False), made.scopes)
    [search] = [each for each in operations(dict(document)) if each.id == "search"]
    [limit] = [each["schema"] for each in search.about["parameters"] if each["name"] == "limit"]
    assert (limit["maximum"], limit["default"]) == (7, 7)
    assert [each["required"] for each in document["components"]["schemas"]["NewDocument"]["anyOf"]] == [["date"]]


# --- it is true

ORDER = ("post", "put", "patch", "get", "delete")
"""First what makes things, last what removes them."""


def turn(operation: Shown) -> tuple[bool, int]:
    """When its example works. An UPDATE comes before everything, so that it finds nothing at first."""
    return operation.id != "update", ORDER.index(operation.method)


def example(token: str, operation: Shown) -> tuple[str, Json]:
    """The path and the options of a request that holds just what the description shows."""
    parameters = operation.about["parameters"]
    values = {each["name"]: (each["in"], each["example"]) for each in parameters if "example" in each}
    values |= {"accessToken": ("path", token)} if "accessToken" in values else {}  # none works everywhere
    path = operation.path
    for name, (place, value) in values.items():
        path = path.replace(f"{{{name}}}", quote(value, safe="")) if place == "path" else path
    query: Json = {}
    for name, (place, value) in values.items():
        if place == "query":
            query |= value if isinstance(value, dict) else {name: value}
    headers = {name: value for name, (place, value) in values.items() if place == "header"}
    return path, {"params": query, "headers": headers}


def bodies(operation: Shown) -> list[Json]:
    """As options of the client."""
    content = operation.about.get("requestBody", {}).get("content", {})
    examples = [(kind, each["value"]) for kind, media in content.items() for each in media["examples"].values()]
    return [{"json": value} if kind == "application/json" else {"content": value} for kind, value in examples] or [{}]


def assert_as_described(document: Json, operation: Shown, answer: httpx.Response) -> None:
    described = operation.about["responses"].get(str(answer.status_code))
    assert described, f"{operation.id}: {answer.status_code} {answer.text}"
    assert answer.status_code < 400, f"{operation.id}: {answer.status_code} {answer.text}"
    assert {name.lower() for name in described.get("headers", {})} <= {name.lower() for name in answer.headers}
    if "content" not in described:
        assert answer.content == b""
        return
    media = described["content"][answer.headers["content-type"].partition(";")[0]]
    if "json" in answer.headers["content-type"]:
        validate(document, media["schema"], answer.json())


def ask(client: httpx.Client, method: str, path: str, **options: Any) -> httpx.Response:
    """The answer; of one that never ends, its beginning."""
    with client.stream(method, path, **options) as answer:
        if answer.headers.get("content-type", "").startswith("text/event-stream") and method != "HEAD":
            beginning = next(answer.iter_raw())
            return httpx.Response(answer.status_code, headers=answer.headers, content=beginning)
        answer.read()
    return answer


CLIENT_ID = str(examples.NEW_CLIENT["a web application"]["_id"])
DEVICE_ID = str(examples.NEW_DEVICE["an uploader"]["_id"])
EXAMPLE_COMMAND = "0b3f1c2e-5d5a-4c53-9d0e-7a53c1f5a001"
EXAMPLE_ID = str(examples.CHANGED_SUBJECT["other roles"]["_id"])


def with_ids(path: str, person: str, made: Json) -> str:
    """A path with the ids of what there is: the id of an example is that of the subject among the examples."""
    ids = {"/users/": person, "/clients/": CLIENT_ID, "/devices/": DEVICE_ID}
    found = [each for kind, each in ids.items() if kind in path] or [EXAMPLE_ID]
    return path.replace(EXAMPLE_ID, found[0]).replace(EXAMPLE_COMMAND, made.get("command", EXAMPLE_COMMAND))


def with_made(operation: Shown, options: Json, person: str, made: Json) -> Json:
    """The body of an example, with the id of a person or the code of a device where it is about one."""
    if operation.id == "changeUser":
        return {"json": {**options["json"], "_id": person}}
    if operation.id == "enrol":
        return {"json": {**options["json"], "code": pairing(made["pairing_code"])["code"]}}
    return options


def again(answer: httpx.Response) -> Json:
    """What a client sends that has seen an answer."""
    known = {"If-None-Match": answer.headers.get("etag"), "If-Modified-Since": answer.headers.get("last-modified")}
    return {name: value for name, value in known.items() if value is not None}


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_every_example_works(database: str, fresh_server: FreshServer) -> None:
    """Each operation's example as it stands there; where there are several ways to succeed, each of them is seen."""
    server = fresh_server(database)
    token = server.subject("examples", "*")
    anna = add_person(server.installation, "anna@x.example", PASSWORD)
    client = server.client(token)
    document, made = client.get("/api/v3/openapi.json").json(), dict[str, Any]()
    for operation in sorted(operations(document), key=turn):
        path, options = example(token, operation)
        promised = {int(status) for status in operation.about["responses"] if status < "400"}
        seen = {}
        for body in bodies(operation) * (2 if promised == {200, 201} else 1):
            path = with_ids(path, anna["_id"], made)
            answer = ask(client, operation.method.upper(), path, **with_made(operation, body, anna["_id"], made), **options)
            assert_as_described(document, operation, answer)
            if operation.method == "post" and isinstance(answer.json(), dict):
                made |= answer.json()
            seen[answer.status_code] = answer
        if 304 in promised:
            headers = options["headers"] | again(seen[200])
            answer = client.request(operation.method, path, params=options["params"], headers=headers)
            assert_as_described(document, operation, answer)
            seen[answer.status_code] = answer
        assert seen.keys() == promised, operation.id


def test_head_and_options_are_answered_as_it_says(fresh_server: FreshServer) -> None:
    server = fresh_server()
    client = server.client(server.subject("asker", "*"))
    document = client.get("/api/v3/openapi.json").json()
    for path in document["paths"]:
        shown = [each for each in operations(document) if each.path == path]
        [url] = {example("nobody", each)[0] for each in shown}
        methods = {each.method.upper() for each in shown}
        allowed = set(client.options(url).headers["allow"].split(", "))
        if path.endswith("/bulk"):  # with another method it is about a document of that name
            methods |= {"GET", "PUT", "PATCH", "DELETE"}
        assert allowed == methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set()), path
        for get in [each for each in shown if each.method == "get"]:
            options = example("nobody", get)[1]
            assert client.head(url, **options).status_code == ask(client, "GET", url, **options).status_code


def test_it_is_public(fresh_server: FreshServer) -> None:
    server = fresh_server(env={"API3_MAX_LIMIT": "50", "API3_EXTRA_COLLECTIONS": "weather"})
    answer = httpx.get(f"{server.url}/api/v3/openapi.json", trust_env=False, verify=False)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json; charset=utf-8")
    [search] = [each for each in operations(answer.json()) if each.id == "search"]
    named = {each["name"]: each["schema"] for each in search.about["parameters"]}
    assert named["limit"]["maximum"] == 50
    assert "weather" in named["collection"]["enum"]


# --- scopes of OAuth2


def test_each_operation_names_the_scopes_that_allow_it() -> None:
    document = described()

    def scopes(method: str, path: str) -> list[list[str]]:
        return [way["oauth2"] for way in document["paths"][path][method]["security"] if "oauth2" in way]

    assert scopes("get", "/api/v3/{collection}") == [["read"]]
    assert scopes("post", "/api/v3/{collection}") == [["write"]]
    assert scopes("delete", "/api/v3/{collection}/{identifier}") == [["write"]]
    assert scopes("get", "/api/v3/status") == [[]]
    assert scopes("get", "/api/v3/version") == []
    assert scopes("post", "/api/v2/authorization/roles") == [["execute"]]
    flows = document["components"]["securitySchemes"]["oauth2"]["flows"]
    for flow in ("authorizationCode", "clientCredentials"):
        assert list(flows[flow]["scopes"]) == ["read", "write", "execute", "offline_access"]


def test_an_installation_names_its_own_scopes() -> None:
    document = described(oauth_scopes={"glucose": ["api:entries:read,create"]})
    ways = [way["oauth2"] for way in document["paths"]["/api/v3/{collection}"]["get"]["security"] if "oauth2" in way]
    assert ways == [["api:{collection}:read"]]
    flows = document["components"]["securitySchemes"]["oauth2"]["flows"]
    assert flows["clientCredentials"]["scopes"]["glucose"] == "Allows api:entries:read,create."
