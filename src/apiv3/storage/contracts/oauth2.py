"""What the rest of the server may ask of the storage of OAuth2: clients, grants and their tokens. Secrets come as digests."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from apiv3.model.audit import Entry
from apiv3.model.clients import Application, Client
from apiv3.model.grants import AccessToken, Code, DeviceRequest, Ended, Grant, RefreshToken, Request, Scopes, Verdict
from apiv3.model.logins import Permissions
from apiv3.storage.contracts import PolicyWriter


class ClientWriter(Protocol):
    """Changes clients inside a writing transaction. `policy` writes their subjects, and removes a client with its subject."""

    @property
    def policy(self) -> PolicyWriter: ...

    async def find(self, id: str) -> Application | None:
        """Return the client with this id; it gets no tokens until the end of the transaction."""

    async def put(self, client: Client) -> None:
        """Store a client, in place of the one with the same id."""

    async def count(self) -> int:
        """Return how many clients there are."""

    async def end_grants(self, client: str) -> None:
        """End all grants of a client, and do what `ask_anew` does."""

    async def ask_anew(self, client: str) -> None:
        """Forget the consents that people gave a client, and end its requests, those of devices, and its unused codes."""


class ClientStore(Protocol):
    """All clients."""

    async def find(self, id: str) -> Application | None:
        """Return the client with this id."""

    async def all(self) -> Sequence[Application]:
        """Return all clients, in the order of their names."""

    def changing(self) -> AbstractAsyncContextManager[ClientWriter]:
        """Begin a transaction, one at a time among all processes; its commit makes a new revision of subjects and roles."""


class GrantWriter(Protocol):
    """Changes grants and tokens inside a writing transaction."""

    async def client(self, id: str) -> Client | None:
        """Return the client with this id; nobody changes it until the end of the transaction."""

    async def begin(self, grant: Grant) -> None:
        """Store a new grant."""

    async def lock(self, id: str) -> Grant | None:
        """Return a grant that has not ended; nobody else changes it until the end of the transaction."""

    async def find(self, client: str, subject: str, nonce: str, way: str) -> Grant | None:
        """Return a grant of this client and subject that has not ended."""

    async def extend(self, id: str, expires: int) -> None:
        """Let a grant last until `expires` (ms) at least."""

    async def end(self, ids: Collection[str]) -> Sequence[Grant]:
        """End grants, which makes a new revision. Returns those that had not ended before."""

    async def add_access(self, token: AccessToken, ceiling: Permissions, address: str) -> None:
        """Store an access token, with which a login begins. `ceiling`: what its scopes allow; `address`: who asked for it."""

    async def access(self, digest: str) -> AccessToken | None:
        """Return the access token with this digest, unless it or its grant has ended."""

    async def drop_access(self, digest: str) -> None:
        """End one access token, which makes a new revision."""

    async def add_refresh(self, token: RefreshToken) -> None:
        """Store a refresh token."""

    async def refresh(self, digest: str) -> RefreshToken | None:
        """Return a refresh token whose grant has not ended, and lock that grant."""

    async def rotate(self, digest: str, moment: int) -> None:
        """Note when a refresh token was exchanged (ms)."""

    async def take_request(self, digest: str, session: str) -> Request | None:
        """Return the authorization request under this digest of a nonce if this session made it, and delete it."""

    async def add_code(self, code: Code) -> None:
        """Store an authorization code."""

    async def try_code(self, digest: str) -> Code | None:
        """Return the code with this digest, with this try counted, and lock it."""

    async def use_code(self, digest: str, grant: str) -> None:
        """Note which grant a code gave."""

    async def add_device(self, request: DeviceRequest) -> bool:
        """Store a device's request. Returns False when another one has the same user code."""

    async def device(self, digest: str) -> DeviceRequest | None:
        """Return the request with this digest of a device code, and lock it."""

    async def polled(self, digest: str, moment: int) -> None:
        """Note when a device has polled (ms)."""

    async def judge(self, user_code: str, verdict: Verdict, subject: str, nonce: str, moment: int) -> DeviceRequest | None:
        """Store a person's verdict on a device; None when nobody waits with this code at that moment (ms)."""

    async def use_device(self, digest: str, grant: str) -> None:
        """Note which grant a device got."""

    async def consent(self, subject: str, client: str, scopes: Scopes) -> None:
        """Remember what a person allows a client, in place of what was remembered before."""

    async def withdraw(self, subject: str, client: str) -> int:
        """Forget what a person allows a client, with the codes of it, and end its grants, which makes a new revision.

        Returns how many grants had not ended before.
        """

    async def note(self, entry: Entry) -> None:
        """Add an entry to the audit trail."""


class GrantStore(Protocol):
    """Grants and tokens."""

    async def access(self, digest: str) -> tuple[int, AccessToken | None]:
        """Return the access token with this digest, unless it or its grant has ended; before it the revision then."""

    async def refresh(self, digest: str) -> RefreshToken | None:
        """Return the refresh token with this digest, unless its grant has ended."""

    async def ended(self, since: int) -> Ended:
        """Return what has ended after the revision `since`."""

    async def of_subject(self, subject: str, now: int) -> Sequence[Grant]:
        """Return the grants of a subject that have not ended or expired, the last used first. `now`: ms."""

    async def of_client(self, client: str, now: int) -> Sequence[Grant]:
        """Return the grants of a client that have not ended or expired, the last used first. `now`: ms."""

    async def saw(self, moments: Mapping[str, int]) -> None:
        """Store when tokens of some grants were last used: id -> ms since 1970."""

    async def prune(self, before: int, limit: int) -> int:
        """Delete up to `limit` rows of each kind that expired before a moment (ms), and return how many were deleted."""

    async def keep_request(self, digest: str, session: str, request: Request, expires: int) -> None:
        """Store an authorization request under the digest of its form's nonce; the oldest of too many is deleted."""

    async def consented(self, subject: str, client: str) -> Scopes | None:
        """Return the scopes that a person has allowed a client, None when the person was never asked."""

    async def consents(self, subject: str) -> Mapping[str, Scopes]:
        """Return all that a person has allowed: client -> scopes."""

    async def device(self, user_code: str, now: int) -> DeviceRequest | None:
        """Return the device that waits with this user code at that moment (ms)."""

    def changing(self) -> AbstractAsyncContextManager[GrantWriter]:
        """Begin a transaction on grants and tokens."""
