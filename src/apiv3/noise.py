"""Encrypted channels between devices and the hub: the Noise Protocol Framework, revision 34, in one suite.

`Noise_XK_25519_ChaChaPoly_SHA256`: the initiator, a device, knows the public key of the responder, the hub; its own stays
hidden from everybody else. Nothing here reads or writes a socket. Sections are those of the framework's text.

    device = Initiator(KeyPair.generate(), hub_public)    hub = Responder(hub_keys)
    1: device.write() -> hub.read()    2: hub.write() -> device.read()    3: device.write() -> hub.read()
    then both: channel()
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

PROLOGUE = b"apiv3/hub/1"
"""What both sides must agree on before the first message: that they speak this protocol in this version (section 6)."""
LONGEST_MESSAGE = 65_535
"""Bytes of the longest message, in the handshake and after it (section 3)."""
_TAG = 16
LONGEST_PLAINTEXT = LONGEST_MESSAGE - _TAG
"""Bytes of the longest text that one message carries after the handshake."""
REKEY_AFTER = 10_000
"""Messages in one direction after which that direction gets its next key."""

_NAME = b"Noise_XK_25519_ChaChaPoly_SHA256"
"""The protocol's name has exactly the length of a hash, so it is the first hash (section 5.2)."""
_PATTERN = (("e", "es"), ("e", "ee"), ("s", "se"))
"""The tokens of the three messages of XK, the initiator's first (section 7.5)."""
_KEY = 32
_LAST_NONCE = 2**64 - 1
"""No message has it, since `REKEY` uses it (section 5.1)."""
_PRIME = 2**255 - 19


class NoiseError(Exception):
    """A message, a key or a call that the protocol does not allow. A handshake that raises it has ended."""


@dataclass(frozen=True)
class KeyPair:
    """A pair of X25519 keys, 32 bytes each (RFC 7748)."""

    private: bytes = field(repr=False)
    public: bytes

    @classmethod
    def generate(cls) -> KeyPair:
        return cls.of(X25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def of(cls, private: bytes) -> KeyPair:
        """Return the pair of a private key. Raises NoiseError unless it has 32 bytes."""
        if len(private) != _KEY:
            raise NoiseError("a private key has 32 bytes")
        return cls(private, X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw())

    def shared_with(self, public: bytes) -> bytes:
        """Return the secret shared with the owner of a public key. Raises NoiseError if it would be all zeros, which anybody
        could guess, because the key is of low order (RFC 7748, section 6.1)."""
        try:
            return X25519PrivateKey.from_private_bytes(self.private).exchange(X25519PublicKey.from_public_bytes(public))
        except ValueError:
            raise NoiseError("a public key is of low order, or does not have 32 bytes") from None


def check_public(public: bytes) -> None:
    """Raise NoiseError unless these bytes are a public key by which somebody can be known.

    X25519 ignores the highest bit and reduces the rest, so some keys have a second spelling. Only the first one is taken:
    with the other one, the key of a revoked device would pass for a new one.
    """
    if len(public) != _KEY:
        raise NoiseError("a public key has 32 bytes")
    if int.from_bytes(public, "little") >= _PRIME:
        raise NoiseError("the public key is not in its canonical form")
    KeyPair.generate().shared_with(public)


class _Cipher:
    """The key and the counter of one direction: a CipherState (section 5.1)."""

    def __init__(self, key: bytes) -> None:
        self._aead, self.nonce = ChaCha20Poly1305(key), 0

    def encrypt(self, plaintext: bytes, associated: bytes = b"") -> bytes:
        message = self._aead.encrypt(_nonce(self._next()), plaintext, associated)
        self._advance()
        return message

    def decrypt(self, message: bytes, associated: bytes = b"") -> bytes:
        """Return the plaintext. Raises NoiseError, and then the counter is as before."""
        try:
            plaintext = self._aead.decrypt(_nonce(self._next()), message, associated)
        except InvalidTag:
            raise NoiseError("the message is not authentic") from None
        self._advance()
        return plaintext

    def _next(self) -> int:
        if self.nonce >= _LAST_NONCE:
            raise NoiseError("the counter is used up")
        return self.nonce

    def _advance(self) -> None:
        """Count a message. After each 10,000th, replace the key; the counter goes on (section 11.3)."""
        self.nonce += 1
        if self.nonce % REKEY_AFTER == 0:
            self._aead = ChaCha20Poly1305(self._aead.encrypt(_nonce(_LAST_NONCE), bytes(_KEY), b"")[:_KEY])


def _nonce(number: int) -> bytes:
    """Return a nonce of ChaChaPoly: 32 bits of zeros, then the number in little-endian order (section 12.3)."""
    return bytes(4) + number.to_bytes(8, "little")


class Channel:
    """An encrypted connection after its handshake. Each direction has its own key, renewed after every 10,000 messages.

    Messages must arrive in the order in which they were encrypted. So encrypting a message and handing it to the socket must
    be one step: no other task may encrypt between the two. `handshake_hash`: 32 bytes that only this connection has.
    """

    def __init__(self, sending: _Cipher, receiving: _Cipher, handshake_hash: bytes) -> None:
        self._sending, self._receiving, self.handshake_hash = sending, receiving, handshake_hash

    def encrypt(self, plaintext: bytes) -> bytes:
        """Return the next message. Raises NoiseError for more than 65,519 bytes; then nothing has been encrypted."""
        if len(plaintext) > LONGEST_PLAINTEXT:
            raise NoiseError(f"a message carries at most {LONGEST_PLAINTEXT} bytes")
        return self._sending.encrypt(plaintext)

    def decrypt(self, message: bytes) -> bytes:
        """Return what the next message carries. Raises NoiseError if it is not that message; then nothing has changed."""
        _check_length(message)
        return self._receiving.decrypt(message)


class _Handshake:
    """A handshake of either role: a HandshakeState with its SymmetricState (sections 5.2 and 5.3)."""

    def __init__(self, *, initiates: bool, static: KeyPair, remote: dict[str, bytes], prologue: bytes) -> None:
        self._initiates, self._step = initiates, 0
        self._own, self._remote = {"s": static}, remote
        self._hash = self._chaining = _NAME
        self._mix_hash(prologue)
        self._mix_hash(remote["s"] if initiates else static.public)

    def write(self, payload: bytes = b"") -> bytes:
        """Return the next message of the handshake, which carries a payload. Raises NoiseError if it is not one's turn."""
        with self._turn(writes=True) as tokens:
            message = b"".join(map(self._write_token, tokens)) + self._encrypt(payload)
            _check_length(message)
            return message

    def read(self, message: bytes) -> bytes:
        """Return the payload of the next message. Raises NoiseError if it is not authentic, or out of turn."""
        with self._turn(writes=False) as tokens:
            _check_length(message)
            for token in tokens:
                message = self._read_token(token, message)
            return self._decrypt(message)

    def channel(self) -> Channel:
        """Return the channel that the three messages have made: Split(). Raises NoiseError before that."""
        self._check_complete()
        first, second = map(_Cipher, _hkdf(self._chaining, b""))
        return Channel(*((first, second) if self._initiates else (second, first)), self._hash)

    @contextmanager
    def _turn(self, *, writes: bool) -> Iterator[tuple[str, ...]]:
        """Give the tokens of the next message. An error inside ends the handshake: what it has mixed cannot be unmixed."""
        step, self._step = self._step, -1
        if step not in range(len(_PATTERN)) or writes != (self._initiates == (step % 2 == 0)):
            raise NoiseError("this is not the next step of the handshake")
        yield _PATTERN[step]
        self._step = step + 1

    def _check_complete(self) -> None:
        if self._step != len(_PATTERN):
            raise NoiseError("the handshake is not complete")

    def _write_token(self, token: str) -> bytes:
        match token:
            case "e":
                self._own["e"] = KeyPair.generate()
                self._mix_hash(self._own["e"].public)
                return self._own["e"].public
            case "s":
                return self._encrypt(self._own["s"].public)
        self._mix_key(token)
        return b""

    def _read_token(self, token: str, message: bytes) -> bytes:
        """Process a token; return the rest of the message."""
        match token:
            case "e":
                self._remote["e"] = message[:_KEY]
                self._mix_hash(message[:_KEY])
                return message[_KEY:]
            case "s":
                self._remote["s"] = self._decrypt(message[: _KEY + _TAG])
                return message[_KEY + _TAG :]
        self._mix_key(token)
        return message

    def _mix_hash(self, data: bytes) -> None:
        self._hash = hashlib.sha256(self._hash + data).digest()

    def _mix_key(self, token: str) -> None:
        """Mix in a shared secret. The token names the initiator's key first, then the responder's."""
        own, remote = (token[0], token[1]) if self._initiates else (token[1], token[0])
        self._chaining, key = _hkdf(self._chaining, self._own[own].shared_with(self._remote[remote]))
        self._cipher = _Cipher(key)

    def _encrypt(self, plaintext: bytes) -> bytes:
        ciphertext = self._cipher.encrypt(plaintext, self._hash)
        self._mix_hash(ciphertext)
        return ciphertext

    def _decrypt(self, ciphertext: bytes) -> bytes:
        plaintext = self._cipher.decrypt(ciphertext, self._hash)
        self._mix_hash(ciphertext)
        return plaintext


class Initiator(_Handshake):
    """The side that begins, which knows the other's public key: `write`, `read`, `write`."""

    def __init__(self, static: KeyPair, remote_static: bytes, prologue: bytes = PROLOGUE) -> None:
        super().__init__(initiates=True, static=static, remote={"s": remote_static}, prologue=prologue)


class Responder(_Handshake):
    """The side that is called: `read`, `write`, `read`."""

    def __init__(self, static: KeyPair, prologue: bytes = PROLOGUE) -> None:
        super().__init__(initiates=False, static=static, remote={}, prologue=prologue)

    @property
    def remote_static(self) -> bytes:
        """The public key of the initiator. Raises NoiseError before the third message, which proves that it is its own."""
        self._check_complete()
        return self._remote["s"]


def _check_length(message: bytes) -> None:
    if len(message) > LONGEST_MESSAGE:
        raise NoiseError(f"a message has at most {LONGEST_MESSAGE} bytes")


def _hkdf(chaining: bytes, material: bytes) -> tuple[bytes, bytes]:
    """Return two keys (section 4.3; RFC 5869)."""
    temporary = hmac.digest(chaining, material, "sha256")
    first = hmac.digest(temporary, b"\x01", "sha256")
    return first, hmac.digest(temporary, first + b"\x02", "sha256")
