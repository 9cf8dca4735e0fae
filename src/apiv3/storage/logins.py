"""Logins in the database, and the outbox of the events that tell of them.

Every transaction that may begin, change or end a login tells at its end, as its last step: it locks the clock `/logins`,
compares what is open by all tables with what was told, and adds the differences to the outbox. So the numbers follow the order
of the commits, nothing is told of a transaction that is rolled back, and none waits for another lock while it has this one.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence, Set
from typing import Any, NamedTuple

import orjson

from apiv3.model.logins import Event, Kind, Login, Position, Reason, Snapshot, granted
from apiv3.model.timestamps import now
from apiv3.retrying import retried
from apiv3.storage.database import Connection, Database
from apiv3.storage.dialects import Dialect, Row

_LANE = "logins"
_LOCK = "UPDATE clocks SET last = last WHERE name = '/logins' RETURNING last"
_LAST = "UPDATE clocks SET last = ? WHERE name = '/logins' RETURNING last{}"
_BEGIN = """INSERT INTO logins (id, digest, subject, nonce, via, until, facts) VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (digest) DO NOTHING"""
_TRUTH = """SELECT logins.id, logins.digest, logins.until, logins.facts, logins.rights,
    subjects.id, subjects.name, subjects.roles, subjects.groups, subjects.ous,
    subjects.disabled, subjects.nonce = logins.nonce,
    CASE WHEN logins.via IN ('password', 'passkey', 'invitation') THEN EXISTS (
        SELECT 1 FROM sessions WHERE sessions.digest = logins.digest AND sessions.ended IS NULL)
    WHEN logins.via = 'oauth2' THEN EXISTS (
        SELECT 1 FROM access_tokens JOIN grants ON grants.id = access_tokens.grant_id
        WHERE access_tokens.digest = logins.digest AND access_tokens.dropped IS NULL AND grants.ended IS NULL)
    WHEN logins.via = 'device' THEN EXISTS (
        SELECT 1 FROM devices WHERE devices.connection = logins.id AND EXISTS (
            SELECT 1 FROM device_keys WHERE device_keys.device = devices.id AND device_keys.state <> 'ended'))
    ELSE true END
    FROM logins LEFT JOIN subjects ON subjects.id = logins.subject"""
_ROLES = "SELECT name, permissions FROM roles"
_FORGET = "DELETE FROM logins WHERE {}"
_RIGHTS = "UPDATE logins SET rights = ? WHERE id = ?"
_TELL = "INSERT INTO login_events (sequence, moment, kind, session, body) VALUES (?, ?, ?, ?, ?)"

_OVERDUE = "SELECT subject FROM logins WHERE until <= ? LIMIT ?"
_POSITION = "SELECT login_epoch.value, clocks.last FROM clocks CROSS JOIN login_epoch WHERE clocks.name = '/logins'"
_SNAPSHOT = """SELECT login_epoch.value, clocks.last, logins.facts, logins.rights FROM clocks CROSS JOIN login_epoch
    LEFT JOIN logins ON true WHERE clocks.name = '/logins'"""
_AFTER = """SELECT login_epoch.value, clocks.last = ? OR EXISTS (SELECT 1 FROM login_events WHERE sequence = ?),
    later.sequence, later.kind, later.body FROM clocks CROSS JOIN login_epoch
    LEFT JOIN (SELECT sequence, kind, body FROM login_events WHERE sequence > ? ORDER BY sequence LIMIT ?) AS later ON true
    WHERE clocks.name = '/logins' ORDER BY later.sequence"""
_NEW_EPOCH = "UPDATE login_epoch SET value = ?"
_PRUNE = """DELETE FROM login_events WHERE sequence IN (
    SELECT sequence FROM login_events WHERE sequence < ? AND sequence < (SELECT last FROM clocks WHERE name = '/logins')
    ORDER BY sequence LIMIT ?) RETURNING sequence"""
"""By the numbers, which are no less than the times in ms, and never go back as a clock may. The last event stays, so that those
who have it go on from there."""


class _Truth(NamedTuple):
    """A row of _TRUTH: a login as it was told, its subject as it is, and whether what it stands for is open."""

    id: str
    digest: str
    until: int | None
    facts: str
    rights: str | None
    subject: str | None
    name: str
    roles: str
    groups: str
    ous: str
    disabled: bool
    same_nonce: bool
    is_open: bool


class Outbox:
    """What one writing transaction, of any lane, tells of logins. `default_roles`: those that every subject has.

    `fallback`: the reason for what has ended without a word.
    """

    def __init__(
        self, connection: Connection, dialect: Dialect, default_roles: Sequence[str], fallback: Reason = "revoked"
    ) -> None:
        self._connection, self._dialect, self._default_roles = connection, dialect, default_roles
        self._fallback = fallback
        self._begun: list[Login] = []
        self._touched: set[str] | None = set()
        self._reasons: dict[str, Reason] = {}

    def begin(self, login: Login) -> None:
        """Let a login begin with the commit. It changes nothing for the other ones of its subject, which may be many."""
        self._begun.append(login)

    def touch(self, *subjects: str) -> None:
        """Note that something has changed for some subjects: rights, credentials, or what belongs to them."""
        if self._touched is not None:
            self._touched.update(subjects)

    def touch_all(self) -> None:
        """Note that something may have changed for any subject."""
        self._touched = None

    def explain(self, digest: str, reason: Reason) -> None:
        """Note why the login with the secret of this digest ends."""
        self._reasons[digest] = reason

    async def tell(self) -> None:
        """Add to the outbox what the transaction has done. Nothing else may be locked after this."""
        if self._touched is not None and not self._touched and not self._begun:
            return
        moment = now()
        ((last,),) = await self._fetch(_LOCK)
        for login in self._begun:
            await self._connection.execute(self._dialect.sql(_BEGIN), *_columns(login))
        events = await self._compare(moment)
        rows = [(number, moment, *event) for number, event in enumerate(events, max(int(last) + 1, moment))]
        if rows:
            await self._connection.executemany(self._dialect.sql(_TELL), rows)
            await self._fetch(_LAST.format(self._dialect.bell), rows[-1][0])

    async def _compare(self, moment: int) -> list[tuple[Kind, str, str]]:
        """Bring the table of logins in line with the others, and return the differences: kind, id, JSON."""
        stored = {name: orjson.loads(permissions) for name, permissions in await self._fetch(_ROLES)}
        events, over, changed = list[tuple[Kind, str, str]](), list[str](), list[tuple[str, str]]()
        for row in await self._rows():
            reason = self._reason(row, moment)
            if reason is not None:
                over.append(row.id)
                if row.rights is not None:  # otherwise nobody has heard of it
                    events.append(("logout", row.id, orjson.dumps({"session": row.id, "reason": reason}).decode()))
            elif (rights := self._rights(row, stored)) != row.rights:
                changed.append((rights, row.id))
                events.append(("login" if row.rights is None else "change", row.id, _joined(row.facts, rights)))
        if over:
            condition, ids = self._dialect.among("id", over)
            await self._connection.execute(self._dialect.sql(_FORGET.format(condition)), ids)
        if changed:
            await self._connection.executemany(self._dialect.sql(_RIGHTS), changed)
        return events

    async def _rows(self) -> list[_Truth]:
        if self._touched is None:
            return [_Truth(*row) for row in await self._fetch(f"{_TRUTH} ORDER BY logins.id")]
        wanted = {"logins.subject": self._touched, "logins.digest": {login.digest for login in self._begun}}
        conditions = dict(self._dialect.among(column, values) for column, values in wanted.items() if values)
        sql = f"{_TRUTH} WHERE {' OR '.join(conditions)} ORDER BY logins.id"
        return [_Truth(*row) for row in await self._fetch(sql, *conditions.values())]

    def _reason(self, row: _Truth, moment: int) -> Reason | None:
        """Return why a login is over, None when it is open."""
        found: Reason | None = None
        if row.until is not None and row.until <= moment:
            found = "expired"
        elif row.disabled:
            found = "disabled"
        elif row.subject is None or not row.same_nonce:
            found = "revoked"
        elif not row.is_open:
            found = self._fallback
        return found and self._reasons.get(row.digest, found)

    def _rights(self, row: _Truth, stored: Mapping[str, Sequence[str]]) -> str:
        """Return whose a login is and what the roles grant, as JSON."""
        roles = dict.fromkeys((*orjson.loads(row.roles), *self._default_roles))
        return orjson.dumps(
            {
                "user": {"_id": row.subject, "name": row.name},
                "groups": orjson.loads(row.groups),
                "ous": orjson.loads(row.ous),
                "granted": granted(roles, stored),
            }
        ).decode()

    async def _fetch(self, sql: str, *args: Any) -> Sequence[Row]:
        rows: Sequence[Row] = await self._connection.fetch(self._dialect.sql(sql), *args)
        return rows


def _columns(login: Login) -> tuple[object, ...]:
    facts = {
        "session": login.id,
        "digest": login.digest,
        "address": login.address,
        "opened": login.opened,
        "via": login.via,
        "expires": login.expires,
        "ceilings": login.ceilings,
    }
    until = login.expires if login.lease is None else login.lease
    return login.id, login.digest, login.subject, login.nonce, login.via, until, orjson.dumps(facts).decode()


def _joined(facts: str, rights: str) -> str:
    """Return one JSON object with the members of both."""
    return f"{facts[:-1]},{rights[1:]}"


class LoginTable:
    """The LoginStore of both databases."""

    def __init__(self, database: Database, default_roles: Sequence[str] = ()) -> None:
        self._database, self._sql, self._default_roles = database, database.dialect.sql, default_roles

    async def position(self) -> Position:
        ((epoch, last),) = await self._database.fetch(_POSITION)
        return Position(epoch, int(last))

    async def snapshot(self) -> Snapshot:
        rows = await self._database.fetch(_SNAPSHOT)
        sessions = [_joined(facts, rights) for _, _, facts, rights in rows if facts is not None]
        return Snapshot(Position(rows[0][0], int(rows[0][1])), sessions)

    async def after(self, position: Position, limit: int) -> Sequence[Event] | None:
        known = position.sequence
        rows = await self._database.fetch(self._sql(_AFTER), known, known, known, limit)
        if position.epoch != rows[0][0] or not rows[0][1]:
            return None
        return [Event(Position(epoch, int(number)), kind, body) for epoch, _, number, kind, body in rows if number is not None]

    async def overdue(self, moment: int, limit: int) -> Set[str]:
        return {subject for (subject,) in await self._database.fetch(self._sql(_OVERDUE), moment, limit)}

    @retried
    async def review(self, subjects: Collection[str] | None = None) -> None:
        async with self._database.transaction(_LANE) as connection:
            outbox = Outbox(connection, self._database.dialect, self._default_roles, "expired")
            if subjects is None:
                outbox.touch_all()
            else:
                outbox.touch(*subjects)
            await outbox.tell()

    @retried
    async def begin_epoch(self) -> None:
        async with self._database.transaction(_LANE) as connection:
            await connection.execute(self._sql(_NEW_EPOCH), secrets.token_hex(8))

    @retried
    async def prune(self, before: int, limit: int) -> int:
        async with self._database.transaction(_LANE) as connection:
            return len(await connection.fetch(self._sql(_PRUNE), before, limit))
