"""The description as a whole, in the form of OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.1)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from apiv3 import __version__
from apiv3.model.collections import Collection
from apiv3.web.openapi import parameters, schemas
from apiv3.web.openapi.operations import TAGS
from apiv3.web.openapi.parameters import Parameter
from apiv3.web.openapi.refusals import refusals
from apiv3.web.operation import Body, Bounds, Json, Operation, Reply, ref
from apiv3.web.router import Route

_ABOUT = """A data API for people who live with diabetes, over the protocol of Nightscout's APIv3.

**Who is calling.** A call carries an access token in the query (`token=...`), or a JWT in the header
`Authorization: Bearer ...`, which does not end up in logs and histories of addresses; an access token is traded for a JWT
at `/api/v2/authorization/request/{accessToken}`. More than one credential is a 400.

**When.** A call to `/api/v3` also carries the client's time, in the header `Date` or the parameter `now`.

**What for.** Each operation names its permission; a role that grants it, or a wildcard that implies it, is enough.

**Always.** Every answer has a `Date` and an `X-Request-Id`, which the server's log repeats. A JSON answer under `/api/v3`
repeats the status as `status`. `HEAD` is answered wherever `GET` is, with the same headers and no body; `OPTIONS` says with
204 and `Allow` which methods a path takes. Any other method, and any other path, is 404 `Bad operation or collection`.
"""
_SCHEMES: Json = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A JWT. An access token will do here too.",
    },
    "accessToken": {
        "type": "apiKey",
        "in": "query",
        "name": "token",
        "description": "The access token of a subject. A JWT will do here too.",
    },
    "apiSecret": {
        "type": "apiKey",
        "in": "header",
        "name": "api-secret",
        "description": "The hex SHA-1 of API_SECRET, for administration alone.",
    },
}
_HEADERS: Json = {
    "Last-Modified": ("When it changed last, in whole seconds; never after `Date`.", {"type": "string"}),
    "ETag": ("Where this answer ends: in HISTORY the greatest `srvModified`.", {"type": "string"}),
    "Location": ("The path of the document.", {"type": "string", "format": "uri-reference"}),
    "Retry-After": ("Seconds.", {"type": "integer", "minimum": 1}),
}


class Undescribed(ValueError):
    """A route has no operation, or not the path that its operation says."""


def describe(routes: Sequence[Route], collections: Mapping[str, Collection], bounds: Bounds) -> Json:
    """All routes. Raises Undescribed."""
    table = parameters.table(bounds)
    document: dict[str, Any] = {
        "openapi": "3.1.1",
        "info": {"title": "apiv3", "version": __version__, "description": _ABOUT},
        "servers": [{"url": "/", "description": "This server."}],
        "tags": [{"name": name, "description": about} for name, about in TAGS.items()],
        "paths": {},
        "components": {
            "schemas": schemas.table(collections, bounds),
            "securitySchemes": _SCHEMES,
            "headers": {name: {"description": about, "schema": schema} for name, (about, schema) in _HEADERS.items()},
        },
    }
    for operation, members in _grouped(routes).items():
        path = operation.path or members[0].path
        document["paths"].setdefault(path, {})[members[0].method.lower()] = _operation(operation, members, table, bounds)
    return document


def _grouped(routes: Sequence[Route]) -> Mapping[Operation, Sequence[Route]]:
    groups: dict[Operation, list[Route]] = {}
    for route in routes:
        if route.operation is None:
            raise Undescribed(f"{route.method} {route.path} has no operation")
        groups.setdefault(route.operation, []).append(route)
    return groups


def _operation(operation: Operation, members: Sequence[Route], table: Mapping[str, Parameter], bounds: Bounds) -> Json:
    route, choices = members[0], _choices(operation, members)
    names = [*re.findall(r"\{(\w+)\}", operation.path or route.path), *operation.parameters]
    if not (route.access.public or route.access.administration):
        names += ["now", "Date"]
    used = [table[name] for name in names]
    permission = _templated(route, choices)
    exceptions = dict(_exceptions(operation, members, permission))
    shown: dict[str, Any] = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": route.summary,
        "description": "\n\n".join(_description(operation, route, permission, exceptions)),
        "parameters": [_narrowed(parameter.spec, choices) for parameter in used],
        "responses": {
            **{str(status): _reply(reply) for status, reply in operation.replies.items()},
            **refusals(operation, route.access, used, permission),
        },
        "security": _security(route),
        "x-permission": permission,
    }
    if exceptions:
        shown["x-permission-for"] = exceptions
    if route.access.instance:
        shown["x-permission-on-one-document"] = True
    if operation.body:
        shown["requestBody"] = _body(operation.body, bounds)
    return shown


def _choices(operation: Operation, members: Sequence[Route]) -> Mapping[str, Sequence[str]]:
    """What the routes of an operation differ in: name of a path parameter -> its values. Raises Undescribed."""
    if not operation.path:
        return {}
    own = re.findall(r"\{(collection|format)\}", operation.path)
    pattern = re.sub(r"\\\{(collection|format)\\\}", r"(?P<\1>\\w+)", re.escape(operation.path))
    values: dict[str, dict[str, None]] = {name: {} for name in own}
    for route in members:
        match = re.fullmatch(pattern, route.path)
        if match is None:
            raise Undescribed(f"{route.path} is not of the form {operation.path}")
        for name, value in match.groupdict().items():
            values[name][value] = None
    return {name: list(found) for name, found in values.items()}


def _narrowed(spec: Json, choices: Mapping[str, Sequence[str]]) -> Json:
    name = spec["name"]
    return {**spec, "schema": {"type": "string", "enum": choices[name]}} if name in choices else spec


def _templated(route: Route, choices: Mapping[str, Sequence[str]]) -> str:
    """The permission, with `{collection}` in the place of the one collection's name."""
    if "collection" not in choices:
        return route.permission
    return route.permission.replace(f":{choices['collection'][0]}:", ":{collection}:")


def _description(operation: Operation, route: Route, permission: str, exceptions: Mapping[str, str]) -> Iterator[str]:
    if operation.description:
        yield operation.description
    others = [f" For `{name}` it is {_code(other)}." for name, other in exceptions.items()]
    yield f"Permission: {_code(permission)}." + "".join(others)
    if route.access.instance:
        yield "A grant on this one document is enough: the same permission with the identifier as a fourth part."


def _exceptions(operation: Operation, members: Sequence[Route], permission: str) -> Iterator[tuple[str, str]]:
    """Collections that demand another permission than the rest, and which."""
    for route in members:
        for name in _choices(operation, [route]).get("collection", ()):
            if route.permission != permission.replace("{collection}", name):
                yield name, route.permission


def _code(permission: str) -> str:
    return " or ".join(f"`{name}`" if ":" in name else name for name in permission.split(" or "))


def _reply(reply: Reply) -> Json:
    shown: dict[str, Any] = {"description": reply.description}
    if reply.media:
        shown["content"] = {kind: {"schema": schema} for kind, schema in reply.media.items()}
    if reply.headers:
        shown["headers"] = {name: ref(name, "headers") for name in reply.headers}
    if reply.links:
        shown["links"] = {name: {"operationId": name, **link} for name, link in reply.links.items()}
    return shown


def _body(body: Body, bounds: Bounds) -> Json:
    about = f"At most {bounds.bulk_body if body.many else bounds.body} bytes."
    content = {
        kind: {"schema": schema, "examples": {name: {"value": value} for name, value in examples.items()}}
        for (kind, schema), examples in zip(body.media.items(), body.examples, strict=True)
    }
    return {"description": about, "required": True, "content": content}


def _security(route: Route) -> list[Json]:
    if route.access.public:
        return []
    ways = ["bearer", "accessToken", *(["apiSecret"] if route.access.administration else [])]
    return [{way: []} for way in ways]
