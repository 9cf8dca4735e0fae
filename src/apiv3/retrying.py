"""Retry transactions that the database rolled back because of a conflict with another one."""

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
"""The most seconds before each further attempt. A random part of them is waited, so that two transactions do not meet again."""


def retried(transaction: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Decorate a coroutine function: call it again after a TransactionConflict, once for each of PAUSES.

    `transaction` must start from scratch each time, since its changes were rolled back. Raises the last TransactionConflict,
    which clients see as 503.
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
