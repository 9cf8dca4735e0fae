"""Log refusals that only the operator can fix, with their reason, in addition to the access log."""

from __future__ import annotations

import asyncio
import logging

from apiv3.model.errors import ApiError, NotSecure, StorageUnavailable
from apiv3.web.calls import Call
from apiv3.web.proxies import Proxies, is_proxied

INTERVAL = 60.0
"""Seconds within which a reason is logged only once; after that, the log says how often it occurred again."""
MOST_REASONS = 20
"""Most different reasons that are counted at a time; further ones are not logged."""

_log = logging.getLogger(__name__)


class Complaints:
    """Logs the reasons of 503 answers, and requests from proxies that TRUSTED_PROXIES does not name."""

    def __init__(self, proxies: Proxies) -> None:
        self._proxies = proxies
        self._counts: dict[str, int] = {}
        self._told_of_proxies = False

    def note(self, call: Call, error: ApiError) -> None:
        """Log a refusal if the operator should know about it, unless it was logged a moment ago."""
        if isinstance(error, StorageUnavailable) and error.reason:
            self._unavailable(error.reason)
        elif isinstance(error, NotSecure) and call.is_proxied and not self._told_of_proxies:
            self._refused_proxy(call)

    def _unavailable(self, reason: str) -> None:
        if reason in self._counts:
            self._counts[reason] += 1
        elif len(self._counts) < MOST_REASONS:
            self._counts[reason] = 0
            _log.warning("a request was answered with 503: %s", reason)
            asyncio.get_running_loop().call_later(INTERVAL, self._count, reason)

    def _count(self, reason: str) -> None:
        number = self._counts.pop(reason)
        if number:
            _log.warning("%d more requests were answered with 503 within %d seconds: %s", number, INTERVAL, reason)

    def _refused_proxy(self, call: Call) -> None:
        """Log this once: it stays the same for every request until a setting is changed."""
        peer = call.scope["client"][0] if call.scope.get("client") else ""
        names = ", ".join(name.decode("latin-1").title() for name in call.headers if is_proxied({name: b""}))
        self._told_of_proxies = True
        if not self._proxies.trusts(peer):
            _log.warning(
                "a request with %s was refused with 403 `Not using SSL/TLS`: it came from %s, which TRUSTED_PROXIES does not "
                "name. If that is your proxy, set TRUSTED_PROXIES=%s",
                names,
                peer,
                peer,
            )
        elif b"x-forwarded-proto" not in call.headers:
            _log.warning(
                "a request was refused with 403 `Not using SSL/TLS`: the proxy at %s, which is trusted, sends %s, but no "
                "X-Forwarded-Proto; it has to say https there",
                peer,
                names,
            )
        else:
            self._told_of_proxies = False  # the proxy has said that the client spoke plain HTTP
