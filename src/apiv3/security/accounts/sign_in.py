"""Sign in with a password or a passkey. Every failure has the same answer, whatever its cause; with a password, it also takes
the same work.

Failures are counted for the account and for the address, over all processes, and delay further attempts. Nobody is locked
out: the right password is still accepted, only later.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from apiv3.model.accounts import Person
from apiv3.model.audit import Actor
from apiv3.model.errors import Unauthorized
from apiv3.model.passkeys import Purpose
from apiv3.model.timestamps import now
from apiv3.security import secrets
from apiv3.security.accounts import emails
from apiv3.security.accounts.passkeys import PasskeyRefused, Passkeys
from apiv3.security.accounts.passwords import Passwords
from apiv3.security.addresses import network
from apiv3.security.authors import Author, person_target
from apiv3.security.ledger import Budget
from apiv3.security.principal import STRANGER
from apiv3.storage.contracts.accounts import AccountStore, FailureStore

MEMORY = 15 * 60_000
"""Milliseconds after the last failure until the count of an account or an address is deleted."""
FREE = 5
"""Number of failures without a delay, since people mistype."""
LONGEST_DELAY = 10.0
"""Most seconds by which an attempt is delayed."""
MOST_WAITING = 10
"""Most attempts that wait from one address for one account. Further ones are refused with 429."""
WRONG = "Wrong e-mail address or password"
_FOREIGN = "the passkey is of another person"
"""The cause of a failure, for the audit trail."""


class SignIn:
    """Verifies who signs in. `delay`: ms that each failure adds to the next attempts; 0: no delay."""

    def __init__(
        self, store: AccountStore, failures: FailureStore, passwords: Passwords, passkeys: Passkeys, delay: int
    ) -> None:
        self._store, self._failures, self._passwords, self._passkeys = store, failures, passwords, passkeys
        self._delay = delay / 1000
        self._slow = Budget(1, waiting=MOST_WAITING, patience=MOST_WAITING * LONGEST_DELAY)

    async def by_password(self, email: str, password: str, address: str, way: str, expected: str | None = None) -> Person:
        """Return the person with this e-mail address and password. Whoever calls begins the login (`logins.py`).

        `way`: the purpose of the sign-in, for the audit trail. `expected`: the id of the person who it has to be; None:
        anybody. Raises Unauthorized, TooManyRequests, ServerBusy.
        """
        key = emails.key(email)
        account, place = _name("account", key or email), _name("address", network(address))
        async with self._turn(account, place) as failures:
            found = None if key is None else await self._store.find_email(key)
            hashed = None if found is None else found.account.password
            right = await self._passwords.verify(password, hashed, network(address))
            if found is None or not right or found.subject.disabled or expected not in (None, found.subject.id):
                await self._fail((account, place), found, address, way)
                raise Unauthorized(WRONG)
            if failures:
                await self._failures.forget(account)
        await self._renew(found, password)
        return found

    async def by_passkey(
        self, answer: object, purpose: Purpose, owner: str, address: str, expected: str | None = None
    ) -> Person:
        """Return the person whose passkey has answered a challenge for this purpose and owner.

        `expected`: the id of the person whose passkey it has to be; None: anybody's. Raises PasskeyRefused, TooManyRequests.
        """
        place = _name("address", network(address))
        async with self._turn(place):
            try:
                found = await self._passkeys.verify(answer, purpose, owner)
                if expected not in (None, found.subject.id):
                    raise PasskeyRefused(_FOREIGN, found.subject.id)
                return found
            except PasskeyRefused as error:
                owned = None if error.person is None else await self._store.find(error.person)
                await self._fail((place,), owned, address, "passkey", reason=error.reason)
                raise

    async def _fail(self, names: Sequence[str], found: Person | None, address: str, way: str, **details: str) -> None:
        """Record a failure without the text that was typed as the address, since it may have been the password."""
        who = Author(Actor(None, "somebody", way, address), STRANGER)
        entry = who.entry("sign-in", None if found is None else person_target(found), "failure", **details)
        await self._failures.failed(names, entry.time - MEMORY, entry)

    async def _renew(self, person: Person, password: str) -> None:
        """Replace the hash if it has a lower cost than new ones."""
        hashed = person.account.password
        if hashed is not None and self._passwords.is_outdated(hashed):
            await self._store.renew(person.account, await self._passwords.hash(password))

    @asynccontextmanager
    async def _turn(self, *names: str) -> AsyncIterator[int]:
        """Wait for the delay that earlier failures demand, then run attempts one after the other. Yields their number."""
        failures = await self._failures.count(names, now() - MEMORY)
        delay = min(max(0, failures - FREE) * self._delay, LONGEST_DELAY)
        if not delay:
            yield failures
            return
        if not self._slow.take(names):
            await self._slow.wait(names)
        try:
            await asyncio.sleep(delay)
            yield failures
        finally:
            self._slow.give(names)


def _name(kind: str, text: str) -> str:
    """Return the digest by which failures are counted. It does not reveal what was typed."""
    return secrets.stored_digest(f"{kind}:{text}")
