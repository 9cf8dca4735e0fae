"""The snapshot of subjects and roles that a process goes by."""

import asyncio
import time

import pytest

from apiv3.model.errors import StorageUnavailable
from apiv3.security.policy import SHORTEST_INTERVAL, Policies
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


# --- a look before a refusal ------------------------------------------------------------------------------------------


class Counter(SlowStore):
    """Counts how often it is asked for its revision."""

    def __init__(self, held: Policy) -> None:
        super().__init__(held)
        self.looks = 0

    async def revision(self) -> int:
        self.looks += 1
        await asyncio.sleep(0)
        return await super().revision()


async def test_guesses_share_their_looks() -> None:
    """However many there are: one look in a tenth of a second."""
    store = Counter(Policy(1, (), ()))
    policies = Policies(store, "x" * 12)
    await policies.refresh()
    started = time.monotonic()
    for _ in range(4):
        await asyncio.gather(*(policies.look() for _ in range(250)))
    assert 4 <= store.looks <= (time.monotonic() - started) / SHORTEST_INTERVAL + 1


async def test_who_looks_finds_what_was_stored_before() -> None:
    """Even while others guess: a look that began before this one does not do."""
    store = Counter(Policy(1, (), ()))
    policies = Policies(store, "x" * 12)
    guesses = asyncio.gather(*(policies.look() for _ in range(50)))
    await asyncio.sleep(0)
    for revision in range(2, 6):
        store.held = Policy(revision, (PHONE,), ())
        await policies.look()
        assert policies.current.revision == revision
    await guesses


async def test_a_refusal_does_not_wait_long_for_a_database_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apiv3.security.policy.PATIENCE", 0.05)
    store = SlowStore(Policy(1, (PHONE,), ()))
    store.slow = True
    policies = Policies(store, "x" * 12)
    await policies.look()
    with pytest.raises(StorageUnavailable):
        policies.current  # noqa: B018
    monkeypatch.undo()
    store.told.set()
    await policies.look()
    assert policies.current.revision == 1


async def test_a_database_that_fails_leaves_everything_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(SlowStore):
        async def revision(self) -> int:
            raise StorageUnavailable

    policies = Policies(Failing(Policy(1, (PHONE,), ())), "x" * 12)
    before = await policies.refresh()
    for _ in range(2):
        await policies.look()
    assert policies.current is before
    assert caplog.text == ""
