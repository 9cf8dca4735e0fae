"""What the log shows of paths and queries: as they were sent, and no secret, however it is spelled and wherever it stands."""

import time
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiv3.model.identity import Subject
from apiv3.security.accounts.user_tokens import UserTokens
from apiv3.security.secrets import mint, sha1
from apiv3.security.tokens import Tokens
from apiv3.web.redaction import redacted

TOKEN = "reader-753e836ea7710f51"
DIGEST = sha1("a secret of the field")
JWT = Tokens("k" * 43, 3600).sign(TOKEN, 1_700_000_000)[0]
USER = UserTokens("k" * 43, 3600).sign(Subject("0123456789abcdef01234567", "anna", (), nonce=mint(), is_person=True))
CODE = "xIP8XoDTWyuCxZF_fNmEjcfEwbH8sB2M9q_bPE1aN1E"
SECRETS = (
    USER,
    CODE,
    TOKEN,
    TOKEN[-16:],
    f"x{TOKEN[-16:]}",
    DIGEST,
    DIGEST.upper(),
    JWT,
    JWT.rpartition(".")[0],
    JWT.split(".")[1],
)
PLACES = (
    "/{}",
    "/api/v3/entries/{}",
    "/api/v2/authorization//request/{}",
    "/api/v2/authorization/requests/{}",
    "/api/v2/authorisation/request/{}/x",
    "/API/v2/Authorization/Request/{}",
    "/api/v2/request/{}",
    "/api/v3/entries;x={}",
    "/x?{}",
    "/x?{}=1",
    "/x?unknown={}",
    "/x?a=1;unknown={}&b=2",
    "/x?note$re=before{}.",
    "/x?a={},b",
    "/x?token={}",
    "/x?to%256ben={}",
)


def _shown(target: str) -> str:
    return redacted([target.encode("latin-1")])[0]


def _plain(text: str) -> str:
    for _ in range(20):
        text = unquote(text, "latin-1")
    return text


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_is_masked_wherever_it_stands(place: str, secret: str) -> None:
    shown = _shown(place.replace("{}", secret))
    assert "***" in shown
    assert secret[-16:] not in shown


@pytest.mark.parametrize(
    "target",
    [
        *("/api/v2/authorization/request/{}", "/api/v2/authorization//requests/{}", "/API/V2/Authorisation/req/{}"),
        *("/invitation/{}", "/Invitations/{}", "/api/v2/%61uthorization/request/{}"),
        *("/x?sid={}", "/x?access_token={}", "/x?client_secret={}", "/x?passwort={}", "/x?a=1&PWD={}", "/x?code={}"),
        *("/x?api-key={}", "/x?jwt={}", "/x?bearer={}", "/x?authorization={}", "/x?a=1;credentials={}", "/x?%73id={}"),
    ],
)
def test_a_short_secret_is_masked_by_its_place_or_name(target: str) -> None:
    assert "hunter-2" not in _plain(_shown(target.replace("{}", "hunter-2")))


def test_a_short_part_of_a_jwt_is_masked_by_its_form() -> None:
    secret = JWT.split(".")[1][:30]
    for place in PLACES[:2] + PLACES[7:]:
        assert secret[-8:] not in _shown(place.replace("{}", secret))


@pytest.mark.parametrize("secret", [TOKEN, DIGEST, JWT, USER, CODE])
@pytest.mark.parametrize("dash", ["%2D", "%2d", "%252D", "%25252d", "%25%32%44", "%2%35" + "2D"])
def test_a_secret_that_is_encoded_is_masked(secret: str, dash: str) -> None:
    for place in PLACES:
        target = place.replace("{}", secret.replace("-", dash).replace(".", "%2E"))
        assert secret[-16:] not in _plain(_shown(target))


@given(st.sampled_from(SECRETS), st.sampled_from(PLACES), st.data())
def test_any_spelling_of_a_secret_is_masked(secret: str, place: str, data: st.DataObject) -> None:
    spelled = secret
    for _ in range(data.draw(st.integers(0, 4))):
        chosen = data.draw(st.lists(st.booleans(), min_size=len(spelled), max_size=len(spelled)))
        spelled = "".join(f"%{ord(mark):02x}" if yes else mark for mark, yes in zip(spelled, chosen, strict=True))
    shown = _plain(_shown(place.replace("{}", spelled)))
    assert secret[-16:].lower() not in shown.lower()


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/api/v3/entries?limit=3&sort$desc=date&date$gte=1600000000000",
        "/api/v3/entries?sort%24desc=date&now=1700000000000",
        "/api/v3/entries/5f2b0a7e1c9d440000abcdef",
        "/api/v3/entries/6a3ee4b8-2d6e-5a4b-9b1b-0e6f1d2c3b4a",
        "/api/v3/entries/d3b07384d113edec49eaa6238ad5ff00",
        "/api/v3/treatments/a%2Fb%20c",
        "/api/v2/authorization/subjects/5f2b0a7e1c9d440000abcdef",
        "/api/v3/entries/2026-11-27T09:15:02.318Z-and-a-long-name-of-an-entry",
        "/api/v3/entries?fields=identifier,date,sgv&created_at$gte=2026-11-27T09:15:02.318Z",
        "/100%25",
        "/a%zz?%",
        "/api/v3/entries?note$re=eyJ",
    ],
)
def test_what_is_no_secret_is_shown_as_it_was_sent(target: str) -> None:
    assert _shown(target) == target


@given(st.lists(st.binary(max_size=200)))
def test_any_requests_can_be_shown(targets: list[bytes]) -> None:
    assert len(redacted(targets)) == len(targets)


@pytest.mark.parametrize("secret", [None, *SECRETS])
def test_a_secret_in_one_request_of_many_is_masked(secret: str | None) -> None:
    """Whichever it is: most are written together, and looked at together."""
    harmless = [f"/api/v3/entries/{number}?count={number}".encode() for number in range(3)]
    for at in range(3):
        targets = list(harmless)
        if secret is not None:
            targets[at] = f"/api/v3/entries/{secret}".encode()
        shown = redacted(targets)
        assert [each for number, each in enumerate(shown) if number != at] == [
            each.decode() for number, each in enumerate(harmless) if number != at
        ]
        assert secret is None or secret not in shown[at]


@pytest.mark.parametrize("spelt", ["correct horse", "correct+horse", "correct%20horse", "%63orrect+horse"])
def test_a_secret_without_a_form_is_masked(spelt: str) -> None:
    targets = [b"/x", f"/y?z={spelt}".encode()]
    shown = redacted(targets, b"correct horse")
    assert shown[0] == "/x"
    assert "horse" not in shown[1]


@pytest.mark.parametrize(
    "unit",
    ["a", "0", "%", "%25", "%2D", "%2525", "&", ";", "a=1&", "/", "/%2D", "eyJ", "authori", "authori/req", "authorireq/", "."],
)
def test_what_is_long_is_shown_in_no_time(unit: str) -> None:
    """A bound on work: ten times as much text takes about ten times as long, whatever it is made of."""
    text = (unit * 200_000)[:160_000].encode()
    started = time.process_time()
    redacted([b"/" + text + b"?" + text])
    assert time.process_time() - started < 1.0
