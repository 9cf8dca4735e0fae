"""Rights that have to last as long as a connection."""

import asyncio
import time
from typing import cast

import pytest

from apiv3.model.sessions import Limits
from apiv3.security.credentials import Identity
from apiv3.security.lasting import LastingRights
from apiv3.security.oauth2.access_tokens import AccessTokens
from apiv3.security.permissions import PermissionSet
from apiv3.security.policy import Policies
from apiv3.security.principal import Principal
from apiv3.security.sessions import Sessions
from apiv3.storage.contracts import Policy
from apiv3.storage.contracts.oauth2 import GrantStore
from apiv3.storage.contracts.sessions import SessionStore
from tests.support.policies import SlowStore


async def test_nothing_stays_of_a_connection_that_failed_at_its_beginning() -> None:
    """It is told of no later change, and not of the end of its credential."""
    store = SlowStore(Policy(1, (), ()))
    policies = Policies(store, "x" * 12)
    await policies.refresh()
    rights = LastingRights(policies, Sessions(cast("SessionStore", None), Limits(1, 1)), AccessTokens(cast("GrantStore", None)))
    ends = 0

    def end() -> None:
        nonlocal ends
        ends += 1
        raise ConnectionResetError

    nobody = Identity(Principal("gone", PermissionSet(()), ()), "gone-0123456789abcdef", time.time())
    with pytest.raises(ConnectionResetError), rights.hold(nobody, (), end):
        raise AssertionError("never")
    assert ends == 1
    store.held = Policy(2, (), ())
    await policies.refresh()
    await asyncio.sleep(0.01)
    assert ends == 1
