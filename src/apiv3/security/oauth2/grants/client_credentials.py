"""Issue tokens with which a client acts as its own subject (RFC 6749, section 4.4)."""

from __future__ import annotations

from apiv3.model.clients import Application
from apiv3.model.grants import Scopes
from apiv3.model.timestamps import now
from apiv3.retrying import retried
from apiv3.security.oauth2.grants.grant import Form
from apiv3.security.oauth2.issuing import LONGEST, Issued, Issuer
from apiv3.security.oauth2.scopes import OFFLINE, ScopeTable


class ClientCredentialsGrant:
    """Confidential clients only: no others are registered with this grant.

    All tokens of a client belong to one grant; there is never a refresh token.
    """

    def __init__(self, scopes: ScopeTable, issuer: Issuer) -> None:
        self._scopes, self._issuer = scopes, issuer

    async def redeem(self, application: Application, form: Form, address: str) -> Issued:
        return await self.issue(application, self._scopes.chosen(form.get("scope"), application.client.scopes), address)

    @retried
    async def issue(self, application: Application, scopes: Scopes, address: str = "") -> Issued:
        """Issue an access token to a client. `address`: where it calls from, empty for the command line."""
        client, subject = application
        kept = tuple(scope for scope in scopes if scope != OFFLINE)
        async with self._issuer.transaction(application) as writer:
            grant = await writer.find(client.id, subject.id, subject.nonce, "client_credentials")
            if grant is None or now() - grant.begun > LONGEST // 2:  # a token never outlives its grant
                return (await self._issuer.begin(writer, client, subject, "client_credentials", kept, address))[1]
            return await self._issuer.issue(writer, grant, kept, address, refreshes=False)
