"""Who receives what: subscriptions that were authorised, for as long as they are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from apiv3.live.connections import Member
from apiv3.model.errors import BadRequest, Unauthorized
from apiv3.security.authenticator import Authenticator, Credential, Identity
from apiv3.security.permissions import Demand
from apiv3.security.policy import Policies
from apiv3.security.principal import ANYBODY, Principal

LONGEST_TOKEN = 4096
_NOT_GOOD = "Missing or bad accessToken"


@dataclass(eq=False, slots=True)
class Subscription:
    """What a member receives by right of an identity: that which it demanded. `task`: what brings it there, if anything."""

    member: Member
    identity: Identity
    demands: tuple[Demand, ...]
    principal: Principal
    timer: asyncio.TimerHandle | None = None
    task: asyncio.Task[None] | None = field(default=None, repr=False)

    def end(self) -> None:
        """Nothing is received any more."""
        self.member.busy = False
        for running in (self.timer, self.task):
            if running is not None:
                running.cancel()


class Audience:
    """The subscriptions in one namespace. Whoever loses a right that a subscription needs is put out of the namespace.

    That happens as soon as this process knows of it, which takes a second at the most: when the subject is removed or gets
    another token, when its roles change, and when the JWT expires that it subscribed with.
    """

    def __init__(self, authenticator: Authenticator, policies: Policies, *, enabled: bool = True) -> None:
        self._authenticator, self._policies, self._enabled = authenticator, policies, enabled
        self._subscriptions: dict[Member, Subscription] = {}
        policies.on_change.append(self._check_all)

    async def identify(self, member: Member, token: object) -> Identity:
        """Whose access token or JWT it is. Raises Unauthorized, TooManyRequests."""
        if not self._enabled:
            return Identity(ANYBODY, "")
        if not isinstance(token, str) or not token or len(token) > LONGEST_TOKEN:
            raise Unauthorized(_NOT_GOOD)
        try:
            return await self._authenticator.identify(Credential(token, "message", member.address))
        except Unauthorized as error:
            raise Unauthorized(_NOT_GOOD) from error

    def admit(self, member: Member, identity: Identity, demands: Sequence[Demand]) -> Subscription:
        """Subscribe the member, in the place of what it has subscribed to before. Raises Unauthorized, MissingPermission."""
        principal = self._current(identity)
        if principal is None:  # gone since it was identified
            raise Unauthorized(_NOT_GOOD)
        for demand in demands:
            principal.demand(demand)
        if member.gone:
            raise BadRequest("Subscribed and left")
        self.end(member)
        subscription = Subscription(member, identity, tuple(demands), principal)
        if identity.expires is not None:
            loop = asyncio.get_running_loop()
            subscription.timer = loop.call_later(max(0, identity.expires - time.time()), member.expel)
        self._subscriptions[member] = subscription
        member.busy = True
        return subscription

    def of(self, member: Member) -> Subscription:
        """What the member has subscribed to. Raises Unauthorized when there is nothing."""
        try:
            return self._subscriptions[member]
        except KeyError:
            raise Unauthorized("Not subscribed") from None

    def end(self, member: Member) -> None:
        """The member, if it has subscribed, receives nothing any more."""
        subscription = self._subscriptions.pop(member, None)
        if subscription is not None:
            subscription.end()

    def send(self, packet: str) -> None:
        """The same packet for everybody."""
        for member in tuple(self._subscriptions):
            member.send(packet)

    def _check_all(self) -> None:
        for subscription in list(self._subscriptions.values()):
            principal = self._current(subscription.identity)
            if principal is None or not all(map(principal.allows, subscription.demands)):
                subscription.member.expel()
            else:
                subscription.principal = principal

    def _current(self, identity: Identity) -> Principal | None:
        return self._policies.current.find(identity.access_token) if self._enabled else identity.principal
