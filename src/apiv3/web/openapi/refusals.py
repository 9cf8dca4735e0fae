"""Derive the error answers of an operation: those of its access, its parameters and its body, and its own errors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from itertools import groupby
from typing import Any

from apiv3.model import messages
from apiv3.model.errors import (
    AdministrationRefused,
    ApiError,
    BadOperation,
    BadRequest,
    BadToken,
    HeadersTooLarge,
    MissingPermission,
    MissingTimestamp,
    MissingToken,
    NotSecure,
    RequestTimeout,
    ServerBusy,
    SignInNeeded,
    StorageUnavailable,
    TooLarge,
    TooManyRequests,
    Unauthorized,
    UnsupportedMediaType,
)
from apiv3.security.gate import Access
from apiv3.web.openapi.parameters import Parameter
from apiv3.web.operation import JSON_TYPE, Json, Operation, ref


def refusals(operation: Operation, access: Access, parameters: Iterable[Parameter], permission: str) -> Mapping[str, Json]:
    """Return status -> response, with an example for each message. `permission`: the permission as refusals name it."""
    errors = [*_of_everything(operation), *_of_access(access, permission), *_of_input(operation, parameters), *operation.errors]
    errors.sort(key=lambda error: error.status)
    return {str(status): _response(status, list(group)) for status, group in groupby(errors, lambda error: error.status)}


def _of_everything(operation: Operation) -> Iterator[ApiError]:
    yield BadRequest("Header {name} is repeated")
    yield NotSecure()
    yield TooManyRequests()
    yield HeadersTooLarge()
    yield ApiError("Internal error, request {id}")
    if operation.stored:
        yield StorageUnavailable()
    if "{" in operation.path:
        yield BadOperation()


def _of_access(access: Access, permission: str) -> Iterator[ApiError]:
    if access.public:
        return
    yield BadRequest(messages.TWO_CREDENTIALS)
    yield BadRequest(messages.BAD_QUERY)
    if access.administration:
        yield AdministrationRefused()
        return
    yield MissingTimestamp()
    yield from map(Unauthorized, (messages.BAD_DATE, messages.DATE_OUT_OF_TOLERANCE))
    yield MissingToken()
    yield BadToken()
    yield SignInNeeded()
    if access.demands:
        yield MissingPermission(permission)


def _of_input(operation: Operation, parameters: Iterable[Parameter]) -> Iterator[ApiError]:
    for parameter in parameters:
        yield from map(BadRequest, parameter.refusals)
    if operation.body:
        yield from map(BadRequest, operation.body.refusals)
        yield from (RequestTimeout(), TooLarge(), UnsupportedMediaType(), ServerBusy())


def _response(status: int, errors: list[ApiError]) -> Json:
    told = list(dict.fromkeys(error.message for error in errors))
    said = "\n".join(f"- `{message}`" for message in told if message)
    schema = {"allOf": [ref("Error"), {"properties": {"status": {"const": status}}}]}
    content = {JSON_TYPE: {"schema": schema, "examples": dict(_examples(status, errors))}}
    response = {"description": said or HTTPStatus(status).phrase, "content": content}
    if any(name == "Retry-After" for error in errors for name, _ in error.headers):
        response["headers"] = {"Retry-After": ref("Retry-After", "headers")}
    return response


def _examples(status: int, errors: list[ApiError]) -> Iterator[tuple[str, Json]]:
    for error in errors:
        body: dict[str, Any] = {"status": status, "message": error.message, "description": error.description}
        value = {name: part for name, part in body.items() if part is not None}
        yield error.message or HTTPStatus(status).phrase, {"value": value}
