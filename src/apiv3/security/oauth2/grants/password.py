"""Issue tokens for a person's e-mail address and password (RFC 6749, section 4.3).

Seed 003 asks for it; RFC 9700, section 2.4, forbids it. It is off unless OAUTH_PASSWORD_GRANT is true.
"""

from __future__ import annotations

from apiv3.model.accounts import Person
from apiv3.model.clients import Application
from apiv3.model.errors import Unauthorized
from apiv3.model.grants import Scopes
from apiv3.retrying import retried
from apiv3.security.accounts.sign_in import SignIn
from apiv3.security.oauth2.grants.grant import Form, invalid_grant, required
from apiv3.security.oauth2.issuing import Issued, Issuer
from apiv3.security.oauth2.scopes import ScopeTable


class PasswordGrant:
    """Confidential clients only: no others are registered with this grant.

    Failures count as those of the form for signing in do.
    """

    def __init__(self, scopes: ScopeTable, sign_in: SignIn, issuer: Issuer) -> None:
        self._scopes, self._sign_in, self._issuer = scopes, sign_in, issuer

    async def redeem(self, application: Application, form: Form, address: str) -> Issued:
        name, password = required(form, "username"), required(form, "password")
        scopes = self._scopes.chosen(form.get("scope"), application.client.scopes)
        try:
            person = await self._sign_in.by_password(name, password, address, "application")
        except Unauthorized as error:
            raise invalid_grant(f"{error.message}") from error
        return await self._issue(application, person, scopes, address)

    @retried
    async def _issue(self, application: Application, person: Person, scopes: Scopes, address: str) -> Issued:
        async with self._issuer.transaction(application) as writer:
            begun = await self._issuer.begin(writer, application.client, person.subject, "password", scopes, address)
            return begun[1]
