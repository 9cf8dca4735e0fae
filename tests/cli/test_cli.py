"""The command `apiv3`: subjects, roles, questions about permissions, the tables; beside a server that runs.

Each process takes most of a second to start, so most commands run inside this one; those beside a running server do not.
"""

import json
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from apiv3 import __version__
from apiv3.cli import main
from tests.support.commands import Done, here, process
from tests.support.factories import NewDatabase
from tests.support.installation import Installation
from tests.support.server import LiveServer
from tests.support.wire import ask, unique

ENTRIES = "/api/v3/entries"
WITHIN = 10.0
"""Seconds that a crowded machine gets for what takes a server one."""

COMMANDS = {
    "serve",
    "check",
    "db upgrade",
    *(f"subject {name}" for name in ("add", "list", "show", "rotate", "remove")),
    *(f"role {name}" for name in ("add", "list", "change", "remove")),
}


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """One that was never started."""
    return Installation(tmp_path, f"sqlite:///{tmp_path / 'apiv3.db'}")


@pytest.fixture(scope="module")
def server(shared_servers: Callable[[str], LiveServer]) -> LiveServer:
    return shared_servers("sqlite")


Run = Callable[..., Done]


def _said(installation: Installation, *arguments: str, run: Run = here) -> str:
    """What a command prints, which succeeds and complains of nothing."""
    done = run(installation, *arguments)
    assert (done.status, done.errors) == (0, "")
    return done.output


def _json(installation: Installation, *arguments: str, run: Run = here) -> Any:
    return json.loads(_said(installation, *arguments, "--json", run=run))


def _complained(done: Done, status: int = 1) -> str:
    """The one sentence of a command that failed."""
    assert done.status == status
    assert done.output == ""
    [sentence] = done.errors.splitlines()
    assert sentence.startswith("Error: ")
    return sentence


# --- help -------------------------------------------------------------------------------------------------------------


def _commands(group: click.Group, *before: str) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield (*before, name)
            yield from _commands(command, *before, name)
        else:
            yield (*before, name)


EVERY = list(_commands(main))


def test_the_commands_are_those() -> None:
    assert {" ".join(command) for command in EVERY} >= COMMANDS


@pytest.mark.parametrize("command", [(), *EVERY], ids=" ".join)
def test_every_command_explains_itself(command: tuple[str, ...]) -> None:
    done = CliRunner().invoke(main, [*command, "--help"], prog_name="apiv3")
    assert done.exit_code == 0
    assert done.stdout.startswith(f"Usage: {' '.join(['apiv3', *command])} ")
    found: click.Command = main
    for name in command:
        assert isinstance(found, click.Group)
        found = found.commands[name]
    assert len(found.get_short_help_str()) > 10
    for parameter in found.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{parameter.name} is not explained"


def test_the_version_and_the_help_over_a_process(installation: Installation) -> None:
    assert __version__ in _said(installation, "--version", run=process)
    usage = _said(installation, "-h", run=process)
    for name in ("serve", "subject", "role", "check", "db"):
        assert re.search(rf"^  {name} ", usage, re.MULTILINE)
    assert not installation.data.exists()  # asking makes nothing


def test_what_there_is_not_is_said(installation: Installation) -> None:
    for arguments in (["nonsense"], ["subject", "nonsense"], ["subject", "add"], ["check", "admin"]):
        done = here(installation, *arguments)
        assert (done.status, done.output) == (2, "")
        assert done.errors.startswith("Usage: ")


# --- subjects and roles -----------------------------------------------------------------------------------------------


def test_the_life_of_a_subject(installation: Installation) -> None:
    made = _json(installation, "subject", "add", "My Phone", "--role", "readable", "--role", "careportal", "--notes", "Ärger?")
    assert made.keys() == {"_id", "name", "roles", "notes", "accessToken"}
    assert (made["name"], made["roles"], made["notes"]) == ("My Phone", ["readable", "careportal"], "Ärger?")
    assert re.fullmatch(r"myphone-[0-9a-f]{16}", made["accessToken"])

    listed = _json(installation, "subject", "list")
    assert listed == [{name: value for name, value in made.items() if name != "accessToken"}]
    assert _json(installation, "subject", "show", "My Phone") == made
    assert _json(installation, "subject", "show", made["_id"]) == made

    rotated = _json(installation, "subject", "rotate", "My Phone")
    assert rotated == made | {"accessToken": rotated["accessToken"]}
    assert rotated["accessToken"][-16:] != made["accessToken"][-16:]
    assert _json(installation, "subject", "show", "My Phone") == rotated

    assert _said(installation, "subject", "remove", "My Phone") == "Removed My Phone.\n"
    assert _json(installation, "subject", "list") == []


def test_what_people_read(installation: Installation) -> None:
    said = _said(installation, "subject", "add", "phone", "--role", "readable", "--role", "denied")
    assert re.search(r"^name: +phone$", said, re.MULTILINE)
    assert re.search(r"^roles: +readable, denied$", said, re.MULTILINE)
    [token] = re.findall(r"^accessToken: +(phone-[0-9a-f]{16})$", said, re.MULTILINE)
    listed = _said(installation, "subject", "list")
    assert "phone" in listed
    assert token not in listed
    assert token in _said(installation, "subject", "show", "phone")
    assert re.search(r"^permissions: +\*:\*:read$", _said(installation, "role", "list"), re.MULTILINE)


def test_a_process_of_its_own_says_the_same(installation: Installation) -> None:
    made = _json(installation, "subject", "add", "Größe", "--role", "readable", run=process)
    assert _json(installation, "subject", "show", "Größe") == made
    assert "Größe" in _complained(process(installation, "subject", "add", "Größe"))


def test_the_life_of_a_role(installation: Installation) -> None:
    made = _json(installation, "role", "add", "uploader", "api:entries:create,update", "api:food:*", "--notes", "of a test")
    assert made.keys() == {"_id", "name", "permissions", "notes"}
    assert made["permissions"] == ["api:entries:create,update", "api:food:*"]
    assert made in _json(installation, "role", "list")
    assert {"admin", "denied", "readable"} < {role["name"] for role in _json(installation, "role", "list")}

    changed = _json(installation, "role", "change", "uploader", "api:entries:create")
    assert changed == made | {"permissions": ["api:entries:create"]}
    assert _json(installation, "role", "change", made["_id"], "--notes", "x") == made | {"permissions": [], "notes": "x"}

    _said(installation, "subject", "add", "one", "--role", "uploader")
    in_use = _complained(here(installation, "role", "remove", "uploader"))
    assert "uploader" in in_use
    assert "one" in in_use
    _said(installation, "subject", "remove", "one")
    assert _said(installation, "role", "remove", "uploader") == "Removed uploader.\n"
    assert "uploader" not in {role["name"] for role in _json(installation, "role", "list")}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["subject", "add", "x", "--role", "nonsense"], ["nonsense", "readable"]),
        (["subject", "add", ""], ["name"]),
        (["subject", "add", "x\n"], ["name"]),
        (["subject", "add", "admin"], ["admin"]),
        (["subject", "show", "nobody"], ["nobody", "apiv3 subject list"]),
        (["subject", "rotate", "nobody"], ["nobody", "apiv3 subject list"]),
        (["subject", "remove", "nobody"], ["nobody", "apiv3 subject list"]),
        (["role", "add", "x", "api:,:read"], ["api:,:read"]),
        (["role", "add", "x", ""], ["permission"]),
        (["role", "change", "nonsense", "*"], ["nonsense", "apiv3 role list"]),
        (["role", "change", "readable", "*"], ["readable", "apiv3 role add readable"]),
        (["role", "remove", "nonsense"], ["nonsense", "apiv3 role list"]),
        (["role", "remove", "admin"], ["admin", "built in"]),
        (["check", "nobody", "api:entries:read"], ["nobody", "apiv3 subject list"]),
        (["check", "admin", ":"], ["':'"]),
    ],
)
def test_a_mistake_is_one_sentence(server: LiveServer, arguments: list[str], named: list[str]) -> None:
    sentence = _complained(here(server.installation, *arguments), status=2 if arguments[0] == "check" else 1)
    for each in named:
        assert each in sentence


# --- check ------------------------------------------------------------------------------------------------------------


def test_check_says_which_role_grants_it(server: LiveServer) -> None:
    installation, suffix = server.installation, unique("")
    role = server.admin("POST", "/roles", {"name": f"one{suffix}", "permissions": ["api:entries:read:abc", "api:food"]})["name"]
    server.admin("POST", "/subjects", {"name": f"who{suffix}", "roles": ["denied", role, "readable"]})
    for permission, roles in [
        ("api:entries:read", ["readable"]),
        ("api:entries:read:abc", [role, "readable"]),
        ("API:Food:Delete", [role]),
        ("api:food:read", [role, "readable"]),
    ]:
        said = _said(installation, "check", f"who{suffix}", permission)
        assert said == f"yes: who{suffix} holds {permission} by the role {', '.join(roles)}\n"
    denied = process(installation, "check", f"who{suffix}", "api:entries:create")
    assert (denied.status, denied.errors) == (1, "")
    assert denied.output.startswith("no: ")
    assert "api:entries:create" in denied.output


def test_check_knows_the_default_roles(installation: Installation) -> None:
    installation.settings = {"AUTH_DEFAULT_ROLES": "readable"}
    _said(installation, "subject", "add", "x")
    assert "readable" in _said(installation, "check", "x", "api:entries:read")


# --- the tables -------------------------------------------------------------------------------------------------------


def test_the_tables_are_brought_up(database: str, new_database: NewDatabase, tmp_path: Path) -> None:
    with new_database(database) as url:
        installation = Installation(tmp_path, url)
        first = _said(installation, "db", "upgrade")
        assert re.fullmatch(r".*: the tables are at revision \w+\.\n", first)
        again = _said(installation, "db", "upgrade")
        assert "nothing to do" in again
        for said in (first, again):
            password = re.search(r":([^:@/]+)@", url)
            assert password is None or password[1] not in said


def test_the_tables_of_a_later_version_are_left_alone(installation: Installation, tmp_path: Path) -> None:
    _said(installation, "db", "upgrade")
    with closing(sqlite3.connect(tmp_path / "apiv3.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'later'")
        connection.commit()
    for done in (here(installation, "db", "upgrade"), here(installation, "subject", "list")):
        assert "DATABASE_URL" in _complained(done)
    assert "DATABASE_URL" in _complained(process(installation, "serve", "--port", "0"))


def test_a_file_that_is_no_database_is_left_alone(installation: Installation, tmp_path: Path) -> None:
    (tmp_path / "apiv3.db").write_text("a letter to my grandmother\n" * 100)
    assert "DATABASE_URL" in _complained(here(installation, "db", "upgrade"))
    assert (tmp_path / "apiv3.db").read_text() == "a letter to my grandmother\n" * 100


# --- beside a server that runs ----------------------------------------------------------------------------------------


def _wait_for(happens: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN
    while not happens():
        assert time.monotonic() < deadline, "the server did not notice"
        time.sleep(0.02)


def test_what_is_changed_here_bites_there(database: str, shared_servers: Callable[[str], LiveServer]) -> None:
    server = shared_servers(database)
    installation, name, role = server.installation, unique("phone"), unique("role")

    def exchanged(token: str) -> bool:
        return ask(server, "GET", f"/api/v2/authorization/request/{token}").status == 200

    def status(path: str = ENTRIES) -> int:
        return client.get(path).status_code

    server.admin("POST", "/roles", {"name": role, "permissions": ["api:entries:read"]})
    token = _json(installation, "subject", "add", name, "--role", role, run=process)["accessToken"]
    _wait_for(lambda: exchanged(token))
    client = server.client(token)
    assert status() == 200

    _said(installation, "role", "change", role, "api:food:read", run=process)
    _wait_for(lambda: (status(), status("/api/v3/food")) == (403, 200))

    fresh = _json(installation, "subject", "rotate", name, run=process)["accessToken"]
    _wait_for(lambda: status("/api/v3/food") == 401 and not exchanged(token))
    client = server.client(fresh)
    assert status("/api/v3/food") == 200

    _said(installation, "subject", "remove", name, run=process)
    _wait_for(lambda: status("/api/v3/food") == 401 and not exchanged(fresh))
    _said(installation, "role", "remove", role)


def test_a_token_is_the_same_here_and_there(server: LiveServer) -> None:
    made = server.admin("POST", "/subjects", {"name": unique("both"), "roles": []})
    assert _json(server.installation, "subject", "show", made["name"])["accessToken"] == made["accessToken"]
    rotated = server.admin("POST", f"/subjects/{made['_id']}/rotate")
    assert _json(server.installation, "subject", "show", made["_id"])["accessToken"] == rotated["accessToken"]
