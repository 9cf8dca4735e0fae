"""All errors of requests, as one tree of classes: a status, a message, sometimes headers.

    ApiError
    ├── BadRequest 400            ├── NotAcceptable 406        ├── TooManyRequests 429
    ├── Unauthorized 401          ├── RequestTimeout 408       ├── StorageUnavailable 503
    │   ├── MissingToken          ├── Conflict 409             │   └── TransactionConflict
    │   ├── BadToken              ├── Gone 410                 └── HeadersTooLarge 431
    │   ├── MissingTimestamp      ├── PreconditionFailed 412
    │   ├── SignInNeeded          ├── TooLarge 413
    │   └── AdministrationRefused │
    ├── Forbidden 403             ├── UnsupportedMediaType 415
    │   ├── MissingPermission     │   └── AnswerTooLarge       ServerBusy 503
    │   ├── NotSecure             └── ReadOnly 422             ShuttingDown 503
    │   └── BadNonce
    └── NotFound 404              BadRequest: TooMuchWork, ValueRefused       OAuth2Error 400, 401
        ├── BadOperation
        └── OlderProtocol

Operations raise them; one place in `web` renders them. The messages are those of docs/reference/protocol.md, section 4.
"""

from __future__ import annotations

import os

BASIC = ("WWW-Authenticate", 'Basic realm="apiv3"')
"""The header that tells how to send a name and a password (RFC 7617)."""


class ApiError(Exception):
    """An error that is reported to the caller: HTTP `status`, `message`, `description`, extra `headers`."""

    status = 500
    message: str | None = None
    description: str | None = None

    def __init__(self, message: str | None = None, *, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message or self.message or type(self).__name__)
        if message is not None:
            self.message = message
        self.headers = headers

    def fields(self) -> dict[str, object]:
        """Return the error as it is reported: `status`, and `message` and `description` where it has them."""
        texts = {"message": self.message, "description": self.description}
        return {"status": self.status} | {name: text for name, text in texts.items() if text is not None}


class BadRequest(ApiError):
    status = 400


class TooMuchWork(BadRequest):
    message = "This takes too much work: use fewer or simpler filters, or filters on date and identifier besides"


class ValueRefused(BadRequest):
    """The database cannot handle a value that the caller sent, such as a character that its encoding does not have."""

    message = "The database can neither store nor compare a value of this request"


class Unauthorized(ApiError):
    status = 401


class MissingToken(Unauthorized):
    """No credential at all, or a `token` in the query that does not resolve. Tells how to send one (RFC 6750, section 3)."""

    message = "Missing or bad access token or JWT"

    def __init__(self) -> None:
        super().__init__(headers=(("WWW-Authenticate", "Bearer"),))


class BadToken(Unauthorized):
    """A bearer token that does not resolve: unknown, expired, forged."""

    message = "Bad access token or JWT"


class MissingTimestamp(Unauthorized):
    """The call lacks the client's time, and its subject may not leave it out."""

    message = "Missing Date header"


class AdministrationRefused(Unauthorized):
    """The one refusal of `/api/v2/authorization`, whatever the reason."""

    message = "Unauthorized"
    description = "Invalid/Missing"


class SignInNeeded(Unauthorized):
    """A page that only people who are signed in may see. Browsers are sent to the form for signing in."""

    message = "Sign in first"


class OAuth2Error(ApiError):
    """A refusal of the OAuth2 endpoints. `error`: its code (RFC 6749, sections 4.1.2.1 and 5.2); `message`: for developers."""

    status = 400

    def __init__(self, error: str, description: str, status: int = 400, *, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(description, headers=headers)
        self.error, self.status = error, status


class Forbidden(ApiError):
    status = 403


class NotSecure(Forbidden):
    message = "Not using SSL/TLS"


class BadNonce(Forbidden):
    """A form, or a request of a page, whose nonce does not prove that this person has just been shown the page."""

    message = "The nonce is missing, expired or used already: open the page again, and send the form from there"


class ForeignPage(Forbidden):
    """A request with a session's cookie that a page of another site has sent."""

    message = "This request came from a page of another site"


class MissingPermission(Forbidden):
    def __init__(self, permission: str) -> None:
        super().__init__(f"Missing permission {permission}")
        self.permission = permission


class NotFound(ApiError):
    status = 404


class BadOperation(NotFound):
    message = "Bad operation or collection"


class OlderProtocol(NotFound):
    """A path of APIv1, which many apps use."""

    message = "APIv1 is not spoken here, only APIv3; which apps work: docs/how-to/which-apps-work.md"


class NotAcceptable(ApiError):
    status = 406
    message = "Unsupported output format requested"


class RequestTimeout(ApiError):
    status = 408
    message = "The request body took too long to arrive"


class Conflict(ApiError):
    status = 409


class Gone(ApiError):
    status = 410


class PreconditionFailed(ApiError):
    status = 412


class TooLarge(ApiError):
    status = 413
    message = "Request body too large"


class AnswerTooLarge(TooLarge):
    """The result is larger than one answer may be."""

    message = "The answer would be too large: ask for fewer documents (limit) or fields"


class UnsupportedMediaType(ApiError):
    status = 415
    message = "Compressed request bodies are not supported"


class ReadOnly(ApiError):
    status = 422
    message = "Trying to modify read-only document"


class TooManyRequests(ApiError):
    status = 429
    message = "Too many requests, try again later"

    def __init__(self, message: str | None = None, *, retry_after: int = 1) -> None:
        super().__init__(message, headers=(("Retry-After", str(retry_after)),))


class HeadersTooLarge(ApiError):
    status = 431
    message = "Request headers too large"


class StorageUnavailable(ApiError):
    """The database is down, locked or full. Nothing was stored; the same request may be sent again."""

    status = 503
    message = "Storage is unavailable, try again later"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message, headers=(("Retry-After", "5"),))

    @property
    def reason(self) -> str | None:
        """The cause, for the log and the operator, but not for callers. None if it is unknown."""
        cause = self.__cause__
        if cause is None:
            return None
        system = os.strerror(cause.errno) if isinstance(cause, OSError) and cause.errno else ""
        said = str(cause).partition("\n")[0].removeprefix(f"[Errno {getattr(cause, 'errno', None)}] ")
        if isinstance(cause, TimeoutError) and not said:
            return "it did not answer in time"
        return ": ".join(dict.fromkeys(filter(None, (system, said)))) or type(cause).__name__

    def __str__(self) -> str:
        reason = self.reason
        return f"{self.message}: {reason}" if reason else str(self.message)


class TransactionConflict(StorageUnavailable):
    """The database rolled back a transaction because of a conflict with another one. A retry can succeed at once."""


class ServerBusy(ApiError):
    """The caller's turn did not come in time, because of other large requests."""

    status = 503
    message = "The server is busy, try again later"

    def __init__(self) -> None:
        super().__init__(headers=(("Retry-After", "5"),))


class ShuttingDown(ApiError):
    """The server ended before it could answer. The request may nevertheless have been carried out."""

    status = 503
    message = "The server is shutting down, try again later"

    def __init__(self) -> None:
        super().__init__(headers=(("Retry-After", "5"),))
