"""Values for what the OpenAPI description says about an operation, beyond its method, path, permission and summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from apiv3.model.errors import ApiError

Json = Mapping[str, Any]
JSON_TYPE = "application/json"


class Bounds(NamedTuple):
    """The settings of an installation that clients notice.

    `limit`: most documents in an answer. `body`: most bytes of a request body. `bulk` and `bulk_body`: most documents and bytes
    of a body with many documents. `tolerance`: minutes by which a client's clock may be off. `created_at_fallback`: whether a
    document without `date` is accepted if it has `created_at`.
    """

    limit: int
    body: int
    bulk: int
    bulk_body: int
    tolerance: float
    created_at_fallback: bool


class Body(NamedTuple):
    """The request body of an operation.

    `media`: media type -> schema. `examples`: for each media type, in the same order, name -> a valid body. `refusals`: the
    messages of the 400 answers that a bad body gets. `many`: whether it holds many documents.
    """

    media: Mapping[str, Json]
    examples: Sequence[Mapping[str, Any]]
    refusals: tuple[str, ...] = ()
    many: bool = False

    @classmethod
    def of(cls, schema: str, examples: Mapping[str, Any], *refusals: str) -> Body:
        """Make a JSON body. `schema`: the name of a schema in the components."""
        return cls({JSON_TYPE: ref(schema)}, [examples], refusals)


class Reply(NamedTuple):
    """A successful answer of an operation.

    `media`: media type -> schema. `headers`: names of headers in the components. `links`: operationId of an operation that can
    follow -> its parameters, taken from the request and this reply.
    """

    description: str
    media: Mapping[str, Json] = {}
    headers: tuple[str, ...] = ()
    links: Mapping[str, Json] = {}

    @classmethod
    def of(cls, description: str, schema: str, *headers: str, links: Mapping[str, Json] = {}) -> Reply:
        """Make a JSON reply. `schema`: the name of a schema in the components."""
        return cls(description, {JSON_TYPE: ref(schema)}, headers, links)


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """An operation of the API. Routes that differ only in the collection or the format share one.

    `id`: its operationId. `replies`: status -> successful answer. `path`: the URL template of all its routes, such as
    `/api/v3/{collection}.{format}`; empty when it has a single route. `parameters`: names in the table of parameters.
    `errors`: the errors that are specific to it; those of the gate, the parameters and the body are added.
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
    """Whether it uses the database, and so can answer 503."""


def ref(name: str, kind: str = "schemas") -> Json:
    """Return a reference to a component. `kind`: the section of the components."""
    return {"$ref": f"#/components/{kind}/{name}"}
