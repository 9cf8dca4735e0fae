"""Subscriptions to Socket.IO namespaces: authorize them, and end them when the right to them is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from apiv3.live.connections import Member
from apiv3.model.errors import BadRequest, Unauthorized
from apiv3.security.authenticator import Authenticator
from apiv3.security.credentials import Credential, Identity
from apiv3.security.lasting import LastingRights
from apiv3.security.permissions import Demand
from apiv3.security.policy import Policies
from apiv3.security.principal import ANYBODY, Principal

LONGEST_TOKEN = 4096
_NOT_GOOD = "Missing or bad accessToken"


@dataclass(eq=False, slots=True)
class Admission:
    """A member's subscription. `identity`: by whose right it exists. `task`: the task that sends, if there is one."""

    identity: Identity
    rights: ExitStack = field(default_factory=ExitStack, repr=False)
    task: asyncio.Task[None] | None = field(default=None, repr=False)

    def end(self) -> None:
        """End the subscription."""
        self.rights.close()
        if self.task is not None:
            self.task.cancel()


def wish(arguments: Sequence[Any]) -> Mapping[str, Any]:
    """Return the object that a `subscribe` event sends. Raises BadRequest when there is none."""
    match arguments:
        case [dict(asked), *_]:
            return asked
    raise BadRequest("Bad subscription: it must be an object with accessToken")


class Audience:
    """The subscriptions in one namespace. A member that loses a permission that its subscription needs is expelled.

    This happens within a second after the subject was removed, got a new token, or its roles changed, and when the JWT that it
    subscribed with expires. `enabled`: False while security is switched off.
    """

    def __init__(
        self, authenticator: Authenticator, policies: Policies, rights: LastingRights, *, enabled: bool = True
    ) -> None:
        self._authenticator, self._policies, self._rights, self._enabled = authenticator, policies, rights, enabled
        self._admissions: dict[Member, Admission] = {}

    def __bool__(self) -> bool:
        """Whether there are any subscriptions."""
        return bool(self._admissions)

    async def identify(self, member: Member, token: object) -> Identity:
        """Return the owner of a token, or without one of the session that the member's page connected with.

        Raises Unauthorized, TooManyRequests.
        """
        if not self._enabled:
            return Identity(ANYBODY, "")
        credential = member.credential
        if token or credential is None:
            if not isinstance(token, str) or not token or len(token) > LONGEST_TOKEN:
                raise Unauthorized(_NOT_GOOD)
            credential = Credential(token, "message", member.address)
        try:
            return await self._authenticator.identify(credential)
        except Unauthorized as error:
            raise Unauthorized(_NOT_GOOD) from error

    def admit(self, member: Member, identity: Identity, demands: Sequence[Demand]) -> Admission:
        """Subscribe a member, in place of an earlier subscription. Raises Unauthorized when it has already left or lost its
        right.
        """
        self.end(member)
        admission = Admission(identity)
        if not member.gone:
            self._admissions[member] = admission
            member.busy = True
            holder = identity if self._enabled else None
            admission.rights.enter_context(self._rights.hold(holder, demands, member.expel))
        if member.gone:  # it left, or its rights are lost already
            admission.end()
            raise Unauthorized(_NOT_GOOD)
        return admission

    def demand(self, member: Member, demand: Demand) -> Principal:
        """Return the principal of a member. Raises Unauthorized if it has not subscribed, MissingPermission if it lacks
        `demand`.
        """
        admission = self._admissions.get(member)
        if admission is None:
            raise Unauthorized("Not subscribed")
        principal = admission.identity.principal
        if self._enabled:
            principal = self._policies.current.find(admission.identity.access_token) or principal
        principal.demand(demand)
        return principal

    def end(self, member: Member) -> None:
        """End the member's subscription, if it has one."""
        admission = self._admissions.pop(member, None)
        if admission is not None:
            member.busy = False
            admission.end()

    def send(self, packet: str) -> None:
        """Send a packet to all subscribers."""
        for member in tuple(self._admissions):
            member.send(packet)
