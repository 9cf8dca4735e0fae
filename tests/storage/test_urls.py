"""The reader of a PostgreSQL database's URL: the same for the migrations, the server and the listener."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiv3.settings import SettingsError, load
from apiv3.storage import schema
from apiv3.storage.database import Database
from apiv3.storage.urls import BadAddress, check, is_url, read
from tests.support.postgres import Postgres

SECRET = "hunter2-secret"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:p@h:5433/x", {"host": "h", "port": 5433, "user": "u", "password": "p", "database": "x"}),
        ("postgresql://u:p%40%2F@h/x%20y", {"host": "h", "user": "u", "password": "p@/", "database": "x y"}),
        ("postgresql://h", {"host": "h"}),
        ("postgresql://[::1]:5433/x", {"host": "::1", "port": 5433, "database": "x"}),
        ("postgresql:///x?host=/run/postgresql&port=5433", {"host": "/run/postgresql", "port": 5433, "database": "x"}),
        ("postgresql:///x?host=%2Frun%2Fpostgresql", {"host": "/run/postgresql", "database": "x"}),
        ("postgresql://a:b@h:1/x?host=i&port=2&user=c&password=d+e&dbname=y",
         {"host": "i", "port": 2, "user": "c", "password": "d+e", "database": "y"}),
        ("postgresql://h/x?connect_timeout=3", {"host": "h", "database": "x", "timeout": 3.0}),
        ("postgresql://h/x?application_name=the%20app",
         {"host": "h", "database": "x", "server_settings": {"application_name": "the app"}}),
        ("postgresql://h/x?statement_cache_size=0", {"host": "h", "database": "x", "statement_cache_size": 0}),
        ("postgresql://h/x?sslmode=require&channel_binding=require",
         {"host": "h", "database": "x", "dsn": "postgresql://?sslmode=require"}),
        ("postgresql://h/x?sslmode=verify-full&sslrootcert=/a%20b/c+d.pem",
         {"host": "h", "database": "x", "dsn": "postgresql://?sslmode=verify-full&sslrootcert=%2Fa+b%2Fc%2Bd.pem"}),
    ],
)  # fmt: skip
def test_what_is_read(url: str, expected: dict[str, Any]) -> None:
    defaults = {"timeout": 10.0, "server_settings": {"application_name": "apiv3"}}
    assert is_url(url)
    assert read(url).arguments == defaults | expected


def test_what_is_read_besides() -> None:
    assert read("postgresql://h/x").prepares
    assert not read("postgresql://h/x?statement_cache_size=0").prepares
    assert read("postgresql://h/x?channel_binding=require").binds
    assert not read("postgresql://h/x?channel_binding=prefer").binds
    assert SECRET not in repr(read(f"postgresql://u:{SECRET}@h/x"))


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ("ssl=require", "parameter ssl,"),
        ("sslmod=require", "is sslmode meant?"),
        ("SSLMODE=require", "is sslmode meant?"),
        ("pool_size=5", "parameter pool_size,"),
        ("pgbouncer=true", "parameter pgbouncer,"),
        ("options=-c%20geqo=off", "parameter options,"),
        (f"{SECRET}!=5", "a parameter that is not known"),
        ("sslmode=on", "disable, allow, prefer, require, verify-ca, verify-full"),
        ("sslmode=", "disable"),
        ("sslmode", "without a value"),
        ("sslmode=require&sslmode=disable", "twice"),
        ("port=0", "1 to 65535"),
        ("port=5432,5433", "1 to 65535"),
        ("port=%35x", "1 to 65535"),
        ("connect_timeout=0", "1 to 600"),
        ("connect_timeout=-1", "1 to 600"),
        ("connect_timeout=1.5", "1 to 600"),
        ("statement_cache_size=x", "0 to 10000"),
        ("statement_cache_size=%C2%B2", "0 to 10000"),
        ("host=", "not empty"),
        ("application_name=a%0Ab", "a text"),
        ("channel_binding=yes", "disable, prefer, require"),
        ("sslrootcert=/ca.pem", "sslmode=verify-full"),
        ("sslmode=prefer&sslrootcert=/ca.pem", "sslmode=verify-full"),
    ],
)
def test_a_parameter_that_cannot_be_meant_is_one_sentence(parameters: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"postgresql://u:{SECRET}@h/x?{parameters}"
    with pytest.raises(BadAddress, match=said.replace("?", r"\?")):
        check(url)
    monkeypatch.setenv("DATABASE_URL", url)
    with pytest.raises(SettingsError) as refused:
        load()
    sentence = str(refused.value)
    assert sentence.startswith("DATABASE_URL ")
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert SECRET not in sentence


texts = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1)


@given(texts, texts, texts)
def test_every_text_comes_out_as_it_went_in(user: str, password: str, name: str) -> None:
    user, password, name = (quote(text, safe="") for text in (user, password, name))
    in_front = read(f"postgresql://{user}:{password}@h/{name}").arguments
    assert in_front == read(f"postgresql://h?user={user}&password={password}&dbname={name}").arguments


def test_one_place_for_migration_and_server(postgres: Postgres) -> None:
    """What stands in front of the parameters leads nowhere, so whoever does not read them all fails."""
    with postgres.database() as right:
        parts = urlsplit(right)
        url = f"postgresql://nobody:wrong@127.0.0.1:1/wrong?host={parts.hostname}&port={parts.port}&user={parts.username}"
        url += f"&password={parts.password}&dbname={parts.path[1:]}&application_name=elsewhere"
        schema.upgrade(url)

        async def use() -> list[Any]:
            database = Database(url)
            await database.connect()
            try:
                return await database.fetch("SELECT current_setting('application_name'), count(*) FROM alembic_version")
            finally:
                await database.disconnect()

        assert [tuple(row) for row in asyncio.run(use())] == [("elsewhere", 1)]


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "EUC_JP"])
def test_a_database_that_is_not_utf_8_stops_the_start(postgres: Postgres, encoding: str) -> None:
    name = f"apiv3_{encoding.lower()}"
    postgres.execute(f"CREATE DATABASE {name} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    try:
        with pytest.raises(schema.WrongEncoding, match=f"its encoding is {encoding}, .* must be UTF8"):
            schema.upgrade(urlsplit(postgres.url)._replace(path=f"/{name}").geturl())
    finally:
        postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")
