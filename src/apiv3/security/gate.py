"""The gate round every route. The order of its checks is the wire contract's, section 1:

    security switched off? -> HTTPS -> timestamp -> credential -> permission

Whatever it refuses, it refuses before the body is read or anything is looked up.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal
from urllib.parse import unquote

from apiv3.model import timestamps
from apiv3.model.errors import (
    AdministrationRefused,
    BadRequest,
    MissingPermission,
    MissingToken,
    NotSecure,
    Unauthorized,
)
from apiv3.security.authenticator import Authenticator, Credential, Identity, Source
from apiv3.security.calls import Call
from apiv3.security.permissions import Demand
from apiv3.security.principal import ANYBODY, Principal
from apiv3.security.proxies import Proxies

TimestampRule = Literal["required", "optional", "off"]
_BEARER = "bearer"


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

    def check(self, principal: Principal, params: tuple[bytes, ...]) -> None:
        """Raises MissingPermission when the principal holds none of what the route could need."""
        if self in principal.admitted:
            return
        if not self.demands or any(principal.allows(demand) for demand in self.demands):
            principal.admitted.add(self)
            return
        if self.instance:
            document = unquote(params[-1])
            names = [document, *(document.removesuffix(ending) for ending in self.endings if document.endswith(ending))]
            if any(principal.allows(demand.on(name)) for demand in self.demands for name in names):
                return
        raise MissingPermission(self.demands[0].name)


class Gate:
    """Admits calls. `tolerance`: minutes that a client's clock may be off, either way, bounds included."""

    def __init__(
        self,
        authenticator: Authenticator,
        proxies: Proxies,
        *,
        enabled: bool = True,
        require_https: bool = True,
        timestamp_rule: TimestampRule = "required",
        tolerance: float = 5,
        api_secret_enabled: bool = True,
    ) -> None:
        self._authenticator, self._proxies = authenticator, proxies
        self._enabled, self._require_https = enabled, require_https
        self._timestamp_rule, self._tolerance = timestamp_rule, tolerance * 60_000
        self._api_secret_enabled = api_secret_enabled

    def locate(self, call: Call) -> None:
        """Find out where the call comes from and whether nobody could listen in."""
        call.origin = self._proxies.origin(call.scope["scheme"], call.address, call.headers)
        call.address = call.origin.address

    async def admit(self, call: Call, access: Access) -> None:
        """Check everything that the route demands, and note who is calling. Raises Unauthorized, Forbidden, BadRequest."""
        if not self._enabled:
            call.principal = ANYBODY
            return
        if self._require_https and not call.origin.secure:
            raise NotSecure
        if access.public:
            return
        if access.administration:
            await self._admit_administrator(call, access)
            return
        if access.timestamp:
            self._check_timestamp(call)
        call.identity = self._recall(call) or await self._authenticate(call)
        call.principal = call.identity.principal
        access.check(call.principal, call.params)

    async def _admit_administrator(self, call: Call, access: Access) -> None:
        try:
            call.identity = await self._authenticate(call, api_secret=self._api_secret_enabled)
            call.principal = call.identity.principal
            access.check(call.principal, call.params)
        except (Unauthorized, MissingPermission) as error:
            raise AdministrationRefused from error

    def _check_timestamp(self, call: Call) -> None:
        if self._timestamp_rule == "off":
            return
        sent = call.headers.get(b"date") or call.query.one("now")
        if not sent:
            if self._timestamp_rule == "optional":
                return
            raise Unauthorized("Missing Date header")
        try:
            moment = _moment(sent)
        except ValueError as error:
            raise Unauthorized("Bad Date header") from error
        if abs(timestamps.now() - moment) > self._tolerance:
            raise Unauthorized("Date header out of tolerance")

    def _recall(self, call: Call) -> Identity | None:
        """Who sent this header before, if it is the only credential, and still good."""
        known = self._authenticator.known.get(call.headers.get(b"authorization", b""))
        if known is None or (known.expires is not None and time.time() >= known.expires):
            return None
        return None if call.scope["query_string"] and call.query.all("token") else known

    async def _authenticate(self, call: Call, *, api_secret: bool = False) -> Identity:
        credential = find_credential(call, api_secret=api_secret)
        if credential is None:
            raise MissingToken
        identity = await self._authenticator.identify(credential)
        if credential.source == "header":
            self._authenticator.remember(call.headers[b"authorization"], identity)
        return identity


@lru_cache(maxsize=1024)
def _moment(sent: bytes | str) -> int:
    """A client's timestamp in ms; one that stands in a header is the same for a whole second. Raises ValueError."""
    return timestamps.parse(sent.decode("latin-1") if isinstance(sent, bytes) else sent).ms


def find_credential(call: Call, *, api_secret: bool = False) -> Credential | None:
    """The one credential of a call; an empty one is none. Raises BadRequest when there is more than one."""
    found: list[tuple[str, Source]] = []
    bearer = _bearer(call.header(b"authorization"))
    if bearer:
        found.append((bearer, "header"))
    found += [(token, "query") for token in call.query.all("token") if token]
    if api_secret and (digest := call.header(b"api-secret")):
        found.append((digest, "api-secret"))
    if len(found) > 1:
        raise BadRequest("More than one credential")
    return Credential(*found[0], call.address) if found else None


def _bearer(header: str | None) -> str | None:
    if not header:
        return None
    scheme, _, secret = header.partition(" ")
    return secret.strip() if scheme.lower() == _BEARER else None
