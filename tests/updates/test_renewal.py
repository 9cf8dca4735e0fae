"""The repository is signed anew before devices refuse it, by one process, and devices hear of it."""

import re
import time
from email.utils import parsedate_to_datetime
from itertools import pairwise
from pathlib import Path

from tests.support.factories import FreshServer
from tests.support.updates import Device, deb, digest, inrelease, need_apt, new_name, publish, repository
from tests.support.waiting import wait_until

SECONDS = 10
VALID = {"UPDATES_VALID_DAYS": f"{SECONDS / 86_400:.12f}"}


def _dates(state: str) -> tuple[float, float]:
    found = dict(re.findall(r"^(Date|Valid-Until): (.*)$", state, re.MULTILINE))
    signed, until = (parsedate_to_datetime(found[name]).timestamp() for name in ("Date", "Valid-Until"))
    return signed, until


def test_idle_it_is_signed_anew_in_time(database: str, fresh_server: FreshServer, tmp_path: Path) -> None:
    """Nobody publishes, for longer than it is valid: a connected device gets each new state in time, with the same version."""
    need_apt()
    server = fresh_server(database, env=VALID)
    device, name = Device(server, tmp_path / "device"), new_name()
    publish(server.installation, deb(tmp_path, name, "1"))
    began = time.time()
    with device.connected() as connection:
        states, until = [connection.offer(name)], _dates(inrelease(server.installation))[1]
        while time.time() < began + SECONDS:
            states.append(connection.offer(name))
            assert time.time() < until
            assert states[-1]["inrelease_sha256"] == digest(server.installation)
            until = _dates(inrelease(server.installation))[1]
    assert len({each["inrelease_sha256"] for each in states}) == len(states) >= 3
    assert len({(each["version"], each["secret"], each["signed_by"]) for each in states}) == 1


def test_of_several_processes_one_signs(fresh_server: FreshServer, tmp_path: Path) -> None:
    """Each state lasts half of its time: if all of them signed, it would change more often."""
    need_apt()
    server = fresh_server("sqlite", env=VALID, workers=3)
    publish(server.installation, deb(tmp_path, new_name(), "1"))
    seen = list[str]()

    def look() -> bool:
        state = inrelease(server.installation)
        if state not in seen:
            seen.append(state)
        return len(seen) == 3

    wait_until(look)
    signed = [_dates(state)[0] for state in seen]
    assert all(later - earlier >= SECONDS / 2 - 1 for earlier, later in pairwise(signed))


def test_what_was_published_and_not_stored_is_told_all_the_same(fresh_server: FreshServer, tmp_path: Path) -> None:
    """The publisher was killed after it had signed; the server tells devices of the new state."""
    need_apt()
    server = fresh_server("sqlite", env={"UPDATES_VALID_DAYS": "0.001"})
    device, name = Device(server, tmp_path / "device"), new_name()
    publish(server.installation, deb(tmp_path, name, "1"))
    with device.connected() as connection:
        before = connection.offer(name)["inrelease_sha256"]
        file = repository(server.installation) / "dists/stable/InRelease"
        signed = file.read_text() + "\n"
        file.write_text(signed)
        after = connection.offer(name)["inrelease_sha256"]
    assert after == digest(server.installation) != before
    assert file.read_text() == signed  # it was not signed anew for that


def test_a_lost_key_is_reported_once_each_time(fresh_server: FreshServer, tmp_path: Path) -> None:
    need_apt()
    server = fresh_server("sqlite", env=VALID)
    publish(server.installation, deb(tmp_path, new_name(), "1"))
    key, lost, said = repository(server.installation) / "signing_key", tmp_path / "lost", "cannot be signed anew"
    for times in (1, 2):
        state = inrelease(server.installation)
        key.rename(lost)
        wait_until(lambda: server.output.count(said) == times)  # noqa: B023
        wait_until(lambda: time.time() > _dates(state)[1])  # noqa: B023
        assert server.output.count(said) == times
        assert "restore it from a backup" in server.output
        assert not key.exists()
        lost.rename(key)
        wait_until(lambda: inrelease(server.installation) != state)  # noqa: B023
