"""Enrol devices: exchange the code that a person carried to a device for the device's public key."""

from __future__ import annotations

from apiv3.model.audit import Actor
from apiv3.model.errors import BadToken
from apiv3.model.timestamps import now
from apiv3.security import secrets
from apiv3.security.authors import Author
from apiv3.security.devices import keys
from apiv3.security.devices.devices import target
from apiv3.security.principal import STRANGER
from apiv3.security.throttle import Throttle
from apiv3.storage.contracts.devices import DeviceStore


class Enrolment:
    """Takes the keys of new devices. `throttle`: slows guesses down, as for every other credential."""

    def __init__(self, store: DeviceStore, throttle: Throttle) -> None:
        self._store, self._throttle = store, throttle

    async def enrol(self, code: str, public_key: str, address: str) -> str:
        """Make a key the one of the device that has this pairing code, use the code up, and return the device's id.

        Raises BadToken for a code that is unknown, used or expired; BadRequest for a key that cannot be taken, which leaves
        the code as it is; TooManyRequests when the address has guessed too often.
        """
        self._throttle.check(address, code)
        digest, moment = secrets.stored_digest(code), now()
        device = await self._store.by_pairing(digest, moment)
        if device is None:
            await self._throttle.fail(address, code)
            raise BadToken("Bad code: it is unknown, used or expired; ask for another one")
        key, machine = keys.public_key(public_key), await self._store.find(device)
        if machine is None:
            raise BadToken("The device was removed")
        author = Author(Actor(device, machine.subject.name, "pairing code", address), STRANGER)
        enrolled = await self._store.enrol(digest, key, author.entry("device-enrolled", target(machine)), moment)
        if enrolled is None:  # another request was faster
            raise BadToken("Bad code: it is unknown, used or expired; ask for another one")
        return enrolled
