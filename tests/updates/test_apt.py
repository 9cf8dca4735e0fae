"""Devices install what they are offered with the real apt, and refuse what is not that."""

import os
import re
import shutil
import stat
import subprocess
import time
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest

from apiv3.client.updates import UpdateRefused, Updates
from tests.support.factories import NewDatabase
from tests.support.installation import Installation
from tests.support.server import LiveServer
from tests.support.tls import Pair
from tests.support.updates import (
    Device,
    deb,
    digest,
    impostor,
    inrelease,
    local_pair,
    new_name,
    publish,
    repository,
    signing_key,
)
from tests.support.waiting import wait_until


def test_a_device_installs_and_upgrades_what_it_is_offered(hub: LiveServer, tmp_path: Path, pair: Pair) -> None:
    device, name = Device(hub, tmp_path / "device", pair.certificate), new_name()
    publish(hub.installation, deb(tmp_path, name, "1.0"))
    with device.connected() as connection:
        first = connection.offer(name)
        assert device.updates().install(first)
        assert device.has(name) == "1.0"
        assert not device.updates().install(first)  # it has it already
        publish(hub.installation, deb(tmp_path, name, "1:0.9"), "--device", device.name)
        assert device.updates().install(connection.offer(name))
    assert device.has(name) == "1:0.9"


def test_only_the_named_device_is_offered_it(hub: LiveServer, tmp_path: Path) -> None:
    """The others stay with what all are offered, and a publication for all counts for everybody again."""
    one, other, name = Device(hub, tmp_path / "one"), Device(hub, tmp_path / "other"), new_name()
    publish(hub.installation, deb(tmp_path, name, "1"))
    publish(hub.installation, deb(tmp_path, name, "2"), "--device", one.id)
    assert (one.offered(name)["version"], other.offered(name)["version"]) == ("2", "1")
    publish(hub.installation, deb(tmp_path, name, "3"))
    late = Device(hub, tmp_path / "late")
    assert {each.offered(name)["version"] for each in (one, other, late)} == {"3"}


def test_an_offer_says_what_apt_will_find(lone_hub: LiveServer, device: Device, tmp_path: Path) -> None:
    name = new_name()
    publish(lone_hub.installation, deb(tmp_path, name, "1"))
    offer = device.offered(name)
    key = tmp_path / "key.asc"
    key.write_text(signing_key(lone_hub.installation))
    assert offer["secret"]
    assert {**offer, "secret": ""} == {
        "package": name,
        "version": "1",
        "suite": "stable",
        "inrelease_sha256": digest(lone_hub.installation),
        "signed_by": re.sub(r"\s", "", key.read_text().splitlines()[1].partition(":")[2]).lower(),
        "secret": "",
    }


# --- what is refused


def _copy(server: LiveServer, folder: Path) -> Path:
    """A copy of the repository, for an impostor."""
    return Path(shutil.copytree(repository(server.installation), folder / "copy"))


def test_a_server_with_another_certificate_is_refused(lone_hub: LiveServer, device: Device, tmp_path: Path) -> None:
    name = new_name()
    publish(lone_hub.installation, deb(tmp_path, name, "1"))
    offer = device.offered(name)
    with impostor(_copy(lone_hub, tmp_path), local_pair(tmp_path / "other")) as url, pytest.raises(UpdateRefused, match="cert"):
        device.updates(url=url).install(offer)
    assert device.has(name) is None


def test_another_signing_key_is_refused(
    lone_hub: LiveServer, device: Device, tmp_path: Path, pair: Pair, new_database: NewDatabase
) -> None:
    """Also when somebody got hold of the hub's certificate, and the offer fits."""
    name = new_name()
    publish(lone_hub.installation, deb(tmp_path, name, "1"))
    offer = device.offered(name)
    with new_database("sqlite", migrated=True) as url:
        (tmp_path / "other").mkdir()
        other = Installation(tmp_path / "other", url)
        publish(other, deb(tmp_path, name, "1"))
        with impostor(repository(other), pair) as address:
            with pytest.raises(UpdateRefused, match=r"NO_PUBKEY|not signed|signature"):
                device.updates(url=address).install({**offer, "inrelease_sha256": digest(other)})
            assert device.has(name) is None
            right = {**offer, "inrelease_sha256": digest(other)}
            assert device.updates(url=address, key=signing_key(other)).install(right)  # nothing else was wrong


def test_a_tampered_package_is_refused(lone_hub: LiveServer, device: Device, tmp_path: Path, pair: Pair) -> None:
    name = new_name()
    publish(lone_hub.installation, deb(tmp_path, name, "1"))
    copy = _copy(lone_hub, tmp_path)
    shutil.copy(deb(tmp_path, name, "1", Section="evil"), copy / "pool" / f"{name}_1_all.deb")
    with impostor(copy, pair) as url, pytest.raises(UpdateRefused, match=r"Hash Sum mismatch|unexpected size"):
        device.updates(url=url).install(device.offered(name))
    assert device.has(name) is None


def test_a_tampered_index_is_refused(lone_hub: LiveServer, device: Device, tmp_path: Path, pair: Pair) -> None:
    name = new_name()
    publish(lone_hub.installation, deb(tmp_path, name, "1"))
    copy = _copy(lone_hub, tmp_path)
    for index in copy.glob("dists/stable/main/binary-all/**/*"):
        if index.is_file():
            index.write_bytes(index.read_bytes()[::-1])
    with impostor(copy, pair) as url, pytest.raises(UpdateRefused, match="Hash Sum mismatch"):
        device.updates(url=url).install(device.offered(name))
    assert device.has(name) is None


def test_an_older_state_of_the_repository_is_refused(lone_hub: LiveServer, device: Device, tmp_path: Path, pair: Pair) -> None:
    """A replay: signed and not expired, and it has the package that is offered."""
    name = new_name()
    publish(lone_hub.installation, deb(tmp_path, name, "1"))
    copy = _copy(lone_hub, tmp_path)
    publish(lone_hub.installation, deb(tmp_path, new_name(), "1"))
    with impostor(copy, pair) as url, pytest.raises(UpdateRefused, match="state"):
        device.updates(url=url).install(device.offered(name))
    assert device.has(name) is None


def test_an_expired_repository_is_refused(device: Device, tmp_path: Path, pair: Pair, new_database: NewDatabase) -> None:
    with new_database("sqlite", migrated=True) as url:
        (tmp_path / "other").mkdir()
        other, name = Installation(tmp_path / "other", url, {"UPDATES_VALID_DAYS": "0.00001"}), new_name()
        publish(other, deb(tmp_path, name, "1"))
        [until] = re.findall("^Valid-Until: (.*)$", inrelease(other), re.MULTILINE)
        wait_until(lambda: time.time() > parsedate_to_datetime(until).timestamp() + 1)
        offer = _offer(device, name, "1", digest(other))
        with impostor(repository(other), pair) as address, pytest.raises(UpdateRefused, match="expired"):
            device.updates(url=address, key=signing_key(other)).install(offer)
    assert device.has(name) is None


def _offer(device: Device, package: str, version: str, state: str) -> dict[str, Any]:
    return {"package": package, "version": version, "suite": "stable", "inrelease_sha256": state, "secret": "x" * 43}


def test_what_was_not_offered_is_not_installed(lone_hub: LiveServer, device: Device, tmp_path: Path) -> None:
    """Neither a newer version, nor another package that the offered one would bring along, nor one that it would remove."""
    name, other, gone = new_name(), new_name(), new_name()
    publish(lone_hub.installation, deb(tmp_path, name, "1"))
    publish(lone_hub.installation, deb(tmp_path, other, "1"), "--device", Device(lone_hub, tmp_path / "elsewhere").name)
    publish(lone_hub.installation, deb(tmp_path, name, "2", Depends=other))
    device.updates().install({**device.offered(name), "version": "1"})
    assert device.has(name) == "1"
    with pytest.raises(UpdateRefused, match=f"{other}, which was not offered"):
        device.updates().install(device.offered(name))
    publish(lone_hub.installation, deb(tmp_path, gone, "1"))
    device.updates().install(device.offered(gone))
    publish(lone_hub.installation, deb(tmp_path, name, "3", Conflicts=gone))
    with pytest.raises(UpdateRefused, match=rf"{gone}|[Rr]emove"):
        device.updates().install(device.offered(name))
    assert (device.has(name), device.has(other), device.has(gone)) == ("1", None, "1")


def test_a_device_does_not_go_back(lone_hub: LiveServer, device: Device, tmp_path: Path) -> None:
    name = new_name()
    for version in ("1.9", "1.10"):
        publish(lone_hub.installation, deb(tmp_path, name, version))
    offer = device.offered(name)
    device.updates().install(offer)
    with pytest.raises(UpdateRefused, match=r"older than 1\.10"):
        device.updates().install({**offer, "version": "1.9"})
    assert device.has(name) == "1.10"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("package", "-oDPkg::Pre-Invoke::=touch${IFS}x"),
        ("package", "../x"),
        ("package", ""),
        ("version", "1 2"),
        ("version", "--help"),
        ("version", 1),
        ("suite", "stable\nTrusted: yes"),
        ("suite", "../../x"),
        ("inrelease_sha256", None),
        ("inrelease_sha256", "0" * 63),
        ("secret", "x" * 20 + "\nmachine evil.example login a password b"),
    ],
)
def test_a_hostile_offer_is_refused_before_anything_is_written(tmp_path: Path, field: str, value: object) -> None:
    offer = {"package": "name", "version": "1", "suite": "stable", "inrelease_sha256": "0" * 64, "secret": "x" * 43}
    updates = Updates("https://127.0.0.1:1", "id", "key", tmp_path / "state", root=tmp_path)
    with pytest.raises(UpdateRefused, match=f"no valid {field}"):
        updates.install({**offer, field: value})
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("url", ["http://x.example", "x.example", "https://", "https://a:b@x.example", "ftp://x.example"])
def test_updates_come_over_https(tmp_path: Path, url: str) -> None:
    with pytest.raises(ValueError, match="https"):
        Updates(url, "id", "key", tmp_path)


# --- the secret


def test_the_secret_stands_in_one_file_for_its_owner_and_nowhere_else(
    lone_hub: LiveServer, device: Device, tmp_path: Path
) -> None:
    name = new_name()
    publish(lone_hub.installation, deb(tmp_path, name, "1"))
    offer = device.offered(name)
    before = os.umask(0)
    try:
        device.updates().install(offer)
    finally:
        os.umask(before)
    holding = [file for file in device.state.rglob("*") if file.is_file() and offer["secret"].encode() in file.read_bytes()]
    assert holding == [device.state / "auth.conf.d/apiv3.conf"]
    assert stat.S_IMODE(holding[0].stat().st_mode) == 0o600
    assert f"/updates/pool/{name}_1_all.deb" in lone_hub.output
    assert offer["secret"] not in lone_hub.output


def test_a_secret_that_has_ended_gets_nothing(lone_hub: LiveServer, device: Device, tmp_path: Path) -> None:
    name = new_name()
    publish(lone_hub.installation, deb(tmp_path, name, "1"))
    offer = device.offered(name)
    lone_hub.admin("POST", f"/devices/{device.id}/revoke")
    with pytest.raises(UpdateRefused, match="401"):
        device.updates().install(offer)
    assert device.has(name) is None


# --- while the repository changes


def test_a_client_that_fetches_meanwhile_finds_what_its_inrelease_names(
    lone_hub: LiveServer, device: Device, tmp_path: Path
) -> None:
    """apt has fetched the lists; others publish; apt fetches the package, and the indexes of its InRelease still stand."""
    name = new_name()
    publish(lone_hub.installation, deb(tmp_path, name, "1"))
    old = inrelease(lone_hub.installation)
    device.updates().install(device.offered(name))
    for version in ("2", "3"):
        publish(lone_hub.installation, deb(tmp_path, name, version))
    folder = repository(lone_hub.installation)
    for found, place in re.findall(r"^ ([0-9a-f]{64}) \d+ (\S+)/Packages", old, re.MULTILINE):
        assert (folder / "dists/stable" / place / "by-hash/SHA256" / found).is_file()
    assert (folder / "pool" / f"{name}_1_all.deb").is_file()


# --- dates


def test_dates_are_in_english_and_utc_whatever_the_locale(tmp_path: Path, new_database: NewDatabase) -> None:
    """The process has set the German locale, as a library may do, and lives in Berlin."""
    locales = tmp_path / "locales"
    locales.mkdir()
    subprocess.run(["localedef", "-i", "de_DE", "-f", "UTF-8", locales / "de_DE.UTF-8"], check=True, capture_output=True)
    with new_database("sqlite", migrated=True) as url:
        environment = {"TZ": "Europe/Berlin", "LC_ALL": "de_DE.UTF-8", "LANG": "de_DE.UTF-8", "LOCPATH": str(locales)}
        installation, file = Installation(tmp_path, url, environment), deb(tmp_path, new_name(), "1")
        program = (
            "import locale, sys, time; locale.setlocale(locale.LC_ALL, ''); assert time.strftime('%A') not in 'Monday Sunday';"
            "from apiv3.cli.commands import main; main(sys.argv[1:])"
        )
        command = [installation.command()[0], "-c", program, "update", "publish", str(file)]
        subprocess.run(command, cwd=tmp_path, env=installation.environment(), check=True, capture_output=True)
        dates = dict(re.findall(r"^(Date|Valid-Until): (.*)$", inrelease(installation), re.MULTILINE))
    form = r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d\d:\d\d:\d\d GMT"
    assert all(re.fullmatch(form, date) for date in dates.values())
    signed, until = (parsedate_to_datetime(dates[name]).timestamp() for name in ("Date", "Valid-Until"))
    assert abs(signed - time.time()) < 600
    assert until - signed == 7 * 86_400
