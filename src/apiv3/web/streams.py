"""Send answers that do not end by themselves."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from apiv3.live.wires import until_one_ends
from apiv3.model import timestamps
from apiv3.web.calls import Call, Receive, Send
from apiv3.web.headers import common_headers
from apiv3.web.responses import Answer

_log = logging.getLogger(__name__)


async def send_stream(call: Call, send: Send, answer: Answer, stream: AsyncGenerator[bytes, None]) -> None:
    """Send the stream of an answer as it is produced, until it ends or the client disconnects."""
    dated = (b"date", timestamps.http_date(int(time.time())))
    start = [dated, (b"content-type", answer.media_type), *answer.headers, *common_headers(call)]
    await send({"type": "http.response.start", "status": answer.status, "headers": start})
    await send({"type": "http.response.body", "more_body": True})  # send the headers now
    if call.method != "HEAD":
        await until_one_ends(_pump(send, stream, call.id), departure(call.receive))
    await send({"type": "http.response.body"})


async def _pump(send: Send, stream: AsyncGenerator[bytes, None], request: str) -> None:
    try:
        async with aclosing(stream):
            async for chunk in stream:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
    except Exception:
        _log.exception("the stream of request %s failed", request)


async def departure(receive: Receive) -> None:
    """Wait until the client disconnects; discard whatever else arrives."""
    while (await receive())["type"] != "http.disconnect":
        pass
