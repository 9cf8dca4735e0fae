"""The gate: what every request must pass before its endpoint runs, in the order of docs/reference/protocol.md, section 1:

    security switched off? -> HTTPS -> timestamp -> credential -> permission -> nonce

Calls with a session carry no timestamp, as browsers send none. Instead, those that may change something need a nonce, and must
not come from a page of another site.

Some subjects may leave out the timestamp, so a missing one is judged only once the credential is known. The refusal is the
same whether the credential was good or bad, so that it tells nothing about the credential.

The gate refuses a request before any document is looked up, and before its body is read, unless that is a form with a nonce.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol

from apiv3.model import messages, timestamps
from apiv3.model.errors import (
    BASIC,
    AdministrationRefused,
    BadRequest,
    Forbidden,
    ForeignPage,
    MissingPermission,
    MissingTimestamp,
    MissingToken,
    NotSecure,
    SignInNeeded,
    Unauthorized,
)
from apiv3.security.authenticator import Authenticator
from apiv3.security.credentials import Credential, Identity, session_key
from apiv3.security.devices.updates import DeviceAuthentication
from apiv3.security.oauth2.access_tokens import AccessTokens
from apiv3.security.permissions import Demand
from apiv3.security.principal import ANYBODY
from apiv3.security.safeguard import Browser, Safeguard

TimestampRule = Literal["required", "optional", "off"]


class Caller(Browser, Protocol):
    """What the gate needs to know of a request, whatever its protocol. It sets `principal` and `identity`."""

    @property
    def secure(self) -> bool:
        """Whether the request came encrypted, or never left this machine."""

    @property
    def document(self) -> str:
        """The identifier in the request's path, on a route for one document."""

    @property
    def session(self) -> str | None:
        """The value of the session's cookie, None when there is none. Raises BadRequest when there are several."""

    @property
    def address(self) -> str:
        """The client's address."""

    def foreign(self, origins: Sequence[str]) -> str | None:
        """Return why the request may come from elsewhere than this machine, None when it comes from here.

        `origins`: the origins whose pages may send requests.
        """

    def timestamp(self) -> bytes | str | None:
        """Return the client's time as it was sent, None when it is missing. Raises BadRequest when it is repeated."""

    def authorization(self) -> bytes | None:
        """Return the header with the credential as it was sent; None when it is missing, or may not be the only credential.

        Raises BadRequest for a malformed query string.
        """

    def device_secret(self) -> Credential | None:
        """Return the id and secret of a device, with a colon between them; None when there is none. Raises BadRequest."""

    def credential(self, *, api_secret: bool) -> Credential | None:
        """Return the credential of the request, None when there is none. Raises BadRequest when there is more than one.

        `api_secret`: whether the header api-secret counts as a credential.
        """


@dataclass(frozen=True, eq=False, slots=True)
class Access:
    """Who may use a route.

    `demands`: the caller must hold one of these permissions; a refusal names the first. Empty: any authenticated subject.
    `public`: no credential is required. `instance`: the route's last parameter is a document's identifier, and a permission
    for that document alone is enough. `endings`: what may follow the identifier in the path, such as `.csv`.
    `administration`: a route of /api/v2/authorization: requires no timestamp, accepts API_SECRET, and refuses every bad or
    insufficient credential with the same answer.
    `timestamp`: whether the client's time is required; clients of event streams do not send it.
    `device`: a device may use it too, with the secret that it has for that (`security/devices/updates.py`) instead of a token.
    `page`: a page for people, or one of its forms: takes no credential but a session, and needs one unless it is `public`. The
    gate checks the nonces of forms that need a session; those of public forms are left to their endpoints.
    """

    demands: tuple[Demand, ...] = ()
    public: bool = False
    instance: bool = False
    endings: tuple[str, ...] = ()
    administration: bool = False
    timestamp: bool = True
    device: bool = False
    page: bool = False

    def check(self, caller: Caller) -> None:
        """Raise MissingPermission unless the caller's principal holds one of the permissions that the route demands."""
        principal = caller.principal
        if self in principal.admitted:
            return
        if not self.demands or any(principal.allows(demand) for demand in self.demands):
            principal.admitted.add(self)
            return
        if self.instance:
            document = caller.document
            names = [document, *(document.removesuffix(ending) for ending in self.endings if document.endswith(ending))]
            if any(principal.allows(demand.on(name)) for demand in self.demands for name in names):
                return
        raise MissingPermission(self.demands[0].name)


class Gate:
    """Checks whether calls may use their routes.

    `enabled`: False switches security off (API3_SECURITY_ENABLE). `require_https`: refuse requests that came unencrypted from
    another machine. `timestamp_rule`: whether calls must carry the client's time. `tolerance`: minutes by which a client's
    clock may be off in either direction, inclusive. `api_secret_enabled`: whether administration accepts API_SECRET.
    `local_origins`: the origins whose pages may call while security is switched off on a loopback address; None otherwise.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        safeguard: Safeguard,
        bearers: AccessTokens,
        devices: DeviceAuthentication | None,
        *,
        enabled: bool = True,
        require_https: bool = True,
        timestamp_rule: TimestampRule = "required",
        tolerance: float = 5,
        api_secret_enabled: bool = True,
        local_origins: Sequence[str] | None = None,
    ) -> None:
        self._authenticator, self._safeguard, self._bearers, self._devices = authenticator, safeguard, bearers, devices
        self._enabled, self._require_https = enabled, require_https
        self._timestamp_rule, self._tolerance = timestamp_rule, tolerance * 60_000
        self._api_secret_enabled, self._local_origins = api_secret_enabled, local_origins

    async def admit(self, caller: Caller, access: Access) -> None:
        """Check everything that the route demands, and set the caller's `principal` and `identity`.

        Raises BadRequest, Unauthorized, Forbidden, TooManyRequests; SignInNeeded for a page; StorageUnavailable while subjects
        could not be loaded yet.
        """
        if not self._enabled:
            self._check_local(caller)
            caller.principal = ANYBODY
            return
        if self._require_https and not caller.secure:
            raise NotSecure
        if access.page:
            await self._admit_person(caller, access)
        elif access.public:
            return
        elif access.administration:
            await self._admit_administrator(caller, access)
        else:
            caller.identity = await (self._device(caller, access) if access.device else self._identify(caller, access))
            caller.principal = caller.identity.principal
            if caller.identity.bearer is not None:
                self._bearers.touch(caller.identity.bearer)
            access.check(caller)
        if (access.page or not caller.is_safe) and caller.identity is not None and caller.identity.session is not None:
            await self._safeguard.check(caller, caller.identity.session, access)

    async def _admit_person(self, caller: Caller, access: Access) -> None:
        """Set whose session the call carries. A public page is for those without one, too."""
        if not caller.is_safe and caller.is_foreign:
            raise ForeignPage
        value = caller.session
        try:
            if value is None:
                raise SignInNeeded
            key = session_key(value)
            known = self._authenticator.recall(key)
            if known is None or not _holds(known, dated=True):
                known = await self._authenticator.identify(Credential(value, "session", caller.address))
                self._authenticator.remember(key, known)
        except SignInNeeded:
            if access.public:
                return
            raise
        caller.identity, caller.principal = known, known.principal
        access.check(caller)

    def _check_local(self, caller: Caller) -> None:
        """Refuse requests from elsewhere while security is off: a proxy or a web page could otherwise forward anybody's."""
        reason = None if self._local_origins is None else caller.foreign(self._local_origins)
        if reason is not None:
            raise Forbidden(f"Security is switched off, so only programs on this machine are answered: {reason}")

    async def _admit_administrator(self, caller: Caller, access: Access) -> None:
        try:
            caller.identity = await self._authenticate(caller, api_secret=self._api_secret_enabled)
            caller.principal = caller.identity.principal
            access.check(caller)
        except (Unauthorized, MissingPermission) as error:
            raise AdministrationRefused from error

    def _is_dated(self, caller: Caller) -> bool:
        """Return False when the client's time is required but missing. Raises Unauthorized for a malformed or wrong one."""
        if self._timestamp_rule == "off":
            return True
        sent = caller.timestamp()
        if not sent:
            return self._timestamp_rule == "optional"
        try:
            moment = _moment(sent) if len(sent) <= _LONGEST_REMEMBERED else _parsed(sent)
        except ValueError as error:
            raise Unauthorized(messages.BAD_DATE) from error
        if abs(timestamps.now() - moment) > self._tolerance:
            raise Unauthorized(messages.DATE_OUT_OF_TOLERANCE)
        return True

    async def _device(self, caller: Caller, access: Access) -> Identity:
        """Return the device whose secret the call carries, or whose credential it carries instead."""
        secret = None if self._devices is None else caller.device_secret()
        try:
            if self._devices is None or secret is None:
                return await self._identify(caller, access)
            return await self._devices.identify(secret)
        except Unauthorized as error:
            error.headers = (*error.headers, BASIC)
            raise

    async def _identify(self, caller: Caller, access: Access) -> Identity:
        """Return whose credential the call carries. A header that was verified is not verified again until it expires."""
        dated = not access.timestamp or caller.session is not None or self._is_dated(caller)
        header = caller.authorization()
        if header is None:
            return await self._authenticate(caller, dated=dated)
        known = self._authenticator.recall(header)
        if known is not None and _holds(known, dated):
            return known
        identity = await self._authenticate(caller, dated=dated)
        self._authenticator.remember(header, identity)
        return identity

    async def _authenticate(self, caller: Caller, *, dated: bool = True, api_secret: bool = False) -> Identity:
        try:
            credential = caller.credential(api_secret=api_secret)
        except BadRequest:
            if dated:
                raise
            credential = None  # the missing time is reported first
        if credential is None:
            raise MissingToken if dated else MissingTimestamp
        return await self._authenticator.identify(credential, dated=dated)


def _holds(known: Identity, dated: bool) -> bool:
    """Whether a remembered identity has not expired, and the call carries the time if its subject must send it."""
    if known.expires is not None and time.time() >= known.expires:
        return False
    return dated or known.principal.timestamp == "optional"


def _parsed(sent: bytes | str) -> int:
    """Return a client's timestamp in ms since 1970. Raises ValueError."""
    return timestamps.parse(sent.decode("latin-1") if isinstance(sent, bytes) else sent).ms


_moment = lru_cache(maxsize=1024)(_parsed)
"""`_parsed` with a cache: all requests within a second send the same Date header."""
_LONGEST_REMEMBERED = 64
"""Most characters of a timestamp that is cached; valid ones are shorter."""
