"""What a server's answer means to a program."""

from __future__ import annotations

import httpx

from apiv3.client.errors import Refused

LATER = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses after which the same request may be sent again."""
_ADVICE = {401: ". Use the access token of a subject there: on that machine `apiv3 subject show NAME` prints it."}


def refusal(answer: httpx.Response) -> Refused:
    """An answer that is neither success nor worth another attempt."""
    advice = _ADVICE.get(answer.status_code, "")
    return Refused(f"The server answers {answer.status_code}: {message(answer)}{advice}")


def message(answer: httpx.Response) -> str:
    """What an answer says in words; of one that is not this server's, the beginning."""
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return " ".join(answer.text[:200].split())
