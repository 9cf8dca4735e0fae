"""What is built from the checkout works without it: a wheel, in an empty environment elsewhere."""

import os
import sqlite3
import subprocess
import sys
import venv
from contextlib import closing
from pathlib import Path

from tests.support.processes import clean_environment

ROOT = Path(__file__).parents[1]
TABLES = {"alembic_version", "documents", "clocks", "subjects", "roles"}


def test_the_wheel_works_without_the_checkout(tmp_path: Path) -> None:
    command = _install_wheel(tmp_path)

    for folder in ("templates", "static"):
        assert _files(command, folder) == {file.name for file in (ROOT / "src/apiv3/web" / folder).iterdir()}
    usage = _run(command, "--help", folder=tmp_path)
    assert "serve" in usage

    database = tmp_path / "elsewhere.db"
    _run(command, "db", "upgrade", folder=tmp_path, DATABASE_URL=f"sqlite:///{database}")
    assert _tables(database) >= TABLES


def _files(command: Path, folder: str) -> set[str]:
    """The files of the pages that came with the wheel."""
    return {file.name for file in command.parents[1].glob(f"lib/python*/site-packages/apiv3/web/{folder}/*")}


def _install_wheel(folder: Path) -> Path:
    """The installed `apiv3`, in an environment that holds the wheel and what it says it needs, nothing else."""
    _pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT))
    [wheel] = folder.glob("apiv3-*.whl")
    venv.create(folder / "venv", symlinks=True)
    python = folder / "venv/bin/python"
    # The pip of this environment installs into that one, which saves installing a pip first.
    constraints = str(ROOT / "constraints.txt")
    _pip("--python", str(python), "install", "--no-compile", "--constraint", constraints, str(wheel))
    return python.with_name("apiv3")


def _pip(*arguments: str) -> None:
    """Runs pip with this machine's settings for it: an index, a proxy, a certificate."""
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _run(command: Path, *arguments: str, folder: Path, **settings: str) -> str:
    environment = clean_environment() | settings
    done = subprocess.run([command, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _tables(database: Path) -> set[str]:
    with closing(sqlite3.connect(database)) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
