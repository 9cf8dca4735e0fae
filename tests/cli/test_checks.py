"""What `apiv3 serve` warns of at its start."""

from __future__ import annotations

import pytest

from apiv3.cli.checks import check_default_roles, check_proxies, check_roles, check_secrets
from apiv3.model.collections import table
from apiv3.model.identity import Role
from apiv3.security import demands
from apiv3.security.advice import MOST
from apiv3.security.policy import Snapshot
from apiv3.settings import load
from apiv3.storage.contracts import Policy
from tests.support.factories import FreshServer

STRONG = "t7Kq9vXw2Lm4Zp8Rt7Kq9vXw2Lm4Zp8R"
MANAGER = Role("manager", ("admin:api:subjects:*",), "", "a" * 24)


@pytest.mark.parametrize(
    ("api_secret", "jwt_key", "warned"),
    [(STRONG, STRONG, []), ("nightscout123", STRONG, ["API_SECRET"]), (STRONG, "secret" * 6, ["JWT_KEY"])],
)
def test_weak_secrets(api_secret: str, jwt_key: str, warned: list[str], caplog: pytest.LogCaptureFixture) -> None:
    check_secrets(load(api_secret=api_secret, jwt_key=jwt_key))
    assert [message.split()[0] for message in caplog.messages] == warned
    assert not any(secret in caplog.text for secret in (api_secret, jwt_key))


@pytest.mark.parametrize(
    ("roles", "warned"),
    [("", False), ("readable", False), ("nobody", False), ("admin", True), ("readable, admin", True), ("manager", True)],
)
def test_default_roles_that_give_everything(roles: str, warned: bool, caplog: pytest.LogCaptureFixture) -> None:
    settings = load(auth_default_roles=roles)
    check_default_roles(settings, Snapshot(Policy(1, (), (MANAGER,)), STRONG, settings.auth_default_roles))
    assert [("AUTH_DEFAULT_ROLES" in message) for message in caplog.messages] == [True] * warned


@pytest.mark.parametrize(
    ("networks", "warned"),
    [
        ("127.0.0.1, 10.0.0.0/8, 172.16.0.0/12, fd00::/8, fc00::/7, 2001:db8::/32, ::ffff:10.0.0.0/104", 0),
        ("0.0.0.0/0", 1),
        ("0.0.0.0/1, 128.0.0.0/1", 2),
        ("::/0", 1),
        ("2000::/3, 10.0.0.1", 1),
        ("::ffff:0.0.0.0/96", 1),
        ("0.0.0.0/0, ::/0", 2),
    ],
)
def test_proxies_that_are_strangers(networks: str, warned: int, caplog: pytest.LogCaptureFixture) -> None:
    check_proxies(load(trusted_proxies=networks, public_url="https://data.example.org"))
    assert ["TRUSTED_PROXIES" in message for message in caplog.messages] == [True] * warned


def test_proxies_without_the_url_that_people_open(caplog: pytest.LogCaptureFixture) -> None:
    check_proxies(load(trusted_proxies="127.0.0.1", public_url="https://data.example.org"))
    check_proxies(load())
    assert caplog.messages == []
    check_proxies(load(trusted_proxies="127.0.0.1"))
    [message] = caplog.messages
    assert "PUBLIC_URL" in message


def test_roles_that_were_stored_with_permissions_that_match_nothing(fresh_server: FreshServer) -> None:
    """Refused or told about when they are stored today; a version before, or another program, may have stored them."""
    server = fresh_server()
    for name, permissions in [("good", ["api:entries"]), ("misspelled", ["api:entries:raed", "api:food:read"])]:
        server.admin("POST", "/roles", {"name": name, "permissions": permissions})
    server.restart()
    warnings = [line.partition("apiv3: ")[2] for line in server.output.splitlines() if " WARNING apiv3: " in line]
    assert warnings == [
        "a permission of the role 'misspelled' grants nothing: 'api:entries:raed' matches nothing that this server demands; "
        "the nearest is 'api:entries:read'"
    ]


def test_the_warnings_of_roles_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    roles = tuple(Role(f"role {number}", ("api:food:raed",)) for number in range(1000))
    check_roles(Snapshot(Policy(1, (), roles), STRONG), demands.every(table(()).values()))
    assert len(caplog.messages) == MOST


def test_a_start_warns_of_all_of_them(fresh_server: FreshServer) -> None:
    weak = {"API_SECRET": "password1234", "AUTH_DEFAULT_ROLES": "admin", "TRUSTED_PROXIES": "0.0.0.0/0"}
    server = fresh_server(env=weak)
    warnings = [line for line in server.output.splitlines() if "WARNING" in line]
    for words in ("API_SECRET is weak", "AUTH_DEFAULT_ROLES is", "TRUSTED_PROXIES has", "PUBLIC_URL is not"):
        assert sum(words in line for line in warnings) == 1, warnings
    assert "password1234" not in server.output


def test_a_start_as_it_should_be_warns_of_nothing(fresh_server: FreshServer) -> None:
    server = fresh_server(env={"API_SECRET": None})
    assert "WARNING" not in server.output
