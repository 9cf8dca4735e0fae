"""What devices send, and what they get for it."""

import uuid

from tests.support.devices import new_device, reading
from tests.support.server import LiveServer

UPLOADER = ("moderator",)


async def test_documents_arrive_once(hub: LiveServer) -> None:
    device, name = await new_device(hub, *UPLOADER), str(uuid.uuid4())
    body = {"collection": "entries", "documents": [reading(1, identifier="one"), reading(2), {"date": "never"}]}
    async with device.connected() as connection:
        answer = await connection.ask("data", body, id=name)
        again = await connection.ask("data", body, id=name)
    assert "results" in answer["body"], answer
    assert [each["status"] for each in answer["body"]["results"]] == [201, 201, 400]
    assert again["body"] == answer["body"]
