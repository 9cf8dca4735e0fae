"""Whoever may manage roles and subjects makes them as large as may be, and asks for them over and over."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

import httpx
import pytest

from apiv3.security.room import MOST_PERMISSIONS, MOST_TOGETHER
from tests.support.attacks import Witness, assert_harmless, many, unread, while_it_lasts
from tests.support.documents import DATE
from tests.support.factories import NewDatabase, running_server
from tests.support.server import LiveServer
from tests.support.wire import api_secret, request, unique

MOST_MEMORY, MOST_WORK = 128, 0.5
"""Megabytes, and seconds; see `assert_harmless`."""
CONNECTIONS = 200
KEPT = 16
"""Megabytes in which a process keeps as many subjects and roles as there may be."""
V2 = "/api/v2/authorization"


@pytest.fixture(scope="module")
def server(database: str, new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with running_server(tmp_path_factory.mktemp, new_database, database, env={"ACCESS_LOG": "false"}, real=True) as running:
        yield running
        assert "Traceback" not in running.output


@pytest.fixture(scope="module")
def attacker(server: LiveServer) -> httpx.Client:
    client = server.client()
    client.base_url = httpx.URL(f"{server.url}{V2}")
    client.headers["api-secret"] = api_secret(server)
    return client


@pytest.fixture(scope="module")
def bystander(server: LiveServer, attacker: httpx.Client) -> Callable[[], Witness]:
    """`with bystander() as witness`."""
    assert server.client(server.subject("w", "*")).put("/api/v3/entries/e5", json={"date": DATE, "app": "x"}).is_success
    return partial(Witness, server, "/api/v3/entries/e5", server.jwt(server.subject("innocent", "api:*:read")))


def _add_role(attacker: httpx.Client, permissions: int, *, notes: int = 0) -> httpx.Response:
    name = unique("role")
    texts = [f"api:entries:read:{name}-{number}" for number in range(permissions)]
    return attacker.post("/roles", json={"name": name, "permissions": texts, "notes": "n" * notes})


@pytest.fixture(scope="module")
def full(attacker: httpx.Client, bystander: Callable[[], Witness]) -> httpx.Client:
    """The same attacker, after it has made as many permissions as it may, and as much text."""
    with bystander() as witness:
        while (added := _add_role(attacker, MOST_PERMISSIONS)).status_code == 200:
            pass
        assert (added.status_code, "too many permissions" in added.json()["message"]) == (409, True)
        while (added := _add_role(attacker, 1, notes=10_000)).status_code == 200:
            pass
        assert added.status_code == 409
    assert_harmless(witness.damage(), MOST_MEMORY, MOST_WORK, KEPT)
    return attacker


def test_a_role_of_too_many_permissions(attacker: httpx.Client, bystander: Callable[[], Witness]) -> None:
    with bystander() as witness:
        answers = many(lambda: _add_role(attacker, 100_000), 6, 3)
    assert {(each.status_code, each.json()["message"]) for each in answers} == {
        (400, f"Too many permissions: a role has at most {MOST_PERMISSIONS}")
    }
    assert_harmless(witness.damage(), MOST_MEMORY, MOST_WORK)


@pytest.mark.parametrize("path", ["/roles", "/subjects", "/permissions/trie", "/request/{}", "/debug/check/{}"])
def test_lists_that_nobody_reads(server: LiveServer, full: httpx.Client, bystander: Callable[[], Witness], path: str) -> None:
    """They hold all that there may be; and on other connections they are asked for, and read, without a pause."""
    roles = Counter({each["name"]: len(each["permissions"]) for each in full.get("/roles").json()})
    assert roles.total() <= MOST_TOGETHER + 20
    name = unique("holder")
    token = full.post("/subjects", json={"name": name, "roles": [roles.most_common(1)[0][0]]}).json()["accessToken"]
    wanted = path.format("a," * 400 if "check" in path else token)
    ask = request("GET", f"{V2}{wanted}", ("api-secret", api_secret(server)))
    with bystander() as witness, unread(server, ask, CONNECTIONS):
        while_it_lasts(lambda: full.get(wanted).raise_for_status(), 3)
    assert_harmless(witness.damage(), MOST_MEMORY, MOST_WORK)


def test_changes_without_a_pause(full: httpx.Client, bystander: Callable[[], Witness]) -> None:
    numbers = itertools.count()

    def change() -> None:
        made = full.post("/subjects", json={"name": f"changing-{next(numbers)}", "roles": ["readable"]}).json()
        full.post(f"/subjects/{made['_id']}/rotate").raise_for_status()
        full.delete(f"/subjects/{made['_id']}").raise_for_status()

    with bystander() as witness:
        assert while_it_lasts(change, 10)
    assert_harmless(witness.damage(), MOST_MEMORY, MOST_WORK)
