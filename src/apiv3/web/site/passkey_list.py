"""The passkeys of a person as pages list them, each with the forms to rename and to remove it."""

from __future__ import annotations

from typing import NamedTuple

from apiv3.model.passkeys import Passkey
from apiv3.model.sessions import Session
from apiv3.security.accounts.passkeys import Passkeys
from apiv3.web.calls import Call
from apiv3.web.site.forms import Forms


class PasskeyRow(NamedTuple):
    """One passkey. `rename`, `remove`: the nonces of its forms."""

    passkey: Passkey
    rename: str
    remove: str


class PasskeyList:
    """Makes the rows. `party`: the relying party, for the scripts of the pages."""

    def __init__(self, passkeys: Passkeys, forms: Forms) -> None:
        self.party = passkeys.party
        self._passkeys, self._forms = passkeys, forms

    async def rows(self, call: Call, session: Session) -> list[PasskeyRow]:
        """Return a row for each passkey of the person of a session, oldest first."""
        passkeys = await self._passkeys.all(session.subject)
        return [PasskeyRow(each, *self._forms.nonces(call, 2, session)) for each in passkeys]
