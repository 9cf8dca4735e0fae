"""Lines of a file that nobody would write who means well."""

import json
from typing import Any

from hypothesis import strategies as st

_FIELDS = (
    *("identifier", "_id", "date", "created_at", "app", "device", "type", "eventType", "isValid", "isReadOnly", "utcOffset"),
    *("srvModified", "srvCreated", "subject", "modifiedBy", "duration", "durationInMilliseconds", "units", "sgv", "notes"),
)
_TYPES = ("$oid", "$date", "$numberLong", "$numberInt", "$numberDouble", "$binary")
_numbers = (
    st.integers(-(2**63), 2**63 - 1)
    | st.integers(1_600_000_000_000, 1_600_000_000_003)
    | st.sampled_from([0, -1, 2**63, -(2**64), 10**30, 1e300, -0.0, 1e-320, 253402300800000, 8640000000000001])
    | st.floats()
)
_texts = st.text(max_size=5) | st.sampled_from(
    ["", " ", "a", "2020-09-14T12:26:40Z", "2020-09-14", "1600000000000", "9" * 30, "1e999", "NaN", "\0", "x" * 3000, "+99:99"]
)
_values = st.recursive(
    st.none() | st.booleans() | _numbers | _texts,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(_TYPES), inner, min_size=1, max_size=1)
        | st.dictionaries(_texts, inner, max_size=2)
    ),
    max_leaves=6,
)
_documents: st.SearchStrategy[Any] = (
    st.dictionaries(st.sampled_from(_FIELDS), _values, max_size=6)
    | st.fixed_dictionaries({"app": st.just("x"), "date": _numbers}, optional=dict.fromkeys(_FIELDS[:2], _values))
    | st.dictionaries(st.sampled_from(_TYPES), _values, min_size=1, max_size=2)
    | _values
)
_spelled = st.builds(json.dumps, _documents, ensure_ascii=st.booleans()).map(lambda text: text.encode("utf-8", "surrogatepass"))
lines = st.lists(_spelled | st.binary(max_size=20).map(lambda data: b"{" + data.replace(b"\n", b"")), max_size=5)
"""None of them is empty."""
