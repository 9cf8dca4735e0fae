"""Passkeys: what is accepted from an authenticator, and what never is, on both databases and over processes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from apiv3.installation import Installation
from apiv3.model.accounts import Person
from apiv3.model.audit import Action, Entry, Search
from apiv3.model.errors import BadRequest, Conflict, NotFound
from apiv3.model.passkeys import Passkey, Purpose
from apiv3.security.accounts import challenges, passkeys
from apiv3.security.accounts.challenges import Challenges
from apiv3.security.accounts.passkeys import PasskeyRefused, Passkeys
from apiv3.security.accounts.relying_party import NO_NAME, NO_TLS, RelyingParty
from apiv3.security.accounts.sign_in import SignIn
from apiv3.security.authors import OPERATOR
from apiv3.settings import load
from apiv3.storage import schema
from apiv3.storage.failures import FailureTable
from apiv3.storage.passkeys import PasskeyTable
from tests.support.authenticator import PRESENT, VERIFIED, Authenticator, encoded
from tests.support.people import PASSWORD

URL = "https://data.example.org:8443/path"
ORIGIN = "https://data.example.org:8443"
SESSION = "the session of a person"


class Process:
    """What one process of a server does with passkeys."""

    def __init__(self, made: Installation) -> None:
        self.made = made
        self.passkeys = Passkeys(PasskeyTable(made.database), RelyingParty(URL), Challenges("k" * 32))
        failures = FailureTable(made.database)
        self._signing = SignIn(made.account_table, failures, made.passwords, self.passkeys, 0)

    async def person(self, name: str = "anna") -> Person:
        added, _ = await self.made.accounts.add(f"{name}@x.example", name, ["readable"], PASSWORD, OPERATOR)
        return added

    async def add(self, person: Person, device: Authenticator, name: str = "phone") -> Passkey:
        options = await self.passkeys.creation_options(person, SESSION)
        return await self.passkeys.add(person.subject.id, device.create(options), name, SESSION, OPERATOR)

    def asked(self, purpose: Purpose = "sign-in", owner: str = "") -> dict[str, Any]:
        return self.passkeys.request_options(purpose, owner)

    async def sign_in(self, answer: object, purpose: Purpose = "sign-in", owner: str = "") -> Person:
        return await self._signing.by_passkey(answer, purpose, owner, "192.0.2.1")

    async def trail(self, action: Action) -> list[Entry]:
        return list(await self.made.audit.find(Search(action=action)))

    async def refuses(self, answer: object, reason: str, **options: Any) -> None:
        """It is refused with the one message; the audit trail knows the reason."""
        with pytest.raises(PasskeyRefused, match="This passkey is not accepted"):
            await self.sign_in(answer, **options)
        last = (await self.trail("sign-in"))[-1]
        assert (last.outcome, last.actor.way, last.actor.address) == ("failure", "passkey", "192.0.2.1")
        assert reason in str(last.details["reason"])


@asynccontextmanager
async def processes(url: str, number: int = 1) -> AsyncIterator[list[Process]]:
    await asyncio.to_thread(schema.upgrade, url)
    settings = load(database_url=url, api_secret=SecretStr("x" * 12), password_rounds=4)
    opened = [Installation(settings) for _ in range(number)]
    try:
        for each in opened:
            await each.open()
        yield [Process(each) for each in opened]
    finally:
        for each in opened:
            await each.database.disconnect()


def device(**options: Any) -> Authenticator:
    return Authenticator(ORIGIN, **options)


async def test_a_passkey_is_added_and_signs_in(database_url: str) -> None:
    async with processes(database_url) as [server]:
        anna, phone = await server.person(), device()
        options = await server.passkeys.creation_options(anna, SESSION)
        assert options["rp"]["id"] == "data.example.org"
        assert options["authenticatorSelection"]["residentKey"] == "required"
        assert options["authenticatorSelection"]["userVerification"] == "required"
        assert (options["user"]["name"], options["user"]["displayName"]) == ("anna@x.example", "anna")
        added = await server.add(anna, phone, "  my phone ")
        assert (added.name, added.last_used) == ("my phone", None)
        person = await server.sign_in(phone.get(server.asked()))
        assert person.subject.name == "anna"
        [stored] = await server.passkeys.all(anna.subject.id)
        assert stored.counter == 1
        assert stored.last_used is not None
        [entry] = await server.trail("passkey-added")
        assert (entry.target and entry.target.name, entry.details) == ("anna", {"passkey": "my phone"})
        excluded = (await server.passkeys.creation_options(anna, SESSION))["excludeCredentials"]
        assert [each["id"] for each in excluded] == [encoded(phone.id)]


async def test_the_options_are_the_same_for_everybody(database_url: str) -> None:
    async with processes(database_url) as [server]:
        before = server.asked()
        await server.add(await server.person(), device())
        after = server.asked()
        assert before.pop("challenge") != after.pop("challenge")
        assert before == after
        assert before["allowCredentials"] == []
        assert before["userVerification"] == "required"


async def test_an_assertion_is_good_once_over_processes(database_url: str) -> None:
    async with processes(database_url, 2) as [one, other]:
        still = device(step=0)  # its counter does not protect it
        await one.add(await one.person(), still)
        answer = still.get(one.asked())
        answers = await asyncio.gather(*(each.sign_in(answer) for each in (one, other) * 4), return_exceptions=True)
        assert sum(isinstance(each, Person) for each in answers) == 1
        assert sum(isinstance(each, PasskeyRefused) for each in answers) == 7
        for each in (one, other):
            await each.refuses(answer, "the challenge was answered before")
        await other.sign_in(still.get(one.asked()))


async def test_a_challenge_is_good_for_one_purpose_and_owner(database_url: str) -> None:
    async with processes(database_url, 2) as [one, other]:
        anna, phone = await one.person(), device()
        await one.add(anna, phone)
        adding = await other.passkeys.creation_options(anna, SESSION)
        for options in (
            {"rpId": "data.example.org", "challenge": adding["challenge"]},
            one.asked("confirm", SESSION),
            one.asked("sign-in", "somebody"),
        ):
            await other.refuses(phone.get(options), "the challenge is old, or for something else")
        await one.refuses(phone.get(one.asked()), "old, or for something else", purpose="confirm", owner=SESSION)
        mine = one.asked("confirm", SESSION)
        await one.refuses(phone.get(mine), "old, or for something else", purpose="confirm", owner="another session")
        assert (await other.sign_in(phone.get(mine), "confirm", SESSION)).subject.name == "anna"

        tablet = device()
        for challenge in (one.asked()["challenge"], one.asked("confirm", SESSION)["challenge"], encoded(b"x" * 32)):
            answer = tablet.create(adding | {"challenge": challenge})
            with pytest.raises(BadRequest, match="could not be added"):
                await other.passkeys.add(anna.subject.id, answer, "tablet", SESSION, OPERATOR)
        answer = tablet.create(adding)
        with pytest.raises(BadRequest, match="could not be added"):
            await other.passkeys.add(anna.subject.id, answer, "tablet", "another session", OPERATOR)
        await other.passkeys.add(anna.subject.id, answer, "tablet", SESSION, OPERATOR)
        with pytest.raises(BadRequest, match="could not be added"):
            await one.passkeys.add(anna.subject.id, answer, "tablet", SESSION, OPERATOR)


async def test_a_challenge_expires(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with processes(database_url) as [server]:
        anna, phone = await server.person(), device()
        await server.add(anna, phone)
        signing, adding = server.asked(), await server.passkeys.creation_options(anna, SESSION)
        monkeypatch.setattr(challenges, "CHALLENGE_LIFETIME", -1000)
        await server.refuses(phone.get(signing), "the challenge is old")
        with pytest.raises(BadRequest, match="could not be added"):
            await server.passkeys.add(anna.subject.id, device().create(adding), "x", SESSION, OPERATOR)


@pytest.mark.parametrize(
    ("before", "after", "accepted"), [(0, 0, True), (0, 5, True), (5, 6, True), (5, 5, False), (5, 4, False), (5, 0, False)]
)
async def test_a_counter_grows_or_stays_0(database_url: str, before: int, after: int, accepted: bool) -> None:
    async with processes(database_url) as [server]:
        phone = device(step=0, counter=before)
        await server.add(await server.person(), phone)
        phone.counter = after
        answer = phone.get(server.asked())
        if accepted:
            await server.sign_in(answer)
        else:
            await server.refuses(answer, f"the signature counter did not grow: {before}, then {after}")
            [entry] = await server.trail("sign-in")
            assert entry.target is not None
            assert entry.target.name == "anna"


async def test_of_two_copies_of_a_key_the_second_is_refused(database_url: str) -> None:
    async with processes(database_url, 2) as [one, other]:
        phone = device()
        await one.add(await one.person(), phone)
        copy = replace(phone)
        answers = [phone.get(one.asked()), copy.get(other.asked())]
        got = await asyncio.gather(one.sign_in(answers[0]), other.sign_in(answers[1]), return_exceptions=True)
        assert sorted(type(each).__name__ for each in got) == ["PasskeyRefused", "Person"]


async def test_what_no_authenticator_of_the_person_says(database_url: str) -> None:
    async with processes(database_url) as [server]:
        anna, ben, phone = await server.person(), await server.person("ben"), device()
        await server.add(anna, phone)
        wrong = {
            "origin": replace(phone, origin="https://data.example.org"),
            "belongs to somebody else": replace(phone, user=ben.subject.id.encode()),
            "signature": replace(phone, key=device().key),
            "user was not verified": replace(phone, flags=PRESENT),
            "not present": replace(phone, flags=VERIFIED),
            "inside a page of somebody else": replace(phone, cross_origin=True),
            "unknown": replace(phone, id=b"another"),
        }
        for reason, sender in wrong.items():
            await server.refuses(sender.get(server.asked()), reason)
        await server.refuses(phone.get(server.asked() | {"rpId": "example.org"}), "RP ID")
        await server.sign_in(phone.get(server.asked()))


async def test_what_is_no_answer_at_all(database_url: str) -> None:
    async with processes(database_url) as [server]:
        anna, phone = await server.person(), device()
        await server.add(anna, phone)
        good, made = phone.get(server.asked()), device().create(await server.passkeys.creation_options(anna, SESSION))
        deep = encoded(b"\x81" * 8000 + b"\x00")
        strange: list[Any] = [None, [], 5, "x", {}, {"id": 5}, {"id": "é\0", "rawId": "\ud800"}]
        for answer in (good, made):
            others: list[Any] = [None, 5, "", "\0", "é", {}]
            strange += [{**answer, name: value} for name in answer for value in others]
            response = answer["response"]
            for name in response:
                values = ("", "\0", "e30", encoded(b"\xff\xfe"), encoded(b'{"type":[],"challenge":{},"origin":0}'), deep)
                strange += [{**answer, "response": {**response, name: value}} for value in values]
        for answer in strange:
            with pytest.raises(PasskeyRefused):
                await server.sign_in(answer)
            with pytest.raises((BadRequest, Conflict)):
                await server.passkeys.add(anna.subject.id, answer, "name", SESSION, OPERATOR)
        assert len(await server.passkeys.all(anna.subject.id)) == 1


async def test_registrations_that_are_not_accepted(database_url: str) -> None:
    async with processes(database_url) as [server]:
        anna, phone = await server.person(), device()
        for wrong in (
            device(flags=PRESENT),
            device(flags=VERIFIED),
            device(cross_origin=True),
            Authenticator("https://data.example.org"),
        ):
            with pytest.raises(BadRequest, match="could not be added"):
                await server.add(anna, wrong)
        options = await server.passkeys.creation_options(anna, SESSION)
        answer = phone.create(options)
        other = encoded(b"other")
        for ids in ({"id": other, "rawId": other}, {"id": other}, {"rawId": other}):
            with pytest.raises(BadRequest, match="could not be added"):
                await server.passkeys.add(anna.subject.id, answer | ids, "x", SESSION, OPERATOR)
        for name in ("", "  ", "x" * 61, "a\nb", "\0"):
            with pytest.raises(BadRequest, match="Bad name"):
                await server.passkeys.add(anna.subject.id, answer, name, SESSION, OPERATOR)
        await server.passkeys.add(anna.subject.id, answer, "phone", SESSION, OPERATOR)
        with pytest.raises(Conflict, match="there already"):
            await server.add(await server.person("ben"), phone)
        assert len(await server.trail("passkey-added")) == 1


async def test_removed_disabled_and_unknown_are_refused_alike(database_url: str) -> None:
    async with processes(database_url) as [server]:
        anna, phone, tablet = await server.person(), device(), device()
        await server.add(anna, phone)
        await server.add(anna, tablet, "tablet")
        with pytest.raises(NotFound):
            await server.passkeys.remove((await server.person("ben")).subject.id, encoded(phone.id), OPERATOR)
        await server.passkeys.remove(anna.subject.id, encoded(phone.id), OPERATOR)
        await server.refuses(phone.get(server.asked()), "the passkey is unknown")
        [entry] = await server.trail("passkey-removed")
        assert (entry.target and entry.target.name, entry.details) == ("anna", {"passkey": "phone"})
        await server.made.accounts.disable(anna.subject.id, OPERATOR)
        await server.refuses(tablet.get(server.asked()), "the account is disabled")
        await server.made.accounts.enable(anna.subject.id, OPERATOR)
        answer = tablet.get(server.asked())
        await server.made.accounts.remove(anna.subject.id, OPERATOR)
        await server.refuses(answer, "the passkey is unknown")
        with pytest.raises(NotFound):
            await server.add(anna, phone)


async def test_the_last_way_in_stays(database_url: str) -> None:
    async with processes(database_url, 2) as [one, other]:
        anna, phone, tablet = await one.person(), device(), device()
        for each in (phone, tablet):
            await one.add(anna, each)
        async with one.made.account_table.changing() as writer:
            await writer.put(anna._replace(account=replace(anna.account, password=None)))
        removals = [
            each.passkeys.remove(anna.subject.id, encoded(key.id), OPERATOR) for each, key in ((one, phone), (other, tablet))
        ]
        got = await asyncio.gather(*removals, return_exceptions=True)
        assert sorted(type(each).__name__ for each in got) == ["Conflict", "NoneType"]
        [left] = await one.passkeys.all(anna.subject.id)
        with pytest.raises(Conflict, match="the only way in"):
            await one.passkeys.remove(anna.subject.id, left.id, OPERATOR)
        await one.made.accounts.set_password(anna.subject.id, PASSWORD, OPERATOR)
        await one.passkeys.remove(anna.subject.id, left.id, OPERATOR)


async def test_renaming_and_the_number_of_passkeys(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with processes(database_url) as [server]:
        anna, phone = await server.person(), device()
        added = await server.add(anna, phone)
        await server.passkeys.rename(anna.subject.id, added.id, " Annas Telefon 🍎 ")
        assert [each.name for each in await server.passkeys.all(anna.subject.id)] == ["Annas Telefon 🍎"]
        with pytest.raises(NotFound):
            await server.passkeys.rename(anna.subject.id, "unknown", "x")
        with pytest.raises(BadRequest):
            await server.passkeys.rename(anna.subject.id, added.id, "\x1b[1m")
        options = await server.passkeys.creation_options(anna, SESSION)
        monkeypatch.setattr(passkeys, "MOST", 1)
        with pytest.raises(Conflict, match="remove one first"):
            await server.passkeys.creation_options(anna, SESSION)
        with pytest.raises(Conflict, match="remove one first"):
            await server.passkeys.add(anna.subject.id, device().create(options), "x", SESSION, OPERATOR)


@pytest.mark.parametrize(
    ("url", "id", "origin", "obstacle"),
    [
        (URL, "data.example.org", ORIGIN, None),
        ("https://Data.Example.org:443", "data.example.org", "https://data.example.org", None),
        ("http://localhost:8000", "localhost", "http://localhost:8000", None),
        ("http://localhost:80/x", "localhost", "http://localhost", None),
        ("http://apiv3.localhost", "apiv3.localhost", "http://apiv3.localhost", None),
        ("http://data.example.org", "data.example.org", "http://data.example.org", NO_TLS),
        ("http://127.0.0.1:8000", "127.0.0.1", "http://127.0.0.1:8000", NO_NAME),
        ("https://127.1", "127.1", "https://127.1", NO_NAME),
        ("https://0x7f.0x1", "0x7f.0x1", "https://0x7f.0x1", NO_NAME),
        ("https://[::1]:8443", "[::1]", "https://[::1]:8443", NO_NAME),
        ("https://4.example", "4.example", "https://4.example", None),
    ],
)
def test_the_relying_party_of_an_address(url: str, id: str, origin: str, obstacle: str | None) -> None:
    party = RelyingParty(url)
    assert (party.id, party.origin, party.obstacle) == (id, origin, obstacle)


def test_a_challenge_has_256_random_bits() -> None:
    issued = {Challenges("k" * 32).issue("sign-in", "") for _ in range(100)}
    assert len({each.split(b".")[0] for each in issued}) == 100
    assert all(len(each.split(b".")[0]) == 43 for each in issued)
    with pytest.raises(ValueError, match="something else"):
        Challenges("another key" * 3).read(issued.pop(), "sign-in", "")


def test_who_uses_no_passkeys_does_not_load_their_library() -> None:
    """It takes a tenth of a second at each start, and 6 MB of each process."""
    program = "import sys, apiv3.endpoints; sys.exit('webauthn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
