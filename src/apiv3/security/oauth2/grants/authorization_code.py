"""Exchange an authorization code for tokens (RFC 6749, section 4.1.3; RFC 7636, section 4.5)."""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64encode

from apiv3.model.clients import Application
from apiv3.model.grants import Code
from apiv3.model.timestamps import now
from apiv3.retrying import retried
from apiv3.security import secrets
from apiv3.security.oauth2.access_tokens import AccessTokens
from apiv3.security.oauth2.grants.grant import Form, invalid_grant, required
from apiv3.security.oauth2.issuing import Issued, Issuer
from apiv3.security.oauth2.replays import note_replay
from apiv3.security.policy import Policies
from apiv3.storage.contracts.oauth2 import GrantWriter

MOST_TRIES = 5
"""How often a code may be presented: a wrong verifier, or another client's try, does not use it up at once."""
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}", re.ASCII)
_BAD = "The code is unknown, expired or used, or client, redirect_uri or code_verifier do not belong to it"


class AuthorizationCodeGrant:
    """Codes that people have allowed. Using one and issuing its tokens is one transaction.

    A code that is used twice was stolen, from whichever of the two: what it gave ends (RFC 6749, section 4.1.2).
    """

    def __init__(self, tokens: AccessTokens, policies: Policies, issuer: Issuer) -> None:
        self._tokens, self._policies, self._issuer = tokens, policies, issuer

    async def redeem(self, application: Application, form: Form, address: str) -> Issued:
        code, verifier = required(form, "code"), required(form, "code_verifier")
        await self._policies.latest()
        issued = await self._redeem(application, secrets.stored_digest(code), verifier, form.get("redirect_uri"), address)
        if issued is None:
            await self._tokens.catch_up()  # if the code was replayed, its tokens end here at once
            raise invalid_grant(_BAD)
        return issued

    @retried
    async def _redeem(
        self, application: Application, digest: str, verifier: str, redirect: str | None, address: str
    ) -> Issued | None:
        async with self._issuer.transaction(application) as writer:
            code = await writer.try_code(digest)
            if code is None:
                return None
            if code.grant is not None:
                await note_replay(writer, code.grant, application, address)
                return None
            if not _fits(code, application, verifier, redirect):
                return None
            return await self._issue(writer, application, code, address)

    async def _issue(self, writer: GrantWriter, application: Application, code: Code, address: str) -> Issued | None:
        subject = self._policies.current.active(code.subject)
        if subject is None or subject.nonce != code.nonce:
            return None
        issuing = (writer, application.client, subject)
        grant, issued = await self._issuer.begin(*issuing, "authorization_code", code.scopes, address)
        await writer.use_code(code.digest, grant.id)
        return issued


def _fits(code: Code, application: Application, verifier: str, redirect: str | None) -> bool:
    if code.tries > MOST_TRIES or now() >= code.expires or code.client != application.client.id:
        return False
    if redirect != code.redirect and (redirect is not None or code.redirect_sent):
        return False
    return _VERIFIER.fullmatch(verifier) is not None and secrets.same(challenge(verifier), code.challenge)


def challenge(verifier: str) -> str:
    """Return the code challenge of a verifier by the method S256 (RFC 7636, section 4.2)."""
    return urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
