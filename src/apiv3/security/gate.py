"""The gate round every route. The order of its checks is that of the protocol (docs/reference/protocol.md, section 1):

    security switched off? -> HTTPS -> timestamp -> credential -> permission

Some subjects are excused from the timestamp. So whether a missing one matters is decided once the credential is known; who
is not excused cannot tell that from a refusal before it.

Whatever it refuses, it refuses before the body is read or anything is looked up.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol

from apiv3.model import messages, timestamps
from apiv3.model.errors import (
    AdministrationRefused,
    BadRequest,
    Forbidden,
    MissingPermission,
    MissingTimestamp,
    MissingToken,
    NotSecure,
    Unauthorized,
)
from apiv3.security.authenticator import Authenticator
from apiv3.security.credentials import Credential, Identity
from apiv3.security.permissions import Demand
from apiv3.security.principal import ANYBODY, Principal

TimestampRule = Literal["required", "optional", "off"]


class Caller(Protocol):
    """What the gate asks of a request, whatever protocol brought it, and the two things that it notes there."""

    principal: Principal
    identity: Identity | None

    @property
    def secure(self) -> bool:
        """Whether nobody could listen in."""

    @property
    def document(self) -> str:
        """The identifier that the request names, on a route for one document."""

    def foreign(self, origins: Sequence[str]) -> str | None:
        """Why the request may not come from this machine alone; None when it does. `origins`: whose pages may send it."""

    def timestamp(self) -> bytes | str | None:
        """The client's time as it was sent. Raises BadRequest."""

    def authorization(self) -> bytes | None:
        """The header in which the only credential stands, as it was sent; None where that is not certain. Raises BadRequest."""

    def credential(self, *, api_secret: bool) -> Credential | None:
        """The one credential. `api_secret`: the header api-secret counts too. Raises BadRequest when there is more than one."""


@dataclass(frozen=True, eq=False, slots=True)
class Access:
    """Who may come in by a route.

    `demands`: it takes one of them; the first one is named in a refusal. None at all: whoever is known.
    `public`: nobody is asked who they are. `instance`: the route's last parameter is the document that is demanded.
    `endings`: what may follow the document's name in the path, such as `.csv`.
    `administration`: a route of /api/v2/authorization: no timestamp, API_SECRET will do, one refusal for everything.
    `timestamp`: whether the client's time is asked for; clients of event streams send none.
    """

    demands: tuple[Demand, ...] = ()
    public: bool = False
    instance: bool = False
    endings: tuple[str, ...] = ()
    administration: bool = False
    timestamp: bool = True

    def check(self, caller: Caller) -> None:
        """Raises MissingPermission when the caller's principal holds none of what the route could need."""
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
    """Admits calls. `tolerance`: minutes that a client's clock may be off, either way, bounds included.

    `local_origins`: where security is switched off on loopback, the origins whose pages may call; elsewhere None.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        *,
        enabled: bool = True,
        require_https: bool = True,
        timestamp_rule: TimestampRule = "required",
        tolerance: float = 5,
        api_secret_enabled: bool = True,
        local_origins: Sequence[str] | None = None,
    ) -> None:
        self._authenticator = authenticator
        self._enabled, self._require_https = enabled, require_https
        self._timestamp_rule, self._tolerance = timestamp_rule, tolerance * 60_000
        self._api_secret_enabled, self._local_origins = api_secret_enabled, local_origins

    async def admit(self, caller: Caller, access: Access) -> None:
        """Check everything that the route demands, and note who is calling. Raises Unauthorized, Forbidden, BadRequest."""
        if not self._enabled:
            self._check_local(caller)
            caller.principal = ANYBODY
            return
        if self._require_https and not caller.secure:
            raise NotSecure
        if access.public:
            return
        if access.administration:
            await self._admit_administrator(caller, access)
            return
        dated = not access.timestamp or self._is_dated(caller)
        caller.identity = await self._identify(caller, dated)
        caller.principal = caller.identity.principal
        access.check(caller)

    def _check_local(self, caller: Caller) -> None:
        """Without security, a proxy or a page in a browser here would open this server to everybody behind it."""
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
        """False where the client's time is demanded, but missing. Raises Unauthorized for one that is wrong."""
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

    async def _identify(self, caller: Caller, dated: bool) -> Identity:
        """Whose the only credential is; a header that was good a moment ago is remembered until it expires."""
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
            credential = None  # the missing time comes first
        if credential is None:
            raise MissingToken if dated else MissingTimestamp
        return await self._authenticator.identify(credential, dated=dated)


def _holds(known: Identity, dated: bool) -> bool:
    """Whether a remembered identity is good for this call."""
    if known.expires is not None and time.time() >= known.expires:
        return False
    return dated or known.principal.timestamp == "optional"


def _parsed(sent: bytes | str) -> int:
    """A client's timestamp in ms. Raises ValueError."""
    return timestamps.parse(sent.decode("latin-1") if isinstance(sent, bytes) else sent).ms


_moment = lru_cache(maxsize=1024)(_parsed)
"""The same; one that stands in a header is the same for a whole second."""
_LONGEST_REMEMBERED = 64
"""Characters of a timestamp that is remembered; one of a client that means well has less."""
