"""Which key a device connects with, while its hub replaces one by another. At no moment is it left without one that works."""

from __future__ import annotations

from apiv3.client.devices.folder import Folder, text_of
from apiv3.client.devices.messages import Messages, as_text
from apiv3.noise import KeyPair


class Keyring:
    """The key of a device, and the next one from the moment when the hub asks for it until the hub has accepted it.

    The next one is tried first as soon as the hub has been told of it. The hub ends the other one with the first handshake that
    uses the next; so if the hub still accepts the other one, it has given the next one up.
    """

    def __init__(self, folder: Folder, messages: Messages) -> None:
        self._folder, self._messages = folder, messages
        self._has_failed = self.is_new = False
        """Whether the hub has just rejected the next key; whether the key in use is the next one."""

    async def choose(self) -> KeyPair:
        """Return the key to connect with."""
        keys = None if self._has_failed else self._folder.new_keys()
        self.is_new = keys is not None and not await self._messages.is_waiting("key.new", _body(keys))
        return keys if keys and self.is_new else self._folder.keys()

    def accept(self) -> None:
        """Take note that the hub has accepted the key in use."""
        if self.is_new:
            self._folder.activate_new_keys()
        elif self._has_failed:
            self._folder.drop_new_keys()
        self.is_new = self._has_failed = False

    def reject(self) -> bool:
        """Take note that the hub has rejected the key in use; return whether another one is worth an attempt at once."""
        self._has_failed, self.is_new = self.is_new, False
        return self._has_failed

    async def renew(self) -> None:
        """Make the next key, and keep the message that tells the hub of it; a message that waits already is enough."""
        keys = self._folder.new_keys()
        if keys is None or not await self._messages.is_waiting("key.new", _body(keys)):
            await self._messages.add("key.new", [_body(self._folder.make_new_keys())])

    def give_up(self) -> None:
        """Forget the next key, which the hub does not take."""
        self._folder.drop_new_keys()


def _body(keys: KeyPair) -> str:
    return as_text({"public_key": text_of(keys.public)})
