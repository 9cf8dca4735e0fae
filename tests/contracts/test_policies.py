"""What every PolicyStore does: one suite, both databases."""

import asyncio

import pytest

from apiv3.model.errors import Conflict
from apiv3.model.identity import Role, Subject
from apiv3.storage.contracts import PolicyStore
from apiv3.storage.database import Database
from apiv3.storage.policy import PolicyTable
from tests.support.storage import assert_whole

PHONE = Subject("a" * 24, "phönè 🍎", ("readable", "uploader"), "notes\n\"'", "2024-01-01T00:00:00.000Z", "nonce", "optional")
UPLOADER = Role("uploader", ("api:entries:create", "api:*:read"), "notes", "b" * 24, "2024-01-01T00:00:00.000Z")


@pytest.fixture(autouse=True)
async def empty(policies: PolicyTable) -> None:
    async with policies.changing() as writer:
        for subject in writer.policy.subjects:
            await writer.remove_subject(subject.id)
        for role in writer.policy.roles:
            assert role.id is not None
            await writer.remove_role(role.id)


async def test_subjects_and_roles_come_back_as_they_were_stored(policies: PolicyStore) -> None:
    before = await policies.revision()
    async with policies.changing() as writer:
        assert (writer.policy.subjects, writer.policy.roles) == ((), ())
        await writer.put_subject(PHONE)
        await writer.put_role(UPLOADER)
    policy = await policies.load()
    assert (policy.subjects, policy.roles) == ((PHONE,), (UPLOADER,))
    assert policy.revision == await policies.revision() == before + 1


async def test_put_replaces_what_has_the_same_id(policies: PolicyStore) -> None:
    async with policies.changing() as writer:
        await writer.put_subject(PHONE)
        await writer.put_role(UPLOADER)
    phone = Subject(PHONE.id, "renamed", (), "", "2025-01-01T00:00:00.000Z", "other")
    uploader = Role("renamed", (), "", UPLOADER.id, "2025-01-01T00:00:00.000Z")
    async with policies.changing() as writer:
        await writer.put_subject(phone)
        await writer.put_role(uploader)
    policy = await policies.load()
    assert (policy.subjects, policy.roles) == ((phone,), (uploader,))


async def test_remove(policies: PolicyStore) -> None:
    async with policies.changing() as writer:
        await writer.put_subject(PHONE)
        await writer.put_role(UPLOADER)
    async with policies.changing() as writer:
        await writer.remove_subject(PHONE.id)
        await writer.remove_role("of nobody")
    policy = await policies.load()
    assert (policy.subjects, policy.roles) == ((), (UPLOADER,))


@pytest.mark.parametrize("error", [Conflict(), asyncio.CancelledError()], ids=repr)
async def test_whatever_is_raised_rolls_everything_back(policies: PolicyStore, opened: Database, error: BaseException) -> None:
    before = await policies.load()

    async def fail() -> None:
        async with policies.changing() as writer:
            await writer.put_subject(PHONE)
            raise error

    with pytest.raises(type(error)):
        await fail()
    assert await policies.load() == before
    await assert_whole(opened)


async def test_names_are_unique(policies: PolicyStore) -> None:
    async with policies.changing() as writer:
        await writer.put_subject(PHONE)
        await writer.put_role(UPLOADER)
    with pytest.raises(Exception, match=r"(?i)unique"):
        async with policies.changing() as writer:
            await writer.put_subject(Subject("c" * 24, PHONE.name, ()))
    with pytest.raises(Exception, match=r"(?i)unique"):
        async with policies.changing() as writer:
            await writer.put_role(Role(UPLOADER.name, (), "", "c" * 24))
    assert (await policies.load()).subjects == (PHONE,)


async def test_changes_come_one_at_a_time_over_all_processes(policies: PolicyStore, another: Database) -> None:
    """Each sees what the one before it stored: a count kept in the notes loses nothing."""
    before = await policies.revision()

    async def count(policies: PolicyStore) -> None:
        for _ in range(10):
            async with policies.changing() as writer:
                known = sum(int(subject.notes) for subject in writer.policy.subjects)
                await asyncio.sleep(0)
                await writer.put_subject(Subject(PHONE.id, "counter", (), str(known + 1)))

    await asyncio.gather(count(policies), count(policies), count(PolicyTable(another)))
    policy = await policies.load()
    assert [subject.notes for subject in policy.subjects] == ["30"]
    assert policy.revision == before + 30
