"""Publishing: what is refused, many at once, killed at every step."""

import asyncio
import gzip
import hashlib
import os
import re
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pysequoia import Cert, verify

from apiv3.model.errors import BadRequest
from apiv3.security.authors import OPERATOR
from apiv3.storage.database import Database
from apiv3.storage.offers import OfferTable
from apiv3.updates.packages import Package
from apiv3.updates.publishing import Publisher
from apiv3.updates.repository import Repository
from tests.support import commands
from tests.support.factories import NewDatabase
from tests.support.installation import Installation
from tests.support.people import trail
from tests.support.updates import deb, digest, inrelease, need_apt, new_name, publish, refusal, repository, signing_key
from tests.support.waiting import PATIENCE


@pytest.fixture
def installation(new_database: NewDatabase, tmp_path: Path) -> Iterator[Installation]:
    need_apt()
    with new_database("sqlite", migrated=True) as url:
        (tmp_path / "here").mkdir()
        yield Installation(tmp_path / "here", url)


def _published(installation: Installation) -> set[tuple[str, str]]:
    done = commands.here(installation, "update", "list", "--json")
    assert done.status == 0, done.errors
    return {(each["package"], each["version"]) for each in orjson.loads(done.output)}


def _check(installation: Installation) -> str:
    """Check that all fits together, from the signature down to each package; return the indexes."""
    folder, key = repository(installation), Cert.from_bytes(signing_key(installation).encode())
    text = verify(inrelease(installation).encode(), lambda _: [key]).bytes
    assert text is not None
    indexes = ""
    for digest_, size, path in re.findall(r"^ ([0-9a-f]{64}) (\d+) (\S+)$", text.decode(), re.MULTILINE):
        place = folder / "dists/stable" / path
        content = (place.parent / "by-hash/SHA256" / digest_).read_bytes()
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (digest_, int(size))
        indexes += "" if path.endswith(".gz") else content.decode()
        plain = gzip.decompress(content) if path.endswith(".gz") else content
        for file, bytes_, sum_ in re.findall(r"Filename: (\S+)\nSize: (\d+)\nSHA256: (\S+)", plain.decode()):
            package = (folder / file).read_bytes()
            assert (len(package), hashlib.sha256(package).hexdigest()) == (int(bytes_), sum_)
    return indexes


def test_a_publication_has_an_entry_in_the_audit_trail(installation: Installation, tmp_path: Path) -> None:
    done = commands.here(installation, "device", "add", "kitchen", "--json")
    device = orjson.loads(done.output)["_id"]
    publish(installation, deb(tmp_path, "name", "1.0"))
    publish(installation, deb(tmp_path, "name", "1.1"), "--device", "kitchen")
    entries = trail(installation, "--action", "update-published")
    assert [(each["target"]["name"], each["details"]) for each in entries] == [
        ("name 1.0", {"devices": []}),
        ("name 1.1", {"devices": [device]}),
    ]


# --- what is refused


def test_the_same_version_with_other_bytes_is_refused(installation: Installation, tmp_path: Path) -> None:
    first, name = deb(tmp_path, "name", "1.0"), "name"
    publish(installation, first)
    before = inrelease(installation)
    for version in ("1.0", "0:1.0", "1.0-0"):  # to apt they are all the same version
        assert "new version" in refusal(installation, deb(tmp_path, name, version, Section="other"))
    assert inrelease(installation) == before
    assert [file.name for file in repository(installation).iterdir() if file.name.startswith(".")] == []
    publish(installation, first)  # the same bytes are no fault
    first.write_bytes(b"changed afterwards")
    publish(installation, deb(tmp_path, name, "1.0", "amd64"))
    _check(installation)
    assert _published(installation) == {(name, "1.0")}


@pytest.mark.parametrize(("published", "older"), [("1.10", "1.9"), ("1.0", "1.0~rc1"), ("1:0.1", "2.0"), ("1.0-2", "1.0-1")])
def test_an_older_version_is_refused(installation: Installation, tmp_path: Path, published: str, older: str) -> None:
    publish(installation, deb(tmp_path, "name", published))
    assert f"{published} is published, which is newer" in refusal(installation, deb(tmp_path, "name", older))
    publish(installation, deb(tmp_path, "another", older))
    assert _published(installation) == {("name", published), ("another", older)}


def test_a_device_that_there_is_not_is_refused(installation: Installation, tmp_path: Path) -> None:
    assert "no device 'kitchen'" in refusal(installation, deb(tmp_path, "name", "1"), "--device", "kitchen")
    assert not repository(installation).exists()


@pytest.mark.parametrize("content", [b"", b"x", b"!<arch>\n", b"!<arch>\ndebian-binary   ", os.urandom(5000)])
def test_what_is_no_package_is_refused(installation: Installation, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "file.deb"
    file.write_bytes(content)
    assert "no Debian package" in refusal(installation, file)
    assert "inrelease" not in [each.name.lower() for each in repository(installation).rglob("*")]


def test_a_package_that_was_cut_is_refused(installation: Installation, tmp_path: Path) -> None:
    whole = deb(tmp_path, "name", "1").read_bytes()
    file = tmp_path / "file.deb"
    refused = 0
    for length in range(0, whole.index(b"data.tar"), 7):  # behind it are the files, which the device's dpkg checks
        file.write_bytes(whole[:length])
        with pytest.raises(BadRequest):
            Package.read(file)
        refused += 1
    assert refused > 20


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("Package", "../../evil"),
        ("Package", "a"),
        ("Package", "Name"),
        ("Package", "n" * 101),
        ("Version", "1/2"),
        ("Version", "1 2"),
        ("Version", "abc"),
        ("Version", "1_2"),
        ("Version", "1-"),
        ("Version", "1" * 100),
        ("Version", ""),
        ("Architecture", "a/b"),
        ("Architecture", ""),
    ],
)
def test_names_that_apt_does_not_allow_are_refused(field: str, value: str) -> None:
    fields = {"Package": "name", "Version": "1", "Architecture": "all"}
    Package.of(fields, "0" * 64, 1)
    for given_fields in ({**fields, field: value}, {name: text for name, text in fields.items() if name != field}):
        with pytest.raises(BadRequest, match=f"no valid {field}"):
            Package.of(given_fields, "0" * 64, 1)


def test_what_a_package_says_of_its_own_file_is_not_believed(installation: Installation, tmp_path: Path) -> None:
    publish(installation, deb(tmp_path, "name", "1", Filename="../../signing_key", SHA256="0" * 64, Size="1"))
    assert re.findall("^Filename: (.*)$", _check(installation), re.MULTILINE) == ["pool/name_1_all.deb"]


@given(st.lists(st.sampled_from(["..", ".", "", "dists", "pool", "stable", "InRelease", "signing_key", "lock", ".draft", "x"])))
def test_no_path_leads_out_of_what_is_served(parts: list[str]) -> None:
    folder = Path(__file__).parents[1]
    found = Repository(folder).find("/".join(parts))
    assert found is None or found.resolve().relative_to(folder).parts[0] in ("dists", "pool")


# --- the key


def test_the_key_is_the_owners_and_is_never_replaced(installation: Installation, tmp_path: Path) -> None:
    key, file = signing_key(installation), repository(installation) / "signing_key"
    assert file.stat().st_mode & 0o777 == 0o600
    assert "PRIVATE" not in key
    publish(installation, deb(tmp_path, "name", "1"))
    assert signing_key(installation) == key
    file.rename(tmp_path / "lost")
    assert "restore it from a backup" in refusal(installation, deb(tmp_path, "name", "2"))
    (tmp_path / "lost").rename(file)
    publish(installation, deb(tmp_path, "name", "2"))
    file.write_text("this is no key")
    assert "no OpenPGP key" in refusal(installation, deb(tmp_path, "name", "3"))


# --- old indexes


def test_indexes_that_no_valid_release_names_are_removed(installation: Installation, tmp_path: Path) -> None:
    """Those of the release before stay as long as it is valid, since a client may just have fetched it."""
    published, states = repository(installation) / "dists/stable/main", list[set[str]]()
    for version in range(4):
        asyncio.run(_publish(installation, deb(tmp_path, "name", str(version))))
        states.append(set(re.findall(r"^ ([0-9a-f]{64}) ", inrelease(installation), re.MULTILINE)))
        kept = {file.name for file in published.glob("*/by-hash/SHA256/*")}
        assert kept >= set().union(*states[-2:])
        if version == 2:
            assert states[0].isdisjoint(kept)
        else:
            for file in published.glob("*/by-hash/SHA256/*"):
                os.utime(file, (0, 0))  # as if that had been long ago
        if version == 3:
            assert states[1] <= kept  # replaced just now


# --- many at once, and killed


def test_many_publish_at_once(installation: Installation, tmp_path: Path) -> None:
    """In processes of their own. All are there in the end, and what devices are told is the state that there is."""
    files = [deb(tmp_path, new_name(), "1") for _ in range(4)]
    with ThreadPoolExecutor() as pool:
        done = list(pool.map(lambda file: installation.run("update", "publish", str(file)), files))
    assert [each.returncode for each in done] == [0] * len(files), [each.stderr for each in done]
    assert len(_published(installation)) == len(files)
    _check(installation)
    assert _told(installation) == digest(installation)


def _told(installation: Installation) -> str | None:
    """The digest of InRelease as devices are told of it."""

    async def ask() -> str | None:
        database = Database(installation.database_url)
        await database.connect()
        release = await OfferTable(database).release()
        await database.disconnect()
        return release.inrelease if release else None

    return asyncio.run(ask())


def test_while_somebody_publishes_nobody_signs_anew_or_waits_for_that(installation: Installation, tmp_path: Path) -> None:
    publish(installation, deb(tmp_path, "name", "1"))
    file = repository(installation) / "dists/stable/InRelease"
    file.write_text(file.read_text() + "\n")  # as if the publisher had not told devices yet
    before = _told(installation)
    with Repository(repository(installation)).locked():
        asyncio.run(asyncio.wait_for(_renew(installation), PATIENCE))
        assert _told(installation) == before
    asyncio.run(_renew(installation))
    assert _told(installation) == digest(installation) != before


def test_killed_at_any_step_nothing_is_broken(installation: Installation, tmp_path: Path) -> None:
    """Whatever step of publishing is the last one, clients find a whole repository, and the next publication succeeds."""
    publish(installation, deb(tmp_path, "first", "1"))
    killed, name = 0, "second"
    while True:
        file = deb(tmp_path, name, f"1.{killed}")
        before = inrelease(installation)
        if _publish_until(installation, file, killed) == 0:
            break
        killed += 1
        _check(installation)
        is_published = (name, f"1.{killed - 1}") in _published(installation)
        assert is_published == (inrelease(installation) != before)
        asyncio.run(_renew(installation))
        assert _told(installation) == digest(installation)
    assert killed > 15
    assert (name, f"1.{killed}") in _published(installation)
    left = [path.name for path in repository(installation).rglob(".*")]
    assert left == []


def _publish_until(installation: Installation, file: Path, step: int) -> int:
    """Publish in a process that is killed (SIGKILL) before its step of this number that touches the repository. Returns how it
    ended: 0, or the signal."""
    child = os.fork()
    if child == 0:
        steps, folder = 0, str(repository(installation))

        def watch(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal steps
            if event in ("open", "os.rename", "os.remove", "os.utime") and str(arguments[0]).startswith(folder):
                if steps == step:
                    os.kill(os.getpid(), signal.SIGKILL)
                steps += 1

        try:
            sys.addaudithook(watch)
            asyncio.run(_publish(installation, file))
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1]


async def _publish(installation: Installation, file: Path) -> None:
    database = Database(installation.database_url)
    await database.connect()
    await Publisher(Repository(repository(installation)), OfferTable(database), 86_400).publish(file, [], OPERATOR)
    await database.disconnect()


async def _renew(installation: Installation) -> None:
    """What each server does in the background."""
    database = Database(installation.database_url)
    await database.connect()
    await Publisher(Repository(repository(installation)), OfferTable(database), 86_400).renew()
    await database.disconnect()
