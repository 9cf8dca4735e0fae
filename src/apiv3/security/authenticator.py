"""From a credential to a principal: the first verifier that knows its shape decides; failures are slowed down."""

from __future__ import annotations

import logging
from collections import OrderedDict

from apiv3.model.errors import BadToken, MissingTimestamp, MissingToken, Unauthorized
from apiv3.security import secrets
from apiv3.security.credentials import Credential, Identity, Unknown, Verifier
from apiv3.security.policy import Policies
from apiv3.security.principal import Principal
from apiv3.security.throttle import Throttle
from apiv3.security.tokens import Expired

LONGEST_REMEMBERED, MOST_REMEMBERED = 512, 4096
"""Bytes of an Authorization header that is remembered (one with a JWT of ours has about 250), and how many are remembered."""
_NO_TIME = (
    "the calls of the subject %r carry no time (the header Date, or now in the query), so they are refused; if its app cannot "
    "send it, `apiv3 subject change NAME --no-timestamp` excuses the subject"
)
_log = logging.getLogger(__name__)


class _NotExcused(Unknown):
    """The credential is good, but the calls of this principal must carry the client's time."""

    def __init__(self, principal: Principal) -> None:
        super().__init__("the client's time is missing")
        self.name = principal.name


class Authenticator:
    """Who presents this credential? A header that was found good is remembered until it expires or the policy changes."""

    def __init__(self, verifiers: tuple[Verifier, ...], throttle: Throttle, policies: Policies) -> None:
        self._verifiers, self._throttle, self._policies = verifiers, throttle, policies
        self._reported: set[str | None] = set()
        self._known: OrderedDict[bytes, Identity] = OrderedDict()
        """By the digest of the Authorization header, so that what is kept does not grow with what clients send."""
        policies.on_change.append(self._known.clear)

    def remember(self, header: bytes, identity: Identity) -> None:
        """Keep the identity that an Authorization header was found to be. The oldest one makes way."""
        if len(header) > LONGEST_REMEMBERED:
            return
        if len(self._known) >= MOST_REMEMBERED:
            self._known.popitem(last=False)
        self._known[secrets.digest(header)] = identity

    def recall(self, header: bytes) -> Identity | None:
        """The identity that the same header was found to be. Whether it has expired since is for the caller to see."""
        return self._known.get(secrets.digest(header)) if len(header) <= LONGEST_REMEMBERED else None

    def vouch(self, secret: str) -> None:
        """Let the throttle pass a credential that is known to be good, wherever it comes from."""
        self._throttle.clear(secret)

    async def identify(self, credential: Credential, *, dated: bool = True) -> Identity:
        """Raises MissingToken or BadToken, by where the credential stood; TooManyRequests, before anything is verified, for
        an address that has failed too often.

        `dated`: false for a call that should carry the client's time, but does not. Then only a subject that is excused from
        it gets through; a bad credential and a good one of any other subject are refused alike, with MissingTimestamp.
        """
        self._throttle.check(credential.address, credential.secret)
        try:
            identity = await self._verified(credential, dated)
        except Expired as error:
            raise _refusal(credential, dated or self._is_excused(error.access_token)) from error
        except ValueError as error:
            if isinstance(error, _NotExcused):
                self._report(error.name)
                self._throttle.check(credential.address)  # what is known as good passed it before
            await self._throttle.fail(credential.address, credential.secret)
            raise _refusal(credential, dated) from error
        self._throttle.clear(credential.secret)
        return identity

    async def _verified(self, credential: Credential, dated: bool) -> Identity:
        """Another process may have made, a moment ago, what is unknown here: so it is looked for before it is refused."""
        try:
            return self._verify(credential, dated)
        except Unknown:
            await self._policies.look()
            return self._verify(credential, dated)

    def _verify(self, credential: Credential, dated: bool) -> Identity:
        for verifier in self._verifiers:
            identity = verifier.verify(credential)
            if identity is not None:
                if not dated and identity.principal.timestamp == "required":
                    raise _NotExcused(identity.principal)
                return identity
        raise ValueError("nobody knows this kind of credential")

    def _is_excused(self, access_token: str) -> bool:
        principal = self._policies.current.find(access_token)
        return principal is not None and principal.timestamp == "optional"

    def _report(self, name: str | None) -> None:
        """Tell who runs the server, once for each subject, what the caller must not learn: that the credential is good."""
        if name not in self._reported:
            self._reported.add(name)
            _log.warning(_NO_TIME, name)


def _refusal(credential: Credential, dated: bool) -> Unauthorized:
    if not dated:
        return MissingTimestamp()
    return MissingToken() if credential.source == "query" else BadToken()
