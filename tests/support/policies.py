"""A store of subjects and roles in memory."""

import asyncio
from contextlib import AbstractAsyncContextManager

from apiv3.model.identity import Subject
from apiv3.storage.contracts import Policy, PolicyWriter

PHONE = Subject("a" * 24, "phone", ("readable",))


class SlowStore:
    """`slow`: who asks is told what is held now, but not before `told` is set. `asked`: somebody was slow."""

    def __init__(self, held: Policy) -> None:
        self.held = held
        self.slow = False
        self.asked, self.told = asyncio.Event(), asyncio.Event()

    async def load(self) -> Policy:
        held = self.held
        if self.slow:
            self.asked.set()
            await self.told.wait()
        return held

    async def revision(self) -> int:
        return self.held.revision

    def changing(self) -> AbstractAsyncContextManager[PolicyWriter]:
        raise NotImplementedError
