"""The table of schemas: documents, envelopes, subjects and roles, as JSON Schema (2020-12)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from apiv3.model.collections import Collection
from apiv3.model.devices import CommandState
from apiv3.model.documents import LONGEST_IDENTIFIER, READ_ONLY_MARKS
from apiv3.model.identity import LONGEST_GROUP, LONGEST_NAME, MOST_GROUPS
from apiv3.model.timestamps import EPOCH_2000, LAST, LAST_DATE
from apiv3.security.subjects import LONGEST_NOTES
from apiv3.web.openapi.examples import STORED
from apiv3.web.openapi.parameters import DATE
from apiv3.web.operation import Bounds, Json, ref

_INT64 = 2**63
_CLOCK = r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d"
_ISO = rf"^(?!2000-01-01T00:00:00(\.000\d*)?Z)[2-9]\d{{3}}-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])T{_CLOCK}(\.\d{{1,9}})?Z$"
# The server refuses a day of the week that does not belong to the date. No pattern can express that, so this one lists a week.
_HTTP = rf"^(Mon, 14|Tue, 15|Wed, 16|Thu, 17|Fri, 18|Sat, 19|Sun, 20) Sep 2020 {_CLOCK} GMT$"
_MS = {"type": "integer", "minimum": EPOCH_2000, "maximum": LAST}
_TEXT = {"type": "string", "pattern": r"^[^\u0000]*$"}


def table(collections: Mapping[str, Collection], bounds: Bounds) -> dict[str, Json]:
    """Return name -> schema."""
    return {**_values(), **_documents(bounds), **_envelopes(), **_service(collections), **_administration()}


def _values() -> dict[str, Json]:
    number = {"type": "number", "minimum": -_INT64, "maximum": _INT64 - 1}
    return {
        "Value": {
            "description": "Any JSON value without U+0000, at most 100 levels deep; integers fit into 64 bits.",
            "anyOf": [
                {"type": ["null", "boolean"]},
                number,
                _TEXT,
                {"type": "array", "items": ref("Value")},
                {"type": "object", "propertyNames": _TEXT, "additionalProperties": ref("Value")},
            ],
        },
        "Milliseconds": {"description": "Milliseconds since 1970-01-01T00:00:00Z.", **_MS, "examples": [DATE]},
        "Time": {
            "description": "A time after the beginning of 2000: Unix epoch in ms or s, ISO 8601, or an HTTP date.",
            "anyOf": [*_numbers("number", EPOCH_2000 + 1, LAST_DATE), *_texts()],
            "examples": [DATE],
        },
        "Moment": {
            "description": "A time since the beginning of 2000: Unix epoch in ms or s, ISO 8601, or an HTTP date.",
            "anyOf": [*_numbers("number", EPOCH_2000, LAST_DATE), *_texts()],
            "examples": [DATE],
        },
        "TimeText": {
            "description": "A time as text, in a URL or a header.",
            "anyOf": [*_numbers("integer", EPOCH_2000), *_texts()],
            "examples": [str(DATE)],
        },
    }


def _numbers(kind: str, first: int, last: int = LAST) -> list[Json]:
    """A time as a number from `first` to `last`, in ms; in s at the most to the year 9999."""
    return [
        {"type": kind, "minimum": first, "maximum": last, "title": "ms"},
        {"type": kind, "minimum": -(-first // 1000), "maximum": LAST // 1000, "title": "s"},
    ]


def _texts() -> list[Json]:
    return [
        {"type": "string", "pattern": _ISO, "title": "ISO 8601"},
        {"type": "string", "pattern": _HTTP, "title": "HTTP date"},
    ]


def _documents(bounds: Bounds) -> dict[str, Json]:
    fallback = bounds.created_at_fallback
    known: dict[str, Any] = {
        "identifier": {"type": ["string", "null"], "maxLength": LONGEST_IDENTIFIER, "pattern": r"^$|\S"},
        "date": {"anyOf": [ref("Time"), {"type": "null"}]},
        "utcOffset": {"type": "number", "minimum": -1440, "maximum": 1440, "description": "Minutes."},
        "app": {"type": "string", "pattern": r"^[^\u0000]*\S[^\u0000]*$", "description": "The app that wrote the document."},
        "created_at": {"description": "The date as ISO 8601; the server derives it from `date`."},
    }
    dated: list[Json] = [{"required": ["date"], "properties": {"date": ref("Time")}}]
    if fallback:
        created = {"required": ["created_at"], "properties": {"created_at": ref("Time"), "date": {"type": "null"}}}
        dated.append(created)
    marks = ", ".join(f"`{mark}`" for mark in READ_ONLY_MARKS)
    sent = {"type": "object", "properties": known, "propertyNames": _TEXT, "additionalProperties": ref("Value")}
    return {
        "NewDocument": {
            "description": "A document as a client sends it: the fields that the server knows, and any others. "
            f"If one of {marks} is `true`, the document is read-only.",
            **sent,
            "required": ["app"],
            "anyOf": dated,
        },
        "Replacement": {
            "description": "The new document for the identifier in the path; an identifier in the body is ignored.",
            **sent,
            "properties": {**known, "identifier": ref("Value")},
            "required": ["app"],
            "anyOf": dated,
        },
        "NewDocuments": {
            "anyOf": [
                {
                    "type": "array",
                    "items": {"anyOf": [ref("NewDocument"), {"description": "Anything else; only this item is refused."}]},
                    "maxItems": bounds.bulk,
                },
                {"description": "A single line of NDJSON.", "type": ["object", "string", "number", "boolean", "null"]},
            ],
        },
        "Patch": {
            "description": "The fields to change. Immutable fields may be sent with their present value.",
            **sent,
            "properties": {**known, "identifier": {**known["identifier"], "type": "string"}, "date": ref("Time")},
            "minProperties": 1,
            **({"anyOf": [{"required": ["date"]}, {"properties": {"created_at": ref("Moment")}}]} if fallback else {}),
        },
        "Document": {
            "description": "A document as it is stored; with the parameter `fields`, only those fields.",
            "type": "object",
            "properties": {
                "identifier": {"type": "string"},
                "date": {**_MS, "maximum": LAST_DATE},
                "utcOffset": {"type": "number"},
                "created_at": {"type": "string"},
                "app": {"type": "string"},
                "srvCreated": _MS,
                "srvModified": _MS,
                "subject": {"type": "string"},
                "modifiedBy": {"type": "string"},
                "isValid": {"description": "`false`: deleted."},
            },
            "additionalProperties": True,
            "examples": [STORED],
        },
    }


def _object(required: Json, optional: Json = {}, description: str = "") -> Json:  # noqa: B006 (it is not changed)
    schema = {
        "type": "object",
        "properties": {**required, **optional},
        "required": list(required),
        "additionalProperties": False,
    }
    return {"description": description, **schema} if description else schema


def _envelope(fields: Json, optional: Json = {}, status: int = 200) -> Json:  # noqa: B006
    return _object({"status": {"const": status}, **fields}, optional)


def _envelopes() -> dict[str, Json]:
    identifier, modified = {"type": "string"}, ref("Milliseconds")
    error = {"status": {"type": "integer"}}
    one = ("Created", "Deduplicated", "Kept", "Error")
    said = {"message": {"type": "string"}, "description": {"type": "string", "description": "For people; may change."}}
    return {
        "Error": _object(error, said, "The body of every error answer."),
        "Done": _envelope({}),
        "Documents": _envelope({"result": {"type": "array", "items": ref("Document")}}),
        "OneDocument": _envelope({"result": ref("Document")}),
        "Created": _envelope({"identifier": identifier, "lastModified": modified}, status=201),
        "Deduplicated": _envelope(
            {"identifier": identifier, "isDeduplication": {"const": True}, "lastModified": modified},
            {"deduplicatedIdentifier": {"type": "string", "description": "The stored document's identifier, if it differs."}},
        ),
        "Kept": _envelope({"identifier": identifier, "isDeduplication": {"const": True}}),
        "Many": _envelope({"result": {"type": "array", "items": {"anyOf": [ref(name) for name in one]}}}),
        "Updated": _envelope({"lastModified": modified}),
    }


def _service(collections: Mapping[str, Collection]) -> dict[str, Json]:
    text = {"type": "string"}
    version: dict[str, Json] = {
        "version": text,
        "apiVersion": text,
        "srvDate": ref("Milliseconds"),
        "storage": _object({"storage": text, "version": text}),
    }
    rights = {name: {"type": "string", "pattern": "^c?r?u?d?$", "examples": ["crud"]} for name in collections}
    changes = {name: {"type": "integer"} for name in collections}
    return {
        "Version": _envelope({"result": _object(version)}),
        "Status": _envelope({"result": _object({**version, "apiPermissions": _object(rights)})}),
        "LastModified": _envelope(
            {"result": _object({"srvDate": ref("Milliseconds"), "collections": _object({}, changes)})},
        ),
    }


def _administration() -> dict[str, Json]:
    text, texts = {"type": "string"}, {"type": "array", "items": {"type": "string"}}
    name = {
        "type": "string",
        "pattern": rf"^\S(.{{0,{LONGEST_NAME - 2}}}\S)?$",
        "format": "printable",
        "description": "Printable characters only.",
    }
    notes = {**_TEXT, "type": ["string", "null"], "maxLength": LONGEST_NOTES}
    roles = _words("role", "Names of existing roles.")
    permissions = _words("permission", "Permissions in the syntax of Apache Shiro.")
    id_ = {"type": "string", "pattern": "^[0-9a-f]{24}$"}
    chosen = {"type": ["string", "null"], "pattern": "^([0-9a-f]{24})?$"}
    timestamp = {"enum": ["required", "optional"], "description": "Whether the subject's calls must carry the client's time."}
    left_out = {**timestamp, "enum": [*timestamp["enum"], None]}
    subject = {"_id": id_, "name": text, "roles": texts, "notes": text, "created_at": text}
    subject |= {"timestamp": timestamp, "groups": texts, "ous": texts}
    token = {**text, "description": "Left out when the caller does not hold every permission of the subject."}
    application = {"const": True, "description": "There if the subject is an application of OAuth2."}
    of_device = {"const": True, "description": "There if the subject is a device with a key of its own."}
    user: dict[str, Json] = {"_id": id_, "name": text, "email": text, "roles": texts, "disabled": {"type": "boolean"}}
    user |= {"created_at": text, "groups": texts, "ous": texts}
    group = {**name, "pattern": rf"^\S(.{{0,{LONGEST_GROUP - 2}}}\S)?$"}
    group_list = {"type": ["array", "null"], "items": group, "maxItems": MOST_GROUPS, "uniqueItems": True}
    groups: dict[str, Json] = {"groups": group_list, "ous": group_list}
    address = {"type": "string", "format": "address", "description": "An e-mail address."}
    given = {**_words("role", "Names of existing roles, at least one."), "minLength": 1, "minItems": 1}
    called = {**name, "type": ["string", "null"], "pattern": f"^({name['pattern'][1:-1]})?$"}
    flag = {"type": "boolean"}
    client: dict[str, Json] = {"_id": id_, "client_id": id_, "name": text, "redirect_uris": texts, "scopes": texts}
    client |= {"grants": texts, "public": flag, "introspect": flag, "roles": texts, "notes": text}
    client |= {"owner": {"type": ["string", "null"]}, "created_at": text}
    settable = {
        "redirect_uris": _words("redirect", "Where people go back to."),
        "scopes": _words("scope", "What it may ask for."),
    }
    settable |= {"grants": _words("grant", "How it gets tokens."), "roles": roles, "notes": notes}
    settable |= {"public": {"type": ["boolean", "null"]}, "introspect": {"type": ["boolean", "null"]}}
    moment, maybe, count = {"type": ["integer", "null"]}, {"type": ["string", "null"]}, {"type": "integer"}
    device: dict[str, Json] = {"_id": id_, "name": text, "roles": texts, "notes": text, "created_at": text}
    device |= {"state": {"enum": ["waiting", "active", "revoked"]}, "disabled": flag, "public_key": maybe, "connected": flag}
    device |= {"seen": moment, "address": text, "software": text, "rotation": moment, "displaced": moment}
    command: dict[str, Json] = {"_id": text, "command": text, "device": id_, "counter": count, "name": text}
    command |= {"arguments": {}, "state": {"enum": list(get_args(CommandState))}, "output": {}}
    command |= {"made": count, "expires": count, "updated": count}
    role: dict[str, Json] = {"name": text, "permissions": texts, "notes": text}
    named = {"_id": id_, "created_at": text}
    return {
        "Jwt": _object(
            {
                "token": text,
                "sub": text,
                "permissionGroups": {"type": "array", "items": texts},
                "iat": {"type": "integer"},
                "exp": {"type": "integer"},
            }
        ),
        "Texts": texts,
        "Tree": {"type": "object", "additionalProperties": ref("Tree")},
        "Check": _object({"check": {"type": "boolean"}}),
        "Nothing": _object({}),
        "SignIn": _open({"email": text, "password": text}, {}),
        "UserToken": _object({"auth_token": text, "user_id": id_}),
        "Subject": _object(subject, {"accessToken": token, "application": application, "device": of_device}),
        "Subjects": {"type": "array", "items": ref("Subject")},
        "User": _object(user),
        "Users": {"type": "array", "items": ref("User")},
        "InvitedUser": _object({**user, "invitation": {"type": "string", "description": "The path of the link."}}),
        "NewUser": _open({"email": address, "roles": {**given, "anyOf": given["anyOf"][:-1]}}, {"name": called, **groups}),
        "UserChange": _open(
            {"_id": id_},
            {
                "name": {**name, "type": ["string", "null"]},
                "email": {**address, "type": ["string", "null"]},
                "roles": given,
                "disabled": {"type": ["boolean", "null"]},
                **groups,
            },
        ),
        "Client": _object(client),
        "Clients": {"type": "array", "items": ref("Client")},
        "NewSecret": _object(client, {"client_secret": {**text, "description": "Left out for a public client."}}),
        "NewClient": _open({"name": name}, {"_id": chosen, **settable}),
        "ClientChange": _open({"_id": id_}, {"name": {**name, "type": ["string", "null"]}, **settable}),
        "Device": _object(device),
        "Devices": {"type": "array", "items": ref("Device")},
        "PairedDevice": _object(device, {"pairing_code": {**text, "description": "Left out for a device that has a key."}}),
        "NewDevice": _open({"name": name}, {"_id": chosen, "roles": roles, "notes": notes, "public_key": maybe}),
        "DeviceChange": _open(
            {"_id": id_},
            {
                "name": {**name, "type": ["string", "null"]},
                "roles": roles,
                "notes": notes,
                "disabled": {"type": ["boolean", "null"]},
            },
        ),
        "DeviceRecords": {"type": "array", "items": _open({"number": count, "ts": count, "level": text}, {})},
        "Enrolment": _open({"code": text, "public_key": text}, {}),
        "Enrolled": _object({"device": id_, "hub_key": text}),
        "Command": _object(command),
        "Commands": {"type": "array", "items": ref("Command")},
        "NewCommand": _open(
            {"name": {**text, "minLength": 1, "maxLength": 100, "format": "short"}}, {"arguments": {}, "expires": moment}
        ),
        "Role": _object(role, named),
        "Roles": {"type": "array", "items": ref("Role")},
        "NewSubject": _open({"name": name}, {"_id": chosen, "roles": roles, "notes": notes, "timestamp": left_out, **groups}),
        "SubjectChange": _open({"_id": id_, "name": name}, {"roles": roles, "notes": notes, "timestamp": left_out, **groups}),
        "NewRole": _open({"name": name}, {"_id": chosen, "permissions": permissions, "notes": notes}),
        "RoleChange": _open({"_id": id_, "name": name}, {"permissions": permissions, "notes": notes}),
    }


def _words(kind: str, about: str) -> Json:
    """Return the schema of a list of texts, or of one text with blanks or commas between them, as Nightscout's tools send."""
    word = {"type": "string", "format": kind}
    lists = [{"type": "array", "items": word}, {"type": "string", "format": f"{kind}s"}, {"type": "null"}]
    return {"anyOf": lists, "description": about}


def _open(required: Json, optional: Json) -> Json:
    """Return the schema of an object that may have further properties, which are ignored."""
    properties = {**required, **optional}
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "propertyNames": _TEXT,
        "additionalProperties": ref("Value"),
    }
