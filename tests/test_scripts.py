"""The scripts are whole, and constraints.txt covers pyproject.toml."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = ["scripts/install", "scripts/serve", "scripts/test", "scripts/check", "scripts/lock", "scripts/bench", ".ci/run"]
PIN = re.compile(r"(?P<name>[a-z0-9-]+)==[0-9][0-9a-z.]*")


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_is_executable_bash(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)
    subprocess.run(["bash", "-n", ROOT / script], check=True)


def test_install_refuses_what_it_does_not_know() -> None:
    refused = subprocess.run([ROOT / "scripts/install", "nonsense"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert refused.stderr == "usage: scripts/install [dev]\n"


def test_install_says_what_a_machine_without_python_lacks(tmp_path: Path) -> None:
    checkout = _checkout(tmp_path, python="exit 127")
    refused = _install(checkout)
    assert refused.returncode == 1
    assert "apiv3 needs Python 3.11 or newer" in refused.stderr


def test_install_says_what_a_python_without_venv_lacks(tmp_path: Path) -> None:
    checkout = _checkout(tmp_path, python='case "$2" in *ensurepip*) exit 1 ;; *print*) echo 3.12 ;; esac')
    refused = _install(checkout)
    assert refused.returncode == 1
    assert "apt-get install python3.12-venv" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def _checkout(folder: Path, python: str) -> Path:
    """A checkout on a machine whose every Python is the given script."""
    for name in ("scripts", "bin"):
        (folder / name).mkdir()
    (folder / "scripts/install").write_bytes((ROOT / "scripts/install").read_bytes())
    for name in ("python3.14", "python3.13", "python3.12", "python3.11", "python3", "python"):
        (folder / "bin" / name).write_text(f"#!/bin/sh\n{python}\n")
        (folder / "bin" / name).chmod(0o755)
    return folder


def _install(checkout: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": f"{checkout / 'bin'}:{os.environ['PATH']}"}
    command: list[str | Path] = ["bash", checkout / "scripts/install"]
    return subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, check=False)


def test_constraints_are_exact_and_name_no_address() -> None:
    lines = [line for line in _constraints() if not line.startswith("#")]
    assert lines
    assert [line for line in lines if not PIN.fullmatch(line)] == []
    assert "://" not in "\n".join(_constraints())


def test_constraints_cover_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    demanded = sum(project["optional-dependencies"].values(), start=project["dependencies"])
    names = {re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", each)[0]).lower() for each in demanded}
    pinned = {pin["name"] for line in _constraints() if (pin := PIN.fullmatch(line))}
    assert names - pinned == set()


def _constraints() -> list[str]:
    return (ROOT / "constraints.txt").read_text().splitlines()
