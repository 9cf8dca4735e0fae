"""Sign-ins cost one hash whatever is wrong, and hashing keeps nobody else waiting."""

import asyncio
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from apiv3 import turns
from apiv3.model.errors import ServerBusy, Unauthorized
from apiv3.model.identity import Subject
from apiv3.security.accounts import passwords
from apiv3.security.accounts.passwords import Passwords
from apiv3.security.accounts.user_tokens import UserTokens, is_user_token
from apiv3.security.authors import OPERATOR
from tests.support.people import PASSWORD
from tests.support.sign_ins import opened, signing

LONG = 60.0
"""Seconds after which what is waited for will not happen any more."""


async def test_whatever_is_wrong_costs_one_hash(database_url: str) -> None:
    async with opened(database_url, delay=1) as (made, sign_in):
        await made.accounts.add("anna@x.example", "anna", ["readable"], PASSWORD, OPERATOR)
        await made.accounts.add("invited@x.example", "invited", ["readable"], None, OPERATOR)
        disabled, _ = await made.accounts.add("disabled@x.example", "disabled", ["readable"], PASSWORD, OPERATOR)
        await made.accounts.disable(disabled.subject.id, OPERATOR)
        tries = [("anna", "wrong"), ("anna", "x" * 9999), ("invited", PASSWORD), ("disabled", PASSWORD), ("nobody", PASSWORD)]
        tries += [("anna", "")] * 10  # slowed down by then
        for name, password in [*tries, ("not even ", "x")]:
            before = made.passwords.computed
            with pytest.raises(Unauthorized, match="Wrong e-mail address or password"):
                await sign_in.by_password(f"{name}@x.example", password, "192.0.2.1", "token")
            assert made.passwords.computed == before + 1, name
        before = made.passwords.computed
        person = await sign_in.by_password("anna@x.example", PASSWORD, "192.0.2.1", "token")
        assert (person.subject.name, made.passwords.computed) == ("anna", before + 1)


async def test_a_cheap_hash_is_renewed_once(database_url: str) -> None:
    async with opened(database_url) as (made, _):
        await made.accounts.add("anna@x.example", "anna", ["readable"], PASSWORD, OPERATOR)
        dearer = Passwords(5)
        renewing = signing(made, dearer, 0)

        async def stored() -> str:
            return str((await made.accounts.find("anna@x.example")).account.password)

        before = await stored()
        await asyncio.gather(*(renewing.by_password("anna@x.example", PASSWORD, "192.0.2.1", "token") for _ in range(2)))
        renewed = await stored()
        assert renewed != before
        assert not dearer.is_outdated(renewed)
        computed = dearer.computed
        await renewing.by_password("anna@x.example", PASSWORD, "192.0.2.1", "token")
        assert (await stored(), dearer.computed) == (renewed, computed + 1)


async def test_a_password_that_changed_meanwhile_is_not_renewed(database_url: str) -> None:
    async with opened(database_url) as (made, _):
        added, _code = await made.accounts.add("anna@x.example", "anna", ["readable"], PASSWORD, OPERATOR)
        changed = await made.accounts.set_password(added.subject.id, "another long secret", OPERATOR)
        await made.account_table.renew(added.account, "an old one, hashed anew")
        assert (await made.accounts.find("anna@x.example")).account.password == changed.account.password


class Gate:
    """Takes the place of bcrypt: each hash begins, and ends once the gate is open."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        """The passwords, in the order in which their hashes began."""
        self.most = 0
        """Most hashes that were under way at once."""
        self._under_way = 0
        self._changed = threading.Condition()
        self._is_open = False

    def verify(self, password: str, _hashed: str) -> bool:
        with self._changed:
            self.begun.append(password)
            self._under_way += 1
            self.most = max(self.most, self._under_way)
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: self._is_open, LONG)
            self._under_way -= 1
        return False

    async def wait_until_begun(self, number: int) -> None:
        """Wait until so many hashes have begun. The event loop goes on meanwhile."""

        def wait() -> bool:
            with self._changed:
                return self._changed.wait_for(lambda: len(self.begun) >= number, LONG)

        assert await asyncio.to_thread(wait)

    def open(self) -> None:
        with self._changed:
            self._is_open = True
            self._changed.notify_all()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate()
    monkeypatch.setattr(passwords, "bcrypt_sha256", gate)
    yield gate
    gate.open()


def asked(hashing: Passwords, callers: Iterable[str]) -> list[asyncio.Task[bool]]:
    """Each caller has a password checked that is its own name."""
    return [asyncio.create_task(hashing.verify(caller, "a hash", caller)) for caller in callers]


async def test_at_most_two_are_hashed_at_once_and_the_loop_goes_on(gate: Gate) -> None:
    hashing = Passwords(4)
    work = asked(hashing, map(str, range(20)))
    await gate.wait_until_begun(2)
    assert hashing.computed == 2
    gate.open()  # nobody could, if hashing held up the loop
    assert await asyncio.gather(*work) == [False] * 20
    assert (hashing.computed, gate.most) == (20, 2)


async def test_who_waits_too_long_is_told_to_come_back(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "PATIENCE", 0.01)
    first, another, *others = asked(Passwords(4), ("one", "another", *["one"] * 4))
    refused = await asyncio.gather(*others, return_exceptions=True)
    assert [type(each) for each in refused] == [ServerBusy] * 4
    gate.open()
    assert not any(await asyncio.gather(first, another))


async def test_callers_take_turns(gate: Gate) -> None:
    """Whoever asks fifty times delays only itself."""
    work = asked(Passwords(4), ["many"] * 50 + ["one"])
    await gate.wait_until_begun(2)
    assert sorted(gate.begun) == ["many", "one"]
    gate.open()
    await asyncio.gather(*work)


def test_the_list_of_common_passwords_is_there(tmp_path: Path) -> None:
    started = time.monotonic()
    assert len(passwords._common()) > 20_000
    assert time.monotonic() - started < 30


def test_every_token_has_the_form_of_one() -> None:
    """Whatever the person's id begins with: it decides how the token begins."""
    signer = UserTokens("k" * 32, 60)
    for first in "0123456789abcdef":
        token = signer.sign(Subject(first * 24, "somebody", (), nonce="n" * 43))
        assert is_user_token(token), token
        assert signer.read(token).id == first * 24
