"""The one place where logins of people begin and end: each with its entry in the audit trail, in one transaction.

The storage of sessions tells the other services of it in the same transaction (`storage/logins.py`), and `Endings` tells them
of what ends by time alone.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Collection, Sequence
from dataclasses import replace

from apiv3.model.accounts import Person
from apiv3.model.audit import Action, Actor, Entry
from apiv3.model.errors import SignInNeeded, StorageUnavailable
from apiv3.model.identity import Subject
from apiv3.model.logins import Login, Reason, Via
from apiv3.model.sessions import Session, Started, Visitor
from apiv3.model.timestamps import iso, now
from apiv3.retrying import retried
from apiv3.security import secrets
from apiv3.security.authors import Author, person_target
from apiv3.security.policy import Policies
from apiv3.security.principal import STRANGER
from apiv3.security.sessions import Sessions
from apiv3.storage.contracts.logins import LoginStore
from apiv3.storage.contracts.sessions import SessionStore, SessionWriter

INTERVAL = 1.0
"""Seconds between two checks whether logins have ended by themselves."""
BATCH = 100
"""Most logins that are ended in one transaction."""
_log = logging.getLogger(__name__)


class Logins:
    """Begins and ends sessions. An end takes effect in this process before the method returns, elsewhere within a second."""

    def __init__(self, store: SessionStore, sessions: Sessions, policies: Policies) -> None:
        self._store, self._sessions, self._policies = store, sessions, policies

    async def of(self, person: Person) -> Sequence[Session]:
        """Return the sessions of a person, the one that was used last first."""
        moment = now()
        sessions = [each for each in await self._store.of(person.subject.id) if each.nonce == person.subject.nonce]
        return [each for each in sessions if moment < self._sessions.limits.end(each)]

    async def all(self) -> Sequence[tuple[Session, Subject]]:
        """Return the sessions of all people, each with the person, in no order."""
        moment, policy = now(), await self._policies.refresh()
        people = [(each, policy.person(each.subject)) for each in await self._store.all()]
        return [
            (each, person)
            for each, person in people
            if person is not None and each.nonce == person.nonce and moment < self._sessions.limits.end(each)
        ]

    @retried
    async def begin(self, person: Person, way: str, visitor: Visitor) -> Started:
        """Begin a session. `way`: how the person signed in."""
        async with self._store.changing() as writer:
            return await self.begin_within(writer, person, way, visitor)

    async def begin_within(self, writer: SessionWriter, person: Person, way: str, visitor: Visitor) -> Started:
        """Begin a session inside a transaction that changes the person, too."""
        value, moment, roles = secrets.mint(), now(), self._policies.current.roles_of(person.subject)
        names = (secrets.object_id(), secrets.stored_digest(value), person.subject.id, person.subject.nonce)
        session = Session(*names, way, visitor, roles, moment, moment, moment)
        await writer.begin(session, self._latest(session))
        await writer.note(_signed_in(person, way, visitor.address))
        return self._started(value, session)

    @retried
    async def begin_token(self, person: Person, token: str, expires: int, address: str) -> None:
        """Begin a login with a user token. `expires`: ms since 1970."""
        async with self._store.changing() as writer:
            writer.logins.begin(_bearer(person.subject, "token", token, expires, address))
            await writer.note(_signed_in(person, "token", address))

    @retried
    async def begin_jwt(self, subject: Subject, jwt: str, expires: int, address: str) -> None:
        """Begin a login with a JWT that a subject got for its access token. `expires`: ms since 1970."""
        async with self._store.changing() as writer:
            writer.logins.begin(_bearer(subject, "access-token", jwt, expires, address))

    @retried
    async def end(self, ids: Collection[str], action: Action, person: Person, by: Author) -> int:
        """End some sessions of a person, and return how many there were."""
        async with self._store.changing() as writer:
            reason: Reason = "signed out" if action == "sign-out" else "ended"
            ended = await writer.end(person.subject.id, ids, reason)
            for session in ended:
                where, since = session.visitor, iso(session.begun)
                await writer.note(
                    by.entry(action, person_target(person), browser=where.browser, address=where.address, since=since)
                )
        await self._sessions.catch_up()
        return len(ended)

    async def go_on(self, writer: SessionWriter, person: Person, session: Session) -> Started:
        """Let a session go on with a new value inside a transaction that changes the person.

        Raises SignInNeeded when the session has ended meanwhile.
        """
        if not await writer.end(session.subject, [session.id], "ended"):
            raise SignInNeeded
        return await self._renewed(writer, replace(session, nonce=person.subject.nonce, authenticated=now()))

    @retried
    async def confirm(self, session: Session, person: Person) -> Started:
        """Let a session go on with another value, as the person has just proved again who they are. Raises SignInNeeded."""
        async with self._store.changing() as writer:
            started = await self.go_on(writer, person, session)
        await self._sessions.catch_up()
        return started

    @retried
    async def renew(self, session: Session) -> Started | None:
        """Give a session another value if the person's roles have changed. None when they have not, or it has one already."""
        await self._policies.catch_up()  # an older policy than that of the last renewal would undo it
        person = self._policies.current.person(session.subject)
        roles = session.roles if person is None else self._policies.current.roles_of(person)
        if roles == session.roles:
            return None
        async with self._store.changing() as writer:
            ended = await writer.end(session.subject, [session.id], "ended")
            started = await self._renewed(writer, replace(session, roles=roles)) if ended else None
        await self._sessions.catch_up()
        return started

    async def _renewed(self, writer: SessionWriter, session: Session) -> Started:
        value = secrets.mint()
        renewed = replace(session, id=secrets.object_id(), digest=secrets.stored_digest(value), seen=now())
        await writer.begin(renewed, self._latest(renewed))
        return self._started(value, renewed)

    def _started(self, value: str, session: Session) -> Started:
        return Started(value, session, self._sessions.limits.lifetime(session, now()))

    def _latest(self, session: Session) -> int:
        """When a session ends at the latest, however much it is used."""
        return session.begun + self._sessions.limits.longest


def _bearer(subject: Subject, via: Via, secret: str, expires: int, address: str) -> Login:
    own = (secrets.stored_digest(secret), subject.id, subject.nonce)
    return Login(str(uuid.uuid4()), *own, via, address, now(), expires)


def _signed_in(person: Person, way: str, address: str) -> Entry:
    who = Author(Actor(person.subject.id, person.subject.name, way, address), STRANGER)
    return who.entry("sign-in", person_target(person))


class Endings:
    """Tells of logins that end by themselves. Several processes may do so at the same time: each end is told once."""

    def __init__(self, store: LoginStore, sessions: Sessions) -> None:
        self._store, self._sessions = store, sessions
        self._last = -1
        """The number of the last event that this process has seen; -1: nothing was reviewed yet."""

    async def run(self) -> None:
        """Check every INTERVAL seconds until cancelled."""
        while True:
            try:
                await self.round()
            except StorageUnavailable:
                pass  # `revisions.follow` logs that
            except Exception:
                _log.exception("cannot tell which logins have ended")
            await asyncio.sleep(INTERVAL)

    async def round(self) -> None:
        """Tell what has ended. At first, tell everything that a restart has changed: AUTH_DEFAULT_ROLES, for example."""
        last = (await self._store.position()).sequence
        if last < self._last:  # a backup of the database was restored
            await self._store.begin_epoch()
        if not 0 <= self._last <= last:
            await self._store.review()
        self._last = last
        await self._sessions.expire()
        while subjects := await self._store.overdue(now(), BATCH):
            await self._store.review(subjects)
