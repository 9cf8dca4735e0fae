"""The documentation says what the code does: settings, routes, messages, commands, links, names of tests."""

import ast
import getpass
import os
import re
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import takewhile
from pathlib import Path

import click
import pytest
from dotenv import dotenv_values
from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from apiv3.app import Server
from apiv3.cli.commands import main
from apiv3.installation import Installation
from apiv3.model import collections, errors, messages
from apiv3.model.identity import BUILT_IN_ROLES
from apiv3.settings import Settings, load
from apiv3.web.negotiation import Format
from apiv3.web.openapi import examples
from tests.support.commands import children
from tests.support.pages import section
from tests.support.processes import demand

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PERMISSIONS = DOCS / "reference/permissions.md"
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS.rglob("*.md")])
EXAMPLE = ROOT / ".env.example"
PRUNE = "API3_AUTOPRUNE_"


def _cells(page: Path) -> Iterator[list[str]]:
    """The rows of a page's tables: their cells, without the marks of code around them."""
    for line in page.read_text().splitlines():
        if line.startswith("| ") and not line.startswith("| ---"):
            yield [cell.strip().strip("`") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


# --- tables and examples


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_table_is_whole(page: Path) -> None:
    """What an empty line cuts off has no head, and is shown as text."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for table in re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE):
        assert re.match(r"\|.*\n\|[ :|-]+\|\n", table), table


def test_the_examples_of_openapi_take_no_name_of_the_docs() -> None:
    """Who followed the docs has subjects of these names; another one is refused."""
    named = set(re.findall(r"subject add ([\w-]+)", "".join(page.read_text() for page in PAGES)))
    assert named
    assert not named & {subject["name"] for subject in examples.NEW_SUBJECT.values()}


SECRET = ("data/api_secret", "backup/api_secret", ".env", "key.pem", "cert.pem", "station/key", "simulated-device/key")
PRIVATE = ("moved/entries.ndjson", "entries.ndjson", "january.csv", "treatments.json", "apiv3.dump")


@pytest.mark.parametrize("file", [*SECRET, *PRIVATE])
def test_git_leaves_out_what_the_docs_make_here(file: str) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("this is no clone")
    assert subprocess.run(["git", "check-ignore", "-q", file], cwd=ROOT, check=False).returncode == 0


def test_the_unit_is_one_for_systemd(tmp_path: Path) -> None:
    demand("systemd-analyze")
    page = (DOCS / "how-to/keep-it-running.md").read_text()
    [unit] = re.findall(r"^```ini\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    file = tmp_path / "apiv3.service"
    file.write_text(unit.replace("/home/you/apiv3", str(ROOT)).replace("User=you", f"User={getpass.getuser()}"))
    done = subprocess.run(["systemd-analyze", "verify", file], capture_output=True, text=True, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if file.name in line]) == (0, [])


# --- settings


def _settings() -> set[str]:
    return {name.upper() for name in Settings.model_fields} - {"API3_AUTOPRUNE"} | {f"{PRUNE}<COLLECTION>"}


def _defaults() -> dict[str, str]:
    """Each setting's default, as it would stand in `.env`."""
    defaults = {}
    for name, field in Settings.model_fields.items():
        assert field.default is not PydanticUndefined or name == "api3_autoprune"
        value = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
        defaults[name.upper()] = str(value).lower() if isinstance(value, bool) else str(value or "")
    del defaults["API3_AUTOPRUNE"]
    return defaults | {f"{PRUNE}{each.name.upper()}": "0" for each in collections.STANDARD}


def _example() -> str:
    """`.env.example` with every setting switched on."""
    return re.sub(r"^# ([A-Z][A-Z0-9_]*=)", r"\1", EXAMPLE.read_text(), flags=re.MULTILINE)


def test_the_example_has_every_setting_with_its_default(tmp_path: Path) -> None:
    example = tmp_path / "example"
    example.write_text(_example())
    assert dotenv_values(example) == _defaults()


def test_the_example_switches_nothing_on() -> None:
    assert not dotenv_values(EXAMPLE)


def test_the_example_can_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in _defaults().keys() & os.environ.keys():
        monkeypatch.delenv(name)
    plain = load()
    (tmp_path / ".env").write_text(_example())
    assert load() == plain


def test_the_reference_has_every_setting_with_its_default() -> None:
    rows = {row[0]: row[1] for row in _cells(DOCS / "reference/settings.md") if row[0] != "setting"}
    assert rows.keys() == _settings()
    words = {"none": "", "empty": "", "generated": ""}
    shown = {name: words.get(default, default) for name, default in rows.items() if not name.startswith(PRUNE)}
    assert shown == {name: default for name, default in _defaults().items() if not name.startswith(PRUNE)}


# --- routes

Row = tuple[str, str, str, bool]


@cache
def _served() -> set[Row]:
    """Method, path, permission, and whether a grant on one document will do; for every route."""
    secrets = {"api_secret": "x" * 12, "jwt_key": "x" * 32, "hub_key": "x" * 43}
    settings = load(database_url="sqlite:///nowhere", api3_extra_collections=["weather"], api3_autoprune={}, **secrets)
    return {(each.method, each.path, each.permission, each.access.instance) for each in Server(Installation(settings)).routes()}


def _documented() -> set[Row]:
    """The same, out of the page: `{collection}` stands for each one that has no row of its own, `{format}` for each format."""
    given = [row for row in _cells(DOCS / "reference/routes.md") if len(row) == 5 and row[1].startswith("/")]
    named = {(method, path) for method, path, *_ in given}
    rows = set()
    for method, path, demanded, instance, _ in given:
        for name in collections.table(["weather"]) if "{collection}" in path else [""]:
            own = path.replace("{collection}", name)
            if own == path or (method, own) not in named:
                demand = demanded.replace("{collection}", name).replace("`", "")
                rows |= {(method, each, demand, instance == "yes") for each in _with_formats(own)}
    return rows


def _with_formats(path: str) -> list[str]:
    return [path.replace("{format}", form.extension) for form in Format] if "{format}" in path else [path]


def test_the_reference_has_every_route_with_its_permission() -> None:
    assert _documented() == _served()


# --- permissions


def _listed() -> set[str]:
    """The permissions under "What is demanded"; an action that stands alone belongs to what stands before it."""
    listed = set()
    for line in re.findall(r"^\| (`.*?) \|", section(PERMISSIONS.read_text(), "What is demanded"), re.MULTILINE):
        first, *actions = re.findall(r"`([^`]+)`", line)
        kind = first.rpartition(":")[0]
        for permission in (first, *(f"{kind}:{action}" for action in actions)):
            listed |= {permission.replace("{collection}", name) for name in collections.table(["weather"])}
    return listed


def test_the_reference_has_every_permission_that_is_demanded() -> None:
    demanded = {name for _, _, permission, _ in _served() for name in permission.split(" or ")}
    assert _listed() == demanded - {"none", "any subject", "any person"}


def test_the_reference_has_every_built_in_role_with_its_permissions() -> None:
    rows = re.findall(r"^\| `(.+?)` \| (.+?) \|", section(PERMISSIONS.read_text(), "Built-in roles"), re.MULTILINE)
    roles = {name: tuple(re.findall(r"`([^`]+)`", granted)) for name, granted in rows}
    assert roles == {role.name: role.permissions for role in BUILT_IN_ROLES}


# --- messages


def _raised() -> Iterator[str]:
    """The messages that are written where an error is raised; `{}` for what is filled in. Those of OAuth2 are free texts."""
    kinds = {each.__name__ for each in _family(errors.ApiError)} - {errors.OAuth2Error.__name__}
    for file in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in kinds and node.args:
                yield from _text(node.args[0])


def _text(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "messages":
        yield getattr(messages, node.attr)
    elif isinstance(node, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)


def _family(kind: type[errors.ApiError]) -> Iterator[type[errors.ApiError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _family(child)


@pytest.mark.parametrize("message", sorted(set(_raised())))
def test_the_reference_has_every_message(message: str) -> None:
    pattern = ".+?".join(re.escape(part.rstrip(" ,")) for part in message.split("{}"))
    shown = re.findall(r"`([^`\n]+)`", (DOCS / "reference/errors.md").read_text())
    assert any(re.fullmatch(f"{pattern}.*", each) for each in shown)


@pytest.mark.parametrize("kind", list(_family(errors.ApiError)), ids=lambda kind: str(kind.__name__))
def test_the_reference_has_every_status(kind: type[errors.ApiError]) -> None:
    page = (DOCS / "reference/errors.md").read_text()
    assert re.search(rf"^(\| |## ){kind.status}\b", page, re.MULTILINE) or f"| {kind.status} " in page
    assert kind.message is None or f"`{kind.message}`" in page


# --- commands


def _commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        for child in command.commands.values():
            yield from _commands(child, f"{name} {child.name}")


def _sections() -> dict[str, str]:
    """The part of the page about each command."""
    parts = re.split(r"^## `(apiv3[^`]*)`\n", (DOCS / "reference/cli.md").read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_reference_has_every_command() -> None:
    assert list(_sections()) == [name for name, _ in _ordered()]


def _ordered() -> list[tuple[str, click.Command]]:
    """All commands; those of `apiv3` itself in the order of the page, for click sorts them by name."""
    groups = [
        "serve",
        "subject",
        "role",
        "user",
        "client",
        "device",
        "update",
        "audit",
        "check",
        "import",
        "export",
        "db",
        "watch",
    ]
    place = {name: number for number, name in enumerate(groups)}
    order = sorted(children(main).values(), key=lambda command: place.get(str(command.name), len(groups)))
    return [("apiv3", main)] + [each for child in order for each in _commands(child, f"apiv3 {child.name}")]


@pytest.mark.parametrize(("name", "command"), _ordered(), ids=[name for name, _ in _ordered()])
def test_the_reference_has_every_option_and_argument(name: str, command: click.Command) -> None:
    section = _sections()[name]
    options = {option for each in command.params if isinstance(each, click.Option) for option in each.opts}
    help_options = {"-h", "--help"} if command is main else set()
    assert set(re.findall(r"^\| `(-[^|]*)` \|", section.replace("`, `", "` |\n| `"), re.MULTILINE)) == options | help_options
    for argument in command.params:
        if isinstance(argument, click.Argument):
            assert f"`{str(argument.name).upper()}`" in section


_SHOWN = re.compile(r"(?:^|[|] )\s*(?:\w+=\S+ )*(?:\.venv/bin/)?apiv3 ([a-z].*)")


def _shown(page: Path) -> Iterator[list[str]]:
    """The words of every command that a page shows: in the blocks for a shell, and in the text."""
    text = page.read_text()
    blocks = "".join(re.findall(r"^```(?:sh)?\n(.*?)^```", text, re.MULTILINE | re.DOTALL)).replace("\\\n", " ")
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    for line in [*blocks.splitlines(), *re.findall(r"[$][(]([^)]*)[)]", blocks), *spans]:
        for command in _SHOWN.findall(line):
            yield list(takewhile(lambda word: word[0] not in "|>&;()<", _words(command)))


def _words(command: str) -> list[str]:
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    return [word for word in lexer if word]


def _fault(words: Sequence[str]) -> str:
    """What `apiv3` would say of these words: a command or an option that it does not have, or a word too many."""
    command: click.Command = main
    context = click.Context(command)
    try:
        while isinstance(command, click.Group):
            _, words, _ = command.make_parser(context).parse_args(list(words))
            if not words:
                return ""
            found = command.get_command(context, words[0])
            if found is None:
                return f"no command {words[0]}"
            command, context, words = found, click.Context(found, parent=context), words[1:]
        _, more, _ = command.make_parser(context).parse_args(list(words))
    except click.UsageError as error:
        return error.format_message()
    return " ".join(more)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_that_are_shown_exist(page: Path) -> None:
    for words in _shown(page):
        assert not _fault(words), f"apiv3 {' '.join(words)}"


def test_a_command_that_does_not_exist_is_noticed() -> None:
    assert _fault(["role", "add", "x", "--permission", "y"]) == "No such option '--permission'."
    assert _fault(["rolle", "add", "x"]) == "no command rolle"
    assert _fault(["role", "show", "x", "y"]) == "y"


# --- links


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as code hosts make them."""
    found = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def _links(page: Path) -> list[str]:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in _links(page):
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), link
        assert not anchor or anchor in _anchors(target), link


def test_every_page_can_be_reached() -> None:
    linked = {(page.parent / link.partition("#")[0]).resolve() for page in PAGES for link in _links(page)}
    assert {page for page in PAGES if page not in linked} <= {ROOT / "README.md", ROOT / "CHANGELOG.md"}


# --- tests that are named


def test_tests_that_are_named_exist() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (DOCS / "compatibility.md").read_text())
    assert named
    for file, name in named:
        assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE), f"{file}::{name}"
