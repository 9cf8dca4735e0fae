"""The interfaces of storage for the rest of the server, the same for both databases.

Every method raises `StorageUnavailable` when the database is down, locked or full; then nothing was stored. All times are ms
since 1970.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import orjson

from apiv3.model.alarms import Notification, State
from apiv3.model.audit import Entry
from apiv3.model.changes import Change, Clock
from apiv3.model.devices import Message
from apiv3.model.documents import Document
from apiv3.model.identity import Role, Subject
from apiv3.model.queries import Query
from apiv3.turns import LARGEST_ANSWER, Hold


class Stored(NamedTuple):
    """A stored document.

    `key`: the primary key of its row. `body`: its JSON text, as it is sent to clients. `srv_modified`: ms. `valid`: False for a
    deleted document. `identified`: whether the identifier is the document's own; False: it is the `_id` kept by an import.
    """

    key: int
    identifier: str
    body: str
    srv_modified: int
    valid: bool
    identified: bool

    @property
    def is_large(self) -> bool:
        """Whether the body was left out, since it has more than `LARGE` bytes."""
        return not self.body

    @property
    def document(self) -> Document:
        """The document, parsed anew on each access."""
        document: Document = orjson.loads(self.body)
        return document


class LargeDocument(NamedTuple):
    """A document of more than `LARGE` bytes as JSON text. `hold`: its memory, to be released."""

    body: bytes
    srv_modified: int
    valid: bool
    hold: Hold


class Page(NamedTuple):
    """Documents in order: their JSON texts with commas between them, and the greatest `srvModified` (ms) among them.

    Without documents, the text is empty and `srv_modified` is 0. SEARCH does not set it.
    """

    text: bytes
    srv_modified: int = 0

    @property
    def documents(self) -> list[Document]:
        """The documents, parsed."""
        parsed: list[Document] = orjson.loads(b"[%b]" % self.text)
        return parsed

    def release(self) -> None:
        """Do nothing: the memory of small pages is not counted."""


@dataclass(frozen=True, slots=True)
class LargePage:
    """A page of more than `SMALL` bytes.

    `bodies`: the JSON text of each document. `hold`: the memory of the page, which must be given back with `release`. `cut`:
    whether documents were left out because the page would have become too large.
    """

    bodies: deque[bytes]
    srv_modified: int
    hold: Hold
    cut: bool = False

    @property
    def text(self) -> bytes:
        """The JSON texts with commas between them."""
        return b",".join(self.bodies)

    @property
    def documents(self) -> list[Document]:
        """The documents, parsed."""
        return [orjson.loads(body) for body in self.bodies]

    def release(self) -> None:
        """Drop the documents, and give the memory back."""
        self.bodies.clear()
        self.hold.release()


LARGE = 64 * 1024
"""Bytes above which a document is large, and is read with a query of its own."""
SMALL = 1024 * 1024
"""Most bytes of documents that are read as a single text."""


class Window(NamedTuple):
    """How large an answer may be. `most`: bytes of JSON. `whole`: refuse a larger answer, rather than cut it."""

    most: int = LARGEST_ANSWER
    whole: bool = True


WHOLE = Window()


class Replacement(NamedTuple):
    """A stored document, its new version, and the `srvModified` of the tombstone in ms, None if the identifier stays."""

    stored: Stored
    document: Mapping[str, Any]
    buried: int | None

    @classmethod
    def of(cls, writer: Upserter, stored: Stored, document: Mapping[str, Any]) -> Replacement:
        """Return a replacement that takes the tombstone's `srvModified` now, before any later change gets one."""
        return cls(stored, document, writer.tick() if document["identifier"] != stored.identifier else None)


class Upserter(Protocol):
    """Stores documents in one collection, new ones and new versions, inside a writing transaction."""

    def tick(self, at: int = 0) -> int:
        """Take the next `srvModified` of the collection, in ms: greater than every one before, and at least `at`."""

    async def find(self, identifier: str) -> Stored | None:
        """Return the document with this identifier, also a deleted one; None when there is none."""

    async def find_unidentified(self, field: str, values: Collection[object]) -> Sequence[Stored]:
        """Return the documents without an identifier of their own whose `field` (date, created_at) has one of the values."""

    async def insert(self, *documents: Mapping[str, Any], identified: bool = True) -> None:
        """Store new documents. `identified`: whether their identifiers are their own."""

    async def replace(self, stored: Stored, document: Mapping[str, Any]) -> None:
        """Replace a stored document by a new version. If the identifier changes, the old one gets a tombstone."""

    async def remove(self, stored: Stored) -> None:
        """Remove a document for good, and leave a tombstone."""


class DocumentWriter(Upserter, Protocol):
    """One collection inside a writing transaction. No other transaction writes to it until this one ends."""

    async def look_up(self, identifiers: Sequence[str], field: str, values: Sequence[object]) -> Sequence[Stored]:
        """Return the results of `find` for all identifiers and of `find_unidentified`, in any order, possibly repeated.

        Large documents that have an identifier of their own come without their bodies.
        """

    async def replace_all(self, changes: Sequence[Replacement]) -> None:
        """Replace many documents."""

    async def recall(self, message: Message) -> Mapping[str, Any] | None:
        """Return the answer that a device's message got before; None when it is new.

        Raises Conflict when the message before had the same id, but another content.
        """

    async def remember(self, message: Message, answer: Mapping[str, Any], moment: int) -> None:
        """Remember the answer to a device's message, together with what the message has changed. `moment`: ms."""


class DocumentStore(Protocol):
    """The documents of all collections."""

    async def get(self, collection: str, identifier: str) -> Stored | None:
        """Return the document with this identifier, also a deleted one; None when there is none.

        A large document comes without its body.
        """

    async def get_large(self, collection: str, identifier: str, caller: str) -> LargeDocument | None:
        """Return the same document with its body, whose memory is reserved before it is read.

        `caller`: the subject's name; callers take turns. Raises ServerBusy.
        """

    async def search(self, collection: str, query: Query, caller: str = "", window: Window = WHOLE) -> Page | LargePage:
        """Return the documents that match a query. `caller`: the subject's name; long searches take turns among callers.

        Raises AnswerTooLarge, TooMuchWork, ServerBusy.
        """

    async def history(self, collection: str, since: int, limit: int, caller: str = "") -> Page | LargePage:
        """Return documents that changed after `since` (ms, exclusive), deleted ones included, oldest change first.

        Returns at most `limit` documents, and fewer if the page would become too large, but at least one if there is one.
        Raises ServerBusy.
        """

    async def last_modified(self, fields: Mapping[str, str | None]) -> Mapping[str, int]:
        """Return collection -> the time of its last change in ms, without empty collections.

        `fields`: collection -> the name of a field that counts as a time of change besides srvModified, or None.
        """

    def writing(self, collection: str, at: int | None = None, ticks: int = 1) -> AbstractAsyncContextManager[DocumentWriter]:
        """Begin a transaction on one collection; it is committed at the end of the block, rolled back on an exception.

        `at`: the earliest `srvModified` (ms; None: now). `ticks`: how many of them to take in advance, whether they are used
        or not; taking more than that costs another statement.
        """

    def export(self, collection: str, since: int, until: int) -> AsyncGenerator[Sequence[tuple[bytes, bool]], None]:
        """Yield the documents whose `date`, else `srvCreated`, is in `since` <= time < `until` (ms), oldest change first.

        Each item is a chunk of documents: pairs of a body and whether the identifier is its own. All are from one snapshot.
        """

    async def prune(self, collection: str, before: int, limit: int) -> int:
        """Remove up to `limit` documents older than `before` (ms), and return how many were removed.

        When there are none, nothing is written and no bell rings.
        """

    async def changes(self, collection: str, since: int, limit: int) -> Sequence[Change]:
        """Return at most `limit` changes after `since` (ms, exclusive), removals included, in the order of their commits.

        Large documents are left out of their changes.
        """

    async def clock(self, collection: str) -> Clock:
        """Return the collection's clock. Read after `changes`, it tells whether tombstones before them had been deleted."""

    async def forget(self, collection: str, before: int, limit: int) -> int:
        """Delete up to `limit` tombstones older than `before` (ms), and return how many were deleted."""

    async def version(self) -> tuple[str, str]:
        """Return the name and the version of the database."""


ALARMS = "/alarm"
"""Used for alarms in place of a collection's name; no collection can have this name."""
Ring = Callable[[str | None], None]
"""Called with the name of a collection that may have changed, or ALARMS; with None when any of them may have."""
Watch = Callable[[Ring], Coroutine[Any, Any, None]]
"""Runs until cancelled and rings whenever another process may have written to the database, sometimes without a change.

It continues when the database comes back after an interruption. Changes that it missed meanwhile are covered by one more ring.
"""


@dataclass(frozen=True, slots=True)
class Policy:
    """All subjects and all stored roles at one moment. `revision` increases with every change of either."""

    revision: int
    subjects: tuple[Subject, ...]
    roles: tuple[Role, ...]


class PolicyWriter(Protocol):
    """Changes subjects and roles inside a writing transaction. `policy`: their state at the beginning of it."""

    policy: Policy

    async def put_subject(self, subject: Subject) -> None:
        """Store a subject, in place of the one with the same id. A new nonce ends its sessions."""

    async def put_role(self, role: Role) -> None:
        """Store a role, in place of the one with the same id."""

    async def remove_subject(self, id: str) -> None:
        """Remove the subject with this id, if there is one: its account if it is a person, its client if it is an application,
        and all grants of either.
        """

    async def end_grants(self, id: str) -> None:
        """End all grants of the subject or client with this id, a client's requests and unused codes; forget the consents."""

    async def end_invitations(self, ids: Collection[str]) -> None:
        """End the invitations of the people with these ids, where there are some."""

    async def remove_role(self, id: str) -> None:
        """Remove the role with this id, if there is one."""

    async def note(self, entry: Entry) -> None:
        """Add an entry to the audit trail."""


class PolicyStore(Protocol):
    """Subjects and roles."""

    async def revision(self) -> int:
        """Return the newest revision, without loading the policy."""

    async def load(self) -> Policy:
        """Return all subjects and roles."""

    def changing(self) -> AbstractAsyncContextManager[PolicyWriter]:
        """Begin a transaction on subjects and roles, one at a time among all processes; its commit makes a new revision."""


class AlarmWriter(Protocol):
    """Changes the state of alarms inside a writing transaction. `state`: the state at the beginning of it."""

    state: State

    async def put(self, state: State, notifications: Sequence[Notification], now: int) -> State:
        """Store the state, and add notifications to the log with the time `now` (ms).

        Returns the state with the number of the last notification.
        """


class AlarmStore(Protocol):
    """The state of alarms, and the log of notifications."""

    async def load(self) -> State:
        """Return the current state."""

    async def notifications(self, after: int, last: int) -> Sequence[Notification]:
        """Return the notifications numbered `after` < number <= `last`, in order, without those deleted for their age."""

    def changing(self) -> AbstractAsyncContextManager[AlarmWriter]:
        """Begin a transaction on the state, one at a time among all processes."""
