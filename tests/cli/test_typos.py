"""What looks like a setting and is none is told once, with its place."""

from pathlib import Path

import pytest

from apiv3.cli.typos import typos
from tests.support.installation import Installation

ENV = """# a comment

ACCESS_LOG=off
API3_MAX_LIMT=7
SOMETHING_ELSE=1
this is no setting
API3_AUTOPRUNE_ENTRIES=7
API3_NONSENSE_ALTOGETHER_UNHEARD_OF=1
"""


def test_typos(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(ENV)
    typed = {"API3_MAX_LIMT": "8", "Api3_Tombstone_Day": "1", "API3_MAX_BODY": "2048"}
    done = Installation(tmp_path, f"sqlite:///{tmp_path / 'apiv3.db'}", typed).run("db", "upgrade")
    assert done.returncode == 0
    told = [line.partition("WARNING apiv3: ")[2] for line in done.stderr.splitlines() if "WARNING" in line]
    assert sorted(told) == sorted(
        [
            f"line 6 of {tmp_path / '.env'} is no setting, NAME=value, and does nothing",
            "API3_MAX_LIMT is the name of no setting and does nothing; is API3_MAX_LIMIT meant?",
            "Api3_Tombstone_Day is the name of no setting and does nothing; is API3_TOMBSTONE_DAYS meant?",
            "API3_NONSENSE_ALTOGETHER_UNHEARD_OF is the name of no setting and does nothing",
            "SOMETHING_ELSE is the name of no setting and does nothing",
        ]
    )


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("API_SECERT", "API_SECRET"),
        ("TLS_CRT", "TLS_CERT"),
        ("TRUSTED_PROXY", "TRUSTED_PROXIES"),
        ("WORKER", "WORKERS"),
        ("JWTKEY", "JWT_KEY"),
        ("ACCES_LOG", "ACCESS_LOG"),
        ("bg_hihg", "BG_HIGH"),
        ("CORS_ORIGIN", "CORS_ORIGINS"),
        ("DATABASE_URLS", "DATABASE_URL"),
    ],
)
def test_slips(name: str, meant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In .env and in the environment alike."""
    monkeypatch.chdir(tmp_path)
    said = f"{name} is the name of no setting and does nothing; is {meant} meant?"
    with monkeypatch.context() as environment:
        environment.setenv(name, "1")
        assert said in list(typos())
    (tmp_path / ".env").write_text(f"{name}=1\n")
    assert said in list(typos())


@pytest.mark.parametrize(
    "name", ["HOSTNAME", "HOME", "APIV3_TOKEN", "POSTGRES_PORT", "HTTP_PROXY", "HTTPS_PROXY", "PORT", "USER"]
)
def test_what_belongs_to_others(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(name, "1")
    assert not any(said.startswith(f"{name} ") for said in typos())


def test_a_file_that_cannot_be_read_is_refused_as_before(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"PORT=\xff\xfe\n")
    done = Installation(tmp_path, f"sqlite:///{tmp_path / 'apiv3.db'}").run("db", "upgrade")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: The file .env cannot be read")
    assert len(done.stderr.splitlines()) == 1
