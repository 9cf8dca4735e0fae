"""The operations of devices and of the hub. `web/routes.py` has their URLs."""

from __future__ import annotations

from apiv3.model import messages
from apiv3.model.errors import ApiError, BadRequest, Conflict, Forbidden, NotFound, TooManyRequests, Unauthorized
from apiv3.web.openapi import examples
from apiv3.web.openapi.operations import ADMINISTRATION, HUB
from apiv3.web.operation import Body, Json, Operation, Reply

_BODY = messages.BAD_BODY
_GIFT = Forbidden("You cannot give away a permission that you do not hold")
_DEVICE: tuple[ApiError, ...] = (
    BadRequest("Bad or missing name: 1 to 200 printable characters, no blanks around them"),
    *(BadRequest("Bad notes: at most 10000 characters"), BadRequest("Bad {field}: it must be a list of texts")),
    *(BadRequest(messages.BAD_ID), BadRequest("Unknown role {name}; there are: ...")),
    *(Conflict("There is a subject named {name} already"), _GIFT),
)
_KEY = (
    BadRequest("Bad public_key: it must be an X25519 key, 32 bytes in base64url without padding"),
    BadRequest(messages.KEY_IN_USE),
)
_UNKNOWN = NotFound("There is no device {id}; list what there is to see the ids")
_NO_COMMAND = NotFound("There is no command {id}")


def _next(*others: str) -> Json:
    return {name: {"parameters": {"_id": "$response.body#/_id"}} for name in others}


DEVICES = Operation("devices", ADMINISTRATION, {200: Reply.of("The devices.", "Devices")})
DEVICE = Operation("device", ADMINISTRATION, {200: Reply.of("The device.", "Device")}, errors=(_UNKNOWN,))
ADD_DEVICE = Operation(
    "addDevice",
    ADMINISTRATION,
    {200: Reply.of("The device, and its pairing code.", "PairedDevice", links=_next("device", "pairDevice", "removeDevice"))},
    "The pairing code is good once, for 15 minutes. It cannot be read again; another one can be made.",
    body=Body.of("NewDevice", examples.NEW_DEVICE, _BODY),
    errors=(*_DEVICE, *_KEY, Conflict("There is a subject with the _id {id} already")),
)
CHANGE_DEVICE = Operation(
    "changeDevice",
    ADMINISTRATION,
    {200: Reply.of("The device as stored.", "Device")},
    "A device that is disabled is cut off, and may connect again once it is enabled.",
    body=Body.of("DeviceChange", examples.CHANGED_DEVICE, _BODY),
    errors=(*_DEVICE, _UNKNOWN, BadRequest("Bad {field}: it must be true or false")),
)
REMOVE_DEVICE = Operation(
    "removeDevice", ADMINISTRATION, {200: Reply.of("The device was removed.", "Nothing")}, errors=(_UNKNOWN, _GIFT)
)
PAIR_DEVICE = Operation(
    "pairDevice",
    ADMINISTRATION,
    {200: Reply.of("The device, and its pairing code.", "PairedDevice")},
    errors=(_UNKNOWN, _GIFT),
)
ROTATE_DEVICE = Operation(
    "rotateDevice",
    ADMINISTRATION,
    {200: Reply.of("The device as stored.", "Device")},
    errors=(_UNKNOWN, _GIFT, Conflict("The device has no key yet: give it a pairing code")),
)
REVOKE_DEVICE = Operation(
    "revokeDevice", ADMINISTRATION, {200: Reply.of("The device as stored.", "Device")}, errors=(_UNKNOWN, _GIFT)
)
DEVICE_RECORDS = Operation(
    "deviceRecords",
    ADMINISTRATION,
    {200: Reply.of("The records.", "DeviceRecords")},
    "The newest 10,000 lines of its log, and 1,000 alarms and states, are kept for each device. Their numbers have no gaps, so "
    "the lowest one tells how many were dropped.",
    parameters=("kind", "search", "before", "records"),
    errors=(_UNKNOWN,),
)

ENROL = Operation(
    "enrol",
    HUB,
    {200: Reply.of("The device's id, and the hub's public key.", "Enrolled")},
    "A key that is refused does not use the code up.",
    body=Body.of("Enrolment", examples.ENROLMENT, _BODY, "Bad or missing code or public_key: both must be texts"),
    errors=(*_KEY, Unauthorized("Bad code: it is unknown, used or expired; ask for another one"), TooManyRequests()),
)
COMMANDS = Operation("commands", HUB, {200: Reply.of("The commands.", "Commands")}, errors=(_UNKNOWN,))
GIVE_COMMAND = Operation(
    "giveCommand",
    HUB,
    {200: Reply.of("The command as stored.", "Command")},
    "A device that is connected gets it at once, another one when it connects, unless the command has expired by then.",
    body=Body.of("NewCommand", examples.NEW_COMMAND, _BODY, "Bad or missing name (a text), or expires (ms since 1970)"),
    errors=(
        *(_UNKNOWN, BadRequest("Bad or missing name: 1 to 100 printable characters")),
        BadRequest("Bad expires: it must be in the next 30 days, in ms since 1970"),
        BadRequest("The command is too large: a message to a device has at most 65519 bytes"),
    ),
)
COMMAND = Operation("command", HUB, {200: Reply.of("The command.", "Command")}, errors=(_NO_COMMAND,))
CANCEL_COMMAND = Operation(
    "cancelCommand",
    HUB,
    {200: Reply.of("The command as stored.", "Command")},
    errors=(_UNKNOWN, _NO_COMMAND, Conflict("The command is {state} already")),
)
