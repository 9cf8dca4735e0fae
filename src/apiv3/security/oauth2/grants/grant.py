"""What all ways to get tokens have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from apiv3.model.clients import Application
from apiv3.model.errors import OAuth2Error
from apiv3.security.oauth2.issuing import Issued

Form = Mapping[str, str]
"""The parameters of a request to the token endpoint, without empty ones (RFC 6749, section 3.2)."""


class TokenGrant(Protocol):
    """One `grant_type` of the token endpoint."""

    async def redeem(self, application: Application, form: Form, address: str) -> Issued:
        """Issue tokens to an authenticated client. `address`: where it calls from. Raises OAuth2Error, TooManyRequests."""


def required(form: Form, name: str) -> str:
    """Return a parameter. Raises OAuth2Error `invalid_request` when it is missing."""
    if name not in form:
        raise OAuth2Error("invalid_request", f"The parameter {name} is missing")
    return form[name]


def invalid_grant(description: str) -> OAuth2Error:
    """Return the error for a code, a token or a password that gives nothing."""
    return OAuth2Error("invalid_grant", description)
