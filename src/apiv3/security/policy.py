"""Keep subjects, roles and compiled permissions in memory, as one snapshot that is replaced as a whole on a change.

A change takes effect everywhere within a second (`revisions.follow`), and in the process that made it at once. Before a process
refuses an unknown token, it checks for a new revision.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

from apiv3.model.errors import StorageUnavailable
from apiv3.model.identity import BUILT_IN_ROLES, Role, Subject
from apiv3.security import secrets
from apiv3.security.permissions import Permission, PermissionSet
from apiv3.security.principal import Principal
from apiv3.storage.contracts import Policy, PolicyStore

SHORTEST_INTERVAL = 0.1
"""Least seconds between two checks made before a refusal, however many tokens are refused."""
PATIENCE = 1.0
"""Seconds that a refusal waits for a database that does not answer."""

_log = logging.getLogger(__name__)


class Snapshot:
    """All subjects and roles at one revision, with their permissions compiled.

    `default_roles`: names of the roles that every subject has besides its own. `before`: the snapshot that this one replaces;
    roles that are unchanged are not compiled again.
    """

    def __init__(
        self, policy: Policy, api_secret: str, default_roles: Iterable[str] = (), before: Snapshot | None = None
    ) -> None:
        self.revision = policy.revision
        self.subjects = policy.subjects
        self.roles = {role.name: role for role in (*BUILT_IN_ROLES, *policy.roles)}
        self._secret, self._default_roles = api_secret, tuple(default_roles)
        known = {} if before is None else {before.roles[name]: compiled for name, compiled in before._compiled.items()}
        self._compiled: dict[str, tuple[Permission, ...]] = {
            name: known.get(role) or compile_role(role) for name, role in self.roles.items()
        }
        active = [subject for subject in self.subjects if not subject.disabled]
        self._by_token = {secrets.digest(secrets.token_digits(self.token(s))): self.principal(s) for s in active}
        self._active = {subject.id: subject for subject in active}

    def token(self, subject: Subject) -> str:
        """Return the subject's access token."""
        return secrets.access_token(self._secret, subject.name, subject.id, subject.nonce)

    def principal(self, subject: Subject) -> Principal:
        """Return the subject with the permissions of all its roles; roles that do not exist grant nothing."""
        roles = self.roles_of(subject)
        granted = (permission for role in roles for permission in self._compiled.get(role, ()))
        return Principal(subject.name, PermissionSet(granted), roles, timestamp=subject.timestamp, id=subject.id)

    def roles_of(self, subject: Subject) -> tuple[str, ...]:
        """Return the names of a subject's own roles and of those that every subject has."""
        return tuple(dict.fromkeys((*subject.roles, *self._default_roles)))

    def covers(self, caller: Principal, subject: Subject) -> bool:
        """Return whether a caller holds every permission of a subject, so that its access token adds nothing to them."""
        names = self.roles_of(subject)
        return all(caller.holds(permission) for name in names for permission in self._compiled.get(name, ()))

    def find(self, token: str) -> Principal | None:
        """Return the owner of an access token, None when there is none.

        Its last 16 characters decide. They are looked up by a keyed digest, so that timing tells nothing about other tokens.
        """
        return self._by_token.get(secrets.digest(secrets.token_digits(token)))

    def granting(self, subject: Subject, wanted: Permission) -> list[str]:
        """Return the names of the subject's roles that grant all that a permission includes. Together, others may grant it."""
        roles = self.principal(subject).roles
        return [name for name in roles if any(own.implies(wanted) for own in self._compiled.get(name, ()))]

    def person(self, id: str) -> Subject | None:
        """Return the person with this id, unless the account is disabled."""
        subject = self.active(id)
        return subject if subject is not None and subject.is_person else None

    def active(self, id: str) -> Subject | None:
        """Return the subject with this id, unless it is disabled."""
        return self._active.get(id)


def compile_role(role: Role) -> tuple[Permission, ...]:
    """Return the permissions of a role. Log and skip a malformed one, which only another program can have stored."""
    compiled = []
    for text in role.permissions:
        try:
            compiled.append(Permission.parse(text))
        except ValueError as error:
            _log.warning("role %s: %s; it grants nothing", role.name, error)
    return tuple(compiled)


class Policies:
    """The current snapshot of this process, kept up to date with the database.

    `on_change`: functions that are called, without arguments, after the snapshot was replaced.
    """

    def __init__(self, store: PolicyStore, api_secret: str, default_roles: Iterable[str] = ()) -> None:
        self._store = store
        self.default_roles = tuple(default_roles)
        self._compile: Callable[[Policy], Snapshot] = lambda policy: Snapshot(
            policy, api_secret, self.default_roles, self._current
        )
        self._current: Snapshot | None = None
        self.on_change: list[Callable[[], None]] = []
        self._refreshing = asyncio.Lock()
        self._next_look: asyncio.Task[None] | None = None
        self._looking = asyncio.Lock()
        self._looked = -SHORTEST_INTERVAL

    @property
    def current(self) -> Snapshot:
        """The newest snapshot in this process. Raises StorageUnavailable as long as none could be loaded."""
        if self._current is None:
            raise StorageUnavailable
        return self._current

    async def refresh(self) -> Snapshot:
        """Load the newest revision and return it. Raises StorageUnavailable.

        Refreshes run one at a time, so that a slow one cannot put an older policy back. Comparing revision numbers would not
        prevent that: when a backup of the database is restored, they start again from a lower one.
        """
        async with self._refreshing:
            policy = await self._store.load()
            if self._current is None or policy.revision != self._current.revision:
                self._current = self._compile(policy)
                for tell in self.on_change:
                    tell()
            return self._current

    async def latest(self) -> Snapshot:
        """Return the newest revision, which is loaded unless it is there already. Raises StorageUnavailable."""
        await self.catch_up()
        return self.current

    async def look(self) -> None:
        """Load everything that was stored before this call, if the database answers within PATIENCE seconds.

        Calls that arrive before a check begins share it, and checks begin at most once in SHORTEST_INTERVAL. So guessed tokens
        cost the database next to nothing, and still no new token is refused.
        """
        if self._next_look is None:
            self._next_look = asyncio.create_task(self._look())
        await asyncio.wait({self._next_look}, timeout=PATIENCE)

    async def _look(self) -> None:
        async with self._looking:
            await asyncio.sleep(self._looked + SHORTEST_INTERVAL - time.monotonic())
            self._next_look = None  # later calls need a later check
            self._looked = time.monotonic()
            try:
                await self.catch_up()
            except StorageUnavailable:
                pass  # `revisions.follow` logs that
            except Exception:
                _log.exception("cannot take over a change of subjects and roles")

    async def catch_up(self) -> None:
        """Load the newest revision if this process does not have it. Raises StorageUnavailable."""
        if self._current is None or await self._store.revision() != self._current.revision:
            await self.refresh()
