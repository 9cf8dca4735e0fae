"""Secrets that are sent where they do not belong: neither the answer nor the log repeats them."""

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import cycle
from urllib.parse import quote

import pytest

from apiv3.model.identity import Subject
from apiv3.security.accounts.user_tokens import UserTokens
from apiv3.security.secrets import mint
from apiv3.security.tokens import Tokens
from tests.support.factories import FreshServer
from tests.support.server import LiveServer
from tests.support.waiting import wait_until
from tests.support.wire import Line, Reply, api_secret, ask, now_ms, request

TARGETS = (
    *("/", "/login", "/account", "/api3-docs", "/nowhere", "/oauth/authorize", "/oauth/token", "/socket.io/?EIO=4"),
    *("/api/v3/version", "/api/v3/status", "/api/v3/entries", "/api/v3/entries/x", "/api/v3/entries.csv", "/api/v3/events"),
    *("/api/v3/entries/history", "/api/v3/nowhere", "/api/v1/entries", "/api/v2/authorization/subjects"),
)
PARAMETERS = (
    *("token={}", "token={}&token={}", "access_token={}", "secret={}", "unknown={}", "{}=1", "sgv${}=1", "{}$xx=1", "{}&{}"),
    *("now={}", "limit={}", "skip={}", "limit=1&limit={}", "fields={}", "sort={}", "sort$desc={}&sort={}", "date$gte={}"),
    *("{}$re=(", "sgv$re=({}", "sgv$re={}\\", "collections={}", "since={}", "{}$gte=yesterday", "created_at$gte={}", "code={}"),
    *("client_id={}", "redirect_uri=https://{}", "scope={}", "response_type={}", "state={}", "a%zz{}=%ff"),
)
HEADERS = (
    *("Authorization: Bearer {}", "Authorization: Bearer {}, Bearer {}", "Authorization: {}", "Authorization: Basic {}"),
    *("Authentication-Token: {}", "api-secret: {}", "API_SECRET: {}", "X-Api-Key: {}", "Cookie: session={}", "Date: {}"),
    *("Accept: {}", "Referer: http://a/?token={}", "User-Agent: {}", "Last-Modified: {}", "If-Modified-Since: {}"),
    *("X-Request-Id: {}", "{}: x", "Origin: https://{}", "Content-Type: {}", "Last-Event-ID: {}", "X-Nonce: {}"),
)
WRITES = (("POST", ""), ("POST", "/bulk"), ("PUT", "/x"), ("PATCH", "/x"))
BODIES = ("{}", '"{}"', '[{"{}":1}]', '{"{}":1}', '{"app":"{}","date":"{}"}', '{"date":1,"app":"x","identifier":5,"{}":')


@pytest.fixture(scope="module")
def server(lasting_server: FreshServer) -> LiveServer:
    return lasting_server(env={"ACCESS_LOG": "json"})


@pytest.fixture(scope="module")
def secrets(server: LiveServer) -> dict[str, str]:
    """One of each kind, by its name: those that are good here, and those that nobody knows."""
    token = server.subject("the reader", "api:*:read")
    return {
        "access token": token,
        "JWT": server.jwt(token),
        "API_SECRET": server.secret,
        "its digest": api_secret(server),
        "user token": UserTokens("k" * 43, 3600).sign(
            Subject("0123456789abcdef01234567", "anna", (), nonce=mint(), is_person=True)
        ),
        "foreign JWT": Tokens("k" * 43, 3600).sign("reader-753e836ea7710f51", 1_700_000_000)[0],
        "code": "xIP8XoDTWyuCxZF_fNmEjcfEwbH8sB2M9q_bPE1aN1E",
    }


def _where_it_does_not_belong(secrets: list[str]) -> Iterator[bytes]:
    """One of the secrets, in turn, in each place of each request, as it is and percent-encoded."""
    turn, now = (
        cycle([each for secret in secrets for each in (secret, quote(quote(secret, safe=""), safe=""))]),
        f"now={now_ms()}",
    )
    for target in TARGETS:
        start = f"{target}{'&' if '?' in target else '?'}"
        for parameter in PARAMETERS:
            yield request("GET", f"{start}{parameter.replace('{}', next(turn))}&{now}")
        yield request("GET", f"{target}/{next(turn)}")
        yield request("PUT", f"{target}/{next(turn)}.csv")
        for header in HEADERS:
            name, _, value = header.replace("{}", next(turn)).partition(": ")
            yield request("GET", start + now, (name, value))
        for body in BODIES:
            yield request("POST", start + now, body=body.replace("{}", next(turn)).encode())


def _beside_a_right(server: LiveServer, jwt: str, secret: str) -> Iterator[bytes]:
    """Requests that get past the gate, so that the endpoints say what is wrong with the rest of them."""
    who, digest, now = ("Authorization", f"Bearer {jwt}"), ("api-secret", api_secret(server)), f"now={now_ms()}"
    for parameter in PARAMETERS:
        yield request("GET", f"/api/v3/entries?{parameter.replace('{}', secret)}&{now}", who)
    for method, path in WRITES:
        for body in BODIES:
            yield request(method, f"/api/v3/entries{path}?{now}", who, body=body.replace("{}", secret).encode())
    for fields in ({"name": f"{secret}\n"}, {"name": "x", "roles": [secret]}, {"name": "x", "permissions": [f"a::{secret}:("]}):
        for kind in ("subjects", "roles"):
            yield request("POST", f"/api/v2/authorization/{kind}", digest, body=json.dumps(fields).encode())


def _answers(server: LiveServer, requests: Iterable[bytes]) -> Iterator[tuple[bytes, Reply]]:
    """The requests with their answers, over as few connections as the server allows."""
    with ExitStack() as stack:
        line = stack.enter_context(Line(server))
        for sent in requests:
            reply = line.send(sent).reply(sent.partition(b" ")[0].decode())
            yield sent, reply
            if reply.headers.get("connection") == "close" or "content-length" not in reply.headers:  # an endless stream
                line = stack.enter_context(Line(server))


def test_neither_an_answer_nor_the_log_repeats_a_secret(server: LiveServer, secrets: dict[str, str]) -> None:
    """API_SECRET itself has no form by which an answer could mask it, and one that did would tell who guesses it."""
    jwt = server.jwt(server.subject("the writer", "api:*:create,read,update"))
    requests = [
        *_where_it_does_not_belong([*secrets.values()]),
        *(each for one in secrets.values() for each in _beside_a_right(server, jwt, one)),
    ]
    ends = {name: secret[-16:] for name, secret in secrets.items()}
    for sent, answer in _answers(server, requests):
        assert answer.status < 500, sent
        assert not [name for name, end in ends.items() if name != "API_SECRET" and end.encode() in answer.body], sent
    last = ask(server, "GET", "/nowhere/last").headers["x-request-id"]
    wait_until(lambda: last in server.output, "the last line is missing")
    assert len(server.output.splitlines()) > len(requests)
    assert not [name for name, end in ends.items() if end in server.output]
