"""What schemathesis has to be told: what some formats are, what time it is, and which refusals no schema can foresee.

It loads this file by itself, as schemathesis.toml says.
"""

import string
import time
from typing import Any

import schemathesis
from hypothesis import strategies as st
from schemathesis.core.failures import Failure
from schemathesis.core.transport import Response

ROLES = st.sampled_from(["readable", "careportal", "denied"])
PERMISSIONS = st.sampled_from(["api:entries:read", "*:*:read", "api:treatments:create,update"])
PATTERNS = st.from_regex(r"(\(\?i\))?[a-z0-9 .]{0,20}(\[a-z\]|\\d)?[*+?]?", fullmatch=True)
PRINTABLE = st.text(string.ascii_letters + "é ", min_size=1, max_size=200).map(str.strip).filter(bool)
ADDRESSES = st.from_regex(r"[a-z][a-z0-9]{0,9}@[a-z]{1,9}\.example", fullmatch=True)

schemathesis.openapi.format("address", ADDRESSES)
schemathesis.openapi.format("re2", PATTERNS)
schemathesis.openapi.format("printable", PRINTABLE)
schemathesis.openapi.format("short", st.text(string.ascii_letters, min_size=1, max_size=100))
schemathesis.openapi.format("role", ROLES)
schemathesis.openapi.format("roles", st.lists(ROLES).map(" ".join))
schemathesis.openapi.format("permission", PERMISSIONS)
schemathesis.openapi.format("permissions", st.lists(PERMISSIONS).map(" ".join))

for kind, texts in {
    "redirect": st.sampled_from(["https://app.example/cb", "http://127.0.0.1/cb", "com.example.app:/cb"]),
    "scope": st.sampled_from(["read", "write", "offline_access", "api:entries:read"]),
    "grant": st.just("refresh_token"),  # which others fit depends on the other fields
}.items():
    schemathesis.openapi.format(kind, texts)
    schemathesis.openapi.format(f"{kind}s", st.lists(texts).map(" ".join))

LINES = "application/x-ndjson"
"""On the wire it is a text, whatever it was made from; a line that is no document is refused alone, with 200 for them all."""
schemathesis.serializer.alias(LINES, "text/plain")

STATES = {410, 412, 422}
"""Deleted; changed meanwhile; read-only: refusals that depend on what is stored."""

NAMES = {"/api/v3/{collection}/bulk"}
"""With another method than the described one, they are about a document of that name."""
METHODS = {"Wrong response to undeclared method", "Allow header mismatch"}


@schemathesis.hook
def before_call(_context: Any, case: schemathesis.Case[Any], _kwargs: Any) -> None:
    """The time goes into each request; what was made up for it would only ever be refused."""
    case.headers["Date"] = str(time.time_ns() // 1_000_000)


@schemathesis.hook
def filter_failure(_context: Any, failure: Failure, case: schemathesis.Case[Any], response: Response) -> bool:
    """Keep a failure, unless the answer is what the protocol demands here, to the letter."""
    if failure.title == "Schema-valid request rejected":
        return not (response.status_code in STATES or _unforeseeable(_told(response)))
    if failure.title == "Schema-violating request accepted":
        # Properties that no schema names are ignored, whatever they hold, even deeper than a schema of values says.
        return not (case.media_type == LINES or "at /additionalProperties/anyOf/" in failure.message)
    if failure.title in METHODS and case.operation.path in NAMES:
        return False
    if failure.title == "Wrong response to undeclared method":
        return _told(response) != {"status": 404, "message": "Bad operation or collection"}
    return True


def _unforeseeable(told: dict[str, Any]) -> bool:
    """What depends on the stored document, or on two parameters at once; and what the tool makes up itself, where it has
    followed a schema of values within values far enough: integers of any size."""
    message, about = str(told.get("message")), str(told.get("description"))
    changed = message.startswith("Field ") and message.endswith(" cannot be modified by the client")
    changed |= message == "Field public cannot be changed: register another application"
    changed |= message == "This public key is in use, or was: make another one" or message.startswith("Bad expires: ")
    combined = message == "Parameters sort and sort_desc cannot be combined"
    return changed or combined or (about.startswith("the integer ") and about.endswith(" does not fit into 64 bits"))


def _told(response: Response) -> dict[str, Any]:
    try:
        told = response.json()
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
