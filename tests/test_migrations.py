"""The tables come into being, once, whoever asks for them and however many at once."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from apiv3.storage import revision, rewriting, schema
from apiv3.storage.database import Database
from apiv3.storage.documents import DocumentTable
from apiv3.storage.policy import PolicyTable
from tests.support.installation import Installation
from tests.support.processes import clean_environment
from tests.support.storage import document, history, insert

TABLES = {"alembic_version", "documents", "clocks", "tombstones", "alarms", "silences", "notifications", "subjects", "roles"}
TABLES |= {"accounts", "failures", "audit", "sessions", "nonces", "passkeys", "clients"}
TABLES |= {"grants", "access_tokens", "refresh_tokens", "authorization_requests", "codes", "device_codes", "consents"}
TABLES |= {"devices", "device_keys", "device_messages", "device_records", "device_commands"}
TABLES |= {"releases"}
TABLES |= {"offers"}
TABLES |= {"logins", "login_events", "login_epoch"}


def on(url: str, work: Any) -> Any:
    """Calls `work` with a connection in a transaction."""
    if url.startswith("sqlite"):
        engine = create_engine(url, poolclass=NullPool)
        with engine.begin() as connection:
            return work(connection)

    async def run() -> Any:
        engine = create_async_engine(url.replace("postgresql:", "postgresql+asyncpg:", 1), poolclass=NullPool)
        async with engine.begin() as connection:
            return await connection.run_sync(work)

    return asyncio.run(run())


def shape(url: str) -> dict[str, Any]:
    """Every table with its columns and indexes."""

    def look(connection: Connection) -> dict[str, Any]:
        found = inspect(connection)
        return {
            table: (
                [(each["name"], str(each["type"]), each["nullable"]) for each in found.get_columns(table)],
                sorted((str(each["name"]), tuple(each["column_names"]), each["unique"]) for each in found.get_indexes(table)),
            )
            for table in found.get_table_names()
        }

    found: dict[str, Any] = on(url, look)
    return found


def test_there_is_one_newest_revision() -> None:
    scripts = ScriptDirectory.from_config(schema._config())
    assert scripts.get_heads() == [schema.head()] == [revision.newest()]
    assert next(scripts.walk_revisions()).revision == schema.head()
    assert len(scripts.get_bases()) == 1


def test_from_nothing_and_again(database_url: str) -> None:
    assert not revision.is_newest(database_url)
    assert schema.upgrade(database_url) == (None, schema.head())
    assert revision.is_newest(database_url)
    made = shape(database_url)
    assert made.keys() == TABLES
    assert schema.upgrade(database_url) == (schema.head(), schema.head())
    assert shape(database_url) == made
    asyncio.run(_use(database_url))
    # What is there stays there.
    assert schema.upgrade(database_url) == (schema.head(), schema.head())
    assert asyncio.run(_use(database_url)) == ["document", "document"]


async def _use(url: str) -> list[str]:
    """Stores a document; returns what has been stored so far."""
    database = Database(url)
    await database.connect()
    try:
        store = DocumentTable(database)
        await store.prepare(["entries"])
        assert (await PolicyTable(database).load()).revision == 1
        number = len(await history(store, "entries"))
        await insert(store, "entries", document(f"document-{number}"))
        return [each["identifier"].partition("-")[0] for each in await history(store, "entries")]
    finally:
        await database.disconnect()


def test_down_to_nothing_and_up_again(database_url: str) -> None:
    schema.upgrade(database_url)
    made = shape(database_url)

    def down(connection: Connection) -> None:
        config = schema._config()
        config.attributes["connection"] = connection
        command.downgrade(config, "base")

    on(database_url, down)
    assert shape(database_url).keys() == {"alembic_version"}
    assert schema.upgrade(database_url) == (None, schema.head())
    assert shape(database_url) == made


OLD_ROW = """
    INSERT INTO documents (collection, identifier, identified, valid, srv_modified, srv_created, type, body)
    VALUES ('entries', :name, true, true, :number, :number, :type, :body)
"""


def test_documents_of_the_first_revision_are_found_by_their_types(database_url: str) -> None:
    """What was stored before lists of types had a mark gets it."""
    bodies = {"text": '{"type":"sgv"}', "list": '{"type":["sgv"]}', "event": '{"type":"mbg","eventType":["sgv"]}', "none": "{}"}

    def fill(connection: Connection) -> None:
        config = schema._config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for number, (name, body) in enumerate(bodies.items()):
            row = {"name": name, "number": number, "type": {"text": "sgv", "event": "mbg"}.get(name), "body": body}
            connection.execute(text(OLD_ROW), row)

    on(database_url, fill)
    assert schema.upgrade(database_url) == ("0001", schema.head())
    listed = "SELECT identifier FROM documents WHERE listed ORDER BY identifier"
    found = on(database_url, lambda connection: connection.execute(text(listed)).fetchall())
    assert [name for (name,) in found] == ["event", "list"]


def test_subjects_of_earlier_revisions_are_not_excused_from_the_time(database_url: str) -> None:
    old = "INSERT INTO subjects (id, name, roles, notes, created_at, nonce) VALUES (:id, 'phone', '[]', '', '', '')"

    def fill(connection: Connection) -> None:
        config = schema._config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0004")
        connection.execute(text(old), {"id": "a" * 24})

    on(database_url, fill)
    assert schema.upgrade(database_url) == ("0004", schema.head())
    assert asyncio.run(_timestamps(database_url)) == ["required"]


async def _timestamps(url: str) -> list[str]:
    database = Database(url)
    await database.connect()
    try:
        return [subject.timestamp for subject in (await PolicyTable(database).load()).subjects]
    finally:
        await database.disconnect()


WHOLE_ROW = """
    INSERT INTO documents (collection, identifier, identified, valid, srv_modified, srv_created, body)
    VALUES ('entries', :name, true, true, :number, :number, :body)
"""
REWRITTEN = {
    '{"n":20.0}': '{"n":20}',
    '{"n":[1.0,{"x":-2.0}],"big":9007199254740994.0}': '{"n":[1,{"x":-2}],"big":9007199254740994.0}',
    '{"long":9223372036854775807,"n":3.0}': '{"long":9223372036854775807,"n":3}',
    '{"n":-0.0,"é":"ü"}': '{"n":0,"é":"ü"}',
    '{"n":0.1,"text":"1.0,"}': '{"n":0.1,"text":"1.0,"}',
    '{"n": 20.5}': '{"n": 20.5}',
    '{"created_at":"2020-09-14T12:36:40.000Z"}': '{"created_at":"2020-09-14T12:36:40.000Z"}',
}


def _old_documents(url: str, number: int) -> None:
    """Documents as they were stored before revision 0006."""

    def fill(connection: Connection) -> None:
        config = schema._config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0004")
        bodies = list(REWRITTEN)
        rows = [{"name": f"d{n:06}", "number": 10**12 + n, "body": bodies[n % len(bodies)]} for n in range(number)]
        connection.execute(text(WHOLE_ROW), rows)

    on(url, fill)


def _documents(url: str) -> list[tuple[int, str]]:
    query = "SELECT srv_modified, body FROM documents ORDER BY identifier"
    return [tuple(row) for row in on(url, lambda connection: connection.execute(text(query)).fetchall())]


def _rewritten(number: int) -> list[tuple[int, str]]:
    bodies = list(REWRITTEN.values())
    return [(10**12 + n, bodies[n % len(bodies)]) for n in range(number)]


def test_whole_numbers_become_integers(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In several batches, whatever bounds them, and without a new srvModified."""
    monkeypatch.setattr(rewriting, "ROWS", 40)
    monkeypatch.setattr(rewriting, "CHARACTERS", 500)
    _old_documents(database_url, 100)
    assert schema.upgrade(database_url) == ("0004", schema.head())
    assert _documents(database_url) == _rewritten(100)
    left = on(database_url, lambda connection: connection.execute(text("SELECT name FROM clocks")).fetchall())
    assert revision.REWRITING not in [name for (name,) in left]


def test_the_start_says_when_rewriting_begins_and_ends(tmp_path: Path, database_url: str) -> None:
    _old_documents(database_url, 20)
    installation = Installation(tmp_path, database_url)
    lines = installation.run("db", "upgrade").stderr.splitlines()
    told = [line.partition("apiv3.storage.schema: ")[2] for line in lines if "apiv3.storage.schema: " in line]
    assert told == [
        "rewriting the numbers of stored documents (20.0 becomes 20); this is done once",
        "the numbers of all stored documents are rewritten",
    ]
    assert _documents(database_url) == _rewritten(20)
    assert "numbers" not in installation.run("db", "upgrade").stderr


def test_rewriting_goes_on_where_it_was_killed(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewriting, "ROWS", 10)
    _old_documents(database_url, 100)
    seen: list[int] = []

    def until_killed(connection: Connection) -> bool:
        if len(seen) == 3:
            raise KeyboardInterrupt
        seen.append(connection.execute(text("SELECT last FROM clocks WHERE name = '/numbers'")).scalar_one())
        return rewriting.make_numbers_whole(connection)

    monkeypatch.setattr(schema, "make_numbers_whole", until_killed)
    with pytest.raises(KeyboardInterrupt):
        schema.upgrade(database_url)
    assert len(set(seen)) == 3
    assert not revision.is_newest(database_url)
    assert _documents(database_url)[:30] == _rewritten(30)
    assert '{"n":20.0}' in dict(_documents(database_url)[30:]).values()
    monkeypatch.undo()
    assert schema.upgrade(database_url) == (schema.head(), schema.head())
    assert revision.is_newest(database_url)
    assert _documents(database_url) == _rewritten(100)


def test_rewriting_leaves_what_is_written_meanwhile(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of the version before may still run: what it wrote after a batch was read is not overwritten."""
    _old_documents(database_url, 7)
    original = rewriting._changes

    def changes(rows: Any) -> Any:
        made = list(original(rows))
        return [{**each, "seen": each["seen"] - 1} if index == 0 else each for index, each in enumerate(made)]

    monkeypatch.setattr(rewriting, "_changes", changes)
    schema.upgrade(database_url)
    assert _documents(database_url) == [(10**12, '{"n":20.0}'), *_rewritten(7)[1:]]


AT_ONCE = """
import os, sys
from apiv3.storage import rewriting, schema
url, number = sys.argv[1], int(sys.argv[2])
ready, go = os.pipe(), os.pipe()
children = []
for _ in range(number):
    child = os.fork()
    if child == 0:
        os.close(go[1])
        os.write(ready[1], b".")
        os.read(go[0], 1)  # its end is the signal for all of them
        before, after = schema.upgrade(url)
        os._exit(0 if after == schema.head() and before in (None, after) else 1)
    children.append(child)
while number:
    number -= len(os.read(ready[0], number))
os.close(go[1])
sys.exit(sum(os.waitpid(child, 0)[1] != 0 for child in children))
"""


def test_ten_processes_at_once(database_url: str) -> None:
    """Ten that start at one moment on an empty database: each finds it migrated in the end."""
    done = subprocess.run(
        [sys.executable, "-c", AT_ONCE, database_url, "10"],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert shape(database_url).keys() == TABLES
    assert on(database_url, lambda connection: connection.execute(text("SELECT * FROM alembic_version")).fetchall()) == [
        (schema.head(),)
    ]
    assert asyncio.run(_use(database_url)) == ["document"]


def test_the_command_says_what_it_did(database_url: str, tmp_path: Path) -> None:
    installation = Installation(tmp_path, database_url)
    first, second = installation.run("db", "upgrade"), installation.run("db", "upgrade")
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert first.stdout.endswith(f": the tables are at revision {schema.head()}.\n")
    assert second.stdout.endswith(f": nothing to do, the tables are at revision {schema.head()}.\n")


def test_tables_of_a_newer_version_are_left_alone(database_url: str, tmp_path: Path) -> None:
    """An older program says in one sentence that it does not know them."""
    schema.upgrade(database_url)
    made = shape(database_url)
    on(database_url, lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    assert not revision.is_newest(database_url)
    ended = Installation(tmp_path, database_url).run("serve", "--port", "0")
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert len(ended.stderr.splitlines()) == 1
    assert "made by a newer apiv3 (its tables are at revision 9999); update this one" in ended.stderr
    assert shape(database_url) == made


def test_a_migration_that_fails_leaves_nothing_behind(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its transaction holds the tables too, on both databases."""
    original = command.upgrade

    def fail(*arguments: Any) -> None:
        original(*arguments)
        raise RuntimeError("in the middle")

    monkeypatch.setattr(command, "upgrade", fail)
    with pytest.raises(RuntimeError, match="in the middle"):
        schema.upgrade(database_url)
    assert shape(database_url) == {}
    monkeypatch.undo()
    assert schema.upgrade(database_url) == (None, schema.head())


ROOT = Path(__file__).parents[1]


def alembic(folder: Path, database_url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs Alembic's own command at the top of a clone."""
    return subprocess.run(
        [sys.executable, "-m", "alembic", *arguments],
        cwd=folder,
        env=clean_environment() | {"DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The top of a clone, as far as Alembic looks at it."""
    shutil.copytree(ROOT / "alembic", tmp_path / "alembic")
    shutil.copy(ROOT / "alembic.ini", tmp_path)
    return tmp_path


def test_the_command_alembic_works_in_a_clone(clone: Path, database_url: str) -> None:
    head = schema.head()

    def said(*arguments: str) -> str:
        done = alembic(clone, database_url, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert f"{head} (head)" in said("history").splitlines()[0]
    assert said("current") == ""
    said("upgrade", "head")
    assert shape(database_url).keys() == TABLES
    assert said("current") == f"{head} (head)\n"
    said("downgrade", "-1")
    assert said("current") not in ("", f"{head} (head)\n")
    assert schema.upgrade(database_url)[1] == head


def test_a_new_revision_stands_with_the_others(clone: Path, database_url: str) -> None:
    assert alembic(clone, database_url, "revision", "--rev-id", "9000", "-m", "colour of food").returncode == 0
    made = (clone / "alembic/versions/9000_colour_of_food.py").read_text()
    assert f"down_revision = {schema.head()!r}" in made.replace('"', "'")
    assert alembic(clone, database_url, "history").stdout.splitlines()[0].endswith("9000 (head), colour of food")


def test_alembic_says_what_is_wrong_with_the_settings(clone: Path) -> None:
    done = alembic(clone, "mysql://localhost/apiv3", "current")
    assert done.returncode != 0
    assert "FAILED: DATABASE_URL has a value that is not allowed" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
