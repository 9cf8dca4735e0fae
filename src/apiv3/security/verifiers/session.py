"""Verify the sessions of people."""

from __future__ import annotations

from apiv3.model.identity import Subject
from apiv3.model.sessions import Session
from apiv3.security.credentials import Credential, Identity, Unknown
from apiv3.security.policy import Policies
from apiv3.security.sessions import Sessions


class SessionVerifier:
    """Verifies every value of a session's cookie. The person must still have the nonce with which the session began."""

    def __init__(self, sessions: Sessions, policies: Policies) -> None:
        self._sessions, self._policies = sessions, policies

    def verify(self, credential: Credential) -> Identity | None:
        if credential.source != "session":
            return None
        session = self._sessions.recall(credential.secret)
        subject = None if session is None else self._person(session)
        if session is None or subject is None:
            raise Unknown("there is no such session, or it has ended")
        snapshot, expires = self._policies.current, self._sessions.limits.end(session) / 1000
        return Identity(snapshot.principal(subject), snapshot.token(subject), expires, "session", session)

    async def look(self, credential: Credential) -> None:
        await self._sessions.look(credential.secret)
        session = self._sessions.recall(credential.secret)
        if session is not None and self._person(session) is None:  # the account may be newer than the policy of this process
            await self._policies.look()

    def _person(self, session: Session) -> Subject | None:
        subject = self._policies.current.person(session.subject)
        return subject if subject is not None and subject.nonce == session.nonce else None
