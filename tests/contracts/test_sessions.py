"""What every SessionStore does: one suite, both databases."""

import asyncio
from dataclasses import replace

import pytest

from apiv3.model.identity import Subject
from apiv3.model.sessions import Limits, Session, Visitor
from apiv3.security.secrets import stored_digest
from apiv3.security.sessions import Sessions
from apiv3.storage.database import Database
from apiv3.storage.policy import PolicyTable
from apiv3.storage.sessions import SessionTable
from tests.support.storage import unique

MOMENT = 1_800_000_000_000
HOUR = 3_600_000
LIMITS = Limits(24 * HOUR, 240 * HOUR)


def session(subject: str = "", seen: int = MOMENT, begun: int = MOMENT) -> Session:
    visitor = Visitor("2001:db8::6", "Fírefox 🦊 on Linux")
    names = (unique("id"), unique("digest"), subject or unique("subject"), "nonce", "password")
    return Session(*names, visitor, ("readable", "uploader"), begun, begun, seen)


@pytest.fixture
def store(opened: Database) -> SessionTable:
    return SessionTable(opened)


@pytest.fixture
def elsewhere(another: Database) -> SessionTable:
    """The store of another process."""
    return SessionTable(another)


async def begin(store: SessionTable, *begun: Session) -> None:
    async with store.changing() as writer:
        for each in begun:
            await writer.begin(each, each.begun + LIMITS.longest)


async def end(store: SessionTable, *ended: Session) -> list[Session]:
    async with store.changing() as writer:
        return list(await writer.end(ended[0].subject, [each.id for each in ended], "ended"))


async def test_a_session_is_found_by_its_digest_until_it_is_ended(store: SessionTable, elsewhere: SessionTable) -> None:
    one, other = session(), session()
    await begin(store, one, other)
    assert (await elsewhere.find(one.digest))[1] == one
    assert (await elsewhere.find(unique("digest")))[1] is None
    revision, _ = await elsewhere.ended(0)
    assert await end(store, one) == [one]
    assert await end(store, one) == []
    assert (await elsewhere.find(one.digest))[1] is None
    newest, ids = await elsewhere.ended(revision)
    assert newest == revision + 2
    assert ids == [one.id]
    assert (await store.find(other.digest)) == (newest, other)
    assert await elsewhere.ended(newest) == (newest, [])


async def test_nobody_ends_the_sessions_of_another(store: SessionTable) -> None:
    mine, theirs = session(), session()
    await begin(store, mine, theirs)
    async with store.changing() as writer:
        assert await writer.end(mine.subject, [theirs.id, unique("id")], "ended") == []
    assert (await store.find(theirs.digest))[1] == theirs


async def test_a_person_has_several(store: SessionTable) -> None:
    subject = unique("subject")
    older, newer, ended = (session(subject, seen) for seen in (MOMENT, MOMENT + 1, MOMENT + 2))
    await begin(store, older, newer, ended, session())
    await end(store, ended)
    assert await store.of(subject) == [newer, older]


async def test_when_it_was_used_only_grows(store: SessionTable) -> None:
    one = session()
    await begin(store, one)
    for moment in (MOMENT + 5, MOMENT + 3):
        await store.saw({one.id: moment, unique("id"): moment})
    assert (await store.find(one.digest))[1] == replace(one, seen=MOMENT + 5)


async def test_what_is_over_is_deleted(store: SessionTable, opened: Database) -> None:
    later = MOMENT + 20 * 24 * HOUR
    idle, old = session(seen=later - 26 * HOUR), session(seen=later, begun=later - 242 * HOUR)
    good, recent = session(seen=later, begun=later), session(seen=later - 24 * HOUR - 1, begun=later - 24 * HOUR - 1)
    await begin(store, idle, old, good, recent)
    nonces = [unique("nonce"), unique("nonce")]
    assert [await store.use(nonces[0], later - 1), await store.use(nonces[1], later + 1)] == [True, True]
    await store.prune(LIMITS, later)
    found = {str(kept) for (kept,) in await opened.fetch("SELECT id FROM sessions")}
    assert found & {idle.id, old.id, good.id, recent.id} == {good.id, recent.id}
    assert [await store.use(nonces[0], later), await store.use(nonces[1], later)] == [True, False]


async def test_a_nonce_is_good_once_over_all_processes(store: SessionTable, elsewhere: SessionTable) -> None:
    nonce = unique("nonce")
    uses = await asyncio.gather(*(each.use(nonce, MOMENT) for each in (store, elsewhere) * 8))
    assert sorted(uses) == [False] * 15 + [True]


@pytest.mark.parametrize("change", ["a new nonce", "removal", "nothing new"])
async def test_sessions_depend_on_the_nonce_of_their_person(store: SessionTable, policies: PolicyTable, change: str) -> None:
    person = Subject(unique("id"), unique("name"), (), nonce="nonce")
    mine, theirs = session(person.id), session()
    await begin(store, mine, theirs)
    async with policies.changing() as writer:
        if change == "removal":
            await writer.remove_subject(person.id)
        else:
            await writer.put_subject(replace(person, nonce="another" if change == "a new nonce" else "nonce"))
    assert (await store.find(mine.digest))[1] == (mine if change == "nothing new" else None)
    assert (await store.find(theirs.digest))[1] == theirs


async def test_a_process_forgets_what_another_one_ended(store: SessionTable, elsewhere: SessionTable) -> None:
    begun = Sessions(store, Limits(10**15, 10**15))
    value = unique("value")
    one = replace(session(), digest=stored_digest(value))
    await begin(store, one)
    assert begun.recall(value) is None
    await begun.look(value)
    assert begun.recall(value) == one
    told = []
    begun.on_end.append(lambda: told.append(begun.has_ended(one)))
    await end(elsewhere, one)
    await begun.catch_up()
    assert told == [True]
    assert begun.recall(value) is None
    await begun.look(value)
    assert begun.recall(value) is None


async def test_a_look_that_is_overtaken_by_an_end_finds_nothing(elsewhere: SessionTable, opened: Database) -> None:
    """The session was still there when the database was asked, and its end is known by the time of the answer."""
    value = unique("value")
    one = replace(session(), digest=stored_digest(value))

    class Overtaken(SessionTable):
        async def find(self, digest: str) -> tuple[int, Session | None]:
            found = await super().find(digest)
            if found[1] is not None:
                await end(elsewhere, one)
                await sessions.catch_up()
            return found

    table = Overtaken(opened)
    sessions = Sessions(table, Limits(10**15, 10**15))
    await begin(table, one)
    await sessions.look(value)
    assert sessions.recall(value) is None


async def test_limits(store: SessionTable) -> None:
    for limits, good in ((Limits(HOUR, HOUR), False), (Limits(10**15, HOUR), False), (Limits(10**15, 10**15), True)):
        value = unique("value")
        sessions = Sessions(store, limits)
        await begin(store, replace(session(seen=HOUR, begun=HOUR), digest=stored_digest(value)))
        await sessions.look(value)
        assert (sessions.recall(value) is not None) is good
