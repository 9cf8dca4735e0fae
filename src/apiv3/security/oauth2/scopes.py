"""Scopes: what a token allows at most. Each stands for permissions; a permission is a scope as well.

A scope only narrows: a token allows what the roles of its subject grant and its scopes allow, at each request.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from apiv3.model.errors import OAuth2Error
from apiv3.model.grants import Scopes
from apiv3.model.logins import Permissions
from apiv3.security.permissions import Demand, Permission, PermissionSet, check_meant

OFFLINE = "offline_access"
"""The scope with which a client gets refresh tokens. It allows nothing else."""
NAMED: Mapping[str, tuple[str, ...]] = {
    "read": ("api:*:read",),
    "write": ("api:*:create,update,delete",),
    "execute": ("api:*:admin", "notifications:*:ack", "admin:*"),
}
"""The scopes of the seed's table with the permissions that they stand for: the default of OAUTH_SCOPES."""
MOST, LONGEST = 50, 2000
"""Most scopes of a request, and most characters of all of them together."""
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+", re.ASCII)
"""`scope-token` of RFC 6749, section 3.3."""


class ScopeTable:
    """The scopes that this server knows: each with the permissions that it stands for, as `texts` and compiled (`named`)."""

    def __init__(self, named: Mapping[str, Iterable[str]] = NAMED) -> None:
        self.texts = {name: tuple(texts) for name, texts in named.items()} | {OFFLINE: ()}
        self.named = {name: tuple(map(Permission.parse, texts)) for name, texts in named.items()} | {OFFLINE: ()}
        self.ceiling = lru_cache(maxsize=1024)(self._ceiling)
        """Return the permissions that some scopes allow together. Cached, since few combinations are in use."""

    def parse(self, text: str) -> Scopes:
        """Return the scopes of a text, each once and in order. Raises OAuth2Error `invalid_scope`."""
        scopes = tuple(sorted(set(filter(None, text.split(" ")))))
        if len(text) > LONGEST or len(scopes) > MOST:
            raise OAuth2Error("invalid_scope", f"At most {MOST} scopes of {LONGEST} characters together")
        for scope in scopes:
            self.check(scope)
        return scopes

    def check(self, scope: str) -> None:
        """Raise OAuth2Error `invalid_scope` for a scope that is neither a name of the table nor a permission."""
        if scope in self.named:
            return
        try:
            if ":" not in scope or _SCOPE.fullmatch(scope) is None:
                raise ValueError("no permission")
            check_meant(scope)
        except ValueError as error:
            names = ", ".join(self.named)
            raise OAuth2Error("invalid_scope", f"Unknown scope; there are {names}, and permissions") from error

    def chosen(self, text: str | None, most: Scopes) -> Scopes:
        """Return the scopes that are asked for; all of `most` when none are. Raises OAuth2Error `invalid_scope` for more."""
        asked = self.parse(text or "")
        if not asked:
            return most
        if not self.covers(most, asked):
            raise OAuth2Error("invalid_scope", "The client may not ask for all of these scopes")
        return asked

    def covers(self, most: Scopes, asked: Scopes) -> bool:
        """Whether some scopes include all that others allow."""
        ceiling = self.ceiling(most)
        return all(scope in most or (scope not in self.named and ceiling.implies(Permission.parse(scope))) for scope in asked)

    def permissions(self, scopes: Scopes) -> Permissions:
        """Return what some scopes allow together, as texts."""
        return tuple(
            dict.fromkeys(text for scope in scopes for text in self.texts.get(scope, (scope,) if ":" in scope else ()))
        )

    def allowing(self, demand: Demand) -> Scopes:
        """Return the scopes that allow what is demanded, each by itself; the permission itself if no name does."""
        names = [name for name, owned in self.named.items() if any(each.satisfies(demand) for each in owned)]
        return tuple(names) or (demand.name,)

    def _ceiling(self, scopes: Scopes) -> PermissionSet:
        return PermissionSet(permission for scope in scopes for permission in self._permissions(scope))

    def _permissions(self, scope: str) -> Iterable[Permission]:
        """Return what a scope allows. One that was removed from the table since allows nothing."""
        if scope in self.named:
            return self.named[scope]
        return (Permission.parse(scope),) if ":" in scope else ()
