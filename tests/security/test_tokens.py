"""Credentials: access tokens derived as the protocol says, JSON Web Tokens, and whatever else is sent in their place."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from apiv3.security import secrets
from apiv3.security.tokens import LONGEST, Expired, Tokens
from tests.support.factories import FreshServer
from tests.support.server import LiveServer
from tests.support.waiting import wait_until
from tests.support.wire import Reply, api_secret, ask, now_ms, unique

EXCHANGE = "/api/v2/authorization/request"
ENTRIES = "/api/v3/entries"
UNKNOWN = "nobody-0123456789abcdef"

NO_TOKEN = {"status": 401, "message": "Missing or bad access token or JWT"}
BAD_TOKEN = {"status": 401, "message": "Bad access token or JWT"}
REFUSED = {"status": 401, "message": "Unauthorized", "description": "Invalid/Missing"}


@pytest.fixture(scope="module")
def server(shared_servers: Callable[[str], LiveServer]) -> LiveServer:
    return shared_servers("sqlite")


@pytest.fixture(scope="module")
def token(server: LiveServer) -> str:
    """The access token of one who may read entries."""
    return server.subject(unique("reader"), "api:entries:read")


@pytest.fixture(scope="module")
def key(server: LiveServer) -> str:
    """The key with which the server signs."""
    return (server.installation.data / "jwt_key").read_text().strip()


def _read(server: LiveServer, **credentials: Any) -> httpx.Response:
    return server.client().get(ENTRIES, **credentials)


def _bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def _sha1(text: str) -> str:
    return hashlib.sha1(text.encode()).hexdigest()


# --- access tokens ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "abbreviation"),
    [
        ("test-readable", "testreadab"),
        ("Test Readable 1", "testreadab"),
        ("a", "a"),
        ("AAPS", "aaps"),
        ("under_score_is_a_word", "under_scor"),
        ("Jürgen's Telefon", "jrgenstele"),
        ("日本", ""),
        ("x" * 200, "x" * 10),
    ],
)
def test_an_access_token_is_derived(server: LiveServer, name: str, abbreviation: str) -> None:
    # Computed with openssl, from this secret and this id.
    assert secrets.access_token("a secret of the field", name, "5f2b0a7e1c9d440000abcdef") == f"{abbreviation}-753e836ea7710f51"
    made = server.admin("POST", "/subjects", {"name": name, "roles": []})
    digest = _sha1(_sha1(server.secret) + made["_id"])
    assert made["accessToken"] == f"{abbreviation}-{digest[:16]}"
    answer = server.client().get(f"{EXCHANGE}/{made['accessToken']}")
    assert answer.json()["sub"] == name
    server.admin("DELETE", f"/subjects/{made['_id']}")


def test_a_token_survives_a_move(fresh_server: FreshServer) -> None:
    """The same secret and the same id make the same token, as on the installation that the subject comes from."""
    server = fresh_server(env={"API_SECRET": "a secret of the field"})
    server.installation.secret = "a secret of the field"
    moved = {"_id": "5f2b0a7e1c9d440000abcdef", "name": "Test-Readable", "roles": ["readable"]}
    assert server.admin("POST", "/subjects", moved)["accessToken"] == "testreadab-753e836ea7710f51"
    assert _read(server, params={"token": "testreadab-753e836ea7710f51"}).status_code == 200


@pytest.mark.parametrize(
    ("made", "known"),
    [
        (lambda token: token, True),
        # 16 digits at the end identify the subject, whatever stands before them
        (lambda token: token[-16:], True),
        (lambda token: f"-{token[-16:]}", True),
        (lambda token: f"somebody-else-{token[-16:]}", True),
        (lambda token: f"Ümläut {token[-16:]}", True),
        (lambda token: f"{token[-16:]}-{token[-16:]}", True),
        # other digits do not
        (lambda token: token[:-1], False),
        (lambda token: token[-15:], False),
        (lambda token: f"{token} ", False),
        (lambda token: f"{token}0", False),
        (lambda token: f"{token[:-1]}g", False),
        (lambda token: token[:-16], False),
        (lambda token: f"{token[-16:]}-reader", False),
    ],
)
def test_the_digits_at_the_end_identify_the_subject(
    server: LiveServer, token: str, made: Callable[[str], str], known: bool
) -> None:
    answer = _read(server, params={"token": made(token)})
    assert answer.status_code == (200 if known else 401)
    assert known or answer.json() == NO_TOKEN


# --- JSON Web Tokens --------------------------------------------------------------------------------------------------


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _part(value: object) -> str:
    return _base64(value if isinstance(value, bytes) else json.dumps(value).encode())


def _hs256(signed: str, key: str) -> str:
    return _base64(hmac.digest(key.encode(), signed.encode(), hashlib.sha256))


def _sign(key: str, claims: object, header: object = {"alg": "HS256", "typ": "JWT"}) -> str:
    signed = f"{_part(header)}.{_part(claims)}"
    return f"{signed}.{_hs256(signed, key)}"


def _claims(token: str, **changes: object) -> dict[str, object]:
    """Good claims with some of them changed; None leaves one out."""
    now = int(time.time())
    claims = {"accessToken": token, "iat": now, "exp": now + 3600} | changes
    return {name: value for name, value in claims.items() if value is not None}


def test_a_jwt_of_ours(server: LiveServer, token: str, key: str) -> None:
    jwt = server.jwt(token)
    header, claims, signature = jwt.split(".")
    assert json.loads(base64.urlsafe_b64decode(header + "==")) == {"alg": "HS256", "typ": "JWT"}
    body = json.loads(base64.urlsafe_b64decode(claims + "=="))
    assert body.keys() == {"accessToken", "iat", "exp"}
    assert body["accessToken"] == token
    assert body["exp"] - body["iat"] == 3600
    assert abs(body["iat"] - time.time()) < 60
    assert signature == _hs256(f"{header}.{claims}", key)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_a_jwt_in_the_header(server: LiveServer, token: str, scheme: str) -> None:
    assert _read(server, headers={"Authorization": f"{scheme} {server.jwt(token)}"}).status_code == 200


def test_a_jwt_in_the_query(server: LiveServer, token: str) -> None:
    assert _read(server, params={"token": server.jwt(token)}).status_code == 200


def test_a_jwt_that_somebody_else_with_the_key_made(server: LiveServer, token: str, key: str) -> None:
    for claims in (_claims(token), _claims(token, sub="x", aud="y", iss="z", jti="1"), _claims(f"x-{token[-16:]}")):
        assert _read(server, headers=_bearer(_sign(key, claims))).status_code == 200


# What is wrong with the claims of a token that is signed with the right key.
BAD_CLAIMS: list[dict[str, object]] = [
    {"exp": 1_565_043_331},
    {"exp": None},
    {"iat": None},
    {"accessToken": None},
    {"exp": None, "iat": None},
    {"exp": "never"},
    {"exp": True},
    {"exp": []},
    {"exp": -1},
    {"exp": 1e400},
    {"iat": "now"},
    {"iat": {}},
    {"nbf": 32_503_680_000},
    {"nbf": "later"},
    {"accessToken": 7},
    {"accessToken": ["x"]},
    {"accessToken": ""},
    {"accessToken": UNKNOWN},
]


@pytest.mark.parametrize("changes", BAD_CLAIMS)
def test_claims_that_are_no_good(server: LiveServer, token: str, key: str, changes: dict[str, object]) -> None:
    _check_refused(server, _sign(key, _claims(token, **changes)))


def _check_refused(server: LiveServer, secret: str) -> None:
    """Wherever it stands, and with the message for that place."""
    by_header, by_query = _read(server, headers=_bearer(secret)), _read(server, params={"token": secret})
    assert (by_header.status_code, by_header.json()) == (401, BAD_TOKEN)
    assert (by_query.status_code, by_query.json()) == (401, NO_TOKEN)
    exchanged = server.client().get(f"{EXCHANGE}/{secret}")
    assert (exchanged.status_code, exchanged.json()) == (401, REFUSED)


def _without_signature(token: str, algorithm: str) -> str:
    return f"{_part({'alg': algorithm, 'typ': 'JWT'})}.{_part(_claims(token))}."


def _rs256(token: str) -> str:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    signed = f"{_part({'alg': 'RS256', 'typ': 'JWT'})}.{_part(_claims(token))}"
    return f"{signed}.{_base64(private.sign(signed.encode(), padding.PKCS1v15(), SHA256()))}"


def _key_confusion(token: str) -> str:
    """A public key used as if it were the shared one."""
    public = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return _sign(pem, _claims(token))


def _swapped(token: str, key: str) -> str:
    """The signature of one token under the claims of another."""
    one, two = _sign(key, _claims(token)).split("."), _sign(key, _claims(token, exp=int(time.time()) + 1_000_000)).split(".")
    return f"{two[0]}.{two[1]}.{one[2]}"


FORGERIES: dict[str, Callable[[str, str], str]] = {
    "another key": lambda token, _key: _sign("x" * 43, _claims(token)),
    "an empty key": lambda token, _key: _sign("", _claims(token)),
    "the key with something after it": lambda token, key: _sign(key + "\n", _claims(token)),
    "the access token as key": lambda token, _key: _sign(token, _claims(token)),
    "alg none": lambda token, _key: _without_signature(token, "none"),
    "alg None": lambda token, _key: _without_signature(token, "None"),
    "alg nOnE": lambda token, _key: _without_signature(token, "nOnE"),
    "no alg, no signature": lambda token, _key: f"{_part({'typ': 'JWT'})}.{_part(_claims(token))}.",
    "HS256 without signature": lambda token, _key: _without_signature(token, "HS256"),
    "alg none with the right signature": lambda token, key: _sign(key, _claims(token), {"alg": "none"}),
    "alg HS512 with the signature of HS256": lambda token, key: _sign(key, _claims(token), {"alg": "HS512"}),
    "alg HS384 with the right key": lambda token, key: _other_hash(key, token, "HS384", hashlib.sha384),
    "alg HS512 with the right key": lambda token, key: _other_hash(key, token, "HS512", hashlib.sha512),
    "alg RS256 with the right key": lambda token, key: _sign(key, _claims(token), {"alg": "RS256"}),
    "alg RS256 with a key of its own": lambda token, _key: _rs256(token),
    "a public key as the shared one": lambda token, _key: _key_confusion(token),
    "alg a list": lambda token, key: _sign(key, _claims(token), {"alg": ["HS256"]}),
    "alg a number": lambda token, key: _sign(key, _claims(token), {"alg": 256}),
    "header a list": lambda token, key: _sign(key, _claims(token), ["HS256"]),
    "header no JSON": lambda token, key: _sign(key, _claims(token), b"\xff{"),
    "header deeply nested": lambda token, key: _sign(key, _claims(token), b'{"alg":' + b"[" * 2500),
    "claims a list": lambda token, key: _sign(key, [_claims(token)]),
    "claims null": lambda _token, key: _sign(key, None),
    "claims no JSON": lambda _token, key: _sign(key, b"\xff\xfe"),
    "claims deeply nested": lambda _token, key: _sign(key, b"[" * 2500 + b"]" * 200),
    "claims with a number of many digits": lambda _token, key: _sign(key, b'{"exp":' + b"9" * 2500 + b"}"),
    "a signature of other claims": _swapped,
    "an altered signature": lambda token, key: _altered(_sign(key, _claims(token))),
    "too long": lambda token, key: _sign(key, _claims(token, padding="x" * LONGEST)),
    "four parts": lambda token, key: _sign(key, _claims(token)) + ".x",
    "five parts": lambda _token, _key: "a.b.c.d.e",
    "two parts": lambda token, key: _sign(key, _claims(token)).rpartition(".")[0],
    "only dots": lambda _token, _key: "...",
    "two dots": lambda _token, _key: "..x",
    "blanks in it": lambda token, key: _sign(key, _claims(token)).replace(".", " . "),
}


def _other_hash(key: str, token: str, algorithm: str, hash: Any) -> str:
    signed = f"{_part({'alg': algorithm, 'typ': 'JWT'})}.{_part(_claims(token))}"
    return f"{signed}.{_base64(hmac.digest(key.encode(), signed.encode(), hash))}"


def _altered(jwt: str) -> str:
    body, _, signature = jwt.rpartition(".")
    return f"{body}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_jwt(server: LiveServer, token: str, key: str, forgery: str) -> None:
    _check_refused(server, FORGERIES[forgery](token, key))


def test_a_jwt_dies_with_its_subject(server: LiveServer) -> None:
    token = server.subject(unique("mortal"), "api:entries:read")
    jwt = server.jwt(token)
    [mortal] = [each["_id"] for each in server.admin("GET", "/subjects") if each["accessToken"] == token]
    assert _read(server, headers=_bearer(jwt)).status_code == 200
    server.admin("DELETE", f"/subjects/{mortal}")
    _check_refused(server, jwt)
    _check_refused(server, token)


def test_a_jwt_lives_as_long_as_it_is_told(lasting_server: FreshServer) -> None:
    server = lasting_server(env={"API3_JWT_LIFETIME": "2"})
    started = time.monotonic()
    client = server.client(server.subject("brief", "api:entries:read"))
    wait_until(lambda: client.get(ENTRIES).status_code != 200)  # remembered as good, but not beyond its time
    assert client.get(ENTRIES).json() == BAD_TOKEN
    assert time.monotonic() - started > 0.9  # whole seconds: the last one may have just begun


# --- Tokens, on its own -----------------------------------------------------------------------------------------------

KEY = "k" * 43
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
claim_sets = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("accessToken", "iat", "exp", "nbf", "sub", "aud", "iss", "jti", "at_hash"), json_values)
)


@given(claim_sets | json_values)
@example({"accessToken": "x", "iat": 1, "exp": float("inf")})
@example({"accessToken": "x", "iat": 1, "exp": 2**70})
@example({"accessToken": "x", "iat": 1, "exp": float("nan")})
def test_claims_of_any_kind_are_good_or_refused(claims: object) -> None:
    try:
        good = Tokens(KEY, 1).verify(_sign(KEY, claims))
    except ValueError:
        return
    assert isinstance(claims, dict)
    assert (good.access_token, good.issued, good.expires) == (claims["accessToken"], claims["iat"], claims["exp"])
    assert good.expires > time.time() - 60


@given(st.text(max_size=50) | st.lists(st.text("abcXYZ019-_=", max_size=20), min_size=3, max_size=3).map(".".join))
def test_any_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="forged"):
        Tokens(KEY, 1).verify(text)


def test_only_a_token_of_ours_counts_as_expired() -> None:
    tokens, past = Tokens(KEY, 3600), {"accessToken": "x", "iat": 1_565_039_731, "exp": 1_565_043_331}
    with pytest.raises(Expired):
        tokens.verify(_sign(KEY, past))
    with pytest.raises(ValueError, match="forged") as refused:
        tokens.verify(_sign("x" * 43, past))
    assert not isinstance(refused.value, Expired)


@pytest.mark.parametrize("length", [0, 1, 31])
def test_a_short_key_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="32"):
        Tokens("k" * length, 3600)


# --- where a credential stands ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["Bearer", "bearer", "Bearer ", "BEARER   ", "", "Basic YTpi", "Digest x", "Bearer\t", "x"])
def test_a_header_without_a_bearer_token_is_a_missing_token(server: LiveServer, header: str) -> None:
    answer = ask(server, "GET", ENTRIES, ("Date", str(now_ms())), ("Authorization", header))
    assert (answer.status, answer.json) == (401, NO_TOKEN)


def test_no_credential_or_an_empty_one_is_a_missing_token(server: LiveServer, token: str) -> None:
    for query in ("", "?token=", "?token", "?Token=x", "?access_token=x"):
        assert server.client().get(ENTRIES + query).json() == NO_TOKEN
    # Beside an empty one, the other counts.
    assert _read(server, params={"token": token}, headers={"Authorization": "Bearer"}).status_code == 200
    assert server.client(token).get(ENTRIES, params={"token": ""}).status_code == 200


def test_more_than_one_credential_is_refused(server: LiveServer, token: str) -> None:
    jwt, now = server.jwt(token), str(now_ms())
    header, date = ("Authorization", f"Bearer {jwt}"), ("Date", now)
    secret = ("api-secret", api_secret(server))
    subjects = "/api/v2/authorization/subjects"
    doubled = [
        ask(server, "GET", f"{ENTRIES}?token={token}", date, header),
        ask(server, "GET", f"{ENTRIES}?token={token}&token={token}", date),
        ask(server, "GET", f"{ENTRIES}?token={token}&to%6Ben={UNKNOWN}", date),
        ask(server, "GET", f"{ENTRIES}?token={UNKNOWN}", date, ("Authorization", "Bearer x")),
        ask(server, "GET", ENTRIES, date, header, header),
        ask(server, "GET", ENTRIES, date, header, ("authorization", "Basic YTpi")),
        ask(server, "GET", subjects, secret, header),
        ask(server, "GET", subjects, secret, secret),
        ask(server, "GET", f"{subjects}?token={token}", secret),
    ]
    assert [(answer.status, answer.json["status"]) for answer in doubled] == [(400, 400)] * len(doubled)


@pytest.mark.parametrize("name", ["Authorization", "Date", "api-secret", "Host", "Content-Length"])
def test_a_header_that_stands_once_must_not_be_repeated(server: LiveServer, token: str, name: str) -> None:
    values = {"Date": str(now_ms()), "Authorization": f"Bearer {server.jwt(token)}", "Content-Length": "0"}
    repeated = (name, values.get(name, "127.0.0.1"))
    others = [(other, value) for other, value in values.items() if other != name and other != "Content-Length"]
    assert ask(server, "GET", ENTRIES, *others, repeated, repeated).status == 400


# --- the exchange -----------------------------------------------------------------------------------------------------


def test_the_exchange(server: LiveServer) -> None:
    suffix = unique("")
    for name, permissions in (("one", ["api:entries:read"]), ("two", ["api:food:read", "api:food:create"]), ("none", [])):
        server.admin("POST", "/roles", {"name": name + suffix, "permissions": permissions})
    roles = [f"two{suffix}", "readable", f"none{suffix}", f"one{suffix}"]
    made = server.admin("POST", "/subjects", {"name": f"Exchange {suffix}", "roles": roles})
    answer = server.client().get(f"{EXCHANGE}/{made['accessToken']}")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert body.keys() == {"token", "sub", "permissionGroups", "iat", "exp"}
    assert body["sub"] == f"Exchange {suffix}"
    assert body["permissionGroups"] == [["api:food:read", "api:food:create"], ["*:*:read"], [], ["api:entries:read"]]
    assert isinstance(body["iat"], int)
    assert body["exp"] == body["iat"] + 3600


def test_the_exchange_takes_a_jwt_that_is_still_good(server: LiveServer, token: str, key: str) -> None:
    before = _sign(key, _claims(token, exp=int(time.time()) + 600))
    body = server.client().get(f"{EXCHANGE}/{before}").json()
    assert body["token"] != before
    assert body["exp"] > time.time() + 1800
    assert _read(server, headers=_bearer(body["token"])).status_code == 200


def test_the_exchange_asks_for_no_timestamp(server: LiveServer, token: str) -> None:
    assert ask(server, "GET", f"{EXCHANGE}/{token}").status == 200
    assert ask(server, "HEAD", f"{EXCHANGE}/{token}").status == 200
    assert ask(server, "GET", f"{EXCHANGE}/{token}", ("Date", "nonsense"), ("Authorization", "Bearer x")).status == 200


@pytest.mark.parametrize(
    "segment",
    [UNKNOWN, "x", "-", "%20", "%0a", "%2F", "..", "...", "a.b.c", "%F0%9F%94%91", "null", "undefined", "{}", "x" * 5000],
)
def test_the_exchange_of_what_nobody_knows(server: LiveServer, segment: str) -> None:
    answer = ask(server, "GET", f"{EXCHANGE}/{segment}")
    assert (answer.status, answer.json) == (401, REFUSED)
    assert answer.headers["cache-control"] == "no-store"


def test_the_exchange_of_the_api_secret(server: LiveServer) -> None:
    for secret in (server.secret, api_secret(server)):
        assert ask(server, "GET", f"{EXCHANGE}/{secret}", ("api-secret", api_secret(server))).json == REFUSED


# --- nothing that a client sends makes a 500 --------------------------------------------------------------------------

many = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
# What a header may hold: everything but the bytes that end it.
header_bytes = st.binary(max_size=60).filter(lambda value: not set(value) & set(b"\r\n"))


def _check_answered(answer: Reply) -> None:
    assert answer.status in (400, 401), answer
    if answer.headers.get("content-type", "").startswith("application/json"):
        assert answer.json["status"] == answer.status


@many
@given(header_bytes, st.sampled_from([b"Bearer ", b"bearer  ", b"Bearer a.b.", b""]))
@example(b"\x00", b"Bearer ")
@example(b"\xff.\xfe.\xfd", b"Bearer ")
def test_any_bytes_in_the_authorization_header(server: LiveServer, value: bytes, before: bytes) -> None:
    _check_answered(ask(server, "GET", ENTRIES, ("Date", str(now_ms())), ("Authorization", before + value)))


@many
@given(st.binary(max_size=40) | st.text(max_size=20).map(str.encode))
@example(b"\x00")
@example(b"\xed\xa0\x80")
@example("ß-0123456789abcdef".encode())
def test_any_token_in_the_query(server: LiveServer, value: bytes) -> None:
    encoded = "".join(f"%{byte:02x}" for byte in value)
    _check_answered(ask(server, "GET", f"{ENTRIES}?token={encoded}", ("Date", str(now_ms()))))
    if value.strip(b"/"):
        _check_answered(ask(server, "GET", f"{EXCHANGE}/{encoded}"))


@many
@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters="#"), max_size=60))
@example("token=%")
@example("token=%zz")
@example("&".join(f"a{number}=" for number in range(200)))
def test_any_query(server: LiveServer, query: str) -> None:
    _check_answered(ask(server, "GET", f"{ENTRIES}?{query}", ("Date", str(now_ms()))))


@many
@given(header_bytes)
@example(b"9999-12-31T24:00:00")
@example(b"Mon, 05 Aug 2019 21:44:06 +99999999999999999999")
def test_any_bytes_in_the_date_header(server: LiveServer, value: bytes) -> None:
    _check_answered(ask(server, "GET", ENTRIES, ("Date", value), ("Authorization", "Bearer x")))


@many
@given(header_bytes)
def test_any_bytes_in_the_api_secret_header(server: LiveServer, value: bytes) -> None:
    answer = ask(server, "GET", "/api/v2/authorization/subjects", ("api-secret", value))
    _check_answered(answer)
    if answer.status == 401:
        assert answer.json == REFUSED


@pytest.mark.parametrize(
    "form", ["{0}, Bearer {0}", "{0},Bearer {0}", "x, Bearer {0}", "x , {0}", "Bearer x, {0}", "{0}, Basic x"]
)
def test_several_tokens_in_one_header_are_refused(server: LiveServer, token: str, form: str) -> None:
    for secret in (token, server.jwt(token)):
        answer = _read(server, headers=_bearer(form.format(secret)))
        assert (answer.status_code, answer.json()["message"]) == (400, "More than one credential")


@pytest.mark.parametrize("form", ["Bearer {0}", "{0} {0}", "x\t{0}", "x Bearer {0}"])
def test_blanks_in_a_header_make_no_token(server: LiveServer, token: str, form: str) -> None:
    for secret in (token, server.jwt(token)):
        answer = _read(server, headers=_bearer(form.format(secret)))
        assert (answer.status_code, answer.json()) == (401, BAD_TOKEN)


@pytest.mark.parametrize("form", ["x, {0}", "x,{0}", "x, Bearer {0}"])
def test_the_last_of_several_tokens_does_not_stand_for_all(server: LiveServer, token: str, form: str) -> None:
    answer = _read(server, params={"token": form.format(token)})
    assert (answer.status_code, answer.json()) == (401, NO_TOKEN)


def test_headers_of_other_schemes_are_no_token(server: LiveServer, token: str) -> None:
    for header in (f"Basic x, Bearer {token}", f"Basic {token}", token, f"Bearer,{token}"):
        answer = _read(server, headers={"Authorization": header})
        assert (answer.status_code, answer.json()) == (401, NO_TOKEN)


def test_two_headers_are_one_too_many(server: LiveServer, token: str) -> None:
    for first, second in (("Bearer x", f"Bearer {token}"), (f"Bearer {token}", "Bearer x"), (f"Bearer {token}",) * 2):
        reply = ask(server, "GET", ENTRIES, ("Date", str(now_ms())), ("Authorization", first), ("authorization", second))
        assert (reply.status, reply.message) == (400, "Header authorization is repeated")
