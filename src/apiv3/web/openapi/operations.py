"""The table of operations: the parameters, bodies, answers and errors of each. `web/routes.py` has their URLs, and
`management.py` and `hub.py` the operations of administration and of devices.
"""

from __future__ import annotations

from dataclasses import replace

from apiv3.model import messages
from apiv3.model.documents import IMMUTABLE
from apiv3.model.errors import (
    AnswerTooLarge,
    BadRequest,
    Gone,
    NotAcceptable,
    NotFound,
    PreconditionFailed,
    ReadOnly,
    ServerBusy,
    TooLarge,
    TooMuchWork,
    Unauthorized,
)
from apiv3.security.accounts.sign_in import WRONG
from apiv3.web.openapi import examples
from apiv3.web.operation import JSON_TYPE, Body, Json, Operation, Reply, ref

COLLECTION = "/api/v3/{collection}"
DOCUMENT = f"{COLLECTION}/{{identifier}}"
SERVER, DOCUMENTS, ADMINISTRATION, PEOPLE, HUB = "Server", "Documents", "Administration", "People", "Hub"
TAGS = {
    SERVER: "Versions, the caller's rights, times of changes, and event streams.",
    DOCUMENTS: "The collections: entries (glucose), treatments, devicestatus, profile, food, settings.",
    ADMINISTRATION: "Subjects, roles, and the exchange of an access token for a JWT. No timestamp is required here.",
    HUB: "Devices with a key of their own: their enrolment, their connections, and commands for them.",
    PEOPLE: "People sign in with an e-mail address and a password.",
}

# --- the server

DESCRIPTION = Operation("openapi", SERVER, {200: Reply("OpenAPI 3.1.", {JSON_TYPE: {"type": "object"}})}, stored=False)
VERSION = Operation("version", SERVER, {200: Reply.of("The versions.", "Version")})
STATUS = Operation("status", SERVER, {200: Reply.of("The versions and the rights.", "Status")})
LAST_MODIFIED = Operation("lastModified", SERVER, {200: Reply.of("Collection -> ms since 1970.", "LastModified")})
EVENTS = Operation(
    "events",
    SERVER,
    {
        200: Reply(
            "An endless stream of events: `create`, `update`, `delete`, `reset`.", {"text/event-stream": {"type": "string"}}
        )
    },
    description=(
        "The `data` of an event is `{colName, doc}`, or `{colName, identifier, srvModified}` for `delete`. Send its `id` to "
        "continue after it. Each collection demands the same permission as its HISTORY. No timestamp is required."
    ),
    parameters=("collections", "since", "lastEventId", "Last-Event-ID"),
)
LOGINS = Operation(
    "logins",
    SERVER,
    {
        200: Reply(
            "An endless stream of events: `snapshot`, `login`, `change`, `logout`.", {"text/event-stream": {"type": "string"}}
        )
    },
    description=(
        "For other services that accept the sessions of this server. The `data` of `snapshot` is `{sequence, sessions}` with "
        "all that are open, of `login` and `change` one session, of `logout` `{session, reason}`. Send the `id` of an event to "
        "continue after it. No timestamp is required."
    ),
    parameters=("Login-Event-ID",),
)

# --- documents

_TEXT = {"type": "string"}
_MANY = Reply(
    "The documents.", {JSON_TYPE: ref("Documents"), "text/csv": _TEXT, "application/xml": _TEXT}, ("Last-Modified", "ETag")
)
_FOUND = Reply("The documents.", _MANY.media)
_SAME: Json = {"collection": "$request.path.collection", "identifier": "$response.body#/identifier"}
_LINKS: Json = {
    "read": {"parameters": _SAME},
    "update": {"parameters": _SAME, "requestBody": "$request.body"},
    "patch": {"parameters": _SAME},
    "delete": {"parameters": _SAME},
}
_FIELDS = tuple(
    BadRequest(f"Bad or missing {field} field") for field in ("identifier", "date", "utcOffset", "app", "created_at")
)
_IMMUTABLE = BadRequest("Field {name} cannot be modified by the client")
_BODY = messages.BAD_BODY

_HEAVY = (AnswerTooLarge(), ServerBusy())
SEARCH = Operation(
    "search",
    DOCUMENTS,
    {200: _FOUND},
    "`Accept` chooses the format: JSON, CSV or XML.",
    COLLECTION,
    ("filter", "sort", "sort$desc", "limit", "skip", "fields", "csv$exact", "Accept"),
    errors=(NotAcceptable(), *_HEAVY, TooMuchWork()),
)
SEARCH_AS = replace(
    SEARCH,
    id="searchAs",
    description="",
    path=f"{COLLECTION}.{{format}}",
    parameters=SEARCH.parameters[:-1],
    errors=(NotAcceptable(), *_HEAVY, TooMuchWork()),
)
HISTORY = Operation(
    "history",
    DOCUMENTS,
    {200: _MANY, 304: Reply("The client's copy is current.", headers=("Last-Modified", "ETag"))},
    "Includes deleted documents, oldest change first. For a sync without loss, use the exact form with a time in the path.",
    f"{COLLECTION}/history",
    ("Last-Modified", "If-None-Match", "If-Modified-Since", "limit", "fields", "csv$exact", "Accept"),
    errors=(NotAcceptable(), *_HEAVY),
)
HISTORY_AS = replace(HISTORY, id="historyAs", path=f"{COLLECTION}/history.{{format}}", parameters=HISTORY.parameters[:-1])
HISTORY_SINCE = replace(
    HISTORY,
    id="historySince",
    description="Includes deleted documents, oldest change first. Repeat with the `ETag` of each page until one is empty. "
    "`.csv`, `.xml` or `.json` may follow the time.",
    path=f"{COLLECTION}/history/{{lastModified}}",
    parameters=HISTORY.parameters[1:],
)
CREATE = Operation(
    "create",
    DOCUMENTS,
    {
        201: Reply.of("The document was created.", "Created", "Location", "Last-Modified", links=_LINKS),
        200: Reply.of("The document existed; it was replaced.", "Deduplicated", "Location", "Last-Modified", links=_LINKS),
    },
    "A document without an `identifier` gets one derived from `device`, `date` and `eventType`. The same document sent twice "
    "is stored once.",
    COLLECTION,
    body=Body.of("NewDocument", examples.NEW, _BODY),
    errors=(*_FIELDS, _IMMUTABLE, ReadOnly()),
)
BULK = Operation(
    "createMany",
    DOCUMENTS,
    {200: Reply.of("The answer of CREATE for each document, in their order.", "Many")},
    "Send a JSON array, or one document on each line (NDJSON); the first character decides. All are stored in one transaction. "
    "A document that is refused does not affect the others; when storage fails, nothing is stored.",
    f"{COLLECTION}/bulk",
    ("keep",),
    Body(
        {JSON_TYPE: ref("NewDocuments"), "application/x-ndjson": {"type": "string", "pattern": r"^\s*[^\[\s]"}},
        (examples.MANY, examples.LINES),
        (_BODY,),
        many=True,
    ),
    (TooLarge("At most {limit} documents in one request"),),
)
READ = Operation(
    "read",
    DOCUMENTS,
    {
        200: Reply(
            "The document.",
            {JSON_TYPE: ref("OneDocument"), "text/csv": _TEXT, "application/xml": _TEXT},
            ("Last-Modified",),
        ),
        304: Reply("The document has not changed.", headers=("Last-Modified",)),
    },
    path=DOCUMENT,
    parameters=("If-Modified-Since", "fields", "csv$exact", "Accept"),
    errors=(NotFound(), Gone(), NotAcceptable()),
)
UPDATE = Operation(
    "update",
    DOCUMENTS,
    {
        200: Reply.of("The document was replaced.", "Updated", "Last-Modified"),
        201: Reply.of("The document was created.", "Created", "Location", "Last-Modified"),
    },
    "The identifier in the path is used; one in the body is ignored.",
    DOCUMENT,
    ("If-Unmodified-Since",),
    Body.of("Replacement", examples.CHANGED, _BODY),
    (*_FIELDS, _IMMUTABLE, Gone(), PreconditionFailed(), ReadOnly()),
)
PATCH = Operation(
    "patch",
    DOCUMENTS,
    {200: Reply.of("The fields were changed.", "Done", "Last-Modified")},
    f"These fields cannot be changed: {', '.join(f'`{name}`' for name in IMMUTABLE)}.",
    DOCUMENT,
    ("If-Unmodified-Since",),
    Body.of("Patch", examples.PATCHED, _BODY),
    (*_FIELDS, _IMMUTABLE, NotFound(), Gone(), PreconditionFailed(), ReadOnly()),
)
DELETE = Operation(
    "delete",
    DOCUMENTS,
    {200: Reply.of("The document is deleted.", "Done")},
    path=DOCUMENT,
    parameters=("permanent",),
    errors=(NotFound(), ReadOnly()),
)

# --- people

REQUEST_TOKEN = Operation(
    "requestAuthToken",
    PEOPLE,
    {200: Reply.of("The user token, and whose it is.", "UserToken")},
    "The token goes into the header `Authorization` of later calls, with or without `Bearer`, or into `Authentication-Token`. "
    "It is good for SECURITY_TOKEN_MAX_AGE seconds. No client timestamp is asked for.",
    body=Body.of("SignIn", examples.SIGN_IN, _BODY, "Bad or missing email or password: both must be texts"),
    errors=(Unauthorized(WRONG),),
)
