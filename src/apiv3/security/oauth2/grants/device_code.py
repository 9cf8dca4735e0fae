"""Let a device without a keyboard wait until a person has typed its code elsewhere (RFC 8628)."""

from __future__ import annotations

import re
import secrets as random
from dataclasses import dataclass, field

from apiv3.model.clients import Application
from apiv3.model.errors import OAuth2Error
from apiv3.model.grants import DeviceRequest, Scopes, Verdict
from apiv3.model.identity import Subject
from apiv3.model.timestamps import now
from apiv3.retrying import retried
from apiv3.security import secrets
from apiv3.security.authors import Author
from apiv3.security.oauth2.authorization import target
from apiv3.security.oauth2.grants.grant import Form, invalid_grant, required
from apiv3.security.oauth2.issuing import Issued, Issuer
from apiv3.security.oauth2.scopes import ScopeTable
from apiv3.security.policy import Policies
from apiv3.storage.contracts.oauth2 import GrantStore, GrantWriter

LIFETIME, INTERVAL = 900, 5
"""Seconds for which a code can be typed, and seconds between two polls."""
_JITTER = 1000
"""Milliseconds by which a poll may come earlier than the interval says: networks delay one poll more than another."""
_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
"""No vowels, so that no code is a word (RFC 8628, section 6.1)."""
_LENGTH = 8


@dataclass(frozen=True, slots=True)
class DeviceCodes:
    """What a device gets: its own code, and the one that a person types. `user_code`: with a dash in the middle."""

    device_code: str = field(repr=False)
    user_code: str = field(repr=False)


class DeviceCodeGrant:
    """Devices that poll. One that polls too fast is told to slow down; one that polls steadily always gets through.

    `key`: the secret that all processes share. User codes are so short that whoever read their plain digests could find them by
    trying, so they are stored as digests with this key.
    """

    def __init__(self, store: GrantStore, scopes: ScopeTable, policies: Policies, issuer: Issuer, key: str) -> None:
        self._store, self._scopes, self._policies = store, scopes, policies
        self._issuer, self._key = issuer, key

    async def start(self, application: Application, scope: str | None) -> DeviceCodes:
        """Begin to wait. Raises OAuth2Error."""
        if "device_code" not in application.client.grants:
            raise OAuth2Error("unauthorized_client", "The client may not use device codes")
        scopes = self._scopes.chosen(scope, application.client.scopes)
        while (codes := await self._start(application, scopes)) is None:
            pass  # two devices with the same code: once in billions
        return codes

    @retried
    async def _start(self, application: Application, scopes: Scopes) -> DeviceCodes | None:
        device, user = secrets.mint(), "".join(random.choice(_LETTERS) for _ in range(_LENGTH))
        digests = (secrets.stored_digest(device), self._digest(user))
        request = DeviceRequest(*digests, application.client.id, scopes, now() + LIFETIME * 1000)
        async with self._issuer.transaction(application) as writer:
            return DeviceCodes(device, spelt(user)) if await writer.add_device(request) else None

    async def waiting(self, typed: str) -> DeviceRequest | None:
        """Return the device that waits with a code as a person has typed it."""
        code = normalised(typed)
        return None if code is None else await self._store.device(self._digest(code), now())

    def seal(self, typed: str, nonce: str) -> str:
        """Return what binds a form, by its nonce, to the code whose device it has shown."""
        return secrets.derived(self._key, f"apiv3.oauth2.device {nonce} {normalised(typed)}")

    @retried
    async def judge(
        self, typed: str, verdict: Verdict, subject: Subject, application: Application, by: Author
    ) -> DeviceRequest | None:
        """Store a person's verdict on a device. Returns the device; None when none waits with this code."""
        code = normalised(typed)
        if code is None:
            return None
        async with self._store.changing() as writer:
            judged = await writer.judge(self._digest(code), verdict, subject.id, subject.nonce, now())
            if judged is not None and verdict == "allowed":
                await writer.note(by.entry("application-allowed", target(application), scopes=list(judged.scopes), device=True))
        return judged

    async def redeem(self, application: Application, form: Form, address: str) -> Issued:
        device_code = required(form, "device_code")
        await self._policies.latest()
        outcome = await self._poll(application, secrets.stored_digest(device_code), address)
        if isinstance(outcome, OAuth2Error):
            raise outcome
        return outcome

    @retried
    async def _poll(self, application: Application, digest: str, address: str) -> Issued | OAuth2Error:
        """Return what a poll gets. Errors are returned, so that the moment of the poll is stored."""
        async with self._issuer.transaction(application) as writer:
            request, moment = await writer.device(digest), now()
            if request is None or request.client != application.client.id or request.grant is not None:
                return invalid_grant("The device code is unknown or used, or belongs to another client")
            if moment >= request.expires:
                return OAuth2Error("expired_token", "The device code has expired; begin again")
            if request.verdict == "denied":
                return OAuth2Error("access_denied", "The person has refused")
            if request.verdict == "allowed":
                return await self._issue(writer, application, request, address)
            if moment - request.polled < INTERVAL * 1000 - _JITTER:
                return OAuth2Error("slow_down", f"Poll at most every {INTERVAL} seconds")
            await writer.polled(digest, moment)
            return OAuth2Error("authorization_pending", "Nobody has typed the code yet")

    async def _issue(
        self, writer: GrantWriter, application: Application, request: DeviceRequest, address: str
    ) -> Issued | OAuth2Error:
        subject = self._policies.current.active(request.subject or "")
        if subject is None or subject.nonce != request.nonce:
            return invalid_grant("Who has allowed it may no longer do so")
        issuing = (writer, application.client, subject)
        grant, issued = await self._issuer.begin(*issuing, "device_code", request.scopes, address)
        await writer.use_device(request.digest, grant.id)
        return issued

    def _digest(self, code: str) -> str:
        return secrets.derived(self._key, f"apiv3.oauth2.user_code {code}")


def normalised(typed: str) -> str | None:
    """Return a user code in capitals, without dashes and blanks. None for what cannot be one."""
    code = re.sub(r"[\s-]", "", typed[:100]).upper()
    return code if len(code) == _LENGTH and set(code) <= set(_LETTERS) else None


def spelt(code: str) -> str:
    """Return a user code as people read it, with a dash in the middle."""
    return f"{code[:4]}-{code[4:]}"
