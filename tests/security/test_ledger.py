"""The ledger's accounts: what each owner and all together may hold, and who waits for it."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as some

from apiv3.model.errors import TooManyRequests
from apiv3.security.ledger import Budget


async def test_each_owner_has_a_budget_of_its_own() -> None:
    account = Budget(2)
    assert [account.take("a") for _ in range(3)] == [True, True, False]
    assert account.take("b")
    account.give("a")
    assert account.take("a")
    assert (account.held("a"), account.held("b"), account.used) == (2, 1, 3)


async def test_who_waits_is_served_in_order_and_nobody_passes_by() -> None:
    account, served = Budget(1, waiting=9), list[str]()

    async def wait(name: str) -> None:
        await account.wait("a")
        served.append(name)

    assert account.take("a")
    tasks = []
    for name in "xyz":
        tasks.append(asyncio.create_task(wait(name)))
        await asyncio.sleep(0)
    for _ in tasks:
        account.give("a")
        assert not account.take("a"), "a newcomer passes by"
        await asyncio.sleep(0.01)
    assert served == ["x", "y", "z"]
    account.give("a")
    assert account.used == 0


async def test_no_more_may_wait_than_that() -> None:
    account = Budget(1, waiting=1, patience=60)
    assert account.take("a")
    waiting = asyncio.create_task(account.wait("a"))
    await asyncio.sleep(0)
    with pytest.raises(TooManyRequests):
        await account.wait("a")
    account.give("a")
    await waiting


async def test_nobody_waits_longer_than_that() -> None:
    account = Budget(1, waiting=1, patience=0.01)
    assert account.take("a")
    with pytest.raises(TooManyRequests):
        await account.wait("a")
    account.give("a")
    assert account.take("a")


async def test_who_leaves_the_queue_leaves_nothing_behind() -> None:
    account = Budget(1, waiting=2, patience=60)
    assert account.take("a")
    tasks = [asyncio.create_task(account.wait("a")) for _ in range(2)]
    await asyncio.sleep(0)
    account.give("a")  # the first one has it, and does not know yet
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert account.used == 0
    assert account.take("a")


async def test_an_amount_that_is_larger_than_the_budget_is_served_alone() -> None:
    account = Budget(10, total=20, waiting=9)
    assert account.take("a", 50)
    assert not account.take("b", 1)
    waiting = asyncio.create_task(account.wait("b", 5))
    await asyncio.sleep(0)
    account.give("a", 50)
    await waiting
    assert account.used == 5


async def test_a_large_one_that_waits_for_all_is_not_passed_by_for_ever() -> None:
    account = Budget(10, total=10, waiting=9)
    assert account.take("a", 5)
    large = asyncio.create_task(account.wait("b", 10))
    await asyncio.sleep(0)
    assert not account.take("c", 5)
    account.give("a", 5)
    await large
    assert account.held("b") == 10


@given(some.lists(some.tuples(some.sampled_from("abc"), some.integers(1, 8), some.booleans()), max_size=30))
def test_nothing_is_lost_and_no_bound_is_passed(steps: list[tuple[str, int, bool]]) -> None:
    """Whoever comes, in whatever order, and whoever gives up: the sums stay right, and all who wait get their turn."""

    async def play() -> None:
        account = Budget(8, total=12, waiting=99, patience=60)

        async def visit(owner: str, amount: int) -> None:
            await account.wait(owner, amount)
            try:
                assert account.held(owner) <= 8
                assert account.used <= 12
                await asyncio.sleep(0)
            finally:
                account.give(owner, amount)

        tasks = []
        for owner, amount, gives_up in steps:
            tasks.append(asyncio.create_task(visit(owner, amount)))
            if gives_up:
                await asyncio.sleep(0)
                tasks[len(tasks) // 2].cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(end is None or isinstance(end, asyncio.CancelledError) for end in ends), ends
        assert account.used == 0
        assert account.owners() == []
        assert account.take("d", 12)

    asyncio.run(play())
