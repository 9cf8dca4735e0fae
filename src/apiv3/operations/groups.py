"""Group commit: writes to a collection that arrive while another one is under way share the next transaction.

The cost of a commit, above all the wait for the disk, is then paid once for all of them. A write that finds no other one under
way, and that none joins within `_TURNS`, runs in its own transaction. No client is answered before the commit.

The members of a group run one after the other, and each sees the changes of those before it; all changes are written at the
end. An operation checks everything before it changes anything, so a refused member leaves nothing to undo. After any other
error, except an unavailable database, the whole transaction is rolled back, and each member runs again in its own transaction,
so that an error affects only the member that causes it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import orjson

from apiv3.model.collections import Collection
from apiv3.model.errors import ApiError, StorageUnavailable
from apiv3.operations.batch import Batch
from apiv3.retrying import retried
from apiv3.storage.contracts import DocumentStore

T = TypeVar("T")
Document = Mapping[str, Any]
Write = Callable[[Batch], Awaitable[T]]
"""Changes documents, or raises ApiError before it has changed any. It may be called again after a rollback."""
MOST_DOCUMENTS = 64
MOST_BYTES = 1_048_576
"""Most documents of one group, and most bytes as they were sent. A write with more has its own transaction."""
_TURNS = 2
"""Turns of the event loop, of some microseconds each, that a write waits for others: in the first one, those are read that have
arrived together with it; in the second, they get here."""
TURN_TIMEOUT = 20.0
"""Seconds that a write waits for those before it until StorageUnavailable is raised."""


@dataclass(eq=False, slots=True)
class _Member(Generic[T]):
    """A write that waits for its group. `about`: see `GroupCommit.write`; `bytes`: the size of what was sent."""

    write: Write[T]
    about: Sequence[Document]
    bytes: int
    outcome: asyncio.Future[T]

    def settle(self, outcome: T | BaseException) -> None:
        """Set the outcome, unless the caller has been cancelled."""
        if self.outcome.done():
            return
        if isinstance(outcome, BaseException):
            self.outcome.set_exception(outcome)
        else:
            self.outcome.set_result(outcome)


class _AllRefused(Exception):
    """All members were refused, so the transaction is rolled back. `outcomes`: the refusals."""

    def __init__(self, outcomes: Sequence[Any]) -> None:
        super().__init__()
        self.outcomes = outcomes


class _ChangedAndRefused(Exception):
    """A member was refused after it had changed something, so the transaction cannot be committed."""


class GroupCommit:
    """Runs the writes of this process, with a queue for each collection."""

    def __init__(self, store: DocumentStore) -> None:
        self._store = store
        self._queues: dict[str, _Queue] = {}

    async def write(
        self, collection: Collection, write: Write[T], about: Sequence[Document], sent: Sequence[Document] = ()
    ) -> T:
        """Run a write, alone or in a group. After the commit, return its result or raise its error.

        `about`: the documents, or at least their identifiers, that it will look up. `sent`: what the client sent, for its size.
        Raises StorageUnavailable.
        """
        queue = self._queues.get(collection.name)
        if queue is None:
            queue = self._queues[collection.name] = _Queue(self._store, collection)
        if queue.busy:
            return await queue.outcome(queue.add(write, about, sent))
        queue.busy = True
        try:
            for _ in range(_TURNS):
                await asyncio.sleep(0)
            if not queue.waiting:
                return await queue.alone(write, about)
            member = queue.add(write, about, sent, first=True)
        finally:
            queue.go_on()
        return await queue.outcome(member)


class _Queue:
    """The writes to one collection. `busy`: whether one of them, or a group, is under way."""

    def __init__(self, store: DocumentStore, collection: Collection) -> None:
        self._store, self._collection = store, collection
        self.waiting = deque[_Member[Any]]()
        self._tasks = set[asyncio.Task[None]]()
        self.busy = False

    @retried
    async def alone(self, write: Write[T], about: Sequence[Document]) -> T:
        """Run one write in its own transaction."""
        async with self._store.writing(self._collection.name) as writer:
            batch = Batch(writer)
            await batch.prepare(self._collection, about)
            outcome = await write(batch)
            await batch.flush()
        return outcome

    def add(self, write: Write[T], about: Sequence[Document], sent: Sequence[Document], *, first: bool = False) -> _Member[T]:
        """Queue a write for the next group. `first`: it has arrived before all that wait."""
        size = sum(len(orjson.dumps(each)) for each in sent)
        member = _Member(write, about, size, asyncio.get_running_loop().create_future())
        if first:
            self.waiting.appendleft(member)
        else:
            self.waiting.append(member)
        return member

    async def outcome(self, member: _Member[T]) -> T:
        """Wait for the group of a member, and for its commit."""
        deadline = asyncio.get_running_loop().call_later(TURN_TIMEOUT, self._give_up, member)
        try:
            outcome: T = await member.outcome
        finally:
            deadline.cancel()
        return outcome

    def _give_up(self, member: _Member[Any]) -> None:
        """Refuse a member that still waits. One that is being written is waited for, since it may be stored."""
        if member in self.waiting:
            member.settle(StorageUnavailable())

    def go_on(self) -> None:
        """Start the next group, if any writes wait."""
        members = self._take()
        self.busy = bool(members)
        if members:
            # A separate task, so that no caller's cancellation ends it.
            task = asyncio.create_task(self._run(members))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _take(self) -> list[_Member[Any]]:
        """Return the next group, in the order of arrival, without members whose callers have been cancelled."""
        members: list[_Member[Any]] = []
        documents = size = 0
        while self.waiting:
            member = self.waiting[0]
            if not member.outcome.done():
                documents, size = documents + len(member.about), size + member.bytes
                if members and (documents > MOST_DOCUMENTS or size > MOST_BYTES):
                    break
                members.append(member)
            self.waiting.popleft()
        return members

    async def _run(self, members: Sequence[_Member[Any]]) -> None:
        try:
            if len(members) == 1 or not await self._committed(members):
                for member in members:
                    await self._run_alone(member)
        finally:
            for member in members:
                member.outcome.cancel()  # no effect on those that have an outcome
            self.go_on()

    async def _committed(self, members: Sequence[_Member[Any]]) -> bool:
        """Run a group and settle its members. Return False when nothing was stored and each must run alone."""
        try:
            outcomes = await self._together(members)
        except _AllRefused as refused:
            outcomes = refused.outcomes
        except StorageUnavailable:
            outcomes = [StorageUnavailable() for _ in members]
        except Exception:
            return False
        for member, outcome in zip(members, outcomes, strict=True):
            member.settle(outcome)
        return True

    @retried
    async def _together(self, members: Sequence[_Member[Any]]) -> Sequence[Any]:
        """Run the members in one transaction; return the result or the refusal of each."""
        async with self._store.writing(self._collection.name, ticks=len(members)) as writer:
            batch = Batch(writer)
            await batch.prepare(self._collection, [each for member in members for each in member.about])
            outcomes = [await _outcome(batch, member) for member in members]
            if not batch.changes:
                raise _AllRefused(outcomes)
            await batch.flush()
        return outcomes

    async def _run_alone(self, member: _Member[Any]) -> None:
        if member.outcome.done():
            return
        try:
            member.settle(await self.alone(member.write, member.about))
        except Exception as error:
            member.settle(error)


async def _outcome(batch: Batch, member: _Member[T]) -> T | ApiError:
    changes = batch.changes
    try:
        return await member.write(batch)
    except StorageUnavailable:
        raise
    except ApiError as refusal:
        if batch.changes > changes:
            raise _ChangedAndRefused from refusal
        return refusal
