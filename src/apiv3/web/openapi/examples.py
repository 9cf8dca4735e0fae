"""Valid example bodies for each collection and for administration. The tests send every one of them."""

from __future__ import annotations

import json

from apiv3.web.openapi.parameters import DATE
from apiv3.web.operation import Json

_COMMON = {"date": DATE, "app": "example", "device": "terminal"}

NEW: Json = {
    "entries": {"identifier": "example-1", **_COMMON, "type": "sgv", "sgv": 120, "direction": "Flat", "units": "mg/dl"},
    "treatments": {"identifier": "example-2", **_COMMON, "eventType": "Meal Bolus", "carbs": 40, "insulin": 3.5},
    "devicestatus": {"identifier": "example-3", **_COMMON, "uploaderBattery": 82, "pump": {"reservoir": 124.5}},
    "profile": {"identifier": "example-4", **_COMMON, "defaultProfile": "day", "store": {"day": {"dia": 6}}},
    "food": {"identifier": "example-5", **_COMMON, "name": "Apple", "carbs": 14, "portion": 100, "unit": "g"},
    "settings": {"identifier": "example-6", **_COMMON, "theme": "dark", "thresholds": {"high": 180, "low": 70}},
}
"""Collection -> a new document."""
STORED: Json = {
    **NEW["entries"],
    "utcOffset": 0,
    "created_at": "2020-09-14T12:36:40.000Z",
    "subject": "phone",
    "srvCreated": DATE + 2000,
    "srvModified": DATE + 2000,
}
"""One of them as it is stored."""
MANY: Json = {"two readings": [NEW["entries"], NEW["entries"] | {"identifier": "example-7", "date": DATE + 300_000}]}
LINES: Json = {name: "".join(json.dumps(each) + "\n" for each in documents) for name, documents in MANY.items()}
"""The same as NDJSON."""
CHANGED: Json = {"a new version": {**_COMMON, "type": "sgv", "sgv": 121, "notes": "sent again"}}
PATCHED: Json = {"one field": {"notes": "checked by finger prick"}}

_ID = "5f5f5f5f5f5f5f5f5f5f5f5f"
_SUBJECT = {"_id": _ID, "name": "kitchen display", "roles": ["readable"], "notes": "the tablet on the fridge"}
_ROLE = {"_id": _ID, "name": "reader of readings", "permissions": ["api:entries:read"], "notes": ""}
NEW_SUBJECT: Json = {"a reader": _SUBJECT}
CHANGED_SUBJECT: Json = {"other roles": {**_SUBJECT, "roles": ["readable", "careportal"]}}
NEW_ROLE: Json = {"readings only": _ROLE}
CHANGED_ROLE: Json = {"treatments too": {**_ROLE, "permissions": ["api:entries:read", "api:treatments:read"]}}
NEW_USER: Json = {"a reader": {"email": "carla@x.example", "name": "Carla Example", "roles": ["readable"]}}
CHANGED_USER: Json = {"disabled": {"_id": _ID, "disabled": True}}
_CLIENT_ID = "6f6f6f6f6f6f6f6f6f6f6f6f"
_CLIENT = {"_id": _CLIENT_ID, "name": "viewer", "redirect_uris": ["https://viewer.example.org/callback"], "scopes": ["read"]}
NEW_CLIENT: Json = {"a web application": _CLIENT}
CHANGED_CLIENT: Json = {"more scopes": {"_id": _CLIENT_ID, "scopes": ["read", "offline_access"]}}
_DEVICE_ID = "7f7f7f7f7f7f7f7f7f7f7f7f"
_KEYS = ("soF1oPL9h2kLKeflcZcXmpg9Oe9g78kwoPvad8ZuA3k", "zz3vjJcJrRwiQV7qeTzPeOda8T2zy_tKXOATdb-ZDEQ")
NEW_DEVICE: Json = {"an uploader": {"_id": _DEVICE_ID, "name": "rig", "roles": ["devicestatus-upload"], "public_key": _KEYS[0]}}
CHANGED_DEVICE: Json = {"disabled": {"_id": _DEVICE_ID, "disabled": True}}
ENROLMENT: Json = {"a device": {"code": "the code in the pairing code", "public_key": _KEYS[1]}}
NEW_COMMAND: Json = {"a restart": {"name": "restart", "arguments": {"delay": 5}}}
SIGN_IN: Json = {"a person": {"email": "anna@x.example", "password": "correct horse battery staple"}}
