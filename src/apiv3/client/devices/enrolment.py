"""Enrol a device: give the hub its public key, in exchange for a pairing code that is good once."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from pathlib import Path
from typing import NamedTuple

from apiv3.client.devices.connection import Trust
from apiv3.client.devices.errors import NotEnrolled
from apiv3.client.devices.folder import Folder, Hub, public_key_of, text_of
from apiv3.client.errors import NoAnswer, Refused, Stranger, shown
from apiv3.client.http import LATER, Server, message
from apiv3.noise import KeyPair, NoiseError

PREFIX = "apiv3:1:"
PATH = "/api/v3/hub/enrol"
TIMEOUT = 20.0
"""Seconds for each step of the request."""


class Pairing(NamedTuple):
    """What a pairing code says: which hub, how to recognize it, and the code that it knows the device by, once."""

    hub: Hub
    code: str


def read_code(text: str) -> Pairing:
    """Return what a pairing code says. Raises Refused, whose message does not quote it."""
    kind, encoded = text.strip()[: len(PREFIX)], text.strip()[len(PREFIX) :]
    try:
        told = json.loads(urlsafe_b64decode(encoded.encode("ascii") + b"=" * (-len(encoded) % 4)))
        match told:
            case {"url": str(url), "hub_key": str(key), "code": str(code), "device": str(device)} if kind == PREFIX:
                return Pairing(Hub(url.rstrip("/"), public_key_of(key), device), code)
    except (ValueError, RecursionError, NoiseError):
        pass
    raise Refused(f"This is no pairing code: it begins with {PREFIX} and is copied whole, as `apiv3 device add` prints it.")


async def enrol(folder: Path, pairing_code: str, *, trust: Trust = True) -> str:
    """Make the device that has this pairing code out of a folder, and return its id. The folder is made if there is none.

    The private key is made here and never leaves the folder; a device that was enrolled before gets another one. `trust`:
    which servers to trust over TLS. Raises Refused when the code is unknown, used or expired, or when the folder is another
    device; Unreachable. If the answer was lost, the hub may have taken the key: the folder is kept, and `Device.open` shows
    whether it has.
    """
    pairing, place = read_code(pairing_code), Folder(folder)
    place.make()
    was_enrolled = _is_enrolled(place, pairing.hub)
    keys = KeyPair.generate() if was_enrolled else place.keys()
    if not was_enrolled:
        place.belong_to(pairing.hub)
    try:
        await _ask(Server(pairing.hub.url, trust=trust, timeout=TIMEOUT), pairing, keys)
    except (Refused, Stranger):
        if not was_enrolled:
            place.leave()
        raise
    if was_enrolled:
        place.replace_keys(keys)
        place.belong_to(pairing.hub)
    return pairing.hub.device


def _is_enrolled(folder: Folder, hub: Hub) -> bool:
    """Return whether the folder is this device already. Raises Refused if it is another one."""
    try:
        device = folder.hub().device
    except NotEnrolled:
        return False
    if device != hub.device:
        raise Refused(f"{folder.path} is the device {device} already: use another folder for another device.")
    return True


async def _ask(server: Server, pairing: Pairing, keys: KeyPair) -> None:
    """Give the hub the public key. Raises Refused, Unreachable."""
    body = {"code": pairing.code, "public_key": text_of(keys.public)}
    async with server.async_client() as client:
        with server.failures():
            answer = await client.post(PATH, json=body, headers=server.headers())
    if answer.status_code in LATER:
        raise NoAnswer(server.url, f"it answers {answer.status_code}: {message(answer)}")
    if answer.status_code in (400, 401, 403):
        raise Refused(f"{shown(server.url)} does not enrol the device: {message(answer)}")
    try:
        if answer.status_code == 200 and answer.json()["device"] == pairing.hub.device:
            return
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise Stranger(server.url)
