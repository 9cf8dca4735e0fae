"""Sessions and nonces in one process."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager

import pytest

from apiv3.app import Server
from apiv3.installation import Installation
from apiv3.model.errors import BadNonce, StorageUnavailable
from apiv3.model.sessions import Limits, Session, Visitor
from apiv3.security import secrets
from apiv3.security.accounts.nonces import LIFETIME, Nonces
from apiv3.security.sessions import Sessions
from apiv3.settings import load
from apiv3.storage.contracts.sessions import SessionWriter
from apiv3.web.cookies import SESSION
from tests.support.browsers import SAME_ORIGIN, signed_in
from tests.support.factories import FreshServer
from tests.support.people import PASSWORD, add_person
from tests.support.server import LiveServer

HOUR = 3_600_000
VALUE = secrets.mint()


def session(seen: int) -> Session:
    names = ("id", secrets.stored_digest(VALUE), "subject", "nonce", "password")
    return Session(*names, Visitor("192.0.2.1", "curl"), (), seen, seen, seen)


class Store:
    """One session, which is not ended by anybody. `away`: the database does not answer."""

    def __init__(self) -> None:
        self.held, self.revision, self.away = session(time.time_ns() // 1_000_000 - HOUR // 2), 5, False
        self.saved: list[dict[str, int]] = []
        self.used: set[str] = set()

    async def find(self, digest: str) -> tuple[int, Session | None]:
        return self.revision, self.held if digest == self.held.digest else None

    async def ended(self, since: int) -> tuple[int, list[str]]:  # noqa: ARG002
        return self.revision, []

    async def of(self, subject: str) -> list[Session]:  # noqa: ARG002
        return [self.held]

    async def all(self) -> list[Session]:
        return [self.held]

    async def saw(self, moments: Mapping[str, int]) -> None:
        if self.away:
            raise StorageUnavailable
        self.saved.append(dict(moments))

    async def prune(self, limits: Limits, now: int) -> None: ...

    async def expire(self, limits: Limits, now: int) -> None: ...

    async def use(self, nonce: str, expires: int) -> bool:
        assert 0 < expires / 1000 - time.time() <= LIFETIME + 1
        is_new = nonce not in self.used
        self.used.add(nonce)
        return is_new

    def changing(self) -> AbstractAsyncContextManager[SessionWriter]:
        raise NotImplementedError


async def test_a_use_lengthens_it_and_is_stored_later() -> None:
    store = Store()
    sessions = Sessions(store, Limits(HOUR, 10 * HOUR))
    await sessions.look(VALUE)
    found = sessions.recall(VALUE)
    assert found is not None
    await sessions.touch(found)
    later = sessions.recall(VALUE)
    assert later is not None
    assert sessions.limits.end(later) - sessions.limits.end(found) == pytest.approx(HOUR / 2, abs=60_000)
    store.away = True
    with pytest.raises(StorageUnavailable):
        await sessions.save()
    store.away = False
    await sessions.save()
    await sessions.save()
    assert store.saved == [{"id": later.seen}]


async def test_a_backup_that_was_put_back_counts() -> None:
    store = Store()
    sessions = Sessions(store, Limits(HOUR, 10 * HOUR))
    await sessions.catch_up()
    await sessions.look(VALUE)
    store.revision = 3
    await sessions.catch_up()
    assert sessions.recall(VALUE) is None
    await sessions.look(VALUE)
    assert sessions.recall(VALUE) is not None


async def test_a_nonce_is_good_for_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    nonces, moment = Nonces("k" * 32, Store()), time.time()
    early, late, other = nonces.issue("session"), nonces.issue("session"), Nonces("x" * 32, Store()).issue("session")
    for bad in (None, "", other, early[1:], early + "x", "x" * 10_000):
        with pytest.raises(BadNonce):
            await nonces.use(bad, "session")
    with pytest.raises(BadNonce):
        await nonces.use(early, "another session")
    await nonces.use(early, "session")
    with pytest.raises(BadNonce):
        await nonces.use(early, "session")
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: moment + LIFETIME + 2)
    with pytest.raises(BadNonce):
        await nonces.use(late, "session")


GOOD = ["session={}", "a=b; session={}", "session={}; c=d", "a=b;session={} ;c=d", "xsession=y; session={}"]
BAD = ["", "session=", "session={}x", "session={}=", "xsession={}", "session ={}", 'session="{}"', "session=é"]


@pytest.mark.parametrize("header", GOOD)
def test_a_cookie_is_found(header: str) -> None:
    assert SESSION.read(header.format(VALUE).encode(), encrypted=False) == VALUE
    assert SESSION.read(header.format(VALUE).encode(), encrypted=True) is None
    prefixed = header.replace("xsession", "x").replace("session", "__Host-session").format(VALUE).encode()
    assert SESSION.read(prefixed, encrypted=True) == VALUE
    assert SESSION.read(prefixed, encrypted=False) is None


@pytest.mark.parametrize("header", BAD)
def test_what_is_no_cookie_of_ours(header: str) -> None:
    assert SESSION.read(header.format(VALUE).encode(), encrypted=False) is None


def _forms() -> list[str]:
    """The paths of all forms that a session authenticates."""
    settings = load(database_url="sqlite:///nowhere", api_secret="x" * 12, jwt_key="x" * 32, hub_key="x" * 43)
    table = Server(Installation(settings)).routes()
    return [each.path for each in table if each.method != "GET" and each.access.page and not each.access.public]


def test_every_form_needs_a_nonce(server: LiveServer) -> None:
    email = f"forms.{server.port}@x.example"
    add_person(server.installation, email, PASSWORD, "admin", name=email)
    browser = signed_in(server, email)
    assert len(_forms()) >= 3
    for path in _forms():
        for data in ({}, {"nonce": "x"}):
            answer = browser.post(path.replace("{", "").replace("}", ""), data, headers=SAME_ORIGIN)
            assert (path, answer.status_code) == (path, 403)
    assert browser.is_signed_in()


def test_it_outlives_a_restart(fresh_server: FreshServer) -> None:
    server = fresh_server()
    add_person(server.installation, "anna@x.example", PASSWORD, name="Anna")
    browser = signed_in(server, "anna@x.example")
    nonce = browser.form("/account", "/logout")
    server.restart()
    assert browser.is_signed_in()
    assert browser.post("/logout", nonce).status_code == 303
