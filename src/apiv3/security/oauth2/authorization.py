"""Check authorization requests, remember what people allow, and issue codes (RFC 6749, section 4.1; RFC 7636; RFC 9700)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from apiv3.model.audit import Target
from apiv3.model.clients import Application, Client
from apiv3.model.errors import BadRequest, OAuth2Error
from apiv3.model.grants import Code, Grant, Request, Scopes
from apiv3.model.identity import Subject
from apiv3.model.timestamps import now
from apiv3.retrying import retried
from apiv3.security import secrets
from apiv3.security.accounts import nonces
from apiv3.security.authors import Author
from apiv3.security.oauth2 import redirects
from apiv3.security.oauth2.access_tokens import AccessTokens
from apiv3.security.oauth2.authentication import Registry, settled
from apiv3.security.oauth2.scopes import ScopeTable
from apiv3.storage.contracts.oauth2 import GrantStore

CODE_LIFETIME = 60
"""Seconds in which a code must be exchanged."""
LONGEST_STATE = 2000
"""Most characters of `state`."""
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
"""The SHA-256 of a verifier in base64url (RFC 7636, section 4.2)."""
_REPEATABLE = ("client_id", "redirect_uri")
"""What must be sure before any answer may go to the client."""

Sent = Mapping[str, Sequence[str]]
"""The parameters of a request: name -> values."""


class Redirected(Exception):
    """An error that is answered to the client, by a redirect to its URI (RFC 6749, section 4.1.2.1)."""

    def __init__(self, redirect: str, state: str | None, error: OAuth2Error) -> None:
        super().__init__(error.error)
        self.redirect, self.state, self.error = redirect, state, error


class Asked(NamedTuple):
    """A checked request, and the client that made it."""

    application: Application
    request: Request


class Authorization:
    """The authorization endpoint, free of HTTP."""

    def __init__(self, store: GrantStore, registry: Registry, scopes: ScopeTable, tokens: AccessTokens) -> None:
        self._store, self._registry, self._scopes, self._tokens = store, registry, scopes, tokens

    async def check(self, sent: Sent) -> Asked:
        """Return the request that some parameters make.

        Raises BadRequest for an unknown client or a wrong redirect URI: the answer must not leave this server. Raises
        Redirected for everything else that is wrong.
        """
        for name in _REPEATABLE:
            if len(sent.get(name, ())) > 1:
                raise BadRequest(f"The application sent {name} twice")
        application = await self._registry.find(_one(sent, "client_id") or "")
        if application is None:
            raise BadRequest("This application is not registered here")
        redirect = _redirect(application, _one(sent, "redirect_uri"))
        states = sent.get("state", ())
        state = states[0] if len(states) == 1 else None
        try:
            return Asked(application, self._request(application, redirect, state, sent))
        except OAuth2Error as error:
            raise Redirected(redirect, state, error) from error

    def _request(self, application: Application, redirect: str, state: str | None, sent: Sent) -> Request:
        repeated = [name for name, values in sent.items() if len(values) > 1]
        if repeated:
            raise OAuth2Error("invalid_request", f"A parameter is repeated: {repeated[0][:50]}")
        if state is not None and len(state) > LONGEST_STATE:
            raise OAuth2Error("invalid_request", f"state has more than {LONGEST_STATE} characters")
        kind = _one(sent, "response_type")
        if kind is None:
            raise OAuth2Error("invalid_request", "The parameter response_type is missing")
        if kind != "code":
            raise OAuth2Error("unsupported_response_type", "There is only response_type=code")
        if "authorization_code" not in application.client.grants:
            raise OAuth2Error("unauthorized_client", "The client may not use authorization codes")
        challenge = _one(sent, "code_challenge") or ""
        if _one(sent, "code_challenge_method") != "S256" or _CHALLENGE.fullmatch(challenge) is None:
            raise OAuth2Error("invalid_request", "PKCE is required: send code_challenge, and code_challenge_method=S256")
        scopes = self._scopes.chosen(_one(sent, "scope"), application.client.scopes)
        return Request(application.client.id, redirect, bool(sent.get("redirect_uri")), scopes, state, challenge)

    async def is_remembered(self, asked: Asked, subject: Subject) -> bool:
        """Whether a person has allowed this client as much before, and only the client can receive the answer.

        Any program on a machine can take the place of a public client on a loopback address or with a scheme of its own, so
        these are asked for each time (RFC 8252, section 8.6).
        """
        client, request = asked.application.client, asked.request
        if client.is_public and not redirects.is_provable(request.redirect):
            return False
        allowed = await self._store.consented(subject.id, client.id)
        return allowed is not None and self._scopes.covers(allowed, request.scopes)

    async def keep(self, nonce: str, session: str, request: Request) -> None:
        """Keep a request until the form with this nonce is sent, as long as the nonce is good."""
        await self._store.keep_request(secrets.stored_digest(nonce), session, request, now() + nonces.LIFETIME * 1000)

    @retried
    async def kept(self, nonce: str, session: str) -> Request | None:
        """Return the request of a form, once; None when the session has none under this nonce."""
        async with self._store.changing() as writer:
            return await writer.take_request(secrets.stored_digest(nonce), session)

    @retried
    async def allow(self, request: Request, subject: Subject, by: Author | None) -> str | None:
        """Issue a code for a request; None when the client may not ask for this any more.

        `by`: who has just consented; None when that was remembered.
        """
        secret = secrets.mint()
        code = Code(
            secrets.stored_digest(secret),
            request.client,
            subject.id,
            subject.nonce,
            request.redirect,
            request.redirect_sent,
            request.scopes,
            request.challenge,
            now() + CODE_LIFETIME * 1000,
        )
        application = await self._registry.find(request.client)
        before = await self._store.consented(subject.id, request.client) or ()
        if application is None:
            return None
        async with self._store.changing() as writer:
            if not self._may_ask(await settled(writer, application), request):
                return None
            await writer.add_code(code)
            if by is not None:
                await writer.consent(subject.id, request.client, tuple(sorted({*before, *request.scopes})))
                await writer.note(by.entry("application-allowed", target(application), scopes=list(request.scopes)))
        return secret

    def _may_ask(self, client: Client | None, request: Request) -> bool:
        """Whether a client, as it is now, may still ask for what it has asked for."""
        if client is None or not redirects.is_registered(request.redirect, client.redirects):
            return False
        return "authorization_code" in client.grants and self._scopes.covers(client.scopes, request.scopes)

    async def find(self, client: str) -> Application | None:
        """Return the client with this id."""
        return await self._registry.find(client)

    async def allowed(self, subject: Subject) -> Mapping[str, tuple[Scopes, Sequence[Grant]]]:
        """Return what a person has allowed: client -> scopes, and the grants that it has, also none at present."""
        scopes = {client: set(allowed) for client, allowed in (await self._store.consents(subject.id)).items()}
        grants: dict[str, list[Grant]] = {client: [] for client in scopes}
        for grant in await self._store.of_subject(subject.id, now()):
            if grant.nonce == subject.nonce:
                grants.setdefault(grant.client, []).append(grant)
                scopes.setdefault(grant.client, set()).update(grant.scopes)
        return {client: (tuple(sorted(scopes[client])), found) for client, found in grants.items()}

    async def withdraw(self, client: str, subject: Subject, by: Author) -> int:
        """End all that a person has allowed a client, also what it has not fetched yet. Returns how many grants that were."""
        application = await self._registry.find(client)
        ended = await self._withdraw(client, application, subject, by)
        await self._tokens.catch_up()
        return ended

    @retried
    async def _withdraw(self, client: str, application: Application | None, subject: Subject, by: Author) -> int:
        async with self._store.changing() as writer:
            ended = await writer.withdraw(subject.id, client)
            named = Target("application", client, client) if application is None else target(application)
            await writer.note(by.entry("application-withdrawn", named, tokens=ended))
        return ended


def target(application: Application) -> Target:
    """An application as the target of an entry of the audit trail."""
    return Target("application", application.client.id, application.subject.name)


def _one(sent: Sent, name: str) -> str | None:
    """Return the value of a parameter; an empty one counts as missing (RFC 6749, section 3.1)."""
    values = sent.get(name, ())
    return values[0] if values and values[0] else None


def _redirect(application: Application, asked: str | None) -> str:
    registered = application.client.redirects
    if asked is None:
        if len(registered) != 1:
            raise BadRequest("The application did not say where to send you back (redirect_uri)")
        return registered[0]
    if not redirects.is_registered(asked, registered):
        raise BadRequest("The application wants to send you to an address that is not registered for it (redirect_uri)")
    return asked
