"""The endpoints of OAuth2 that programs call: tokens, revocation, introspection, devices, metadata.

Their errors are those of RFC 6749, section 5.2, whatever goes wrong.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

from apiv3.model.clients import Application
from apiv3.model.errors import ApiError, OAuth2Error
from apiv3.security.oauth2.authentication import ClientAuthentication, invalid_client
from apiv3.security.oauth2.grants.device_code import INTERVAL, LIFETIME, DeviceCodeGrant
from apiv3.security.oauth2.grants.grant import required
from apiv3.security.oauth2.issuing import Issued
from apiv3.security.oauth2.scopes import ScopeTable
from apiv3.security.oauth2.token_endpoint import TokenEndpoint, TokenInspection
from apiv3.web.bodies import Limits, read_body
from apiv3.web.calls import Call, basic
from apiv3.web.parameters import Parameters, parse_form
from apiv3.web.responses import Answer, error_headers, json_answer

AUTHORIZE, TOKEN, REVOKE = "/oauth/authorize", "/oauth/token", "/oauth/revoke"
INTROSPECT, TOKEN_INFO, DEVICE_AUTHORIZATION = "/oauth/introspect", "/oauth/tokeninfo", "/oauth/device_authorization"
METADATA = "/.well-known/oauth-authorization-server"
DEVICE = "/device"
"""Where people type the code of a device."""
LARGEST = 65_536
"""Most bytes of a request."""
_FORM = re.compile(r"application/x-www-form-urlencoded[ \t]*(;.*)?", re.IGNORECASE)
_CODES = {429: "temporarily_unavailable", 503: "temporarily_unavailable"}
"""Error codes by status; all others are `invalid_request`."""

Endpoint = Callable[[Any, Call], Awaitable[Answer]]


class Sent(NamedTuple):
    """The form of a request, without empty parameters, and the client that has sent it."""

    form: dict[str, str]
    application: Application


def _refused(error: ApiError) -> Answer:
    """Return an error as RFC 6749, section 5.2, wants it."""
    code = error.error if isinstance(error, OAuth2Error) else _CODES.get(error.status, "invalid_request")
    body = {"error": code, "error_description": error.message or ""}
    return json_answer(body, error.status, error_headers(error))


def _answering(endpoint: Endpoint) -> Endpoint:
    """Decorate an endpoint: its errors are those of OAuth2."""

    @wraps(endpoint)
    async def answer(self: Any, call: Call) -> Answer:
        try:
            return await endpoint(self, call)
        except ApiError as error:
            if error.status >= 500 and error.status != 503:
                raise
            return _refused(error)

    return answer


class OAuth2:
    """The endpoints. `issuer`: the URL under which people reach the server."""

    def __init__(
        self,
        clients: ClientAuthentication,
        tokens: TokenEndpoint,
        inspection: TokenInspection,
        devices: DeviceCodeGrant,
        scopes: ScopeTable,
        limits: Limits,
        issuer: str,
    ) -> None:
        self._clients, self._tokens, self._inspection, self._devices = clients, tokens, inspection, devices
        self._scopes, self._limits, self._issuer = scopes, limits, issuer

    @_answering
    async def token(self, call: Call) -> Answer:
        """Issue an access token for a code, a refresh token, client credentials or a device."""
        sent = await self._sent(call)
        return _shown(await self._tokens.issue(sent.application, sent.form, call.address))

    @_answering
    async def revoke(self, call: Call) -> Answer:
        """Revoke a token, so that it stops working at once."""
        sent = await self._sent(call)
        await self._inspection.revoke(sent.application, required(sent.form, "token"))
        return json_answer({})

    @_answering
    async def introspect(self, call: Call) -> Answer:
        """Show a client whether a token is good, and what it allows."""
        sent = await self._sent(call)
        described = await self._inspection.introspect(sent.application, required(sent.form, "token"))
        return json_answer(described)

    @_answering
    async def token_info(self, call: Call) -> Answer:
        """Describe an access token to whoever holds it."""
        parameters = call.query if call.method == "GET" else await self._form(call)
        secret = parameters.one("access_token")
        if not secret:
            raise OAuth2Error("invalid_request", "The parameter access_token is missing")
        return json_answer(await self._inspection.info(secret))

    @_answering
    async def device_authorization(self, call: Call) -> Answer:
        """Start to sign in a device that has no keyboard."""
        sent = await self._sent(call)
        codes = await self._devices.start(sent.application, sent.form.get("scope"))
        where = f"{self._issuer}{DEVICE}"
        body = {"device_code": codes.device_code, "user_code": codes.user_code, "verification_uri": where}
        body |= {"verification_uri_complete": f"{where}?user_code={codes.user_code}"}
        return json_answer(body | {"expires_in": LIFETIME, "interval": INTERVAL})

    async def metadata(self, _call: Call) -> Answer:
        """Describe the OAuth2 provider, so that programs configure themselves."""
        ways = ["client_secret_basic", "client_secret_post"]
        body: dict[str, object] = {
            "issuer": self._issuer,
            "authorization_endpoint": self._issuer + AUTHORIZE,
            "token_endpoint": self._issuer + TOKEN,
            "device_authorization_endpoint": self._issuer + DEVICE_AUTHORIZATION,
            "revocation_endpoint": self._issuer + REVOKE,
            "introspection_endpoint": self._issuer + INTROSPECT,
            "scopes_supported": list(self._scopes.named),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": list(self._tokens.grants),
            "token_endpoint_auth_methods_supported": [*ways, "none"],
            "revocation_endpoint_auth_methods_supported": [*ways, "none"],
            "introspection_endpoint_auth_methods_supported": ways,
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
        }
        return json_answer(body)

    async def _sent(self, call: Call) -> Sent:
        """Read the form of a request, and authenticate the client (RFC 6749, section 2.3.1)."""
        parameters = await self._form(call)
        form = {name: value for name in parameters.names if (value := parameters.one(name))}
        name, secret = _client(call.header(b"authorization"), form)
        return Sent(form, await self._clients.authenticate(name, secret, call.address))

    async def _form(self, call: Call) -> Parameters:
        if _FORM.fullmatch(call.header(b"content-type") or "") is None:
            raise OAuth2Error("invalid_request", "Send the parameters as application/x-www-form-urlencoded")
        return parse_form(await read_body(call, LARGEST, self._limits.patience, self._limits.memory))


def _shown(issued: Issued) -> Answer:
    """A successful answer of the token endpoint (RFC 6749, section 5.1)."""
    body: dict[str, object] = {"access_token": issued.access, "token_type": "Bearer", "expires_in": issued.expires_in}
    body |= {"scope": " ".join(issued.scopes)}
    if issued.refresh is not None:
        body["refresh_token"] = issued.refresh
    return json_answer(body, headers=((b"pragma", b"no-cache"),))


def _client(header: str | None, form: dict[str, str]) -> tuple[str | None, str | None]:
    """Return the id and the secret of the client. Raises OAuth2Error for two secrets, and for two different ids."""
    name, secret = form.get("client_id"), form.get("client_secret")
    if header is None:
        return name, secret
    if secret is not None:
        raise OAuth2Error("invalid_request", "Two client secrets: send one, in the header or in the body")
    other, secret = _basic(header)
    if name not in (None, other):
        raise OAuth2Error("invalid_request", "The client_id of the body is not that of the header Authorization")
    return other, secret


def _basic(header: str) -> tuple[str, str]:
    """Return the id and the secret in a header Authorization, percent-encoded or not: no character of them needs it."""
    try:
        name, secret = basic(header)
    except ValueError as error:
        raise invalid_client("The header Authorization must be Basic, with client_id and client_secret") from error
    if not secret:
        raise invalid_client("The header Authorization has no client_secret")
    return unquote_plus(name), unquote_plus(secret)
