"""Find out which client calls the token endpoint (RFC 6749, section 2.3)."""

from __future__ import annotations

from apiv3.model.clients import Application, Client
from apiv3.model.errors import BASIC, OAuth2Error
from apiv3.model.identity import Subject
from apiv3.security import secrets
from apiv3.security.oauth2.redirects import is_on_loopback
from apiv3.security.throttle import Throttle
from apiv3.storage.contracts.oauth2 import ClientStore, GrantWriter

DOCS_CLIENT = "api3-docs"
"""The client_id of Swagger UI on the page /api3-docs, which the server itself brings."""
DOCS_REDIRECT = "/api3-docs/oauth2-redirect"
"""Where Swagger UI takes the answer of the authorization endpoint, on this server."""


_LOCAL = tuple(f"http://{name}{DOCS_REDIRECT}" for name in ("127.0.0.1", "[::1]", "localhost"))
"""The same for a server on this machine, which people open by any of its names."""


class Registry:
    """All clients: the registered ones, and Swagger UI's. `public_url`: the URL under which people reach the server."""

    def __init__(self, store: ClientStore, public_url: str, scopes: tuple[str, ...]) -> None:
        self._store = store
        own = public_url.rstrip("/") + DOCS_REDIRECT
        client = Client(DOCS_CLIENT, (own, *_LOCAL) if is_on_loopback(own) else (own,), scopes, ("authorization_code",))
        self._docs = Application(client, Subject(DOCS_CLIENT, "Swagger UI on this server", ()))

    async def find(self, id: str) -> Application | None:
        """Return the client with this id, unless it is disabled."""
        if id == DOCS_CLIENT:
            return self._docs
        found = await self._store.find(id)
        return None if found is None or found.subject.disabled else found


async def settled(writer: GrantWriter, application: Application) -> Client | None:
    """Return a client as it is now; nobody changes it until the end of the transaction. None: it was removed."""
    return application.client if application.client.id == DOCS_CLIENT else await writer.client(application.client.id)


class ClientAuthentication:
    """Authenticates clients by their secret, public ones by their id alone, and slows down who guesses secrets."""

    def __init__(self, registry: Registry, throttle: Throttle) -> None:
        self._registry, self._throttle = registry, throttle

    async def authenticate(self, id: str | None, secret: str | None, address: str) -> Application:
        """Return the client. `secret`: None for a public one. Raises OAuth2Error `invalid_client`, TooManyRequests."""
        if id is None:
            raise invalid_client("No client authentication: send client_id, and client_secret unless the client is public")
        tried = f"{id}:{secret or ''}"
        self._throttle.check(address, tried)
        found = await self._registry.find(id)
        if found is None or not _is_right(found.client, secret):
            await self._throttle.fail(address, tried)
            raise invalid_client("The client is unknown, or its secret is wrong or missing")
        if secret is not None:
            self._throttle.clear(tried)
        return found


def invalid_client(description: str) -> OAuth2Error:
    """Return the error of a client that is not authenticated (RFC 6749, section 5.2)."""
    return OAuth2Error("invalid_client", description, 401, headers=(BASIC,))


def _is_right(client: Client, secret: str | None) -> bool:
    if client.secret is None or secret is None:
        return client.secret is None and secret is None
    return secrets.same(secrets.stored_digest(secret), client.secret)
