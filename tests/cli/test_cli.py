"""The command `apiv3`: subjects, roles, questions about permissions, the tables; beside a server that runs.

Each process takes most of a second to start, so most commands run inside this one.
"""

import json
import os
import pty
import re
import shlex
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import httpx
import pytest
from click.testing import CliRunner

from apiv3 import __version__
from apiv3.cli.commands import main
from tests.support.commands import Done, children, here, process
from tests.support.factories import NewDatabase
from tests.support.installation import Installation
from tests.support.server import LiveServer
from tests.support.terminal import Terminal
from tests.support.waiting import PATIENCE, wait_until
from tests.support.wire import ask, unique

ENTRIES = "/api/v3/entries"
"""Seconds that a crowded machine gets for what takes a server one."""

COMMANDS = {
    "serve",
    "check",
    "db upgrade",
    *(f"subject {name}" for name in ("add", "list", "show", "change", "rotate", "remove")),
    *(f"role {name}" for name in ("add", "list", "show", "change", "remove")),
}


@pytest.fixture
def nothing(tmp_path: Path) -> Installation:
    """A folder in which there is no installation yet."""
    return Installation(tmp_path, f"sqlite:///{tmp_path / 'apiv3.db'}")


@pytest.fixture
def installation(nothing: Installation) -> Installation:
    """One that was never started."""
    assert here(nothing, "db", "upgrade").status == 0
    return nothing


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
    for name, command in children(group).items():
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
        found = children(found)[name]
    assert len(found.get_short_help_str()) > 10
    example = re.search(rf"^  .*apiv3 {' '.join(command)}\b", done.stdout, re.MULTILINE)
    assert example or isinstance(found, click.Group), "there is no example"
    for parameter in found.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{parameter.name} is not explained"


@pytest.mark.parametrize("group", [(), ("subject",), ("role",), ("db",)])
def test_a_list_of_commands_has_whole_sentences(group: tuple[str, ...]) -> None:
    done = CliRunner().invoke(main, [*group, "--help"], prog_name="apiv3")
    assert "..." not in done.output.partition("Commands:")[2]


def test_the_version_and_the_help_over_a_process(nothing: Installation) -> None:
    assert __version__ in _said(nothing, "--version", run=process)
    usage = _said(nothing, "-h", run=process)
    for name in ("serve", "subject", "role", "check", "db"):
        assert re.search(rf"^  {name} ", usage, re.MULTILINE)
    assert not nothing.data.exists()  # asking makes nothing


def test_what_there_is_not_is_said(installation: Installation) -> None:
    for arguments in (["nonsense"], ["subject", "nonsense"], ["subject", "add"], ["check", "admin"]):
        done = here(installation, *arguments)
        assert (done.status, done.output) == (2, "")
        assert done.errors.startswith("Usage: ")


# --- subjects and roles -----------------------------------------------------------------------------------------------


def test_the_life_of_a_subject(installation: Installation) -> None:
    made = _json(installation, "subject", "add", "My Phone", "--role", "readable", "--role", "careportal", "--notes", "Ärger?")
    assert made.keys() == {"_id", "name", "roles", "notes", "groups", "ous", "timestamp", "accessToken"}
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
    again = _json(installation, "subject", "add", "again", "--role", "denied")
    assert _json(installation, "subject", "remove", "again") | {"accessToken": again["accessToken"]} == again


def test_a_subject_is_changed(installation: Installation) -> None:
    made = _json(installation, "subject", "add", "phone", "--role", "readable", "--notes", "old")
    changed = _json(installation, "subject", "change", "phone", "--role", "careportal", "--role", "activity")
    assert changed == made | {"roles": ["careportal", "activity"]}
    assert _json(installation, "subject", "change", made["_id"], "--notes", "") == changed | {"notes": ""}
    done = here(installation, "subject", "change", "phone", "--no-roles", "--notes", "new", "--json")
    assert done.errors == "Warning: the subject 'phone' has no roles, so it may neither read nor write anything.\n"
    bare = json.loads(done.output)
    assert bare == made | {"roles": [], "notes": "new"} == _json(installation, "subject", "show", "phone")
    for contradiction in ([], ["--no-roles", "--role", "readable"]):
        done = here(installation, "subject", "change", "phone", *contradiction)
        assert (done.status, done.output) == (2, "")
        assert "--no-roles" in done.errors


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
    assert _json(installation, "role", "show", "uploader") == _json(installation, "role", "show", made["_id"]) == made
    built_in = {"name": "readable", "permissions": ["*:*:read"], "notes": "may read every collection"}
    assert _json(installation, "role", "show", "readable") == built_in
    assert built_in in _json(installation, "role", "list")

    changed = _json(installation, "role", "change", "uploader", "api:entries:create")
    assert changed == made | {"permissions": ["api:entries:create"]}
    done = here(installation, "role", "change", made["_id"], "--notes", "x", "--json")
    assert done.errors == "Warning: the role 'uploader' has no permissions, so it grants nothing.\n"
    assert json.loads(done.output) == made | {"permissions": [], "notes": "x"}

    _said(installation, "subject", "add", "one", "--role", "uploader")
    in_use = _complained(here(installation, "role", "remove", "uploader"))
    assert "uploader" in in_use
    assert "one" in in_use
    _said(installation, "subject", "remove", "one")
    assert _said(installation, "role", "remove", "uploader") == "Removed uploader.\n"
    assert "uploader" not in {role["name"] for role in _json(installation, "role", "list")}
    again = _json(installation, "role", "add", "again", "*")
    assert _json(installation, "role", "remove", "again") == again


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["subject", "add", "x", "--role", "nonsense"], ["nonsense", "readable"]),
        (["subject", "add", ""], ["name"]),
        (["subject", "add", "x\n"], ["name"]),
        (["subject", "add", "admin"], ["admin"]),
        (["subject", "show", "nobody"], ["nobody", "apiv3 subject list"]),
        (["subject", "change", "nobody", "--no-roles"], ["nobody", "apiv3 subject list"]),
        (["subject", "change", "admin", "--role", "nonsense"], ["nonsense", "readable"]),
        (["subject", "rotate", "nobody"], ["nobody", "apiv3 subject list"]),
        (["subject", "remove", "nobody"], ["nobody", "apiv3 subject list"]),
        (["role", "add", "x", "api:,:read"], ["api:,:read"]),
        (["role", "add", "x", ""], ["permission"]),
        (["role", "show", "nonsense"], ["nonsense", "apiv3 role list"]),
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


def test_what_is_hardly_meant_is_said(installation: Installation) -> None:
    done = here(installation, "role", "add", "typo", "api:entries:raed", "api:food")
    assert (done.status, done.errors.splitlines()) == (
        0,
        [
            "Warning: 'api:entries:raed' matches nothing that this server demands; the nearest is 'api:entries:read'.",
            "Warning: 'api:food' includes api:food:create, api:food:delete, api:food:read, api:food:update.",
        ],
    )
    installation.settings = {"AUTH_DEFAULT_ROLES": "readable"}
    assert _json(installation, "subject", "add", "bare")["roles"] == []


def test_a_subject_is_excused_from_its_time(installation: Installation) -> None:
    made = _json(installation, "subject", "add", "display", "--role", "readable", "--no-timestamp")
    assert made["timestamp"] == "optional"
    assert [each["timestamp"] for each in _json(installation, "subject", "list")] == ["optional"]
    assert re.search("^timestamp: +optional$", _said(installation, "subject", "show", "display"), re.MULTILINE)
    assert _json(installation, "subject", "change", "display", "--notes", "x") == made | {"notes": "x"}
    assert _json(installation, "subject", "change", "display", "--timestamp")["timestamp"] == "required"
    assert _json(installation, "subject", "change", "display", "--no-timestamp") == made | {"notes": "x"}
    assert _json(installation, "subject", "rotate", "display")["timestamp"] == "optional"
    assert _json(installation, "subject", "add", "phone", "--role", "readable")["timestamp"] == "required"


@pytest.mark.parametrize(
    ("options", "typed", "asked", "timestamp"),
    [
        ([], b"\n", True, "required"),
        ([], b"1\n", True, "required"),
        ([], b"2\n", True, "optional"),
        ([], b"aaps\n2\n", True, "optional"),
        (["--no-timestamp"], b"", False, "optional"),
        (["--timestamp"], b"", False, "required"),
        (["--json"], b"", False, "required"),
    ],
)
def test_a_terminal_is_asked_which_kind_of_app_it_is_for(
    installation: Installation, options: list[str], typed: bytes, asked: bool, timestamp: str
) -> None:
    keyboard, terminal = pty.openpty()
    os.write(keyboard, typed)
    done = subprocess.run(
        installation.command("subject", "add", "app", "--role", "readable", *options),
        cwd=installation.folder,
        env=installation.environment(),
        stdin=terminal,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(keyboard)
    os.close(terminal)
    assert done.returncode == 0
    assert ("Which kind of app is it for?" in done.stderr) is asked
    assert "Which kind" not in done.stdout
    assert _json(installation, "subject", "show", "app")["timestamp"] == timestamp


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
    held = {"subject": f"who{suffix}", "permission": "api:entries:read", "held": True, "roles": ["readable"]}
    assert _json(installation, "check", f"who{suffix}", "api:entries:read") == held
    told = here(installation, "check", f"who{suffix}", "api:entries:create", "--json")
    assert (told.status, json.loads(told.output)) == (
        1,
        held | {"permission": "api:entries:create", "held": False, "roles": []},
    )


def test_check_knows_the_default_roles(installation: Installation) -> None:
    installation.settings = {"AUTH_DEFAULT_ROLES": "readable"}
    _said(installation, "subject", "add", "x")
    assert "readable" in _said(installation, "check", "x", "api:entries:read")


# --- the tables -------------------------------------------------------------------------------------------------------


def test_the_tables_are_brought_up(database: str, new_database: NewDatabase, tmp_path: Path) -> None:
    with new_database(database) as url:
        installation = Installation(tmp_path, url)
        first = here(installation, "db", "upgrade")
        assert first.status == 0
        assert re.fullmatch(r".*: the tables are at revision \w+\.\n", first.output)
        again = _said(installation, "db", "upgrade")
        assert "nothing to do" in again
        told = _json(installation, "db", "upgrade")
        assert told == {"database": again.partition(": nothing")[0], "before": told["after"], "after": told["after"]}
        for said in (first.output, first.errors, again, str(told)):
            password = re.search(r":([^:@/]+)@", url)
            assert password is None or password[1] not in said


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_port_that_the_system_chose_is_part_of_links(nothing: Installation, tmp_path: Path, workers: str) -> None:
    command = shlex.join(nothing.command("serve", "--port", "0", "--workers", workers))
    with Terminal(tmp_path, "terminal", nothing.folder, **nothing.environment()) as terminal:
        terminal.begin(command)
        terminal.wait_for("/invitation/first/")
        urls = re.findall(r"(http://[^/\s,]+)(?:,|/invitation/first/)", terminal.output)
        metadata = httpx.get(f"{urls[0]}/.well-known/oauth-authorization-server", trust_env=False, timeout=PATIENCE)
        assert {*urls} == {metadata.json()["issuer"]}


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


# --- where there is no installation -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        "subject list",
        "subject show admin",
        "subject change admin --no-roles",
        "subject rotate admin",
        "subject remove admin",
        "role list",
        "role show admin",
        "role change x",
        "role remove x",
        "export entries",
        "check admin api:entries:read",
    ],
)
def test_most_commands_make_nothing(nothing: Installation, command: str) -> None:
    """Somebody is in the wrong folder, and should not find a second installation there later."""
    nothing.settings = {"DATABASE_URL": None, "APIV3_DATA": None}
    sentence = _complained(here(nothing, *command.split()), status=2 if command.startswith("check") else 1)
    assert sentence.startswith(f"Error: There is no installation in {nothing.data}; ")
    assert not list(nothing.folder.iterdir())


def test_nothing_is_made_in_a_database_either(nothing: Installation, database: str, new_database: NewDatabase) -> None:
    with new_database(database) as url:
        nothing.database_url = url
        sentence = _complained(here(nothing, "subject", "list"))
        told = f"{url.removeprefix('sqlite:///')}, which is what DATABASE_URL says" if database == "sqlite" else nothing.data
        assert f"There is no installation {'with its data ' if database == 'sqlite' else ''}in {told}" in sentence
        assert not nothing.data.exists()
        nothing.data.mkdir()
        if database == "sqlite":
            Path(url.removeprefix("sqlite:///")).touch()
        assert "holds no tables of apiv3 yet" in _complained(here(nothing, "subject", "list"))


@pytest.mark.parametrize(
    "command", ["subject add x --role readable", "role add x *", "db upgrade", "import - --collection food"]
)
def test_a_command_that_makes_an_installation_says_so(nothing: Installation, command: str) -> None:
    nothing.settings = {"DATABASE_URL": None, "APIV3_DATA": None}
    first, again = (here(nothing, *command.split(), stdin=b'{"app":"x","date":1600000000000}') for _ in range(2))
    said = f"This makes a new installation in {nothing.data}, with its data in sqlite:///{nothing.data}/apiv3.sqlite\n"
    assert (first.status, first.errors) == (0, said)
    assert said not in again.errors


# --- completion -------------------------------------------------------------------------------------------------------


def _completed(installation: Installation, words: str) -> list[str]:
    """What bash is told after these words and the tab key: values, or `file,...` where it is to look itself."""
    words = f"apiv3 {words}"
    place = len(words.split()) - (not words.endswith(" "))
    asked = {"_APIV3_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(place)}
    done = here(replace(installation, settings={**installation.settings, **asked}))
    assert (done.status, done.errors) == (0, "")
    return [line.removeprefix("plain,") for line in done.output.split()]


@pytest.mark.parametrize("words", ["import READ", "export entries --output x", "serve --tls-cert c", "serve --tls-key k"])
def test_the_shell_completes_files_itself(nothing: Installation, words: str) -> None:
    [found] = _completed(nothing, words)
    assert found.startswith("file,")


def test_the_shell_completes_names(installation: Installation) -> None:
    _said(installation, "subject", "add", "phone", "--role", "denied")
    _said(installation, "role", "add", "reporter", "*")
    installation.settings = {"API3_EXTRA_COLLECTIONS": "trends"}
    for words, names in [
        ("export t", ["treatments", "trends"]),
        ("watch entries f", ["food"]),
        ("import x --collection pro", ["profile"]),
        ("subject show ", ["phone"]),
        ("subject change p", ["phone"]),
        ("subject rotate p", ["phone"]),
        ("subject remove p", ["phone"]),
        ("check ph", ["phone"]),
        ("subject add x --role re", ["readable", "reader", "reporter"]),
        ("role show re", ["readable", "reader", "reporter"]),
        ("role change ", ["reporter"]),
        ("role remove ", ["reporter"]),
    ]:
        assert _completed(installation, words) == names, words


def test_completion_makes_nothing_and_says_nothing(nothing: Installation) -> None:
    assert _completed(nothing, "subject show ") == []
    assert _completed(nothing, "subject add x --role read") == ["readable", "reader"]
    nothing.settings = {"API3_MAX_LIMIT": "nonsense"}
    assert _completed(nothing, "export ") == []
    assert not list(nothing.folder.iterdir())


# --- beside a server that runs ----------------------------------------------------------------------------------------


def test_what_is_changed_here_bites_there(database: str, shared_servers: Callable[[str], LiveServer]) -> None:
    server = shared_servers(database)
    installation, name, role = server.installation, unique("phone"), unique("role")

    def exchanged(token: str) -> bool:
        return ask(server, "GET", f"/api/v2/authorization/request/{token}").status == 200

    def status(path: str = ENTRIES) -> int:
        return client.get(path).status_code

    server.admin("POST", "/roles", {"name": role, "permissions": ["api:entries:read"]})
    token = _json(installation, "subject", "add", name, "--role", role, run=process)["accessToken"]
    wait_until(lambda: exchanged(token))
    client = server.client(token)
    assert status() == 200

    _said(installation, "role", "change", role, "api:food:read")
    wait_until(lambda: (status(), status("/api/v3/food")) == (403, 200))

    fresh = _json(installation, "subject", "rotate", name)["accessToken"]
    wait_until(lambda: status("/api/v3/food") == 401 and not exchanged(token))
    client = server.client(fresh)
    assert status("/api/v3/food") == 200

    _said(installation, "subject", "remove", name)
    wait_until(lambda: status("/api/v3/food") == 401 and not exchanged(fresh))
    _said(installation, "role", "remove", role)


def test_a_token_is_the_same_here_and_there(server: LiveServer) -> None:
    made = server.admin("POST", "/subjects", {"name": unique("both"), "roles": []})
    assert _json(server.installation, "subject", "show", made["name"])["accessToken"] == made["accessToken"]
    rotated = server.admin("POST", f"/subjects/{made['_id']}/rotate")
    assert _json(server.installation, "subject", "show", made["_id"])["accessToken"] == rotated["accessToken"]
