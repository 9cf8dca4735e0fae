"""Signing in with a password. Whatever is wrong, the answer and the work behind it are the same.

Guesses are slowed down by the failures of the account and of the address, counted over all processes. Nobody is locked out:
the right password is found to be right, only later.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from apiv3.model.accounts import Person
from apiv3.model.audit import Actor
from apiv3.model.errors import Unauthorized
from apiv3.model.timestamps import now
from apiv3.security import secrets
from apiv3.security.accounts import emails
from apiv3.security.accounts.accounts import target
from apiv3.security.accounts.passwords import Passwords
from apiv3.security.addresses import network
from apiv3.security.authors import Author
from apiv3.security.ledger import Budget
from apiv3.security.principal import STRANGER
from apiv3.storage.contracts.accounts import AccountStore, FailureStore

MEMORY = 15 * 60_000
"""Milliseconds after its last failure in which an account or an address is forgotten."""
FREE = 5
"""Failures that slow nobody down: people mistype."""
LONGEST_DELAY = 10.0
"""Seconds that a guess is kept waiting, at the most."""
MOST_WAITING = 10
"""Attempts that wait, from one address for one account; more are told to come back later."""
WRONG = "Wrong e-mail address or password"


class SignIn:
    """Finds out who somebody is. `delay`: ms that each failure adds to the next attempts; 0: none."""

    def __init__(self, store: AccountStore, failures: FailureStore, passwords: Passwords, delay: int) -> None:
        self._store, self._failures, self._passwords = store, failures, passwords
        self._delay = delay / 1000
        self._slow = Budget(1, waiting=MOST_WAITING, patience=MOST_WAITING * LONGEST_DELAY)

    async def by_password(self, email: str, password: str, address: str, way: str) -> Person:
        """The person with this e-mail address and password. `way`: what they sign in for, for the audit trail.

        Raises Unauthorized, TooManyRequests, ServerBusy.
        """
        key = emails.key(email)
        account, place = _name("account", key or email), _name("address", network(address))
        async with self._turn(account, place):
            found = None if key is None else await self._store.find_email(key)
            hashed = None if found is None else found.account.password
            right = await self._passwords.verify(password, hashed)
            if found is None or not right or found.subject.disabled:
                await self._fail(account, place, found, address, way)
                raise Unauthorized(WRONG)
            actor = Actor(found.subject.id, found.subject.name, way, address)
            await self._failures.succeeded(account, Author(actor, STRANGER).entry("sign-in", target(found)))
        await self._renew(found, password)
        return found

    async def _fail(self, account: str, place: str, found: Person | None, address: str, way: str) -> None:
        """What was typed in the place of an address is not kept: it may have been the password."""
        who = Author(Actor(None, "somebody", way, address), STRANGER)
        entry = who.entry("sign-in", None if found is None else target(found), "failure")
        await self._failures.failed((account, place), entry.time - MEMORY, entry)

    async def _renew(self, person: Person, password: str) -> None:
        """Replace a hash that costs less than new ones do."""
        hashed = person.account.password
        if hashed is not None and self._passwords.is_outdated(hashed):
            await self._store.renew(person.account, await self._passwords.hash(password))

    @asynccontextmanager
    async def _turn(self, account: str, place: str) -> AsyncIterator[None]:
        """Wait as long as the failures before demand; then one attempt after the other."""
        delay = await self._wait(account, place) if self._delay else 0.0
        if not delay:
            yield
            return
        owner = (account, place)
        if not self._slow.take(owner):
            await self._slow.wait(owner)
        try:
            await asyncio.sleep(delay)
            yield
        finally:
            self._slow.give(owner)

    async def _wait(self, account: str, place: str) -> float:
        failures = await self._failures.count((account, place), now() - MEMORY)
        return min(max(0, failures - FREE) * self._delay, LONGEST_DELAY)


def _name(kind: str, text: str) -> str:
    """What failures are counted by: a digest, from which nobody learns what was typed."""
    return secrets.stored_digest(f"{kind}:{text}")
