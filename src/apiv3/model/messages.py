"""Error messages that are used in several places: where they are raised, and in the OpenAPI description."""

from __future__ import annotations

BAD_BODY = "Bad or missing request body"
BAD_IDENTIFIER = "Bad or missing identifier field"
BAD_FORM = "Bad form"
BAD_ID = "Bad _id: it must be 24 lower-case hex digits"
BAD_LAST_MODIFIED = "Bad or missing Last-Modified header/parameter"
BAD_SINCE = "Bad parameter since"
BAD_QUERY = "Bad query parameters"
BAD_LIMIT = "Parameter limit out of tolerance"
BAD_SKIP = "Parameter skip out of tolerance"
TWO_SORTS = "Parameters sort and sort_desc cannot be combined"
TWO_CREDENTIALS = "More than one credential"
BAD_DATE = "Bad Date header"
DATE_OUT_OF_TOLERANCE = "Date header out of tolerance"
BAD_SUBJECT_TIMESTAMP = "Bad timestamp: it must be required or optional"
BEARER_IN_QUERY = "An OAuth2 access token belongs into the header Authorization, not into a URL"
