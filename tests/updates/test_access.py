"""Who may read the repository of software updates, and what of it."""

import socket
import ssl
from base64 import b64encode
from pathlib import Path

import httpx
import pytest

from apiv3.security.throttle import MOST_FAILURES
from tests.support.factories import FreshServer
from tests.support.server import LiveServer
from tests.support.updates import Device, deb, need_apt, new_name, publish, repository

INRELEASE = "/updates/dists/stable/InRelease"


def _get(server: LiveServer, path: str, device: Device | None = None, secret: str = "", **headers: str) -> httpx.Response:
    auth = (device.id, secret) if device else None
    return httpx.get(server.url + path, auth=auth, headers=headers, verify=False, trust_env=False)


@pytest.fixture
def offered(hub: LiveServer, tmp_path: Path) -> tuple[Device, str]:
    """A device, and its secret."""
    device, name = Device(hub, tmp_path / "device"), new_name()
    publish(hub.installation, deb(tmp_path, name, "1"))
    return device, device.offered(name)["secret"]


def test_a_device_reads_with_its_secret(hub: LiveServer, offered: tuple[Device, str]) -> None:
    device, secret = offered
    other = Device(hub, device.root.parent / "other")
    assert _get(hub, INRELEASE, device, secret).status_code == 200
    for wrong in ("", secret[:-1], secret + "x", "x" * 43, secret.swapcase()):
        assert _get(hub, INRELEASE, device, wrong).status_code == 401
    assert _get(hub, INRELEASE, other, secret).status_code == 401
    assert _get(hub, INRELEASE).status_code == 401


def test_a_refusal_asks_for_what_devices_send(hub: LiveServer, offered: tuple[Device, str]) -> None:
    """Clients that send a password only once they are asked for one, as RFC 7617 has it, get it through."""
    for refused in (_get(hub, INRELEASE), _get(hub, INRELEASE, offered[0], "x" * 43)):
        assert 'Basic realm="apiv3"' in refused.headers["www-authenticate"]
    assert "Basic" not in _get(hub, "/api/v3/entries", offered[0], "x" * 43).headers.get("www-authenticate", "")


@pytest.mark.parametrize(
    "sent",
    [b"Basic", b"Basic !", b"Basic eA==", b"basic " + b64encode(b"\xff:\xff")]
    + [b"Basic " + b64encode(f"{name}:{'x' * 43}".encode()) for name in ("\0", "x" * 5000, "' OR 1=1 --", "é", "")],
)
def test_a_malformed_header_is_refused(hub: LiveServer, sent: bytes) -> None:
    assert _get(hub, INRELEASE, authorization=sent.decode()).status_code in (400, 401)


def test_the_secret_opens_nothing_else(hub: LiveServer, offered: tuple[Device, str]) -> None:
    """Also right after it was used, when its owner is known."""
    device, secret = offered
    assert _get(hub, INRELEASE, device, secret).status_code == 200
    for path in ("/api/v3/entries", "/api/v3/status", "/api/v2/authorization/devices", "/admin/state"):
        assert _get(hub, path, device, secret).status_code in (401, 303)
    assert _get(hub, f"{INRELEASE}?token={secret}").status_code == 401
    assert _get(hub, INRELEASE, authorization=f"Bearer {secret}").status_code == 401


@pytest.mark.parametrize("way", ["revoke", "disable", "remove"])
def test_the_secret_ends_with_the_device(hub: LiveServer, offered: tuple[Device, str], way: str) -> None:
    """At once: whoever was let in a moment ago is not any more."""
    device, secret = offered
    assert _get(hub, INRELEASE, device, secret).status_code == 200
    if way == "disable":
        hub.admin("PUT", "/devices", {"_id": device.id, "disabled": True})
    elif way == "remove":
        hub.admin("DELETE", f"/devices/{device.id}")
    else:
        hub.admin("POST", f"/devices/{device.id}/revoke")
    assert _get(hub, INRELEASE, device, secret).status_code == 401


def test_a_new_key_brings_a_new_secret(hub: LiveServer, tmp_path: Path) -> None:
    """The old secret works as long as the old key does: until the first handshake with the new one."""
    device, name = Device(hub, tmp_path / "device"), new_name()
    publish(hub.installation, deb(tmp_path, name, "1"))
    old = device.offered(name)["secret"]
    hub.admin("POST", f"/devices/{device.id}/rotate")
    device.renew_key()
    assert _get(hub, INRELEASE, device, old).status_code == 200
    new = device.offered(name)["secret"]
    assert new != old
    assert _get(hub, INRELEASE, device, old).status_code == 401
    assert _get(hub, INRELEASE, device, new).status_code == 200


def test_others_need_the_permission(hub: LiveServer, offered: tuple[Device, str]) -> None:
    reader = hub.client(hub.subject(new_name(), "admin:hub:updates:read"))
    assert reader.get(INRELEASE).text.startswith("-----BEGIN PGP SIGNED MESSAGE-----")
    other = hub.client(hub.subject(new_name(), "api:*:read", "*:*:read"))
    answer = other.get(INRELEASE)
    assert (answer.status_code, answer.json()["message"]) == (403, "Missing permission admin:hub:updates:read")


def test_guesses_are_slowed_down(fresh_server: FreshServer, tmp_path: Path) -> None:
    """As those of every other credential are; who is right all the same gets in."""
    need_apt()
    server = fresh_server("sqlite", env={"AUTH_FAIL_DELAY": "1"})
    device, name = Device(server, tmp_path / "device"), new_name()
    publish(server.installation, deb(tmp_path, name, "1"))
    secret = device.offered(name)["secret"]
    assert _get(server, INRELEASE, device, secret).status_code == 200
    statuses = [_get(server, INRELEASE, device, f"guess-{number}").status_code for number in range(MOST_FAILURES + 1)]
    assert (statuses[0], statuses[-1]) == (401, 429)
    assert _get(server, INRELEASE, device, secret).status_code == 200


HIDDEN = (
    "signing_key",
    "lock",
    "dists/../signing_key",
    "dists/%2e%2e/signing_key",
    "dists%2f..%2fsigning_key",
    "dists/..%2fsigning_key",
    "pool/..%5csigning_key",
    "/signing_key",
    "dists//stable/InRelease",
    "dists/stable",
    "dists/stable/main/binary-all/.draft",
    "dists/stable/InRelease%00",
    "dists/stable/InRelease%0a",
    "pool",
    "pool/nothing_1_all.deb",
    "%ff",
)


def test_nothing_but_the_repository_is_served(lone_hub: LiveServer, tmp_path: Path) -> None:
    device, name = Device(lone_hub, tmp_path / "device"), new_name()
    publish(lone_hub.installation, deb(tmp_path, name, "1"))
    secret = device.offered(name)["secret"]
    (repository(lone_hub.installation) / "dists/stable/main/binary-all/.draft").touch()
    header = "Basic " + b64encode(f"{device.id}:{secret}".encode()).decode()

    def status(path: str) -> int:
        request = f"GET /updates/{path} HTTP/1.1\r\nHost: x\r\nAuthorization: {header}\r\nConnection: close\r\n\r\n"
        return _status(lone_hub, request)

    assert status("dists/stable/InRelease") == 200
    assert {path: status(path) for path in HIDDEN} == dict.fromkeys(HIDDEN, 404)


def _status(server: LiveServer, request: str) -> int:
    """The status of a request as it is sent: clients tidy paths up."""
    unchecked = ssl.create_default_context()
    unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", server.port)) as plain, unchecked.wrap_socket(plain) as encrypted:
        encrypted.sendall(request.encode())
        return int(encrypted.recv(100).split()[1])


def test_files_are_sent_whole_with_their_size(hub: LiveServer, offered: tuple[Device, str], tmp_path: Path) -> None:
    device, secret = offered
    name = new_name()
    file = deb(tmp_path, name, "1", Homepage=f"https://x.example/{'x' * 300_000}")
    publish(hub.installation, file)
    path = f"/updates/pool/{name}_1_all.deb"
    with httpx.Client(base_url=hub.url, verify=False, trust_env=False, auth=(device.id, secret)) as client:
        got, head = client.get(path), client.head(path)
        assert got.content == file.read_bytes()
        assert got.headers["content-length"] == head.headers["content-length"] == str(file.stat().st_size)
        assert got.headers["content-type"] == "application/vnd.debian.binary-package"
        assert client.get(path.replace("_1_", "%5F1%5f")).content == got.content  # apt encodes some characters
        listed = client.get("/updates/dists/stable/main/binary-all/Packages")
        assert f"Package: {name}\n" in listed.text
        assert client.post(path).status_code == 404
