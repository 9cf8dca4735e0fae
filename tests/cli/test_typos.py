"""What looks like a setting and is none is told once, with its place."""

from pathlib import Path

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
        ]
    )


def test_a_file_that_cannot_be_read_is_refused_as_before(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"PORT=\xff\xfe\n")
    done = Installation(tmp_path, f"sqlite:///{tmp_path / 'apiv3.db'}").run("db", "upgrade")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: The file .env cannot be read")
    assert len(done.stderr.splitlines()) == 1
