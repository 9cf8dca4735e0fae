"""The device of `apiv3.client.devices` over TLS: it talks to servers whose certificate it trusts, and to no other."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509

from apiv3.client.devices import Device, enrol
from apiv3.client.devices.connection import Trust
from apiv3.client.devices.folder import Folder
from apiv3.client.errors import Untrusted
from tests.support.clarity import EXPORTS
from tests.support.commands import process
from tests.support.devices import code_at, command_line, told
from tests.support.factories import FreshServer
from tests.support.hub import hasten
from tests.support.server import LiveServer
from tests.support.tls import Pair, self_signed
from tests.support.updates import local_pair, tls
from tests.support.waiting import until
from tests.support.wire import now_ms, unique


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Devices come back after a moment."""
    hasten(monkeypatch, 0.2)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """The certificate of the server."""
    return local_pair(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def server(lasting_server: FreshServer, pair: Pair) -> LiveServer:
    return lasting_server(arguments=tls(pair))


def trust_in(pair: Pair) -> ssl.SSLContext:
    """What a device trusts that was given a certificate, as docs/how-to/write-a-device.md says."""
    return ssl.create_default_context(cafile=pair.certificate)


async def added(server: LiveServer) -> tuple[str, str]:
    """The name of a new device, and its pairing code."""
    record = await told(server, "add", unique("station"), "--role", "writer")
    return record["name"], code_at(server.url, record["pairing_code"])


async def stored(server: LiveServer, subject: str) -> list[int]:
    """The values that a device has sent."""

    def read() -> list[int]:
        client = server.client(server.subject(unique("reader"), "api:entries:read"))
        query = {"subject$eq": subject, "sort": "date", "fields": "sgv"}
        return [each["sgv"] for each in client.get("/api/v3/entries", params=query).json()["result"]]

    return await asyncio.to_thread(read)


def reading(value: int) -> dict[str, object]:
    return {"type": "sgv", "app": "tests", "device": "tests", "sgv": value, "date": now_ms()}


async def test_a_device_sends_to_a_server_that_it_trusts(server: LiveServer, pair: Pair, tmp_path: Path) -> None:
    name, code = await added(server)
    await enrol(tmp_path, code, trust=trust_in(pair))
    async with Device.open(tmp_path, trust=trust_in(pair)) as device:
        await device.send("entries", [reading(123)])
        await device.drained()
    assert Folder(tmp_path).hub().url.startswith("https://")
    assert await stored(server, name) == [123]


def _known_authorities(_: Path) -> Trust:
    return True


def _another(folder: Path) -> Trust:
    return trust_in(local_pair(folder / "another"))


@pytest.mark.parametrize("trust", [_known_authorities, _another], ids=["authorities", "another"])
async def test_a_device_tells_nothing_to_a_server_that_it_does_not_trust(
    server: LiveServer, pair: Pair, tmp_path: Path, trust: Callable[[Path], Trust]
) -> None:
    """Neither its pairing code, which stays good, nor a reading, which waits."""
    name, code = await added(server)
    with pytest.raises(Untrusted, match="CERTIFICATE_VERIFY_FAILED"):
        await enrol(tmp_path / "device", code, trust=trust(tmp_path))
    await enrol(tmp_path / "device", code, trust=trust_in(pair))
    statuses: list[tuple[str, str]] = []
    async with Device.open(
        tmp_path / "device", trust=trust(tmp_path), on_status=lambda *status: statuses.append(status)
    ) as device:
        await device.send("entries", [reading(123)])
        await until(lambda: len(statuses) > 2)
        assert await device.waiting() == 1
    assert {status for status, _ in statuses} == {"lost"}
    assert all("CERTIFICATE_VERIFY_FAILED" in reason for _, reason in statuses)
    assert (await told(server, "show", name))["seen"] is None
    async with Device.open(tmp_path / "device", trust=trust_in(pair)) as device:
        await device.drained()
    assert await stored(server, name) == [123]


async def test_a_certificate_for_another_name_is_not_trusted(fresh_server: FreshServer, tmp_path: Path) -> None:
    """Although it is one that the device was given."""
    other = self_signed(tmp_path, x509.DNSName("other.example"))
    server = fresh_server(arguments=tls(other))
    _, code = await added(server)
    with pytest.raises(Untrusted, match="CERTIFICATE_VERIFY_FAILED"):
        await enrol(tmp_path / "device", code, trust=trust_in(other))


def test_a_simulated_device_trusts_the_certificate_in_its_environment(server: LiveServer, pair: Pair, tmp_path: Path) -> None:
    code = code_at(server.url, command_line(server, "add", unique("demo"), "--role", "writer")["pairing_code"])
    arguments = ("--folder", str(tmp_path / "demo"), "--speed", "100000", "--code", code)
    simulate = ("device", "simulate", str(EXPORTS["sample"]), *arguments)
    refused = process(server.installation, *simulate)
    assert (refused.status, refused.output) == (1, "")
    [sentence] = refused.errors.splitlines()
    assert "CERTIFICATE_VERIFY_FAILED" in sentence
    trusting = {**server.installation.settings, "SSL_CERT_FILE": str(pair.certificate)}
    done = process(replace(server.installation, settings=trusting), *simulate)
    assert (done.status, done.errors) == (0, "")
