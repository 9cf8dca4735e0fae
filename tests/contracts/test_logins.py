"""What every LoginStore does: one suite, both databases."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apiv3.live import logins as live
from apiv3.live.bells import Bells
from apiv3.live.logins import LoginChannel
from apiv3.model.errors import StorageUnavailable
from apiv3.model.identity import Role, Subject
from apiv3.model.logins import Event, Login, Position, Snapshot
from apiv3.model.sessions import Limits, Session, Visitor
from apiv3.model.timestamps import now
from apiv3.security.logins import Endings
from apiv3.security.secrets import object_id
from apiv3.security.sessions import Sessions
from apiv3.storage.contracts import Ring
from apiv3.storage.contracts.logins import LOGINS
from apiv3.storage.database import Database
from apiv3.storage.logins import LoginTable, Outbox
from apiv3.storage.policy import PolicyTable
from apiv3.storage.sessions import SessionTable
from tests.support.storage import unique
from tests.support.waiting import PATIENCE, until

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


def login(owner: Subject, expires: int | None = None) -> Login:
    names = (unique("uuid"), unique("digest"), owner.id, owner.nonce, "token", "192.0.2.7")
    return Login(*names, now(), expires, (("api:*:read",),))  # type: ignore[arg-type]


async def put(policies: PolicyTable, *subjects: Subject) -> None:
    async with policies.changing() as writer:
        for each in subjects:
            await writer.put_subject(each)


async def begin(store: LoginTable, *begun: Login) -> None:
    async with SessionTable(store._database).changing() as writer:
        for each in begun:
            writer.logins.begin(each)


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


class Counting(Outbox):
    """An outbox that counts the logins that it compares."""

    compared = 0

    def _reason(self, *row: Any) -> Any:
        self.compared += 1
        return super()._reason(*row)


async def test_a_login_costs_the_same_however_many_its_subject_has(store: LoginTable) -> None:
    """Programs that get a token for each call have thousands that are still open."""
    owner, database = subject(), store._database
    await put(PolicyTable(database), owner)
    await begin(store, *(login(owner) for _ in range(50)))
    async with database.transaction("tests") as connection:
        outbox = Counting(connection, database.dialect, ())
        outbox.begin(login(owner))
        await outbox.tell()
    assert outbox.compared == 1


@pytest.mark.parametrize("ahead", [0, HOUR])
async def test_who_takes_a_number_first_is_delivered_first(
    opened: Database, store: LoginTable, elsewhere: LoginTable, policies: PolicyTable, ahead: int
) -> None:
    """Also when the numbers are ahead of the time, because a clock was."""
    owner = subject()
    await put(policies, owner)
    async with opened.transaction("x") as connection:
        await connection.execute(opened.dialect.sql("UPDATE clocks SET last = last + ? WHERE name = '/logins'"), ahead)
    start = (await store.position()).sequence
    await begin(store, login(owner))
    assert (await store.position()).sequence > start
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
        here._replace(sequence=1),  # long before the first one, since the numbers are times
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
        await connection.execute("DELETE FROM login_events WHERE sequence > 5")
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
    async with asyncio.timeout(PATIENCE):
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


async def test_other_default_roles_are_told_by_a_review(opened: Database, store: LoginTable, policies: PolicyTable) -> None:
    owners = subject(), subject()
    await put(policies, *owners)
    first, second = map(login, owners)
    before, changing = await store.position(), LoginTable(opened, ("careportal",))
    await begin(store, first, second)

    async def changed() -> list[str]:
        changes = [each for kind, each in told(await since(store, before)) if kind == "change"]
        return [each for each in changes if each in (first.id, second.id)]

    await changing.review([owners[0].id])
    assert await changed() == [first.id]
    assert listed(await store.snapshot())[first.id]["granted"] == ["*:*:read", "api:treatments:create"]
    await changing.review()
    assert await changed() == [first.id, second.id]
    await store.review()


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


# --- followers


class Watch:
    """What rings the bells of a process when others have written. `runs`: whether somebody listens to it."""

    def __init__(self) -> None:
        self.runs = False

    async def __call__(self, _ring: Ring) -> None:
        self.runs = True
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.runs = False


class Away(LoginTable):
    """A store whose database is unavailable for a while. `asked`: how often it was asked meanwhile."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.is_away, self.asked = False, 0

    async def after(self, position: Position, limit: int) -> Sequence[Event] | None:
        if self.is_away:
            self.asked += 1
            raise StorageUnavailable
        return await super().after(position, limit)


@pytest.fixture
def seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a bell, followers look only once an hour."""
    monkeypatch.setattr(live, "LOOK", 3600.0)
    monkeypatch.setattr(live, "HEARTBEAT", 7200.0)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Followers look all the time, and each time say that there was nothing."""
    monkeypatch.setattr(live, "LOOK", 0.01)
    monkeypatch.setattr(live, "HEARTBEAT", 0.0)


async def soon(told: AsyncIterator[Snapshot | Sequence[Event]]) -> Snapshot | Sequence[Event] | None:
    """What a follower is told next, None at its end."""
    async with asyncio.timeout(PATIENCE):
        return await anext(told, None)


@pytest.mark.usefixtures("seldom")
async def test_a_bell_of_logins_wakes_a_follower(store: LoginTable, policies: PolicyTable) -> None:
    owner, bells = subject(), Bells(Watch())
    await put(policies, owner)
    async with LoginChannel(store, bells).follow(await store.position()) as follower:
        waiting = asyncio.create_task(soon(aiter(follower)))
        await asyncio.sleep(0)
        await begin(store, begun := login(owner))
        bells.ring("entries")
        assert not (await asyncio.wait([waiting], timeout=0.3))[0]
        bells.ring(LOGINS)
        events = await waiting
    assert isinstance(events, list)
    assert told(events) == [("login", begun.id)]


@pytest.mark.usefixtures("seldom")
async def test_followers_end_at_once(store: LoginTable) -> None:
    """One that has lost its right, all at the end of the server, and one that comes after that."""
    channel, position = LoginChannel(store, Bells(Watch())), await store.position()
    async with channel.follow(position) as lost, channel.follow(position) as other:
        waiting = [asyncio.create_task(soon(aiter(each))) for each in (lost, other)]
        await asyncio.sleep(0)
        lost.close()
        assert await waiting[0] is None
        channel.close()
        assert await waiting[1] is None
        async with channel.follow(None) as late:
            assert await soon(aiter(late)) is None


async def test_nobody_watches_the_database_for_followers_that_have_gone(store: LoginTable) -> None:
    watch = Watch()
    channel = LoginChannel(store, Bells(watch))
    async with channel.follow(None):
        await until(lambda: watch.runs)
    await until(lambda: not watch.runs)


@pytest.mark.usefixtures("often")
async def test_a_bell_that_is_lost_does_no_harm(store: LoginTable, policies: PolicyTable) -> None:
    owner = subject()
    await put(policies, owner)
    async with LoginChannel(store, Bells(Watch())).follow(await store.position()) as follower:
        events = aiter(follower)
        assert await soon(events) == []
        await begin(store, begun := login(owner))
        async with asyncio.timeout(PATIENCE):
            while not (found := await anext(events)):
                pass
    assert isinstance(found, list)
    assert told(found) == [("login", begun.id)]


@pytest.mark.usefixtures("often")
async def test_a_follower_hears_that_there_was_nothing_unless_nobody_can_know(opened: Database, store: LoginTable) -> None:
    table = Away(opened)
    async with LoginChannel(table, Bells(Watch())).follow(await store.position()) as follower:
        events = aiter(follower)
        assert await soon(events) == []
        table.is_away = True
        waiting = asyncio.create_task(soon(events))
        await until(lambda: table.asked > 3)
        assert not waiting.done()
        table.is_away = False
        assert await waiting == []


# --- whatever happens

STEPS = st.lists(
    st.tuples(st.sampled_from(["begin", "roles", "role", "disable", "nonce", "remove", "name"]), st.integers(0, 2)),
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
        people, role = [subject() for _ in range(3)], Role(unique("role"), ("api:food:read",), id=object_id())
        await put(policies, *people)
        snapshots = [await store.snapshot()]
        for number, (step, who) in enumerate(steps):
            person = people[who]
            if step == "begin":
                await begin(store, login(person))
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
