"""What the other tests stand on holds."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from apiv3 import __version__
from tests.support.factories import FreshServer
from tests.support.installation import Installation
from tests.support.postgres import Postgres
from tests.support.processes import Guardian, clean_environment, free_port, is_there
from tests.support.server import LiveServer
from tests.support.starts import APIV3, REAL, start
from tests.support.waiting import PATIENCE, wait_until
from tests.support.wire import unique

ROOT = Path(__file__).parents[1]

DIES_WITHOUT_CLEANING_UP = """
import os, subprocess, sys
from pathlib import Path
from tests.support.processes import Guardian
child = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL, start_new_session=True)
Guardian(child.pid, Path(sys.argv[1]))
print(child.pid, flush=True)
os._exit(1)
"""


def test_a_database_is_made_and_dropped(postgres: Postgres) -> None:
    with postgres.database() as url:
        Postgres(url).execute("CREATE TABLE t (n int)")
    with pytest.raises(Exception, match="does not exist"):
        Postgres(url).execute("SELECT 1")


async def test_a_database_can_be_made_inside_an_event_loop(postgres: Postgres) -> None:
    with postgres.database() as url:
        assert url.startswith("postgresql://")


def test_an_empty_database_of_each_kind(database: str, database_url: str) -> None:
    assert database_url.startswith({"sqlite": "sqlite:////", "postgres": "postgresql://"}[database])


def test_a_run_that_dies_leaves_neither_processes_nor_files(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    died = subprocess.run(
        [sys.executable, "-c", DIES_WITHOUT_CLEANING_UP, folder], stdout=subprocess.PIPE, text=True, check=False
    )
    wait_until(lambda: not folder.exists() and not _runs(int(died.stdout)))


HAS_A_CHILD = "sleep 60 & echo $!; exec sleep 60"


def test_whoever_is_looked_after_no_more_leaves_no_process(tmp_path: Path) -> None:
    """Also when only the first process of the group has been waited for."""
    with subprocess.Popen(["sh", "-c", HAS_A_CHILD], stdout=subprocess.PIPE, text=True, start_new_session=True) as first:
        guardian = Guardian(first.pid, tmp_path)
        assert first.stdout is not None
        child = int(first.stdout.readline())
        first.kill()
    assert _runs(child)
    guardian.dismiss()
    wait_until(lambda: not _runs(child))
    assert tmp_path.exists()


def test_a_condition_is_checked_at_each_worker(fresh_server: FreshServer) -> None:
    server = fresh_server(workers=3)
    wait_until(lambda: len(server.worker_pids) == 3)
    asked = list[list[str]]()

    def condition() -> bool:
        asked.append([_state(pid) for pid in server.worker_pids])
        return httpx.get(f"{server.url}/api/v3/version", trust_env=False).is_success

    server.wait_everywhere(condition)
    assert sorted(states.count("T") for states in asked) == [2, 2, 2]
    assert {states.index(next(state for state in states if state != "T")) for states in asked} == {0, 1, 2}
    assert "T" not in map(_state, server.worker_pids)
    server.stop()


# --- starts by the fork server


@pytest.fixture(params=[False, True], ids=["forked", "real"])
def real(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_a_forked_server_stands_where_a_real_one_does(fresh_server: FreshServer) -> None:
    """Its descriptors, signals, limits, session and folder: each of these would change what other tests see."""
    forked, real = fresh_server(), fresh_server(real=True)
    assert (b"forkserver" in _read(forked, "cmdline")) == (not REAL)
    assert b"forkserver" not in _read(real, "cmdline")
    wait_until(lambda: _standing(forked) == _standing(real), lambda: f"{_standing(forked)} != {_standing(real)}")


def _standing(server: LiveServer) -> dict[str, object]:
    folder = Path(f"/proc/{server.pid}")
    status = dict(line.split(":\t", 1) for line in _read(server, "status").decode().splitlines())
    described: dict[str, object] = {name: status[name] for name in ("Umask", "Threads", "SigBlk", "SigIgn", "SigCgt")}
    return {
        **described,
        "limits": _read(server, "limits"),
        "leads": {os.getsid(server.pid), os.getpgid(server.pid)} == {server.pid},
        "folder": (folder / "cwd").resolve() == server.installation.folder,
        "descriptors": sorted(re.sub(r"\d+", "N", str(each.readlink())) for each in (folder / "fd").iterdir()),
    }


def _read(server: LiveServer, name: str) -> bytes:
    return Path(f"/proc/{server.pid}/{name}").read_bytes()


def test_the_end_of_a_command(tmp_path: Path, real: bool) -> None:
    status, output = _run(tmp_path, ["serve", "--port", "70000"], real)
    assert (status, output[:6]) == (1, "Error:")
    assert _run(tmp_path, ["--version"], real) == (0, f"apiv3, version {__version__}\n")
    assert _run(tmp_path, ["nonsense"], real)[0] == 2


def _run(folder: Path, arguments: list[str], real: bool) -> tuple[int, str]:
    log = folder / "log"
    with log.open("wb") as output:
        process = start([*APIV3, *arguments], folder, Installation(folder, "").environment(), output, real=real)
    return process.wait(PATIENCE), log.read_text()


def test_settings_are_read_after_the_fork(tmp_path: Path, real: bool) -> None:
    environment = clean_environment() | {"APIV3_DATA": str(tmp_path), "DATABASE_URL": "nonsense"}
    with (tmp_path / "log").open("wb") as output:
        process = start([*APIV3, "serve"], tmp_path, environment, output, real=real)
    assert process.wait(PATIENCE) == 1
    assert "DATABASE_URL" in (tmp_path / "log").read_text()


def test_the_interpreter_is_told_something_by_a_real_start(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('told')")
    environment = clean_environment() | {"PYTHONPATH": str(tmp_path)}
    with (tmp_path / "log").open("wb") as output:
        process = start([*APIV3, "--version"], tmp_path, environment, output)
    assert process.wait(PATIENCE) == 0
    assert (tmp_path / "log").read_text().startswith("told\n")


def test_a_server_that_is_killed(tmp_path: Path, real: bool) -> None:
    """It stays as a zombie until it is asked how it ended, so that no other process can have its id meanwhile."""
    installation = Installation(tmp_path, f"sqlite:///{tmp_path}/apiv3.db")
    with (tmp_path / "log").open("wb") as output:
        arguments = [*APIV3, "serve", "--port", str(free_port())]
        process = start(arguments, tmp_path, installation.environment(), output, real=real)
    wait_until(lambda: "listens on" in (tmp_path / "log").read_text())
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.01)
    os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: _state(process.pid) == "Z")
    assert process.wait() == process.poll() == -signal.SIGKILL
    assert not is_there(process.pid)
    process.terminate()  # of nobody


def _state(pid: int) -> str:
    """T where a process is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


def _runs(pid: int) -> bool:
    status = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(status.strip()) and not status.startswith("Z")


def test_a_server_gets_no_setting_of_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("API3_SECURITY_ENABLE", "false")
    monkeypatch.setenv("JWT_SECRET", "ours")
    environment = Installation(tmp_path, "sqlite:///x", {"API_SECRET": None, "API3_MAX_LIMIT": "7"}).environment()
    assert environment.keys() - clean_environment().keys() == {
        "API3_MAX_LIMIT",
        "API3_REQUIRE_HTTPS",
        "APIV3_DATA",
        "AUTH_FAIL_DELAY",
        "DATABASE_URL",
        "PASSWORD_ROUNDS",
    }


def test_a_server_is_a_process_with_data(fresh_server: FreshServer, database: str) -> None:
    server = fresh_server(database, workers=2)
    token = server.subject(unique("keeper"), "api:entries:read")
    assert server.client(token).get("/api/v3/entries").status_code == 200
    server.kill()
    server.start()
    assert server.client(token).get("/api/v3/entries").status_code == 200


def test_a_server_that_does_not_start_says_why(fresh_server: FreshServer) -> None:
    with pytest.raises(AssertionError, match="--no-such-option"):
        fresh_server(arguments=["--no-such-option"])


def test_a_subject_may_do_what_it_was_given(server: LiveServer) -> None:
    client = server.client(server.subject(unique("reader"), "api:entries:read"))
    assert client.get("/api/v3/entries").status_code == 200
    assert client.get("/api/v3/treatments").status_code == 403
    assert server.client().get("/api/v3/entries").status_code == 401


MANY_PORTS = """
import sys
from tests.support.processes import free_port
print(*[free_port() for _ in range(60)], flush=True)
sys.stdin.read()  # a port is given back when the process ends
"""


def test_no_two_processes_are_given_the_same_port() -> None:
    """Whether they are workers of a run or the benchmarks that those start: they get the same environment."""
    command = [sys.executable, "-c", MANY_PORTS]
    processes = [
        subprocess.Popen(command, cwd=ROOT, env=clean_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    ports = [port for each in processes if each.stdout for port in each.stdout.readline().split()]
    for each in processes:
        each.communicate()
    assert len(set(ports)) == len(ports) == 8 * 60
