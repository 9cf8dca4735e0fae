"""The snapshot of subjects and roles that a process goes by."""

import asyncio

from apiv3.security.policy import Policies
from apiv3.storage.contracts import Policy
from tests.support.policies import PHONE, SlowStore


async def test_a_slow_look_does_not_bring_a_removed_subject_back() -> None:
    store = SlowStore(Policy(1, (PHONE,), ()))
    policies = Policies(store, "x" * 12)
    token = (await policies.refresh()).token(PHONE)
    assert policies.current.find(token)

    store.slow = True
    slow = asyncio.create_task(policies.refresh())
    await store.asked.wait()
    store.held, store.slow = Policy(2, (), ()), False
    quick = asyncio.create_task(policies.refresh())
    for _ in range(10):  # it would be done by then, if it did not wait for the slow one
        await asyncio.sleep(0)
    store.told.set()
    await asyncio.gather(slow, quick)
    assert policies.current.revision == 2
    assert policies.current.find(token) is None


async def test_a_copy_of_the_database_that_is_put_back_counts() -> None:
    store = SlowStore(Policy(7, (), ()))
    policies = Policies(store, "x" * 12)
    await policies.refresh()
    store.held = Policy(3, (PHONE,), ())
    assert (await policies.refresh()).subjects == (PHONE,)
