"""Failed sign-ins delay the next attempts, for the account and for the address; what has ended or expired begins nothing."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext

import pytest

from apiv3.installation import Installation
from apiv3.model.audit import Actor, Entry
from apiv3.model.errors import Forbidden, SignInNeeded, Unauthorized
from apiv3.model.sessions import Session, Started, Visitor
from apiv3.security.accounts import sign_in as module
from apiv3.security.accounts.sign_in import FREE, SignIn
from apiv3.security.accounts.user_tokens import UserTokens
from apiv3.security.authors import OPERATOR
from apiv3.security.credentials import Credential
from apiv3.security.verifiers.user_token import UserTokenVerifier
from apiv3.storage.failures import FailureTable
from tests.support.people import PASSWORD
from tests.support.sign_ins import opened

ANNA, BEN = "anna@x.example", "ben@x.example"
ELSEWHERE = "203.0.113.1"
DELAY = 100
"""Ms for each failure."""
TRIES = FREE + 3


async def people(made: Installation) -> None:
    for email in (ANNA, BEN):
        await made.accounts.add(email, email, ["readable"], PASSWORD, OPERATOR)


async def of_many_addresses(sign_in: SignIn, number: int) -> None:
    """A guess for one account, from an address of its own."""
    await sign_in.by_password(ANNA, "a guess", f"198.51.{number}.1", "token")


async def of_many_accounts(sign_in: SignIn, number: int) -> None:
    """A guess for an account of its own, from one address."""
    await sign_in.by_password(f"anna.{number}@x.example", "a guess", "192.0.2.1", "token")


async def of_passkeys(sign_in: SignIn, _number: int) -> None:
    await sign_in.by_passkey(None, "sign-in", "", "192.0.2.1")


@pytest.mark.parametrize(
    ("guess", "email", "address"),
    [(of_many_addresses, ANNA, ELSEWHERE), (of_many_accounts, BEN, "192.0.2.1"), (of_passkeys, BEN, "192.0.2.1")],
)
async def test_guesses_add_up(
    database_url: str, guess: Callable[[SignIn, int], Awaitable[None]], email: str, address: str
) -> None:
    """Those for one account, wherever they come from, and those from one address, whomever they are for."""
    async with opened(database_url, DELAY) as (made, sign_in):
        await people(made)
        for number in range(TRIES):
            with pytest.raises(Unauthorized):
                await guess(sign_in, number)
        started = time.monotonic()
        await sign_in.by_password(email, PASSWORD, address, "token")
        assert time.monotonic() - started >= (TRIES - FREE) * DELAY / 1000


async def test_the_right_password_forgives_the_mistakes_for_the_account(database_url: str) -> None:
    async with opened(database_url) as (made, sign_in):
        await people(made)
        for email in (ANNA, ANNA, BEN):
            with pytest.raises(Unauthorized):
                await sign_in.by_password(email, "a mistake", "192.0.2.1", "token")
        await sign_in.by_password(ANNA, PASSWORD, ELSEWHERE, "token")
        counted = await made.database.fetch("SELECT number FROM failures ORDER BY number")
        assert [number for (number,) in counted] == [1, 3]  # those for Ben, and those from the address


async def test_a_person_proves_who_they_are_with_their_own_password(database_url: str) -> None:
    """Ben's password proves nothing about Anna, even if her address has become his a moment ago."""
    async with opened(database_url) as (made, sign_in):
        await people(made)
        anna, ben = await made.accounts.find(ANNA), await made.accounts.find(BEN)
        with pytest.raises(Unauthorized):
            await sign_in.by_password(BEN, PASSWORD, ELSEWHERE, "confirmation", anna.subject.id)
        assert await sign_in.by_password(BEN, PASSWORD, ELSEWHERE, "confirmation", ben.subject.id) == ben


async def test_no_delay_is_longer_than_the_longest(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_DELAY", 0.01)
    async with opened(database_url, delay=10**9) as (made, sign_in), asyncio.timeout(60):
        await people(made)
        for number in range(TRIES):
            with pytest.raises(Unauthorized):
                await of_many_addresses(sign_in, number)
        await sign_in.by_password(ANNA, PASSWORD, ELSEWHERE, "token")


async def test_failures_are_forgotten_after_a_while(database_url: str) -> None:
    async with opened(database_url) as (made, _):
        table = FailureTable(made.database)
        for moment in (1000, 2000, 3000):
            await table.failed(("account", "address"), moment - 1500, Entry(moment, Actor(None, "x", "y"), "sign-in", None))
        assert await table.count(("account", "other"), 0) == 3
        assert await table.count(("account",), 3001) == 0
        await table.failed(("new",), 9000, Entry(9999, Actor(None, "x", "y"), "sign-in", None))
        assert await table.count(("account", "address"), 0) == 0  # pruned
        assert await table.count(("new",), 0) == 1
        await table.forget("new")
        assert await table.count(("new",), 0) == 0


async def test_an_invitation_is_good_for_72_hours(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(database_url) as (made, _):
        invited, code = await made.accounts.add(ANNA, "anna", ["readable"], None, OPERATOR)
        assert code is not None
        begun, hours = time.time_ns(), 3600 * 10**9
        monkeypatch.setattr(time, "time_ns", lambda: begun + 72 * hours - 10**9)
        assert await made.accounts.check_invitation(code) == invited
        monkeypatch.setattr(time, "time_ns", lambda: begun + 72 * hours)
        with pytest.raises(Forbidden):
            await made.accounts.check_invitation(code)
        with pytest.raises(Forbidden):
            await made.accounts.accept(code, PASSWORD, Visitor("192.0.2.1", "Firefox"))
        assert await made.accounts.find(ANNA) == invited


async def a_new_password(made: Installation, session: Session) -> Started:
    return await made.accounts.change_password(session, "another long secret", OPERATOR)


async def the_end_of_the_others(made: Installation, session: Session) -> Started:
    return await made.accounts.sign_out_elsewhere(session, OPERATOR)


async def a_confirmation(made: Installation, session: Session) -> Started:
    return await made.logins.confirm(session, await made.accounts.find(session.subject))


@pytest.mark.parametrize("go_on", [a_new_password, the_end_of_the_others, a_confirmation])
async def test_a_session_that_has_ended_meanwhile_does_not_go_on(
    database_url: str, go_on: Callable[[Installation, Session], Awaitable[Started]]
) -> None:
    """The form was sent in time, and the session ended before it took effect: nothing is changed."""
    async with opened(database_url) as (made, _):
        await people(made)
        anna = await made.accounts.find(ANNA)
        session = (await made.logins.begin(anna, "password", Visitor("192.0.2.1", "Firefox"))).session
        assert await made.logins.end([session.id], "sign-out", anna, OPERATOR) == 1
        with pytest.raises(SignInNeeded):
            await go_on(made, session)
        assert await made.accounts.find(ANNA) == anna
        assert await made.logins.of(anna) == []


@pytest.mark.parametrize(("ahead", "good"), [(8, True), (13, False)])
async def test_a_token_from_the_future_is_refused(
    database_url: str, monkeypatch: pytest.MonkeyPatch, ahead: int, good: bool
) -> None:
    """The clock of another process may be ten seconds ahead, and not more."""
    async with opened(database_url) as (made, _):
        await people(made)
        anna, tokens, now = await made.accounts.find(ANNA), UserTokens("k" * 32, 60), time.time()
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda: now + ahead)
            credential = Credential(tokens.sign(anna.subject), "header", "192.0.2.1")
        verifier = UserTokenVerifier(tokens, made.policies)
        with nullcontext() if good else pytest.raises(ValueError, match="future"):
            verifier.verify(credential)
