"""The table of parameters: the place and the schema of each, and the errors of a bad one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from apiv3.model import messages
from apiv3.model.devices import RECORD_KINDS
from apiv3.model.documents import LONGEST_IDENTIFIER
from apiv3.model.queries import OPERATORS
from apiv3.web.devices import MOST_RECORDS
from apiv3.web.negotiation import Format
from apiv3.web.operation import Bounds, Json, ref
from apiv3.web.parameters import MOST_PARAMETERS
from apiv3.web.search_parameters import DEFAULT_LIMIT, LONGEST_PATTERN, RESERVED, TIMESTAMPS

LARGEST_SKIP = 10**18 - 1
DATE = 1_600_087_000_000
"""The date of all examples, 2020-09-14: an example sent to a real server is not taken for a current reading."""


class Parameter(NamedTuple):
    """`spec`: the parameter as an OpenAPI object. `refusals`: the messages of the 400 answers that a bad value gets."""

    spec: Json
    refusals: tuple[str, ...] = ()


def table(bounds: Bounds) -> Mapping[str, Parameter]:
    """Return name -> parameter."""
    return {**_times(bounds), **_listing(bounds), **_following(), **_telling(), **_path()}


def _times(bounds: Bounds) -> Mapping[str, Parameter]:
    about = (
        f"The client's time, at most {bounds.tolerance:g} minutes off: Unix epoch in ms or s, ISO 8601, or an HTTP date. "
        "A secured call carries this or the header `Date`, which takes precedence."
    )
    text: Json = {"type": "string"}
    return {
        "now": _query("now", about, text),
        "Date": _header("Date", "The client's time; see `now`. Browsers do not let a page set it.", text),
        "If-Modified-Since": _header(
            "If-Modified-Since",
            "Answer 304 unless there was a change after this time (whole seconds). A malformed one is ignored.",
            text,
        ),
        "If-Unmodified-Since": _header(
            "If-Unmodified-Since",
            "Answer 412 if the document changed after this time (whole seconds), or if the time cannot be read for certain. "
            "A value without any time is ignored.",
            text,
        ),
        "Last-Modified": Parameter(
            {
                **_header("Last-Modified", "List changes since this time: whole seconds, inclusive.", ref("TimeText")).spec,
                "required": True,
                "example": "Mon, 14 Sep 2020 12:36:40 GMT",
            },
            (messages.BAD_LAST_MODIFIED,),
        ),
        "If-None-Match": _header("If-None-Match", "The `ETag` of the client's copy.", text),
        "Accept": _header("Accept", "JSON, CSV or XML, for a path without a file name extension.", text),
    }


def _following() -> Mapping[str, Parameter]:
    about = "Continue after the event with this id."
    text: Json = {"type": "string"}
    return {
        "collections": _query(
            "collections",
            "A comma-separated list of collections; by default all that the caller may follow.",
            text,
            "Unknown collection in parameter collections; there are {names}",
            example="entries,treatments",
        ),
        "since": _query("since", "Begin with changes after this time; by default now.", text, messages.BAD_SINCE),
        "lastEventId": _query("lastEventId", f"{about} For clients that cannot set the header.", text, "Bad Last-Event-ID"),
        "Last-Event-ID": _header("Last-Event-ID", about, text),
        "Login-Event-ID": _header("Last-Event-ID", "The id of the last event that the client has; others begin anew.", text),
    }


def _listing(bounds: Bounds) -> Mapping[str, Parameter]:
    default = min(DEFAULT_LIMIT, bounds.limit)
    limit = {"type": "integer", "minimum": 1, "maximum": bounds.limit, "default": default}
    skip = {"type": "integer", "minimum": 0, "maximum": LARGEST_SKIP, "default": 0}
    both = messages.TWO_SORTS
    return {
        "sort": _query("sort", "Sort by this field, ascending. Default: `identifier`.", {"type": "string"}, both),
        "sort$desc": _query("sort$desc", "Sort by this field, descending.", {"type": "string"}, both, example="date"),
        "limit": _query("limit", "The most documents in the answer.", limit, messages.BAD_LIMIT, example=10),
        "skip": _query("skip", "The number of documents to skip.", skip, messages.BAD_SKIP),
        "fields": _query(
            "fields", "A comma-separated list of the fields to show, which may be dotted names; or `_all`.", {"type": "string"}
        ),
        "csv$exact": _flag("csv$exact", "`true`: do not put an apostrophe before texts that look like spreadsheet formulas."),
        "filter": _filter(),
        "permanent": _flag("permanent", "`true`: remove the document for good, without a trace in HISTORY."),
        "keep": _flag("keep", "`true`: leave documents that exist already unchanged. This demands `create` only."),
    }


def _filter() -> Parameter:
    """Describe filters: every parameter that has no other meaning. Must agree with `apiv3.web.search_parameters`."""
    operators = "|".join(sorted(OPERATORS - {"re"}))
    reserved = "|".join(sorted(RESERVED)).replace("$", r"\$")
    times = "|".join(sorted(TIMESTAMPS))
    names = rf"^(?!({reserved})$)[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*(\$({operators}|re))?$"
    schema = {
        "type": "object",
        "propertyNames": {"pattern": names, "maxLength": 200},
        "patternProperties": {
            r"\$re$": {"type": "string", "format": "re2", "maxLength": LONGEST_PATTERN},
            rf"^({times})(\$({operators}))?$": ref("TimeText"),
        },
        "additionalProperties": {"type": "string"},
        "maxProperties": MOST_PARAMETERS // 2,
    }
    about = (
        "Filters, each a separate parameter: `field=value` or `field$op=value` with the operators "
        + " ".join(f"`{name}`" for name in sorted(OPERATORS))
        + ". A document must match all of them. `in` and `nin` take `a|b|c`, `re` takes an RE2 pattern; dotted names select "
        "fields within objects. A value that looks like a number is one; quotes (`'5'`) make it a text. Fields with times "
        "accept every format of a time."
    )
    spec = {"name": "filter", "in": "query", "description": about, "schema": schema, "style": "form", "explode": True}
    return Parameter(
        {**spec, "example": {"date$gte": "2020-09-14T00:00:00Z"}},
        (
            "Unsupported filter operator {operator}",
            "Bad timestamp in parameter {name}",
            "Parameter {name} is no regular expression: {reason}",
            f"Parameter {{name}} is longer than {LONGEST_PATTERN} characters",
        ),
    )


def _telling() -> Mapping[str, Parameter]:
    """The parameters of what devices told of themselves."""
    number = {"type": "integer", "minimum": 1, "maximum": 10**15 - 1}
    most = {**number, "maximum": MOST_RECORDS, "default": 100}
    bad = "Parameter {name} must be a whole number of at least 1"
    kinds = f"Parameter kind must be one of: {', '.join(RECORD_KINDS)}"
    return {
        "kind": _query("kind", "What was told.", {"enum": list(RECORD_KINDS), "default": "log"}, kinds),
        "search": _query("search", "A part of the text, in any case.", {"type": "string"}),
        "before": _query("before", "Only records with a lower number.", number, bad),
        "records": Parameter(_query("limit", "The most records in the answer.", most, bad).spec, (bad,)),
    }


def _path() -> Mapping[str, Parameter]:
    address = {"type": "string", "minLength": 1, "maxLength": LONGEST_IDENTIFIER, "pattern": r"\S"}
    object_id = {"type": "string", "pattern": "^[0-9a-f]{24}$"}
    bad_id = messages.BAD_ID
    return {
        "collection": _in_path("collection", "The name of the collection.", {"type": "string"}, "entries"),
        "format": _in_path("format", "The format of the answer.", {"enum": [form.extension for form in Format]}, "csv"),
        "identifier": _in_path(
            "identifier",
            "The document's identifier, percent-encoded, slashes included.",
            address,
            "example-1",
            messages.BAD_IDENTIFIER,
        ),
        "lastModified": _in_path(
            "lastModified",
            "List changes after this time, exclusive: the greatest `srvModified` seen so far, which is also the `ETag`.",
            ref("TimeText"),
            str(DATE),
            messages.BAD_LAST_MODIFIED,
        ),
        "accessToken": _in_path(
            "accessToken", "An access token, or a JWT that is still valid.", address, "example-0123456789abcdef"
        ),
        "permission": _in_path(
            "permission",
            "A permission in the syntax of Apache Shiro.",
            {"type": "string", "pattern": "^[^,:\\s]+(:[^,:\\s]+)*$"},
            "api:entries:read",
            "Malformed permission: {reason}",
        ),
        "file": _in_path("file", "The name of a file.", {"type": "string"}, "explorer.js"),
        "command": _in_path("command", "The id of a command.", {"type": "string"}, "0b3f1c2e-5d5a-4c53-9d0e-7a53c1f5a001"),
        "_id": _in_path("_id", "24 hex digits.", object_id, "5f5f5f5f5f5f5f5f5f5f5f5f", bad_id),
    }


def _query(name: str, about: str, schema: Json, *refusals: str, example: object = None) -> Parameter:
    spec = {"name": name, "in": "query", "description": about, "schema": schema}
    repeated = f"Parameter {name} is repeated"
    return Parameter(spec if example is None else {**spec, "example": example}, (*refusals, repeated))


def _flag(name: str, about: str) -> Parameter:
    schema = {"type": "string", "enum": ["true", "false"], "default": "false"}
    return _query(name, about, schema, f"Parameter {name} must be true or false")


def _header(name: str, about: str, schema: Json) -> Parameter:
    return Parameter({"name": name, "in": "header", "description": about, "schema": schema})


def _in_path(name: str, about: str, schema: Json, example: str, *refusals: str) -> Parameter:
    spec = {"name": name, "in": "path", "required": True, "description": about, "schema": schema, "example": example}
    return Parameter(spec, refusals)
