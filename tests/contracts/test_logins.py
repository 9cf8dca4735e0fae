"""What every LoginStore does: one suite, both databases."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apiv3.model.identity import Role, Subject
from apiv3.model.logins import Event, Login, Position, Snapshot
from apiv3.model.sessions import Limits, Session, Visitor
from apiv3.model.timestamps import now
from apiv3.security.logins import Endings
from apiv3.security.secrets import object_id
from apiv3.security.sessions import Sessions
from apiv3.storage.database import Database
from apiv3.storage.logins import LoginTable, Outbox
from apiv3.storage.policy import PolicyTable
from apiv3.storage.sessions import SessionTable
from tests.support.storage import unique

HOUR = 3_600_000
MANY = 10_000
SOON = 2000
"""Milliseconds in which a login is told before it ends."""
State = dict[str, dict[str, Any]]


@pytest.fixture
async def store(opened: Database) -> LoginTable:
    return await used(opened)


async def used(database: Database) -> LoginTable:
    """A store that something was told from already. Nobody can follow from before that."""
    store, owner = LoginTable(database), subject()
    if not (await store.position()).sequence:
        await put(PolicyTable(database), owner)
        await begin(store, login(owner))
    return store


@pytest.fixture
def elsewhere(another: Database) -> LoginTable:
    """The store of another process."""
    return LoginTable(another)


def subject(name: str = "", roles: tuple[str, ...] = ("readable",)) -> Subject:
    return Subject(object_id(), name or unique("subject"), roles, nonce="first")


def login(owner: Subject, expires: int | None = None, lease: int | None = None) -> Login:
    names = (unique("uuid"), unique("digest"), owner.id, owner.nonce, "token", "192.0.2.7")
    return Login(*names, now(), expires, (("api:*:read",),), lease)  # type: ignore[arg-type]


async def put(policies: PolicyTable, *subjects: Subject) -> None:
    async with policies.changing() as writer:
        for each in subjects:
            await writer.put_subject(each)


async def begin(store: LoginTable, *begun: Login) -> None:
    async with store.changing() as outbox:
        for each in begun:
            outbox.begin(each)


async def since(store: LoginTable, position: Position) -> list[Event]:
    events = await store.after(position, MANY)
    assert events is not None
    return list(events)


def told(events: list[Event]) -> list[tuple[str, str]]:
    return [(event.kind, json.loads(event.body)["session"]) for event in events]


def listed(snapshot: Snapshot) -> State:
    return {each["session"]: each for each in map(json.loads, snapshot.sessions)}


def applied(state: State, events: list[Event]) -> State:
    """What a service has after some events. A session comes once, and is known when it changes or ends."""
    for event in events:
        body = json.loads(event.body)
        assert (body["session"] in state) == (event.kind != "login")
        if event.kind == "logout":
            del state[body["session"]]
        else:
            assert state.get(body["session"]) != body
            state[body["session"]] = body
    return state


# --- the order of commits


@asynccontextmanager
async def held(database: Database, begun: Login) -> AsyncIterator[None]:
    """A transaction that has told of a login, and is not committed yet."""
    async with database.transaction(unique("lane")) as connection:
        outbox = Outbox(connection, database.dialect, ())
        outbox.begin(begun)
        await outbox.tell()
        yield


async def test_who_takes_a_number_first_is_delivered_first(
    opened: Database, store: LoginTable, elsewhere: LoginTable, policies: PolicyTable
) -> None:
    owner = subject()
    await put(policies, owner)
    first, second, before = login(owner), login(owner), await store.position()
    async with held(opened, first):
        later = asyncio.create_task(begin(elsewhere, second))
        await asyncio.wait([later], timeout=1)
        # One that did not wait would be committed by now, and a follower would skip the first.
        assert not later.done()
        assert await since(elsewhere, before) == []
    await later
    assert told(await since(elsewhere, before)) == [("login", first.id), ("login", second.id)]


async def test_what_is_rolled_back_tells_nothing(opened: Database, store: LoginTable, policies: PolicyTable) -> None:
    owner = subject()
    await put(policies, owner)
    lost, before = login(owner), await store.position()
    with pytest.raises(ZeroDivisionError):
        async with held(opened, lost):
            raise ZeroDivisionError
    assert await since(store, before) == []
    assert lost.id not in listed(await store.snapshot())


async def test_a_change_of_rights_and_a_login_at_one_moment(
    store: LoginTable, elsewhere: LoginTable, policies: PolicyTable
) -> None:
    """Whichever is first: what is told last has the new rights."""
    owner = subject()
    await put(policies, owner)
    for number in range(10):
        roles = (("careportal",), ("readable",))[number % 2]
        begun = [login(owner) for _ in range(3)]
        await asyncio.gather(put(policies, replace(owner, roles=roles)), *(begin(elsewhere, each) for each in begun))
        found = listed(await store.snapshot())
        assert {tuple(found[each.id]["granted"]) for each in begun} == {
            ({"careportal": "api:treatments:create"}.get(roles[0], "*:*:read"),)
        }


async def test_nobody_who_was_refused_meanwhile_logs_in(store: LoginTable, policies: PolicyTable) -> None:
    gone, disabled, renewed = subject(), subject(), subject()
    await put(policies, replace(disabled, disabled=True), replace(renewed, nonce="second"))
    before = await store.position()
    await begin(store, *map(login, (gone, disabled, renewed)))
    assert await since(store, before) == []


# --- positions


async def test_a_gap_is_noticed(store: LoginTable, policies: PolicyTable) -> None:
    owner = subject()
    await put(policies, owner)
    await begin(store, login(owner))
    here = await store.position()
    await begin(store, login(owner))
    assert len(await since(store, here)) == 1
    assert await since(store, await store.position()) == []
    for unknown in (
        here._replace(epoch="0"),
        here._replace(sequence=here.sequence - 1),
        here._replace(sequence=2 * here.sequence),
    ):
        assert await store.after(unknown, MANY) is None


async def test_a_new_epoch(store: LoginTable) -> None:
    before = await store.position()
    await store.begin_epoch()
    after = await store.position()
    assert (before.epoch != after.epoch, before.sequence) == (True, after.sequence)
    assert await store.after(before, MANY) is None


async def test_old_events_are_deleted_in_batches(store: LoginTable, policies: PolicyTable) -> None:
    owner = subject()
    await put(policies, owner)
    before = await store.position()
    await begin(store, *(login(owner) for _ in range(5)))
    last = await store.position()
    while await store.prune(before.sequence + 1, MANY):
        pass
    assert await store.prune(last.sequence, 3) == 3
    assert await store.after(before, MANY) is None
    while await store.prune(last.sequence + HOUR, MANY):
        pass
    assert await since(store, last) == []
    await begin(store, login(owner))
    assert len(await since(store, last)) == 1  # nothing is missing for those who have the last event


async def test_a_page_has_a_limit(store: LoginTable, policies: PolicyTable) -> None:
    owner = subject()
    await put(policies, owner)
    before, begun = await store.position(), [login(owner) for _ in range(5)]
    await begin(store, *begun)
    page = await store.after(before, 2)
    assert page is not None
    rest = await since(store, page[-1].position)
    assert told([*page, *rest]) == [("login", each.id) for each in sorted(begun, key=lambda each: each.id)]


async def test_numbers_go_on_after_a_restore(opened: Database, store: LoginTable, policies: PolicyTable) -> None:
    """They are no less than the time in ms: those that a follower had of a lost future are not given to others."""
    owner, moment = subject(), now()
    await put(policies, owner)
    async with opened.transaction("x") as connection:
        await connection.execute("UPDATE clocks SET last = 5 WHERE name = '/logins'")
    await begin(store, login(owner))
    assert (await store.position()).sequence >= moment


# --- what ends by time alone


async def test_what_expires_is_told_once_by_two_processes(
    opened: Database, another: Database, store: LoginTable, elsewhere: LoginTable, policies: PolicyTable
) -> None:
    owner = subject()
    await put(policies, owner)
    over, left = login(owner, now() + SOON), login(owner, now() + HOUR)
    before = await store.position()
    await begin(store, over, left)
    limits = Limits(HOUR, HOUR)
    processes = [Endings(table, Sessions(SessionTable(db), limits)) for table, db in ((store, opened), (elsewhere, another))]
    while over.id in listed(await store.snapshot()):
        await asyncio.gather(*(process.round() for process in processes))
    await asyncio.gather(*(process.round() for process in processes))
    events = [event for event in await since(store, before) if json.loads(event.body)["session"] in (over.id, left.id)]
    assert sorted(told(events)) == sorted([("login", over.id), ("login", left.id), ("logout", over.id)])
    assert json.loads(events[-1].body)["reason"] == "expired"


async def test_a_session_that_nobody_uses(opened: Database, store: LoginTable, policies: PolicyTable) -> None:
    owner, moment = subject(), now()
    await put(policies, owner)
    limits, sessions = Limits(HOUR, 10 * HOUR), SessionTable(opened)

    def session(seen: int) -> Session:
        names = (unique("id"), unique("digest"), owner.id, owner.nonce, "password")
        return Session(*names, Visitor("192.0.2.1", "curl"), ("readable",), moment - 2 * HOUR, moment, seen)

    idle, used = session(moment - HOUR), session(moment - HOUR + 60_000)
    before = await store.position()
    async with sessions.changing() as writer:
        for each in (idle, used):
            await writer.begin(each, moment + 8 * HOUR)
    opened_ids = {json.loads(event.body)["digest"]: json.loads(event.body)["session"] for event in await since(store, before)}
    await sessions.expire(limits, moment + 1)
    assert told(await since(store, before))[2:] == [("logout", opened_ids[idle.digest])]
    assert [(await sessions.find(each.digest))[1] for each in (idle, used)] == [None, used]
    await sessions.expire(limits, moment + 1)
    assert len(await since(store, before)) == 3


async def test_a_lease_is_renewed(store: LoginTable, policies: PolicyTable) -> None:
    owner = subject()
    await put(policies, owner)
    kept, lost, closed = (login(owner, lease=now() + SOON) for _ in range(3))
    before = await store.position()
    await begin(store, kept, lost, closed)
    async with store.changing() as outbox:
        await outbox.close(closed.id, "ended")
    await store.renew([kept.id, closed.id], now() + HOUR)
    while lost.id in listed(await store.snapshot()):
        await store.review(await store.overdue(now(), MANY) & {owner.id})
    events = [json.loads(event.body) for event in await since(store, before)]
    assert {each["session"]: each["reason"] for each in events if "reason" in each} == {closed.id: "ended", lost.id: "expired"}
    assert listed(await store.snapshot())[kept.id]["expires"] is None


async def test_other_default_roles_are_told_by_a_review(opened: Database, store: LoginTable, policies: PolicyTable) -> None:
    owner = subject()
    await put(policies, owner)
    begun, before = login(owner), await store.position()
    await begin(store, begun)
    await LoginTable(opened, ("careportal",)).review([owner.id])
    assert [kind for kind, _ in told(await since(store, before))] == ["login", "change"]
    assert listed(await store.snapshot())[begun.id]["granted"] == ["*:*:read", "api:treatments:create"]
    await LoginTable(opened, ("careportal",)).review()
    assert len(await since(store, before)) >= 2


async def test_a_large_session(store: LoginTable, policies: PolicyTable) -> None:
    """It is larger than a notification of PostgreSQL may be, which is 8,000 bytes."""
    role = Role(unique("role"), tuple(f"api:entries:read:{number:0200d}" for number in range(100)), id=object_id())
    owner = subject(roles=(role.name,))
    async with policies.changing() as writer:
        await writer.put_role(role)
        await writer.put_subject(owner)
    begun = login(owner)
    await begin(store, begun)
    assert listed(await store.snapshot())[begun.id]["granted"] == list(role.permissions)
    async with policies.changing() as writer:
        await writer.remove_subject(owner.id)
        assert role.id is not None
        await writer.remove_role(role.id)


# --- whatever happens

STEPS = st.lists(
    st.tuples(st.sampled_from(["begin", "close", "roles", "role", "disable", "nonce", "remove", "name"]), st.integers(0, 2)),
    max_size=12,
)


@given(steps=STEPS, resumed=st.integers(0, 12))
@settings(max_examples=15, deadline=None)
def test_events_lead_to_the_snapshot(migrated_url: str, steps: list[tuple[str, int]], resumed: int) -> None:
    asyncio.run(_lead(migrated_url, steps, resumed))


async def _lead(url: str, steps: list[tuple[str, int]], resumed: int) -> None:
    database = Database(url)
    await database.connect()
    try:
        store, policies = await used(database), PolicyTable(database)
        people, open_ids, role = (
            [subject() for _ in range(3)],
            list[str](),
            Role(unique("role"), ("api:food:read",), id=object_id()),
        )
        await put(policies, *people)
        snapshots = [await store.snapshot()]
        for number, (step, who) in enumerate(steps):
            person = people[who]
            if step == "begin":
                begun = login(person)
                open_ids.append(begun.id)
                await begin(store, begun)
            elif step == "close":
                async with store.changing() as outbox:
                    for each in open_ids[:1]:
                        await outbox.close(each, "ended")
                del open_ids[:1]
            elif step == "role":
                role = replace(role, permissions=(*role.permissions, f"api:food:read:{number}"))
                async with policies.changing() as writer:
                    await writer.put_role(role)
            elif step == "remove":
                async with policies.changing() as writer:
                    await writer.remove_subject(person.id)
            else:
                changes: dict[str, dict[str, Any]] = {
                    "roles": {"roles": (role.name, "readable")[: number % 3]},
                    "disable": {"disabled": not person.disabled},
                    "nonce": {"nonce": unique("nonce")},
                    "name": {"name": unique("name")},
                }
                people[who] = replace(person, **changes[step])
                await put(policies, people[who])
            snapshots.append(await store.snapshot())
        final = listed(await store.snapshot())
        begun_at = snapshots[min(resumed, len(snapshots) - 1)]
        assert applied(listed(begun_at), await since(store, begun_at.position)) == final
        async with policies.changing() as writer:
            for person in people:
                await writer.remove_subject(person.id)
    finally:
        await database.disconnect()
