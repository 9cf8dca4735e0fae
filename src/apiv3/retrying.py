"""Run a transaction again that the database ended for the sake of another one."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from apiv3.model.errors import TransactionConflict

P = ParamSpec("P")
T = TypeVar("T")

PAUSES = (0.01, 0.02, 0.05, 0.1, 0.2)
"""The most seconds before each further attempt; a part of them is taken at random, so that two do not meet again."""


def retried(transaction: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """A function that calls `transaction` again after a TransactionConflict, at most as often as there are PAUSES.

    `transaction` must start anew each time: what it changed is undone by then. Raises the last TransactionConflict, which
    callers see as 503.
    """

    @wraps(transaction)
    async def attempt(*args: P.args, **options: P.kwargs) -> T:
        for pause in PAUSES:
            try:
                return await transaction(*args, **options)
            except TransactionConflict:
                await asyncio.sleep(pause * random.random())  # noqa: S311 (no secret)
        return await transaction(*args, **options)

    return attempt
