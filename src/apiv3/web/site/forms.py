"""Nonces in forms, for people who are signed in and for those who are not yet."""

from __future__ import annotations

from apiv3.model.errors import BadNonce
from apiv3.model.sessions import Session
from apiv3.security import secrets
from apiv3.security.accounts.nonces import LIFETIME, Nonces
from apiv3.web.calls import Call
from apiv3.web.cookies import FORM


class Forms:
    """Binds the nonces of forms to the session of whoever calls; before the sign-in, to a cookie that lives as long as they do.

    The gate checks the nonce wherever a session is needed; public forms have `check` called by their endpoints.
    """

    def __init__(self, nonces: Nonces) -> None:
        self._nonces = nonces

    def nonce(self, call: Call) -> str:
        """Return a nonce for one form of the answer."""
        return self.nonces(call, 1)[0]

    def nonces(self, call: Call, number: int, begun: Session | None = None) -> list[str]:
        """Return a nonce for each form of the answer. `begun`: the session that the answer begins, if it does."""
        session = begun or call.browser_session
        if session is not None:
            return [self._nonces.issue(session.id) for _ in range(number)]
        value = call.form_cookie or secrets.mint()  # one cookie for all tabs, so that each of their forms can be sent
        call.cookies = (FORM.write(value, LIFETIME, encrypted=call.origin.encrypted),)
        return [self._nonces.issue(value) for _ in range(number)]

    async def check(self, call: Call) -> None:
        """Use up the nonce of the form that was sent. Raises BadNonce."""
        session = call.browser_session
        bound = call.form_cookie if session is None else session.id
        if bound is None:
            raise BadNonce
        await self._nonces.use(await call.nonce(form=True), bound)
