"""Guessing is slow, whoever guesses and whatever is guessed at; those who know pay nothing for those who guess."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from apiv3.model.errors import BadToken, MissingToken, TooManyRequests
from apiv3.model.identity import Subject
from apiv3.security import throttle as module
from apiv3.security.addresses import network
from apiv3.security.authenticator import Authenticator
from apiv3.security.credentials import Credential, Source
from apiv3.security.policy import Policies
from apiv3.security.throttle import MEMORY, MOST_FAILURES, MOST_WAITING, Throttle
from apiv3.security.tokens import Tokens
from apiv3.security.verifiers.access_token import AccessTokenVerifier
from apiv3.security.verifiers.jwt import JwtVerifier
from apiv3.storage.contracts import Policy, PolicyStore
from tests.support.factories import FreshServer
from tests.support.server import LiveServer
from tests.support.wire import Line, now_ms, request, unique

HERE, THERE = "192.0.2.1", "198.51.100.1"
ENTRIES = "/api/v3/entries"


class Clock:
    """A clock that goes only when it is told to, and remembers for how long it was asked to wait."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits: list[float] = []
        self.held: asyncio.Event | None = None

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        if self.held is not None:
            await self.held.wait()

    def hold(self) -> asyncio.Event:
        """Whoever waits from now on waits until the event is set."""
        self.held = asyncio.Event()
        return self.held


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(module, "asyncio", SimpleNamespace(sleep=clock.sleep))
    return clock


@pytest.fixture
def throttle(clock: Clock) -> Throttle:
    return Throttle(delay=5000)


# --- counting ---------------------------------------------------------------------------------------------------------


async def test_each_failure_slows_the_next_one_down(throttle: Throttle, clock: Clock) -> None:
    for guess in range(5):
        await throttle.fail(HERE, f"guess {guess}")
    assert clock.waits == [5, 10, 15, 20]


async def test_addresses_are_counted_separately(throttle: Throttle, clock: Clock) -> None:
    for guess in range(3):
        await throttle.fail(HERE, f"here {guess}")
        await throttle.fail(THERE, f"there {guess}")
    assert clock.waits == [5, 5, 10, 10]


async def test_a_credential_is_counted_wherever_it_comes_from(throttle: Throttle, clock: Clock) -> None:
    for last in range(4):
        await throttle.fail(f"192.0.2.{last}", "the same guess")
    assert clock.waits == [5, 10, 15]
    await throttle.fail("192.0.2.200", "another guess")
    assert clock.waits == [5, 10, 15]


async def test_the_greater_count_decides(throttle: Throttle, clock: Clock) -> None:
    for guess in range(3):
        await throttle.fail(HERE, f"guess {guess}")
    await throttle.fail(THERE, "guess 0")
    await throttle.fail(HERE, "guess 0")
    assert clock.waits == [5, 10, 5, 15]


async def test_failures_age_out_within_a_minute(throttle: Throttle, clock: Clock) -> None:
    await throttle.fail(HERE, "one")
    clock.now += MEMORY - 1
    await throttle.fail(HERE, "two")
    assert clock.waits == [5]
    clock.now += MEMORY
    await throttle.fail(HERE, "three")
    await throttle.fail(THERE, "two")
    assert clock.waits == [5]
    assert MEMORY <= 60


async def test_a_wait_is_never_longer_than_a_minute(throttle: Throttle, clock: Clock) -> None:
    for _ in range(100):
        await throttle.fail(HERE, "guess")
    assert max(clock.waits) <= 60


async def test_a_good_credential_clears_its_own_count_only(throttle: Throttle, clock: Clock) -> None:
    for secret in ("good", "bad", "bad", "good"):
        await throttle.fail(HERE, secret)
    assert clock.waits == [5, 10, 15]
    throttle.clear("good")
    await throttle.fail(THERE, "good")  # from elsewhere, where only the credential counts
    assert clock.waits == [5, 10, 15]
    await throttle.fail("203.0.113.1", "bad")
    await throttle.fail(HERE, "another")
    assert clock.waits == [5, 10, 15, 10, 20]


async def test_no_delay_means_no_wait(clock: Clock) -> None:
    off = Throttle(delay=0)
    for _ in range(10):
        await off.fail(HERE, "guess")
    assert clock.waits == []


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        # one host of IPv6 can choose among the addresses of a /64
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:0:ffff:ffff:ffff:ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("", "", True),
        ("nonsense", "192.0.2.1", False),
    ],
)
def test_what_counts_as_one_place(one: str, other: str, same: bool) -> None:
    assert (network(one) == network(other)) is same


async def test_nothing_is_remembered_in_clear(throttle: Throttle) -> None:
    await throttle.fail(HERE, "a guess that is nearly right")
    assert "nearly right" not in repr(vars(throttle))


# --- bounds -----------------------------------------------------------------------------------------------------------


async def test_an_address_that_failed_too_often_is_refused_before_anything_is_verified(
    throttle: Throttle, clock: Clock
) -> None:
    for guess in range(MOST_FAILURES):
        throttle.check(HERE, f"guess {guess}")
        await throttle.fail(HERE, f"guess {guess}")
    with pytest.raises(TooManyRequests) as refused:
        throttle.check(HERE, "the next one may be right")
    assert int(dict(refused.value.headers)["Retry-After"]) == 61
    throttle.check(THERE, "the next one may be right")
    clock.now += MEMORY
    throttle.check(HERE, "the next one may be right")


async def test_what_was_good_is_verified_wherever_it_comes_from(throttle: Throttle) -> None:
    throttle.clear("good")
    for guess in range(MOST_FAILURES):
        await throttle.fail(HERE, f"guess {guess}")
    throttle.check(HERE, "good")
    await throttle.fail(HERE, "good")  # its subject is gone
    with pytest.raises(TooManyRequests):
        throttle.check(HERE, "good")


async def test_nothing_is_kept_of_the_refused(throttle: Throttle, clock: Clock) -> None:
    for guess in range(MOST_FAILURES):
        await throttle.fail(HERE, f"guess {guess}")
    before = dict(throttle._failures)
    for guess in range(1000):
        clock.now += 0.01
        with pytest.raises(TooManyRequests):
            throttle.check(HERE, f"another guess {guess}")
    assert throttle._failures == before


async def test_no_delay_means_no_refusal(clock: Clock) -> None:
    off = Throttle(delay=0)
    for guess in range(3 * MOST_FAILURES):
        off.check(HERE, f"guess {guess}")
        await off.fail(HERE, f"guess {guess}")
    assert not off._failures


async def test_those_who_wait_are_bounded_over_all_addresses(throttle: Throttle, clock: Clock) -> None:
    await throttle.fail(HERE, "guess")
    release = clock.hold()
    addresses = [f"10.0.{number}.1" for number in range(MOST_WAITING)]
    waiting = [asyncio.create_task(throttle.fail(address, "guess")) for address in addresses]
    await asyncio.sleep(0)
    with pytest.raises(TooManyRequests):
        await throttle.fail("10.1.0.1", "guess")
    release.set()
    await asyncio.gather(*waiting)
    await throttle.fail("10.1.0.1", "guess")


async def test_who_goes_away_waits_no_more(throttle: Throttle, clock: Clock) -> None:
    await throttle.fail(HERE, "first")
    clock.hold()
    for number in range(2 * MOST_WAITING):
        task = asyncio.create_task(throttle.fail(HERE, f"guess {number}"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_full_table_forgets_the_oldest(throttle: Throttle, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST_TABLE", 100)
    for number in range(1000):  # two lines for each: the address and the credential
        await throttle.fail(f"10.0.{number // 250}.{number % 250}", f"guess {number}")
    assert len(throttle._failures) == 100
    assert clock.waits == []  # a first mistake is answered at once, however many others made one
    await throttle.fail("10.0.3.249", "the latest is remembered")
    assert clock.waits == [5]
    clock.now += MEMORY + 1
    await throttle.fail(HERE, "a minute later")
    assert len(throttle._failures) == 2


def test_what_is_remembered_as_good_is_bounded(throttle: Throttle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_GOOD", 10)
    for number in range(100):
        throttle.clear(f"good {number}")
    assert len(throttle._good) == 10


# --- what counts as a failure -----------------------------------------------------------------------------------------


class Recorder(Throttle):
    """Writes down whom it was told of."""

    def __init__(self) -> None:
        super().__init__(delay=0)
        self.failed: list[str] = []
        self.cleared: list[str] = []

    async def fail(self, address: str, secret: str) -> None:  # noqa: ARG002
        self.failed.append(secret)

    def clear(self, secret: str) -> None:
        self.cleared.append(secret)


class Store:
    """A policy with one subject."""

    async def load(self) -> Policy:
        return Policy(1, (Subject("5f2b0a7e1c9d440000abcdef", "reader", ("readable",)),), ())


KEY = "k" * 43
GOOD = "reader-753e836ea7710f51"
NOW = int(time.time())


@pytest.fixture
async def identify() -> Any:
    """Asks who has a secret; `identify.throttle` is what the throttle was told."""
    policies = Policies(cast("PolicyStore", Store()), "a secret of the field")
    await policies.refresh()
    recorder = Recorder()
    verifiers = (JwtVerifier(Tokens(KEY, 3600), policies), AccessTokenVerifier(policies))
    authenticator = Authenticator(verifiers, recorder, policies)

    async def ask(secret: str, source: Source = "header") -> str | None:
        return (await authenticator.identify(Credential(secret, source, HERE))).principal.name

    return SimpleNamespace(ask=ask, throttle=recorder)


async def test_a_bad_credential_counts(identify: Any) -> None:
    for secret in ("nobody-0123456789abcdef", "a.b.c", Tokens("x" * 43, 3600).sign(GOOD, NOW)[0]):
        with pytest.raises(BadToken):
            await identify.ask(secret)
        with pytest.raises(MissingToken):
            await identify.ask(secret, "query")
        assert identify.throttle.failed == [secret, secret]
        identify.throttle.failed.clear()
    assert identify.throttle.cleared == []


async def test_an_expired_jwt_does_not_count(identify: Any) -> None:
    expired, _ = Tokens(KEY, 3600).sign(GOOD, NOW - 7200)
    with pytest.raises(BadToken):
        await identify.ask(expired)
    assert identify.throttle.failed == []


async def test_an_expired_jwt_that_is_forged_counts(identify: Any) -> None:
    forged, _ = Tokens("x" * 43, 3600).sign(GOOD, NOW - 7200)
    with pytest.raises(BadToken):
        await identify.ask(forged)
    assert identify.throttle.failed == [forged]


async def test_a_good_credential_clears_itself(identify: Any) -> None:
    jwt, _ = Tokens(KEY, 3600).sign(GOOD, NOW)
    assert [await identify.ask(GOOD), await identify.ask(jwt)] == ["reader", "reader"]
    assert identify.throttle.cleared == [GOOD, jwt]
    assert identify.throttle.failed == []


# --- over the wire ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def quick(lasting_server: FreshServer) -> LiveServer:
    """A server on which each failure costs the next one 0.2 s; it believes whom we say to speak for."""
    return lasting_server(env={"AUTH_FAIL_DELAY": "200", "TRUSTED_PROXIES": "127.0.0.1"})


@pytest.fixture
def slow(fresh_server: FreshServer) -> Iterator[LiveServer]:
    """A server on which whoever waits waits for longer than a test does; so it is killed in the end."""
    server = fresh_server(env={"AUTH_FAIL_DELAY": "60000", "TRUSTED_PROXIES": "127.0.0.1"})
    yield server
    server.kill()


def _guess(server: LiveServer, address: str, secret: str) -> httpx.Response:
    headers = {"X-Forwarded-For": address, "Authorization": f"Bearer {secret}".rstrip()}
    return server.client().get(ENTRIES, headers=headers)


def _took(work: Any, *arguments: Any) -> float:
    started = time.monotonic()
    work(*arguments)
    return time.monotonic() - started


def test_delays_add_up_for_an_address(quick: LiveServer) -> None:
    _guess(quick, "203.0.113.1", unique("guess"))
    for failures in (1, 2, 3):
        assert _took(_guess, quick, "203.0.113.1", unique("guess")) >= failures * 0.2 - 0.01


def test_delays_add_up_for_a_credential_over_all_ways_in(quick: LiveServer) -> None:
    guess = unique("guess")
    _guess(quick, "203.0.113.10", guess)
    assert _took(_guess, quick, "203.0.113.11", guess) >= 0.19
    assert _took(quick.client().get, f"/api/v2/authorization/request/{guess}") >= 0.39
    assert (
        _took(
            quick.client().get,
            f"{ENTRIES}?token={guess}",
        )
        >= 0.59
    )


def test_an_address_that_somebody_claims_is_not_counted(quick: LiveServer, proxy: str) -> None:
    """Only a trusted proxy says for whom it speaks: another one does not get rid of its failures by inventing addresses."""
    with httpx.Client(
        base_url=quick.url, transport=httpx.HTTPTransport(verify=False, local_address=proxy), trust_env=False
    ) as stranger:

        def guess(claimed: str) -> None:
            headers = {"X-Forwarded-For": claimed, "Authorization": f"Bearer {unique('guess')}", "Date": str(now_ms())}
            assert stranger.get(ENTRIES, headers=headers).status_code == 401

        guess("203.0.113.31")
        assert _took(guess, "203.0.113.32") >= 0.19
        assert _took(guess, "203.0.113.33") >= 0.39


def test_api_secret_is_guessed_at_as_slowly(quick: LiveServer) -> None:
    def guess() -> None:
        headers = {"X-Forwarded-For": "203.0.113.20", "api-secret": unique("guess")}
        assert quick.client().get("/api/v2/authorization/subjects", headers=headers).status_code == 401

    guess()
    assert _took(guess) >= 0.19


def test_who_knows_does_not_wait_for_who_guesses(slow: LiveServer) -> None:
    """One address, one minute of waiting for each guess: none of the good answers below would come in time."""
    token, address = slow.subject("reader", "api:entries:read"), "203.0.113.1"
    client = slow.client(token)
    client.headers["X-Forwarded-For"] = address
    jwt = client.headers["Authorization"].partition(" ")[2]
    assert _guess(slow, address, "first").status_code == 401  # nobody failed before it
    with Line(slow) as line:
        headers = (("X-Forwarded-For", address), ("Date", str(now_ms())), ("Authorization", "Bearer second"))
        line.send(request("GET", ENTRIES, *headers))
        assert client.get(ENTRIES).status_code == 200
        assert client.get(ENTRIES, params={"token": token}, headers={"Authorization": ""}).status_code == 200
        assert client.get(f"/api/v2/authorization/request/{jwt}").status_code == 200
        # What does not count does not wait either.
        assert client.get(ENTRIES, headers={"Authorization": "Bearer"}).status_code == 401
        assert client.get("/api/v3/version", headers={"Authorization": "Bearer x"}).status_code == 200
        assert _guess(slow, "203.0.113.2", "elsewhere").status_code == 401


def test_an_expired_jwt_and_an_empty_header_do_not_count_over_the_wire(slow: LiveServer) -> None:
    token, address = slow.subject("reader", "api:entries:read"), "203.0.113.1"
    key = (slow.installation.data / "jwt_key").read_text().strip()
    expired, _ = Tokens(key, 3600).sign(token, int(time.time()) - 7200)
    for _ in range(3):
        assert _guess(slow, address, expired).json()["message"] == "Bad access token or JWT"
        assert _guess(slow, address, "").json()["message"] == "Missing or bad access token or JWT"
    assert _guess(slow, address, "the first that counts").status_code == 401


def test_too_many_failures_are_told_to_come_back(slow: LiveServer) -> None:
    token, address = slow.subject("reader", "api:entries:read"), "203.0.113.1"
    client = slow.client(token)
    with ExitStack() as lines:
        for number in range(MOST_FAILURES + 10):  # whatever their order, there will be enough of them
            headers = (("X-Forwarded-For", address), ("Date", str(now_ms())), ("Authorization", f"Bearer guess{number}"))
            lines.enter_context(Line(slow)).send(request("GET", ENTRIES, *headers))
        answer = _guess(slow, address, "one more")
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) > 0
        assert answer.json()["status"] == 429
        client.headers["X-Forwarded-For"] = address
        assert client.get(ENTRIES).status_code == 200
