"""From a credential to a principal: the first verifier that knows its shape decides; failures are slowed down."""

from __future__ import annotations

from collections import OrderedDict

from apiv3.model.errors import BadToken, MissingToken, Unauthorized
from apiv3.security import secrets
from apiv3.security.credentials import Credential, Identity, Verifier
from apiv3.security.policy import Policies
from apiv3.security.throttle import Throttle
from apiv3.security.tokens import Expired

LONGEST_REMEMBERED, MOST_REMEMBERED = 512, 4096
"""Bytes of an Authorization header that is remembered (one with a JWT of ours has about 250), and how many are remembered."""


class Authenticator:
    """Who presents this credential? A header that was found good is remembered until it expires or the policy changes."""

    def __init__(self, verifiers: tuple[Verifier, ...], throttle: Throttle, policies: Policies) -> None:
        self._verifiers, self._throttle = verifiers, throttle
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

    async def identify(self, credential: Credential) -> Identity:
        """Raises MissingToken or BadToken, by where the credential stood; TooManyRequests, before anything is verified, for
        an address that has failed too often.
        """
        self._throttle.check(credential.address, credential.secret)
        try:
            identity = self._verify(credential)
        except Expired as error:
            raise _refusal(credential) from error
        except ValueError as error:
            await self._throttle.fail(credential.address, credential.secret)
            raise _refusal(credential) from error
        self._throttle.clear(credential.secret)
        return identity

    def _verify(self, credential: Credential) -> Identity:
        for verifier in self._verifiers:
            identity = verifier.verify(credential)
            if identity is not None:
                return identity
        raise ValueError("nobody knows this kind of credential")


def _refusal(credential: Credential) -> Unauthorized:
    return MissingToken() if credential.source == "query" else BadToken()
