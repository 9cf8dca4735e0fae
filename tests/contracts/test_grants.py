"""What every GrantStore does: one suite, both databases."""

from dataclasses import replace

import pytest

from apiv3.model.grants import AccessToken, Grant, Request
from apiv3.security.oauth2.access_tokens import AccessTokens
from apiv3.security.secrets import stored_digest
from apiv3.storage.database import Database
from apiv3.storage.grants import MOST_REQUESTS, GrantTable
from tests.support.storage import unique

MOMENT = 4_000_000_000_000
"""Ms since 1970, in the future of every clock."""


def grant(expires: int = MOMENT, begun: int = 1000) -> Grant:
    names = (unique("id"), unique("client"), unique("subject"), "nonce")
    return Grant(*names, "authorization_code", ("read", "write"), begun, begun, expires)


@pytest.fixture
def store(opened: Database) -> GrantTable:
    return GrantTable(opened)


@pytest.fixture
def elsewhere(another: Database) -> GrantTable:
    """The store of another process."""
    return GrantTable(another)


async def issue(store: GrantTable, given: Grant, secret: str) -> AccessToken:
    token = AccessToken(stored_digest(secret), given, ("read",), 1000, given.expires)
    async with store.changing() as writer:
        await writer.begin(given)
        await writer.add_access(token, ("api:*:read",), "")
    return token


async def test_what_ends_in_one_process_is_forgotten_in_another(store: GrantTable, elsewhere: GrantTable) -> None:
    secrets = [unique("at_") for _ in range(3)]
    issued = [await issue(store, grant(), secret) for secret in secrets]
    known = AccessTokens(elsewhere)
    for secret, token in zip(secrets, issued, strict=True):
        await known.look(secret)
        assert known.recall(secret) == token
    async with store.changing() as writer:
        assert await writer.end([issued[0].grant.id]) == [issued[0].grant]
        assert await writer.end([issued[0].grant.id]) == []
        await writer.drop_access(issued[1].digest)
    await known.catch_up()
    assert [known.recall(secret) for secret in secrets] == [None, None, issued[2]]
    assert [known.has_ended(token) for token in issued] == [True, True, False]
    await known.look(secrets[0])
    assert known.recall(secrets[0]) is None


async def test_a_change_that_is_rolled_back_ends_nothing(store: GrantTable) -> None:
    token = await issue(store, grant(), secret := unique("at_"))

    async def change() -> None:
        async with store.changing() as writer:
            await writer.end([token.grant.id])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await change()
    assert (await store.access(stored_digest(secret)))[1] == token


async def test_what_has_expired_is_deleted_in_batches(store: GrantTable) -> None:
    """The oldest first; the tests of a worker share the tables, so all that count is what is as old as this."""
    old = [await issue(store, grant(expires=2000 + number), unique("at_")) for number in range(25)]
    fresh = await issue(store, grant(), unique("at_"))
    deleted = [await store.prune(3000, 10) for _ in range(4)]
    assert deleted == [10, 10, 5, 0]
    assert [(await store.access(token.digest))[1] for token in (*old, fresh)] == [None] * 25 + [fresh]


async def test_when_a_grant_was_used_never_goes_back(store: GrantTable) -> None:
    token = await issue(store, grant(), unique("at_"))
    for moment in (5000, 4000):
        await store.saw({token.grant.id: moment})
    assert await store.of_subject(token.grant.subject, 0) == [replace(token.grant, seen=5000)]
    assert await store.of_client(token.grant.client, MOMENT) == []


async def test_a_process_stores_which_grants_were_used(store: GrantTable) -> None:
    token = await issue(store, grant(), unique("at_"))
    known = AccessTokens(store)
    known.touch(token)
    await known.save()
    [stored] = await store.of_client(token.grant.client, 0)
    assert stored.seen > token.grant.seen


async def test_a_session_keeps_the_newest_of_its_requests(store: GrantTable) -> None:
    session = unique("session")
    asked = Request("client", "https://x.example/cb", True, ("read",), "state", "challenge")
    digests = [unique("digest") for _ in range(MOST_REQUESTS + 2)]
    for number, digest in enumerate(digests):
        await store.keep_request(digest, session, asked, MOMENT + number)
    async with store.changing() as writer:
        assert await writer.take_request(digests[0], session) is None
        assert await writer.take_request(digests[-1], "another session") is None
        assert await writer.take_request(digests[-1], session) == asked
        assert await writer.take_request(digests[-1], session) is None
