"""User tokens, which people get for their password."""

from __future__ import annotations

import orjson

from apiv3.model import messages
from apiv3.model.errors import BadRequest
from apiv3.security.accounts.sign_in import SignIn
from apiv3.security.accounts.user_tokens import UserTokens
from apiv3.security.logins import Logins
from apiv3.web.bodies import Limits, read_body
from apiv3.web.calls import Call
from apiv3.web.responses import Answer, json_answer

_LARGEST = 16_384
"""Bytes of a body, which holds an address and a password at the most."""


class People:
    """The endpoints for people."""

    def __init__(self, sign_in: SignIn, logins: Logins, tokens: UserTokens, limits: Limits) -> None:
        self._sign_in, self._logins, self._tokens, self._limits = sign_in, logins, tokens, limits

    async def request_token(self, call: Call) -> Answer:
        """Exchange the e-mail address and the password of a person for a user token."""
        email, password = _credentials(await self._body(call))
        person = await self._sign_in.by_password(email, password, call.address, "token")
        token = self._tokens.sign(person.subject)
        expires = self._tokens.read(token).issued + self._tokens.lifetime
        await self._logins.begin_token(person, token, expires * 1000, call.address)
        return json_answer({"auth_token": token, "user_id": person.subject.id})

    async def _body(self, call: Call) -> bytes:
        return await read_body(call, _LARGEST, self._limits.patience, self._limits.memory)


def _credentials(body: bytes) -> tuple[str, str]:
    """The e-mail address and the password. A password may hold U+0000, which no document may. Raises BadRequest."""
    try:
        said = orjson.loads(body)
    except ValueError as error:
        raise BadRequest(messages.BAD_BODY) from error
    if not isinstance(said, dict):
        raise BadRequest(messages.BAD_BODY)
    email, password = said.get("email"), said.get("password")
    if not isinstance(email, str) or not isinstance(password, str):
        raise BadRequest("Bad or missing email or password: both must be texts")
    return email, password
