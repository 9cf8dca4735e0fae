"""The operations of administration: tokens, subjects, roles, people, applications. `web/routes.py` has their URLs."""

from __future__ import annotations

from apiv3.model import messages
from apiv3.model.errors import (
    AdministrationRefused,
    ApiError,
    BadRequest,
    Conflict,
    Forbidden,
    NotFound,
)
from apiv3.web.openapi import examples
from apiv3.web.openapi.operations import ADMINISTRATION
from apiv3.web.operation import Body, Json, Operation, Reply

_BODY = messages.BAD_BODY
_NAME = BadRequest("Bad or missing name: 1 to 200 printable characters, no blanks around them")
_NOTES = BadRequest("Bad notes: at most 10000 characters")
_KIND = BadRequest("Bad {field}: it must be a list of texts")
_ID = BadRequest(messages.BAD_ID)
_UNKNOWN = NotFound("There is no {id}; list what there is to see the ids")
_TIMESTAMP = BadRequest(messages.BAD_SUBJECT_TIMESTAMP)
_GROUPS = BadRequest("Bad {field}: at most 50 different names of 1 to 100 printable characters")
_SUBJECT: tuple[ApiError, ...] = (
    _GROUPS,
    *(_NAME, _NOTES, _KIND, _TIMESTAMP, _ID, BadRequest("Unknown role {name}; there are: ...")),
    Conflict("There is a subject named {name} already"),
)
_ROLE: tuple[ApiError, ...] = (
    *(_NAME, _NOTES, _KIND, _ID, BadRequest("Malformed permission {text}: {reason}")),
    Conflict("There is a role named {name} already"),
)
_GIFT = Forbidden("You cannot give away a permission that you do not hold")
_USED = Conflict("The role {name} is in use by: ...")


def _next(change: str, *others: str) -> Json:
    same = {"parameters": {"_id": "$response.body#/_id"}}
    return {change: {"requestBody": "$response.body"}, **dict.fromkeys(others, same)}


EXCHANGE = Operation(
    "exchange",
    ADMINISTRATION,
    {200: Reply.of("The JWT, its subject, and the permissions of its roles.", "Jwt")},
    "Send the JWT in the header `Authorization: Bearer` of later calls. It expires at `exp` (seconds since 1970).",
    errors=(AdministrationRefused(),),
)
PERMISSIONS = Operation("permissions", ADMINISTRATION, {200: Reply.of("The permissions.", "Texts")}, stored=False)
TRIE = Operation("permissionsTrie", ADMINISTRATION, {200: Reply.of("The tree.", "Tree")}, stored=False)
CHECK = Operation("check", ADMINISTRATION, {200: Reply.of("Whether the caller has it.", "Check")}, stored=False)
SUBJECTS = Operation("subjects", ADMINISTRATION, {200: Reply.of("The subjects.", "Subjects")})
ADD_SUBJECT = Operation(
    "addSubject",
    ADMINISTRATION,
    {200: Reply.of("The subject as stored.", "Subject", links=_next("changeSubject", "rotateToken", "removeSubject"))},
    body=Body.of("NewSubject", examples.NEW_SUBJECT, _BODY),
    errors=(*_SUBJECT, Conflict("There is a subject with the _id {id} already")),
)
CHANGE_SUBJECT = Operation(
    "changeSubject",
    ADMINISTRATION,
    {200: Reply.of("The subject as stored.", "Subject")},
    body=Body.of("SubjectChange", examples.CHANGED_SUBJECT, _BODY),
    errors=(*_SUBJECT, _UNKNOWN),
)
ROTATE = Operation(
    "rotateToken", ADMINISTRATION, {200: Reply.of("The subject with its new token.", "Subject")}, errors=(_UNKNOWN, _GIFT)
)
REMOVE_SUBJECT = Operation(
    "removeSubject", ADMINISTRATION, {200: Reply.of("The subject was removed.", "Nothing")}, errors=(_UNKNOWN,)
)
ROLES = Operation("roles", ADMINISTRATION, {200: Reply.of("The roles.", "Roles")})
ADD_ROLE = Operation(
    "addRole",
    ADMINISTRATION,
    {200: Reply.of("The role as stored.", "Role", links=_next("changeRole", "removeRole"))},
    body=Body.of("NewRole", examples.NEW_ROLE, _BODY),
    errors=(*_ROLE, Conflict("There is a role with the _id {id} already")),
)
CHANGE_ROLE = Operation(
    "changeRole",
    ADMINISTRATION,
    {200: Reply.of("The role as stored.", "Role")},
    body=Body.of("RoleChange", examples.CHANGED_ROLE, _BODY),
    errors=(*_ROLE, _UNKNOWN, _USED),
)
REMOVE_ROLE = Operation(
    "removeRole", ADMINISTRATION, {200: Reply.of("The role was removed.", "Nothing")}, errors=(_UNKNOWN, _USED, _GIFT)
)

_USER: tuple[ApiError, ...] = (
    _GROUPS,
    *(_NAME, _KIND, _ID, BadRequest("Unknown role {name}; there are: ..."), BadRequest("A person has at least one role")),
    *(BadRequest("Bad email: {reason}"), BadRequest("Bad {field}: it must be a text")),
    *(Conflict("There is an account for {email} already"), Conflict("There is a subject named {name} already"), _GIFT),
)
_LAST = Conflict("This is the last active administrator; make another one first")
_NOBODY = NotFound("There is no account {name}; list what there is to see them")
USERS = Operation("users", ADMINISTRATION, {200: Reply.of("The people.", "Users")})
ADD_USER = Operation(
    "addUser",
    ADMINISTRATION,
    {200: Reply.of("The person, and the path of the invitation.", "InvitedUser", links=_next("changeUser", "removeUser"))},
    "The link is the path after the server's public URL. Whoever opens it can choose the person's password.",
    body=Body.of("NewUser", examples.NEW_USER, _BODY),
    errors=_USER,
)
CHANGE_USER = Operation(
    "changeUser",
    ADMINISTRATION,
    {200: Reply.of("The person as stored.", "User")},
    "A person who is disabled loses every token, session and invitation; they stay invalid when the account is enabled again.",
    body=Body.of("UserChange", examples.CHANGED_USER, _BODY),
    errors=(*_USER, BadRequest("Bad {field}: it must be true or false"), _NOBODY, _LAST),
)
REMOVE_USER = Operation(
    "removeUser", ADMINISTRATION, {200: Reply.of("The person was removed.", "Nothing")}, errors=(_NOBODY, _LAST)
)
INVITE = Operation(
    "inviteUser",
    ADMINISTRATION,
    {200: Reply.of("The person, and the path of the invitation.", "InvitedUser")},
    "Tokens and sessions of the person stay valid until the invitation is used.",
    errors=(_NOBODY, _GIFT, Conflict("The account of {email} is disabled; enable it first")),
)

_CLIENT: tuple[ApiError, ...] = (
    *(_NAME, _NOTES, _KIND, _ID, BadRequest("Unknown role {name}; there are: ..."), BadRequest("Bad scope {scope}: {reason}")),
    *(BadRequest("Bad redirect URI {uri}: {reason}"), BadRequest("Unknown grant {name}; there are: ...")),
    *(BadRequest("Bad {field}: it must be true or false"), Conflict("There is a subject named {name} already"), _GIFT),
    BadRequest("A client with the grant authorization_code needs a redirect URI"),
)
_NO_CLIENT = NotFound("There is no client {id}; list what there is to see the ids")
CLIENTS = Operation("clients", ADMINISTRATION, {200: Reply.of("The applications.", "Clients")})
ADD_CLIENT = Operation(
    "addClient",
    ADMINISTRATION,
    {
        200: Reply.of(
            "The application, and its secret.", "NewSecret", links=_next("changeClient", "rotateSecret", "removeClient")
        )
    },
    "Nobody can read the secret back later. Without `grants`, it gets those that fit; without `scopes`, `read`.",
    body=Body.of("NewClient", examples.NEW_CLIENT, _BODY),
    errors=(*_CLIENT, Conflict("There is a subject with the _id {id} already")),
)
CHANGE_CLIENT = Operation(
    "changeClient",
    ADMINISTRATION,
    {200: Reply.of("The application as stored.", "Client")},
    body=Body.of("ClientChange", examples.CHANGED_CLIENT, _BODY),
    errors=(*_CLIENT, _NO_CLIENT, BadRequest("Field public cannot be changed: register another application")),
)
REMOVE_CLIENT = Operation(
    "removeClient", ADMINISTRATION, {200: Reply.of("The application was removed.", "Nothing")}, errors=(_NO_CLIENT, _GIFT)
)
ROTATE_SECRET = Operation(
    "rotateSecret",
    ADMINISTRATION,
    {200: Reply.of("The application, and its new secret.", "NewSecret")},
    errors=(_NO_CLIENT, _GIFT, BadRequest("A public client has no secret")),
)
