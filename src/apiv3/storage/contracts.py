"""What the rest of the server may ask of storage, whichever database is behind it.

Every method raises `StorageUnavailable` when the database is down, locked or full; then nothing was stored.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import orjson

from apiv3.model.alarms import Notification, State
from apiv3.model.changes import Change, Clock
from apiv3.model.documents import Document
from apiv3.model.identity import Role, Subject
from apiv3.model.queries import Query
from apiv3.turns import LARGEST_ANSWER, Hold


class Stored(NamedTuple):
    """A document as it stands in the table.

    `key`: its row. `body`: JSON text, ready to be sent. `srv_modified`: ms. `identified`: whether the identifier is its own;
    if not, it is the `_id` that an import kept.
    """

    key: int
    identifier: str
    body: str
    srv_modified: int
    valid: bool
    identified: bool

    @property
    def document(self) -> Document:
        """The document itself, parsed anew at each call."""
        document: Document = orjson.loads(self.body)
        return document


class Page(NamedTuple):
    """Documents as JSON texts with commas between them, in order, and the greatest `srvModified` (ms) among them.

    Where there are none, that is no text, and 0.
    """

    text: bytes
    srv_modified: int = 0

    @property
    def documents(self) -> list[Document]:
        """The same, parsed."""
        parsed: list[Document] = orjson.loads(b"[%b]" % self.text)
        return parsed

    def release(self) -> None:
        """A small page takes no memory that anybody counts."""


@dataclass(frozen=True, slots=True)
class LargePage:
    """The same of more than `SMALL` bytes: the JSON text of each document. `hold`: the memory, to be given back. `cut`: whether
    it ends early.
    """

    bodies: deque[bytes]
    srv_modified: int
    hold: Hold
    cut: bool = False

    @property
    def text(self) -> bytes:
        return b",".join(self.bodies)

    @property
    def documents(self) -> list[Document]:
        """The same, parsed."""
        return [orjson.loads(body) for body in self.bodies]

    def release(self) -> None:
        """Give the memory back."""
        self.bodies.clear()
        self.hold.release()


SMALL = 1024 * 1024
"""Bytes of documents that are read at once, as one text."""


class Window(NamedTuple):
    """How much of an answer is wanted. `most`: bytes of JSON. `whole`: to be refused rather than cut off after that."""

    most: int = LARGEST_ANSWER
    whole: bool = True


WHOLE = Window()


class Upserter(Protocol):
    """What it takes to store a document, be it new or there already, in one collection inside a writing transaction."""

    def tick(self, at: int = 0) -> int:
        """The next `srvModified` of the collection, in ms: greater than every one before it, and not before `at`."""

    async def find(self, identifier: str) -> Stored | None: ...

    async def find_unidentified(self, field: str, values: Collection[object]) -> Sequence[Stored]:
        """Documents without an identifier of their own whose `date` or `created_at` is one of the values."""

    async def insert(self, *documents: Mapping[str, Any], identified: bool = True) -> None: ...

    async def replace(self, stored: Stored, document: Mapping[str, Any]) -> None:
        """Another version of a document; an identifier that changes leaves a tombstone."""

    async def remove(self, stored: Stored) -> None:
        """Remove a document for good; it leaves a tombstone."""


class DocumentWriter(Upserter, Protocol):
    """One collection inside a writing transaction: nobody else writes to it until the transaction ends."""

    async def look_up(self, identifiers: Sequence[str], field: str, values: Sequence[object]) -> Sequence[Stored]:
        """What `find` and `find_unidentified` would find, all together, in any order; some of it may be there twice."""

    async def replace_all(self, changes: Sequence[tuple[Stored, Mapping[str, Any]]]) -> None:
        """Other versions of many documents, each after the stored one."""


class DocumentStore(Protocol):
    async def get(self, collection: str, identifier: str) -> Stored | None: ...

    async def search(self, collection: str, query: Query, caller: str = "", window: Window = WHOLE) -> Page | LargePage:
        """What matches. `caller`: whose turn it is when many want what takes long.

        Raises AnswerTooLarge, TooMuchWork, ServerBusy.
        """

    async def history(self, collection: str, since: int, limit: int, caller: str = "") -> Page | LargePage:
        """What changed after `since` (ms, exclusive), deleted documents included, oldest change first.

        There are fewer than `limit` where more would be too large, but at least one. Raises ServerBusy.
        """

    async def last_modified(self, fields: Mapping[str, str | None]) -> Mapping[str, int]:
        """Collection -> ms, for those that are not empty; `fields` names the field that counts beside srvModified."""

    def writing(self, collection: str, at: int | None = None, ticks: int = 1) -> AbstractAsyncContextManager[DocumentWriter]:
        """A transaction on one collection; committed at the end, rolled back when anything is raised.

        No tick is before `at` (ms; None: now). `ticks`: as many are taken from the clock in advance, used or not; any more
        of them take another statement.
        """

    def export(self, collection: str, since: int, until: int) -> AsyncGenerator[Sequence[tuple[bytes, bool]], None]:
        """Documents whose `date`, else `srvCreated`, is from `since` on and before `until` (ms), oldest change first, some at a
        time: their bodies, and whether their identifiers are their own. All as they were at one moment.
        """

    async def prune(self, collection: str, before: int, limit: int) -> int:
        """Remove up to `limit` documents older than `before` (ms); returns how many were removed.

        Where there are none, nothing is written and nobody told.
        """

    async def changes(self, collection: str, since: int, limit: int) -> Sequence[Change]:
        """What happened after `since` (ms, exclusive) in the order of the commits, removals included; at most `limit`."""

    async def clock(self, collection: str) -> Clock:
        """How far the collection is. Asked after `changes`, it says whether anything before them had been forgotten."""

    async def forget(self, collection: str, before: int, limit: int) -> int:
        """Throw away up to `limit` tombstones older than `before` (ms); returns how many those were."""

    async def version(self) -> tuple[str, str]:
        """The database's name and version."""


ALARMS = "/alarm"
"""Stands for alarms among the names of collections, none of which can be this one."""
Ring = Callable[[str | None], None]
"""Takes the name of a collection that may have changed, or ALARMS; None: any of them may have."""
Watch = Callable[[Ring], Coroutine[Any, Any, None]]
"""Rings, until it is cancelled, whenever another process may have written to the database; now and then in vain.

It outlives the database's absences. It may miss something only while it is not connected, and rings for that afterwards.
"""


@dataclass(frozen=True, slots=True)
class Policy:
    """All subjects and all stored roles at one moment. `revision` grows with every change of either."""

    revision: int
    subjects: tuple[Subject, ...]
    roles: tuple[Role, ...]


class PolicyWriter(Protocol):
    """Subjects and roles inside a writing transaction; `policy` is what they were at its beginning."""

    policy: Policy

    async def put_subject(self, subject: Subject) -> None: ...

    async def put_role(self, role: Role) -> None: ...

    async def remove_subject(self, id: str) -> None: ...

    async def remove_role(self, id: str) -> None: ...


class PolicyStore(Protocol):
    async def revision(self) -> int: ...

    async def load(self) -> Policy: ...

    def changing(self) -> AbstractAsyncContextManager[PolicyWriter]:
        """A transaction over subjects and roles, one at a time over all processes; its end makes a new revision."""


class AlarmWriter(Protocol):
    """The state of alarms inside a writing transaction; `state` is what it was at its beginning."""

    state: State

    async def put(self, state: State, notifications: Sequence[Notification], now: int) -> State:
        """Keep a state, and add notifications to the log (`now`, ms); returns the state with the number of the last one."""


class AlarmStore(Protocol):
    async def load(self) -> State: ...

    async def notifications(self, after: int, last: int) -> Sequence[Notification]:
        """Those with the numbers after `after` up to `last`, in order, as far as they are not too old."""

    def changing(self) -> AbstractAsyncContextManager[AlarmWriter]:
        """A transaction over the state, one at a time over all processes."""
