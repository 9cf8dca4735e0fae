"""What some scopes allow, in words for the person who decides."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from apiv3.model.grants import Scopes
from apiv3.security.demands import ACKNOWLEDGE
from apiv3.security.oauth2.scopes import OFFLINE, ScopeTable
from apiv3.security.permissions import Demand, PermissionSet

_VERBS = {"read": "read", "create": "add", "update": "change", "delete": "delete"}
_THINGS = {
    "entries": "glucose entries",
    "treatments": "treatments",
    "devicestatus": "the status of devices",
    "profile": "profiles",
    "food": "foods",
    "settings": "settings of apps",
}
_NOUNS = {
    "subjects": "apps and their tokens",
    "roles": "roles",
    "users": "people",
    "clients": "applications",
    "sessions": "who is signed in",
    "failures": "failed sign-ins",
    "audit": "the audit trail",
    "state": "the state of the server",
    "permissions": "permissions",
}


class ScopeWords:
    """Says what scopes allow. `demands`: everything that the server demands anywhere."""

    def __init__(self, scopes: ScopeTable, demands: Iterable[Demand]) -> None:
        self._scopes, self._demands = scopes, tuple(demands)

    def sentences(self, scopes: Scopes) -> list[str]:
        """Return sentences about what an application with these scopes can do, and what it cannot."""
        ceiling = self._scopes.ceiling(scopes)
        return [*self._data(ceiling), *self._administration(ceiling), *_others(ceiling, scopes), *self._limits(ceiling)]

    def exceeds(self, scopes: Scopes, granted: PermissionSet) -> bool:
        """Whether scopes allow something that the person's own roles do not grant."""
        ceiling = self._scopes.ceiling(scopes)
        return any(ceiling.satisfies(demand) and not granted.satisfies(demand) for demand in self._demands)

    def _data(self, ceiling: PermissionSet) -> Iterator[str]:
        """Yield a sentence for all collections that allow the same."""
        groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
        collections = self._collections()
        for name in collections:
            verbs = tuple(verb for action, verb in _VERBS.items() if ceiling.satisfies(Demand.of("api", name, action)))
            if verbs:
                groups[verbs].append(name)
        for verbs, names in groups.items():
            everything = f"all data: {_listed([_THINGS.get(name, name) for name in names])}"
            things = everything if len(names) == len(collections) else _listed([_THINGS.get(name, name) for name in names])
            yield f"{_listed(verbs).capitalize()} {things}."

    def _administration(self, ceiling: PermissionSet) -> Iterator[str]:
        reads, changes = [], []
        for kind, noun in _NOUNS.items():
            allowed = [
                each.parts[-1] for each in self._demands if each.parts[:3] == ("admin", "api", kind) and ceiling.satisfies(each)
            ]
            if set(allowed) - {"read", "list"}:
                changes.append(noun)
            elif allowed:
                reads.append(noun)
        if changes:
            yield f"Administer this server: {_listed(changes)}."
        if reads:
            yield f"See, of the administration, {_listed(reads)}."

    def _limits(self, ceiling: PermissionSet) -> Iterator[str]:
        allowed = {each.parts[-1] for each in self._demands if ceiling.satisfies(each)}
        if not allowed - {"read", "list"}:
            yield "It cannot change anything."
        if not allowed & {"read", "list"}:
            yield "It cannot read anything."

    def _collections(self) -> Sequence[str]:
        order = [*_THINGS, *(each.parts[1] for each in self._demands if each.parts[0] == "api")]
        known = {each.parts[1] for each in self._demands if each.parts[0] == "api"}
        return [name for name in dict.fromkeys(order) if name in known]


def _others(ceiling: PermissionSet, scopes: Scopes) -> Iterator[str]:
    if ceiling.satisfies(ACKNOWLEDGE):
        yield "Silence alarms."
    if OFFLINE in scopes:
        yield "Go on when you are not there, until you withdraw it."


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
