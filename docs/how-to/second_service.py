"""A service that lets in who is signed in at apiv3 and may read glucose there (docs/how-to/add-a-second-service.md)."""

import os

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from apiv3.client.asgi import SESSION, SessionMiddleware
from apiv3.client.sessions import SessionList

sessions = SessionList(os.environ["APIV3_URL"], os.environ["APIV3_TOKEN"], limit=float(os.environ.get("LIMIT", "45")))


async def hello(request: Request) -> JSONResponse:
    """Say who calls, and what else they may do."""
    session = request.scope[SESSION]
    may_write = sessions.is_authorised(session, "api:treatments:create")
    return JSONResponse({"name": session.name, "via": session.via, "may_write": may_write})


app = SessionMiddleware(Starlette(routes=[Route("/", hello)]), sessions, "api:entries:read")

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8100")))
