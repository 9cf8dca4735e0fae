"""Manage OAuth2 clients, for the administration endpoints, the pages and the command line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

from apiv3.model.clients import GRANT_TYPES, Application, Client, GrantType
from apiv3.model.errors import BadRequest, Conflict, NotFound, OAuth2Error, StorageUnavailable
from apiv3.model.grants import Grant
from apiv3.model.identity import Subject
from apiv3.model.timestamps import iso, now
from apiv3.retrying import retried
from apiv3.security import secrets
from apiv3.security.authors import Author
from apiv3.security.demands import administration
from apiv3.security.oauth2 import redirects
from apiv3.security.oauth2.access_tokens import AccessTokens
from apiv3.security.oauth2.authorization import target
from apiv3.security.oauth2.scopes import LONGEST, MOST, ScopeTable
from apiv3.security.policy import Policies
from apiv3.security.subjects import check_subject, granted_by, held_by, roles_gained
from apiv3.storage.contracts.oauth2 import ClientStore, GrantStore

DEFAULT_SCOPES = ("read",)
"""What a client may ask for if nobody says more."""
MOST_CLIENTS = 1000
"""Most clients of an installation: lists of them are made in memory."""
_CONFIDENTIAL: tuple[GrantType, ...] = ("client_credentials", "password")
"""Grants for which a client needs a secret (RFC 6749, sections 4.3 and 4.4)."""


class Registered(NamedTuple):
    """A client as it was stored. `secret`: the new one, which nobody can read back later; None if there is none."""

    application: Application
    secret: str | None


class Clients:
    """Registers, changes and removes clients. A change takes effect in this process before the method returns.

    Every method raises MissingPermission when the author may not do that, and StorageUnavailable when the database is
    unavailable.
    """

    def __init__(
        self, store: ClientStore, grants: GrantStore, policies: Policies, scopes: ScopeTable, tokens: AccessTokens
    ) -> None:
        self._store, self._grants = store, grants
        self._policies, self._scopes, self._tokens = policies, scopes, tokens

    async def all(self) -> Sequence[Application]:
        """Return all clients, in the order of their names."""
        return await self._store.all()

    async def find(self, id: str) -> Application:
        """Return a client. Raises NotFound."""
        found = await self._store.find(id)
        if found is None:
            raise _not_found(id)
        return found

    async def grants(self, id: str) -> Sequence[Grant]:
        """Return what subjects have allowed a client, the last used first, as far as it is still good."""
        held = await self._grants.of_client(id, now())
        subjects = {subject.id: subject for subject in (await self._policies.latest()).subjects if not subject.disabled}
        return [grant for grant in held if grant.subject in subjects and subjects[grant.subject].nonce == grant.nonce]

    @retried
    async def add(self, client: Client, subject: Subject, by: Author, *, public: bool) -> Registered:
        """Register a client with its subject. Empty ids are replaced by a new one, no grants by those that fit.

        Raises BadRequest for invalid values, Conflict when the id or the name is taken, Forbidden for roles that the author
        does not hold.
        """
        by.principal.demand(administration("clients", "create"))
        secret = None if public else secrets.mint()
        added = replace(subject, id=subject.id or secrets.object_id(), created_at=subject.created_at or iso(now()))
        added = replace(added, is_client=True)
        made = self._checked(replace(client, id=added.id, secret=_digest(secret), owner=by.actor.id))
        async with self._store.changing() as writer:
            if any(other.id == added.id for other in writer.policy.policy.subjects):
                raise Conflict(f"There is a subject with the _id {added.id} already")
            check_subject(added, writer.policy.policy)
            if await writer.count() >= MOST_CLIENTS:
                raise Conflict(f"There are too many applications, at most {MOST_CLIENTS}; remove some that nobody needs")
            by.check_gift(granted_by(writer.policy.policy, added.roles))
            await writer.policy.put_subject(added)
            await writer.put(made)
            application = Application(made, added)
            await writer.policy.note(by.entry("client-made", target(application), scopes=list(made.scopes)))
        await self._take_effect()
        return Registered(application, secret)

    @retried
    async def change(self, id: str, change: Callable[[Application], Application], by: Author) -> Application:
        """Replace a client by what `change` returns for it, and return that. Its kind and its secret stay.

        If it loses a scope or a grant, all tokens that it has end, and people are asked for their consent anew. If its
        redirect URIs change, its tokens stay, but people are asked anew: a consent was for where the answer went then. Raises
        BadRequest for invalid values, Conflict when the name is taken, NotFound, and Forbidden unless the author holds all
        that the client's subject does and gets.
        """
        by.principal.demand(administration("clients", "update"))
        async with self._store.changing() as writer:
            stored, policy = await writer.find(id), writer.policy.policy
            if stored is None:
                raise _not_found(id)
            by.check_power(held_by(policy, stored.subject, self._policies.default_roles))
            changed = change(stored)
            made = self._checked(replace(changed.client, id=id, secret=stored.client.secret))
            check_subject(changed.subject, policy)
            by.check_gift(granted_by(policy, roles_gained(stored.subject, changed.subject)))
            if not self._keeps(stored.client, made):
                await writer.end_grants(id)
            elif set(stored.client.redirects) != set(made.redirects):
                await writer.ask_anew(id)
            await writer.policy.put_subject(changed.subject)
            await writer.put(made)
            application = Application(made, changed.subject)
            await writer.policy.note(by.entry("client-changed", target(application), scopes=list(made.scopes)))
        await self._take_effect()
        return application

    @retried
    async def rotate(self, id: str, by: Author) -> Registered:
        """Give a client a new secret, and end all tokens that it has. Raises BadRequest for a public client, NotFound,
        Forbidden.
        """
        by.principal.demand(administration("clients", "update"))
        secret = secrets.mint()
        async with self._store.changing() as writer:
            stored = await writer.find(id)
            if stored is None:
                raise _not_found(id)
            if stored.client.is_public:
                raise BadRequest("A public client has no secret")
            by.check_power(held_by(writer.policy.policy, stored.subject, self._policies.default_roles))
            rotated = Application(replace(stored.client, secret=_digest(secret)), stored.subject)
            await writer.put(rotated.client)
            await writer.end_grants(id)
            await writer.policy.note(by.entry("client-rotated", target(rotated)))
        await self._take_effect()
        return Registered(rotated, secret)

    @retried
    async def remove(self, id: str, by: Author) -> Application:
        """Remove a client with its subject and all its tokens, and return it. Raises NotFound, Forbidden."""
        by.principal.demand(administration("clients", "delete"))
        async with self._store.changing() as writer:
            stored = await writer.find(id)
            if stored is None:
                raise _not_found(id)
            by.check_power(held_by(writer.policy.policy, stored.subject, self._policies.default_roles))
            await writer.policy.remove_subject(id)
            await writer.policy.note(by.entry("client-removed", target(stored)))
        await self._take_effect()
        return stored

    def _checked(self, client: Client) -> Client:
        """Return a client with what follows from the rest. Raises BadRequest for what does not fit together."""
        checked = replace(
            client,
            redirects=tuple(dict.fromkeys(client.redirects)),
            scopes=tuple(sorted(set(client.scopes or DEFAULT_SCOPES))),
            grants=tuple(dict.fromkeys(client.grants or _usual_grants(client))),
        )
        _check_redirects(checked)
        _check_grants(checked)
        self._check_scopes(checked.scopes)
        return checked

    def _check_scopes(self, scopes: Sequence[str]) -> None:
        if len(scopes) > MOST or sum(map(len, scopes)) > LONGEST:
            raise BadRequest(f"Too many scopes: at most {MOST}, of {LONGEST} characters together")
        for scope in scopes:
            try:
                self._scopes.check(scope)
            except OAuth2Error as error:
                raise BadRequest(f"Bad scope {scope[:100]!r}: {error.message}") from error

    def _keeps(self, before: Client, after: Client) -> bool:
        """Whether a client may do all that it could do before a change."""
        return set(before.grants) <= set(after.grants) and self._scopes.covers(after.scopes, before.scopes)

    async def _take_effect(self) -> None:
        """Load the stored change into this process; if the database has just become unavailable, `revisions.follow` does it."""
        with suppress(StorageUnavailable):
            await self._policies.refresh()
            await self._tokens.catch_up()


def _digest(secret: str | None) -> str | None:
    return None if secret is None else secrets.stored_digest(secret)


def _not_found(id: str) -> NotFound:
    return NotFound(f"There is no client {id!r}; list what there is to see the ids")


def _usual_grants(client: Client) -> tuple[GrantType, ...]:
    """Return the grants that fit: people are asked where there is somewhere to go back to, or else by a device's code."""
    if client.redirects:
        return ("authorization_code", "refresh_token")
    return ("device_code", "refresh_token") if client.is_public else ("client_credentials",)


def _check_redirects(client: Client) -> None:
    if len(client.redirects) > redirects.MOST:
        raise BadRequest(f"Too many redirect URIs: at most {redirects.MOST}")
    for uri in client.redirects:
        try:
            redirects.check(uri)
        except ValueError as error:
            raise BadRequest(f"Bad redirect URI {uri[:200]!r}: {error}") from error


def _check_grants(client: Client) -> None:
    unknown = [grant for grant in client.grants if grant not in GRANT_TYPES]
    if unknown:
        raise BadRequest(f"Unknown grant {unknown[0][:100]!r}; there are: {', '.join(GRANT_TYPES)}")
    if "authorization_code" in client.grants and not client.redirects:
        raise BadRequest("A client with the grant authorization_code needs a redirect URI")
    secretive = [grant for grant in client.grants if grant in _CONFIDENTIAL]
    if client.is_public and secretive:
        raise BadRequest(f"A public client has no secret, so it cannot have the grant {secretive[0]}")
