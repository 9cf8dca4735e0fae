"""What the description says about an operation beyond what its route knows, as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from apiv3.model.errors import ApiError

Json = Mapping[str, Any]
JSON_TYPE = "application/json"


class Bounds(NamedTuple):
    """What the settings of an installation bound, as far as a client notices.

    `limit`: documents in an answer; `body`: bytes of a request; `bulk` and `bulk_body`: documents and bytes of one that holds
    many; `tolerance`: minutes that a clock may be off;
    `created_at_fallback`: whether `created_at` may stand in for `date`.
    """

    limit: int
    body: int
    bulk: int
    bulk_body: int
    tolerance: float
    created_at_fallback: bool


class Body(NamedTuple):
    """What an operation takes. `media`: type -> schema; `examples`: name -> a body that works, for the type of the same
    place; `many`: whether it holds many documents.
    """

    media: Mapping[str, Json]
    examples: Sequence[Mapping[str, Any]]
    refusals: tuple[str, ...] = ()
    many: bool = False

    @classmethod
    def of(cls, schema: str, examples: Mapping[str, Any], *refusals: str) -> Body:
        """One JSON value of a schema in the components."""
        return cls({JSON_TYPE: ref(schema)}, [examples], refusals)


class Reply(NamedTuple):
    """One way to succeed. `media`: type -> schema; `headers`: names in the components.

    `links`: operationId of what can be done next -> its parameters, out of the request and this reply.
    """

    description: str
    media: Mapping[str, Json] = {}
    headers: tuple[str, ...] = ()
    links: Mapping[str, Json] = {}

    @classmethod
    def of(cls, description: str, schema: str, *headers: str, links: Mapping[str, Json] = {}) -> Reply:
        """One JSON value of a schema in the components."""
        return cls(description, {JSON_TYPE: ref(schema)}, headers, links)


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """One thing that clients can ask for; routes that differ in the collection or the format alone share it.

    `id`: its operationId. `path`: the URL of all its routes, such as `/api/v3/{collection}.{format}`; empty where it has one
    route. `parameters`: names in the table of parameters. `errors`: what it can fail with, beyond what follows from who may
    come in, the parameters and the body.
    """

    id: str
    tag: str
    replies: Mapping[int, Reply]
    description: str = ""
    path: str = ""
    parameters: tuple[str, ...] = ()
    body: Body | None = None
    errors: tuple[ApiError, ...] = ()
    stored: bool = True
    """Whether it asks the database, which may be down."""


def ref(name: str, kind: str = "schemas") -> Json:
    """A reference to a component."""
    return {"$ref": f"#/components/{kind}/{name}"}
