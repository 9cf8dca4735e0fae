"""Build the OpenAPI 3.1 document (https://spec.openapis.org/oas/v3.1.1)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from apiv3 import __version__
from apiv3.model.collections import Collection
from apiv3.security.oauth2.scopes import OFFLINE, ScopeTable
from apiv3.web.oauth2 import AUTHORIZE, TOKEN
from apiv3.web.openapi import parameters, schemas
from apiv3.web.openapi.operations import TAGS
from apiv3.web.openapi.parameters import Parameter
from apiv3.web.openapi.refusals import refusals
from apiv3.web.operation import Body, Bounds, Json, Operation, Reply, ref
from apiv3.web.router import Route

_ABOUT = """A data API for people who live with diabetes, over the protocol of Nightscout's APIv3.

**Authentication.** Send an access token in the query (`token=...`), or, better, a JWT in the header
`Authorization: Bearer ...`, which does not end up in server logs and browser histories. Exchange an access token for a JWT
at `/api/v2/authorization/request/{accessToken}`. A call with more than one credential is answered with 400.

Pages send the cookie of a person's session instead. Calls with a session that may change something need a nonce in the
header `X-Nonce`, or are answered with 403.

Applications send an access token of OAuth2 in the same header, and need no timestamp. Its scopes limit what their subject may
do.

**Timestamp.** Calls to `/api/v3` also carry the client's time, in the header `Date` or the parameter `now`. Those with a
session need none.

**Permissions.** Each operation names the permission that it demands. The subject needs a role that grants it, or a wildcard
that includes it.

**All answers.** Every answer has the headers `Date` and `X-Request-Id`; the server's log repeats the latter. A JSON answer
under `/api/v3` repeats the status code as `status`. `HEAD` works wherever `GET` does, with the same headers and no body.
`OPTIONS` answers 204 and lists the methods of a path in `Allow`. Any other method or path is answered with 404
`Bad operation or collection`.
"""
_SCHEMES: Json = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A JWT. An access token is accepted here too.",
    },
    "accessToken": {
        "type": "apiKey",
        "in": "query",
        "name": "token",
        "description": "The access token of a subject. A JWT is accepted here too.",
    },
    "apiSecret": {
        "type": "apiKey",
        "in": "header",
        "name": "api-secret",
        "description": "The hex SHA-1 of API_SECRET. Only administration accepts it.",
    },
}
_SCOPES = {
    "read": "Read documents of every collection.",
    "write": "Create, change and delete documents of every collection.",
    "execute": "Administer the server, and silence alarms.",
    OFFLINE: "Get refresh tokens, so that the access lasts when the person is away.",
}
"""What the usual scopes are for; one of OAUTH_SCOPES with another name is described by its permissions."""
_HEADERS: Json = {
    "Last-Modified": ("The time of the last change, in whole seconds; never later than `Date`.", {"type": "string"}),
    "ETag": ("The version of this answer. For HISTORY: the greatest `srvModified` in it.", {"type": "string"}),
    "Location": ("The path of the document.", {"type": "string", "format": "uri-reference"}),
    "Retry-After": ("The number of seconds after which to try again.", {"type": "integer", "minimum": 1}),
}


class Undescribed(ValueError):
    """A route has no operation, or its path does not match its operation's."""


def describe(routes: Sequence[Route], collections: Mapping[str, Collection], bounds: Bounds, scopes: ScopeTable) -> Json:
    """Return the OpenAPI document for all routes. `bounds`, `scopes`: those of this installation. Raises Undescribed."""
    table = parameters.table(bounds)
    document: dict[str, Any] = {
        "openapi": "3.1.1",
        "info": {"title": "apiv3", "version": __version__, "description": _ABOUT},
        "servers": [{"url": "/", "description": "This server."}],
        "tags": [{"name": name, "description": about} for name, about in TAGS.items()],
        "paths": {},
        "components": {
            "schemas": schemas.table(collections, bounds),
            "securitySchemes": {**_SCHEMES, "oauth2": _oauth2(scopes)},
            "headers": {name: {"description": about, "schema": schema} for name, (about, schema) in _HEADERS.items()},
        },
    }
    for operation, members in _grouped(routes).items():
        path = operation.path or members[0].path
        document["paths"].setdefault(path, {})[members[0].method.lower()] = _operation(
            operation, members, table, bounds, scopes
        )
    return document


def _grouped(routes: Sequence[Route]) -> Mapping[Operation, Sequence[Route]]:
    groups: dict[Operation, list[Route]] = {}
    for route in routes:
        if route.operation is None:
            raise Undescribed(f"{route.method} {route.path} has no operation")
        groups.setdefault(route.operation, []).append(route)
    return groups


def _oauth2(scopes: ScopeTable) -> Json:
    """The security scheme of applications, with the URLs of this server."""
    about = {name: _SCOPES.get(name) or _listed(permissions) for name, permissions in scopes.texts.items()}
    urls = {"tokenUrl": TOKEN, "refreshUrl": TOKEN}
    flows = {
        "authorizationCode": {"authorizationUrl": AUTHORIZE, **urls, "scopes": about},
        "clientCredentials": {**urls, "scopes": about},
    }
    return {"type": "oauth2", "description": "An access token of an application. It needs no client's time.", "flows": flows}


def _listed(permissions: Sequence[str]) -> str:
    return f"Allows {', '.join(permissions) or 'nothing'}."


def _operation(
    operation: Operation,
    members: Sequence[Route],
    table: Mapping[str, Parameter],
    bounds: Bounds,
    scopes: ScopeTable,
) -> Json:
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
        "summary": route.summary.replace("`", ""),  # plain text, unlike a description
        "description": "\n\n".join(_description(operation, route, permission, exceptions)),
        "parameters": [_narrowed(parameter.spec, choices) for parameter in used],
        "responses": {
            **{str(status): _reply(reply) for status, reply in operation.replies.items()},
            **refusals(operation, route.access, used, permission),
        },
        "security": _security([each for each in members if each.permission not in exceptions.values()], permission, scopes),
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
    """Return what the routes of an operation differ in: path parameter (collection, format) -> values. Raises Undescribed."""
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
    """Return the permission of a route, with `{collection}` in place of the collection's name."""
    if "collection" not in choices:
        return route.permission
    return route.permission.replace(f":{choices['collection'][0]}:", ":{collection}:")


def _description(operation: Operation, route: Route, permission: str, exceptions: Mapping[str, str]) -> Iterator[str]:
    if operation.description:
        yield operation.description
    others = [f" For `{name}` it is {_code(other)}." for name, other in exceptions.items()]
    yield f"Permission: {_code(permission)}." + "".join(others)
    if route.access.instance:
        yield "A permission for this document alone is enough: the same permission with the identifier as a fourth part."


def _exceptions(operation: Operation, members: Sequence[Route], permission: str) -> Iterator[tuple[str, str]]:
    """Yield collections that demand another permission than the rest, with that permission."""
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


def _security(members: Sequence[Route], permission: str, scopes: ScopeTable) -> list[Json]:
    """Return the ways to authenticate. Each scope that stands there is enough by itself for all of these routes."""
    access = members[0].access
    if access.public:
        return []
    ways = ["bearer", "accessToken", *(["apiSecret"] if access.administration else [])]
    found = [route.scopes(scopes) for route in members]
    common = [[scope] for scope in found[0] if all(scope in each for each in found)]
    wanted = common or [[permission.partition(" or ")[0]] if access.demands else []]
    return [*({way: []} for way in ways), *({"oauth2": names} for names in wanted)]
