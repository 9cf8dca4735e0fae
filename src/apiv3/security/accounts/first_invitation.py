"""The invitation of the first administrator, which the first start of the server prints.

It is for nobody in particular: whoever uses it enters a name, an e-mail address and a password. It is good for 72 hours, and
only while nobody has an account. So it can be used once, since the last administrator cannot be removed. Nothing is stored for
it; it is signed with the key that all processes share.
"""

from __future__ import annotations

import hashlib

from itsdangerous import BadSignature, TimestampSigner

from apiv3.model.accounts import INVITATION_LIFETIME
from apiv3.model.errors import Forbidden
from apiv3.model.sessions import Started, Visitor
from apiv3.security import secrets
from apiv3.security.accounts.accounts import FIRST_SPENT, Accounts

LONGEST = 200
"""Most characters of a code."""


class FirstInvitation:
    """Makes codes and accepts them. `key`: the secret that all processes share."""

    def __init__(self, key: str, accounts: Accounts) -> None:
        self._accounts = accounts
        self._signer = TimestampSigner(key, salt="apiv3.first-invitation", key_derivation="hmac", digest_method=hashlib.sha256)

    def code(self) -> str:
        """Return a code that is good from now on."""
        return self._signer.sign(secrets.mint()).decode()

    async def check(self, code: str) -> None:
        """Raise Forbidden unless the code is good now. That does not use it up."""
        self._verify(code)
        if not await self._accounts.is_empty():
            raise Forbidden(FIRST_SPENT)

    async def accept(self, code: str, address: str, name: str, password: str, visitor: Visitor) -> Started:
        """Create the first administrator, and sign the person in.

        Raises Forbidden if the code is not good, and BadRequest and Conflict for what was entered, after which it can be used
        again.
        """
        self._verify(code)
        return await self._accounts.add_first(address, name, password, visitor)

    def _verify(self, code: str) -> None:
        try:
            if len(code) > LONGEST:
                raise Forbidden(FIRST_SPENT)
            self._signer.unsign(code, max_age=INVITATION_LIFETIME // 1000)
        except BadSignature as error:
            raise Forbidden(FIRST_SPENT) from error
