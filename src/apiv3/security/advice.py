"""Warnings about roles and subjects that may be stored, but are probably a mistake or grant more than they seem to."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from difflib import SequenceMatcher, get_close_matches
from itertools import islice

from apiv3.model.identity import Role, Subject
from apiv3.security.permissions import Demand, Permission

MOST, MOST_EXAMINED = 10, 100
"""Most warnings about one role, and the most of its permissions that are examined."""
_MOST_NAMES = 8
"""Most permissions that are listed in one warning."""


def on_subject(subject: Subject, default_roles: Collection[str]) -> list[str]:
    """Return warnings about a subject, as sentences. `default_roles`: the roles that every subject has."""
    if subject.roles or default_roles:
        return []
    return [f"the subject {subject.name!r} has no roles, so it may neither read nor write anything"]


def on_role(role: Role, demands: Sequence[Demand]) -> list[str]:
    """Return warnings about a role, as sentences. `demands`: all demands of the server."""
    if not role.permissions:
        return [f"the role {role.name!r} has no permissions, so it grants nothing"]
    examined = islice(dict.fromkeys(role.permissions), MOST_EXAMINED)
    return list(islice((each for text in examined for each in _on_permission(text, demands)), MOST))


def on_stored_roles(roles: Sequence[Role], demands: Sequence[Demand]) -> list[str]:
    """Sentences for whoever starts the server: what roles hold that can never grant anything. Malformed permissions are left
    out, since they are reported when the roles are loaded.
    """
    return list(islice(_unmatched(roles, demands), MOST))


def _unmatched(roles: Sequence[Role], demands: Sequence[Demand]) -> Iterator[str]:
    for role in roles:
        for text in islice(dict.fromkeys(role.permissions), MOST_EXAMINED):
            try:
                parts = Permission.parse(text).parts
            except ValueError:
                continue
            if not any(_meets(parts, demand) for demand in demands):
                yield f"a permission of the role {role.name!r} grants nothing: {_no_match(text, parts, demands)}"


def _on_permission(text: str, demands: Sequence[Demand]) -> Iterator[str]:
    parts = Permission.parse(text).parts
    met = [demand for demand in demands if _meets(parts, demand)]
    if not met:
        yield _no_match(text, parts, demands)
        return
    for place, words in enumerate(parts[:3] if _is_of_documents(met[0]) else parts):
        known = {demand.parts[place] for demand in demands if len(demand.parts) > place and _meets(parts, demand, place)}
        for word in sorted(words - known - {""}) if "*" not in words else ():
            nearest = get_close_matches(word, sorted(known), 1, cutoff=0)[0]
            yield f"{word!r} in {text!r} matches nothing that this server demands; the nearest is {nearest!r}"
    if text != "*" and any(len(demand.parts) > len(parts) for demand in met):
        names = [demand.name for demand in met]
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        yield f"{text!r} includes {', '.join(names[:_MOST_NAMES])}{more}"


def _no_match(text: str, parts: Sequence[Collection[str]], demands: Sequence[Demand]) -> str:
    return f"{text!r} matches nothing that this server demands; the nearest is {_nearest(text, parts, demands)!r}"


def _meets(parts: Sequence[Collection[str]], demand: Demand, free: int = -1) -> bool:
    """Whether a permission of these parts overlaps with a demand; the part at index `free` is ignored."""
    for place, (words, wanted) in enumerate(zip(parts, demand.parts, strict=False)):
        if place != free and "*" not in words and wanted not in words:
            return False
    further = parts[len(demand.parts) + _is_of_documents(demand) :]
    return all("*" in words for words in further)


def _is_of_documents(demand: Demand) -> bool:
    """Whether a permission for this demand may be limited to one document by a further part."""
    return demand.parts[0] == "api" and demand.parts[2] != "admin"


def _nearest(text: str, parts: Sequence[Collection[str]], demands: Sequence[Demand]) -> str:
    """Return the demand whose name is most similar to the text, with the wildcards of the text kept."""
    names = []
    for demand in demands:
        starred = ["*" if "*" in words else word for words, word in zip(parts, demand.parts, strict=False)]
        names.append(":".join([*starred, *demand.parts[len(starred) :]]))
    return max(names, key=lambda name: SequenceMatcher(None, name, text.lower()[:100]).ratio())
