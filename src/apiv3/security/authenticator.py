"""From a credential to a principal: the first verifier that knows its shape decides; failures are slowed down."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from apiv3.model.errors import BadToken, MissingToken, Unauthorized
from apiv3.security import secrets
from apiv3.security.policy import Policies
from apiv3.security.principal import ADMINISTRATOR, Principal
from apiv3.security.throttle import Throttle
from apiv3.security.tokens import Expired, Tokens

Source = Literal["query", "header", "api-secret", "message"]
_MOST_REMEMBERED = 10_000


class Credential(NamedTuple):
    """A secret, where in the request it stood, and the address that sent it."""

    secret: str
    source: Source
    address: str

    def __repr__(self) -> str:
        return f"Credential({self.source} from {self.address})"


@dataclass(frozen=True, slots=True)
class Identity:
    """A good credential: whose it is, until when (seconds since the epoch; None: for as long as the subject has it)."""

    principal: Principal
    access_token: str = field(repr=False)
    expires: float | None = None


class Verifier(Protocol):
    """One kind of credential."""

    def verify(self, credential: Credential) -> Identity | None:
        """None: not of my kind. Raises ValueError: of my kind, but bad; nobody else is asked then."""


class JwtVerifier:
    """Three parts with dots between them: a JSON Web Token. Whose access token it carries must still be known."""

    def __init__(self, tokens: Tokens, policies: Policies) -> None:
        self._tokens, self._policies = tokens, policies

    def verify(self, credential: Credential) -> Identity | None:
        if credential.secret.count(".") != 2:
            return None
        claims = self._tokens.verify(credential.secret)
        principal = self._policies.current.find(claims.access_token)
        if principal is None:
            raise ValueError("the subject is gone, or has a new token")
        return Identity(principal, claims.access_token, claims.expires)


class AccessTokenVerifier:
    """Everything else: the access token of a subject."""

    def __init__(self, policies: Policies) -> None:
        self._policies = policies

    def verify(self, credential: Credential) -> Identity | None:
        principal = self._policies.current.find(credential.secret)
        if principal is None:
            raise ValueError("unknown")
        return Identity(principal, credential.secret)


class ApiSecretVerifier:
    """The hex SHA-1 of API_SECRET in its own header, where the route takes it."""

    def __init__(self, api_secret: str) -> None:
        self._digest = secrets.sha1(api_secret)

    def verify(self, credential: Credential) -> Identity | None:
        if credential.source != "api-secret":
            return None
        if not secrets.same(credential.secret.lower(), self._digest):
            raise ValueError("not the secret")
        return Identity(ADMINISTRATOR, "")


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
