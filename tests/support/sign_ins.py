"""An installation in the test's own process, with its one way to sign in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import SecretStr

from apiv3.installation import Installation
from apiv3.security.accounts.challenges import Challenges
from apiv3.security.accounts.passkeys import Passkeys
from apiv3.security.accounts.passwords import Passwords
from apiv3.security.accounts.relying_party import RelyingParty
from apiv3.security.accounts.sign_in import SignIn
from apiv3.settings import load
from apiv3.storage import schema
from apiv3.storage.failures import FailureTable
from apiv3.storage.passkeys import PasskeyTable


def signing(made: Installation, hashing: Passwords, delay: int) -> SignIn:
    """The way to sign in. `delay`: ms for each failure."""
    passkeys = Passkeys(PasskeyTable(made.database), RelyingParty("https://x.example"), Challenges("k" * 32))
    return SignIn(made.account_table, FailureTable(made.database), hashing, passkeys, delay)


@asynccontextmanager
async def opened(url: str, delay: int = 0) -> AsyncIterator[tuple[Installation, SignIn]]:
    """An installation on a new database."""
    await asyncio.to_thread(schema.upgrade, url)
    made = Installation(load(database_url=url, api_secret=SecretStr("x" * 12), password_rounds=4))
    async with made.opened():
        yield made, signing(made, made.passwords, delay)
