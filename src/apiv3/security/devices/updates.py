"""The secret with which a device fetches software updates, and who presents it.

apt knows nothing of the keys of devices, only names and passwords (HTTP Basic, RFC 7617). So each device gets a password over
its encrypted session.
"""

from __future__ import annotations

from apiv3.model.errors import BadToken
from apiv3.security import secrets
from apiv3.security.credentials import Credential, Identity
from apiv3.security.demands import UPDATES
from apiv3.security.devices.keys import text_of
from apiv3.security.permissions import Permission, PermissionSet
from apiv3.security.principal import Principal
from apiv3.security.throttle import Throttle
from apiv3.storage.contracts.devices import DeviceStore

_PURPOSE = "apiv3/updates/1"
_GRANTED = PermissionSet([Permission.parse(UPDATES.name)])
"""All that the secret allows, whatever the roles of the device."""


def update_secret(hub_key: bytes, device: str, public_key: str) -> str:
    """Return the secret with which a device fetches software updates.

    It is derived from the hub's private key (HMAC-SHA256, with a key that is used for nothing else), the id of the device and
    its active public key. So nothing of it is stored, and it ends with that key: when the key is rotated or revoked.
    """
    return secrets.derived(secrets.derived(text_of(hub_key), _PURPOSE), f"{device} {public_key}")


class DeviceAuthentication:
    """Verifies the secrets of devices. `hub_key`: the hub's private key.

    Nothing is remembered: a device that was revoked or disabled a moment ago, in any process, is refused.
    """

    def __init__(self, hub_key: bytes, devices: DeviceStore, throttle: Throttle) -> None:
        self._hub_key, self._devices, self._throttle = hub_key, devices, throttle

    async def identify(self, credential: Credential) -> Identity:
        """Return the device of a credential: its id, a colon, and its secret. Raises BadToken, TooManyRequests."""
        self._throttle.check(credential.address, credential.secret)
        principal = await self._principal(*credential.secret.partition(":")[::2])
        if principal is None:
            await self._throttle.fail(credential.address, credential.secret)
            raise BadToken
        self._throttle.clear(credential.secret)
        return Identity(principal, "", way="device")

    async def _principal(self, id: str, secret: str) -> Principal | None:
        machine = await self._devices.find(id)
        public_key = None if machine is None else machine.device.public_key
        is_right = secrets.same(secret, update_secret(self._hub_key, id, public_key or ""))
        if machine is None or public_key is None or machine.subject.disabled or not is_right:
            return None
        return Principal(machine.subject.name, _GRANTED, id=id)
