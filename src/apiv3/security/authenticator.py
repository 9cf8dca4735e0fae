"""Turn a credential into an identity: the first verifier for its kind decides, and the throttle slows failures down."""

from __future__ import annotations

import logging
from collections import OrderedDict

from apiv3.model.errors import BadToken, MissingTimestamp, MissingToken, SignInNeeded, Unauthorized
from apiv3.security import secrets
from apiv3.security.credentials import BEARER, Credential, Identity, Unknown, Verifier
from apiv3.security.policy import Policies
from apiv3.security.principal import Principal
from apiv3.security.throttle import Throttle
from apiv3.security.tokens import Expired

LONGEST_REMEMBERED, MOST_REMEMBERED = 512, 4096
"""Most bytes of an Authorization header that is remembered (one with our JWT has about 250), and the most of them."""
_NO_TIME = (
    "the calls of the subject %r carry no time (the header Date, or now in the query), so they are refused; if its app cannot "
    "send it, `apiv3 subject change NAME --no-timestamp` allows calls without it"
)
_INVALID_TOKEN = (("WWW-Authenticate", 'Bearer error="invalid_token"'),)
"""What an application is told whose access token is bad (RFC 6750, section 3.1)."""
_log = logging.getLogger(__name__)


class _NotExcused(Unknown):
    """The credential is good, but the calls of this principal must carry the client's time."""

    def __init__(self, principal: Principal) -> None:
        super().__init__("the client's time is missing")
        self.name = principal.name


class Authenticator:
    """Verifies credentials. Remembers headers that were good until the policy changes.

    `verifiers` are asked in this order; the first that knows the kind of the credential decides.
    """

    def __init__(self, verifiers: tuple[Verifier, ...], throttle: Throttle, policies: Policies) -> None:
        self._verifiers, self._throttle, self._policies = verifiers, throttle, policies
        self._reported: set[str | None] = set()
        self._known: OrderedDict[bytes, Identity] = OrderedDict()
        """Digest of the Authorization header -> identity. A digest has a fixed size, whatever a client sends."""
        policies.on_change.append(self.forget)

    def forget(self) -> None:
        """Forget the headers that were good: a credential has ended, or its subject has changed."""
        self._known.clear()

    def remember(self, header: bytes, identity: Identity) -> None:
        """Remember the identity of an Authorization header that was verified, in place of the oldest one if need be."""
        if len(header) > LONGEST_REMEMBERED:
            return
        if len(self._known) >= MOST_REMEMBERED:
            self._known.popitem(last=False)
        self._known[secrets.digest(header)] = identity

    def recall(self, header: bytes) -> Identity | None:
        """Return the identity of the same header, None when it is not remembered. The caller checks whether it has expired."""
        return self._known.get(secrets.digest(header)) if len(header) <= LONGEST_REMEMBERED else None

    def vouch(self, secret: str) -> None:
        """Tell the throttle that a credential is good, so that it is verified even from an address with many failures."""
        self._throttle.clear(secret)

    async def identify(self, credential: Credential, *, dated: bool = True) -> Identity:
        """Return whose credential this is.

        Raises MissingToken for a bad credential in the query, BadToken for one elsewhere; TooManyRequests, before anything is
        verified, for an address with too many failures.

        `dated`: False for a call that should carry the client's time, but does not. Then only a subject that may leave it out
        is accepted; a bad credential and a good one of any other subject are refused alike, with MissingTimestamp. Access
        tokens of OAuth2 need no time.

        Raises SignInNeeded for a session that is over. The throttle ignores sessions: nobody can guess 256 random bits, and a
        page that was left open must not slow down the others in its network.
        """
        if credential.source == "session":
            try:
                return await self._verified(credential, dated)
            except ValueError as error:
                raise SignInNeeded from error
        self._throttle.check(credential.address, credential.secret)
        dated = dated or credential.secret.startswith(BEARER)
        try:
            identity = await self._verified(credential, dated)
        except Expired as error:
            raise _refusal(credential, dated or self._is_excused(error.access_token)) from error
        except ValueError as error:
            if isinstance(error, _NotExcused):
                self._report(error.name)
                self._throttle.check(credential.address)  # the check above lets known good credentials pass
            await self._throttle.fail(credential.address, credential.secret)
            raise _refusal(credential, dated) from error
        self._throttle.clear(credential.secret)
        return identity

    async def _verified(self, credential: Credential, dated: bool) -> Identity:
        """Verify; if the credential is unknown, or its subject must send the time, look in the database and try again.

        Another process may have created the credential, or excused the subject, a moment ago.
        """
        for verifier in self._verifiers:
            try:
                identity = _excused(verifier.verify(credential), dated)
            except Unknown:
                await verifier.look(credential)
                identity = _excused(verifier.verify(credential), dated)
            if identity is not None:
                return identity
        raise ValueError("nobody knows this kind of credential")

    def _is_excused(self, access_token: str) -> bool:
        principal = self._policies.current.find(access_token)
        return principal is not None and principal.timestamp == "optional"

    def _report(self, name: str | None) -> None:
        """Log, once for each subject, that its calls lack the time. The answer must not tell that the credential is good."""
        if name not in self._reported:
            self._reported.add(name)
            _log.warning(_NO_TIME, name)


def _excused(identity: Identity | None, dated: bool) -> Identity | None:
    """Return the identity. Raises _NotExcused if its subject must send the time, and the call does not carry it."""
    if identity is not None and not dated and identity.principal.timestamp == "required":
        raise _NotExcused(identity.principal)
    return identity


def _refusal(credential: Credential, dated: bool) -> Unauthorized:
    if not dated:
        return MissingTimestamp()
    if credential.secret.startswith(BEARER):
        return BadToken(headers=_INVALID_TOKEN)
    return MissingToken() if credential.source == "query" else BadToken()
