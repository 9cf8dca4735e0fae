"""People at the door: signing in for a user token, and using an invitation."""

from __future__ import annotations

from urllib.parse import parse_qsl

import orjson

from apiv3.model import messages
from apiv3.model.accounts import LONGEST_PASSWORD, SHORTEST_PASSWORD
from apiv3.model.errors import BadRequest, Forbidden
from apiv3.security.accounts.accounts import Accounts
from apiv3.security.accounts.sign_in import SignIn
from apiv3.security.accounts.user_tokens import UserTokens
from apiv3.security.logins import Logins
from apiv3.web import requests
from apiv3.web.bodies import Limits, read_body
from apiv3.web.calls import Call
from apiv3.web.responses import Answer, json_answer
from apiv3.web.site.pages import page

INVITATION = "/invitation/"
"""Where invitations are used; the code follows."""
_LARGEST = 16_384
"""Bytes of a body, which holds an address and a password at the most."""


class People:
    """The endpoints for people."""

    def __init__(self, accounts: Accounts, sign_in: SignIn, logins: Logins, tokens: UserTokens, limits: Limits) -> None:
        self._accounts, self._sign_in, self._logins, self._tokens = accounts, sign_in, logins, tokens
        self._limits = limits

    async def request_token(self, call: Call) -> Answer:
        """A user token for the e-mail address and the password of a person."""
        email, password = _credentials(await self._body(call))
        person = await self._sign_in.by_password(email, password, call.address, "token")
        await self._logins.note_token(person, call.address)
        return json_answer({"auth_token": self._tokens.sign(person.subject), "user_id": person.subject.id})

    async def invitation(self, call: Call) -> Answer:
        """The form in which an invited person chooses a password. It may be opened any number of times."""
        try:
            invited = await self._accounts.check_invitation(requests.identifier(call.params[-1]))
        except Forbidden as error:
            return _spent(call, error)
        return _form(call, invited.account.email.address)

    async def accept(self, call: Call) -> Answer:
        """Set the password that was chosen, which uses the invitation up."""
        code = requests.identifier(call.params[-1])
        try:
            invited = await self._accounts.check_invitation(code)
            address = invited.account.email.address
            password = _password(await self._body(call))
            await self._accounts.accept(code, password, call.visitor)
        except Forbidden as error:
            return _spent(call, error)
        except BadRequest as error:
            return _form(call, address, str(error.message))
        sentence = f"The password of {address} is set. Apps can sign in with it now."
        return page(call, "message.html", title="Your password is set", sentences=[sentence], links=[])

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


def _password(form: bytes) -> str:
    """The one password of a form. Raises BadRequest."""
    try:
        fields = parse_qsl(form.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=10)
    except ValueError as error:
        raise BadRequest("Bad form") from error
    [password, *others] = [value for name, value in fields if name == "password"] or [""]
    if others:
        raise BadRequest("Bad form: there is more than one password")
    return password


def _form(call: Call, email: str, complaint: str = "") -> Answer:
    """The form, once more with what is wrong about what was sent."""
    return page(
        call,
        "invitation.html",
        422 if complaint else 200,
        email=email,
        error=f"{complaint}." if complaint else "",
        shortest=SHORTEST_PASSWORD,
        longest=LONGEST_PASSWORD,
    )


def _spent(call: Call, error: Forbidden) -> Answer:
    return page(call, "message.html", 404, title="Nothing here", sentences=[f"{error.message}."], links=[])
