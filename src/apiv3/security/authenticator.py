"""From a credential to a principal: the first verifier that knows its shape decides; failures are slowed down."""

from __future__ import annotations

from apiv3.model.errors import BadToken, MissingToken, Unauthorized
from apiv3.security.credentials import Credential, Identity, Verifier
from apiv3.security.policy import Policies
from apiv3.security.throttle import Throttle
from apiv3.security.tokens import Expired

_MOST_REMEMBERED = 10_000


class Authenticator:
    """Who presents this credential? A header that was found good is remembered until it expires or the policy changes."""

    def __init__(self, verifiers: tuple[Verifier, ...], throttle: Throttle, policies: Policies) -> None:
        self._verifiers, self._throttle = verifiers, throttle
        self.known: dict[bytes, Identity] = {}
        """Authorization headers that were found good; whether they have expired since is for the reader to see."""
        policies.on_change.append(self.known.clear)

    def remember(self, header: bytes, identity: Identity) -> None:
        """Keep it among those that are known."""
        if len(self.known) >= _MOST_REMEMBERED:
            self.known.clear()
        self.known[header] = identity

    async def identify(self, credential: Credential) -> Identity:
        """Raises MissingToken or BadToken, by where the credential stood; TooManyRequests."""
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
