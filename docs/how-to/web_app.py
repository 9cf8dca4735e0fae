"""A web application whose people sign in at an apiv3 server, by authorization code with PKCE (RFC 6749, RFC 7636).

    apiv3 client add viewer --redirect http://127.0.0.1:9000/callback --scope read
    CLIENT_ID=... CLIENT_SECRET=... uvicorn web_app:app --port 9000

Needs starlette, httpx and uvicorn. The tokens stay on this side: a browser gets nothing but a random cookie.
"""

import base64
import hashlib
import os
import secrets
from html import escape
from typing import Any
from urllib.parse import urlencode

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

SERVER = os.environ.get("APIV3_URL", "http://127.0.0.1:8000")
CLIENT = (os.environ.get("CLIENT_ID", ""), os.environ.get("CLIENT_SECRET", ""))
REDIRECT = os.environ.get("REDIRECT", "http://127.0.0.1:9000/callback")
ISSUER = os.environ.get("ISSUER", SERVER)
"""The `issuer` of the server's metadata, if people reach it by another URL than this program (RFC 9207)."""
COOKIE, SECURE = "viewer", REDIRECT.startswith("https:")
visitors: dict[str, dict[str, Any]] = {}
"""The value of a visitor's cookie -> what is known of the visitor: a pending sign-in, or an access token."""


def visitor(request: Request) -> dict[str, Any]:
    return visitors.get(request.cookies.get(COOKIE, ""), {})


async def home(request: Request) -> Response:
    """Show the newest glucose entry to whoever has signed in."""
    token = visitor(request).get("token")
    if token is None:
        return HTMLResponse('<p>You are not signed in. <a href="/login">Sign in</a></p>')
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=SERVER, headers=headers) as client:
        answer = await client.get("/api/v3/entries", params={"limit": 1, "sort$desc": "date", "fields": "date,sgv"})
    if answer.status_code == 401:  # expired, or withdrawn
        visitor(request).clear()
        return RedirectResponse("/login")
    if answer.status_code != 200:
        return HTMLResponse(f"<p>The server says: {escape(answer.json().get('message', ''))}</p>", 502)
    entries = answer.json()["result"]
    return HTMLResponse(f"<p>Newest: {escape(str(entries[0]['sgv'])) if entries else 'nothing yet'}</p>")


async def login(_request: Request) -> Response:
    """Send the browser to the server, with what only this program can prove to know afterwards."""
    value, state, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    visitors[value] = {"state": state, "verifier": verifier}
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    asked = {"response_type": "code", "client_id": CLIENT[0], "redirect_uri": REDIRECT, "scope": "read", "state": state}
    query = urlencode(asked | {"code_challenge": digest, "code_challenge_method": "S256"})
    answer = RedirectResponse(f"{SERVER}/oauth/authorize?{query}", 303)
    answer.set_cookie(COOKIE, value, httponly=True, samesite="lax", secure=SECURE)
    return answer


async def callback(request: Request) -> Response:
    """Take the code, exchange it for a token, and give the visitor a new cookie."""
    pending, given = visitors.pop(request.cookies.get(COOKIE, ""), {}), request.query_params
    if not pending.get("state") or not secrets.compare_digest(pending["state"], given.get("state", "")):
        return HTMLResponse("<p>This sign-in was not begun here.</p>", 400)
    if given.get("iss") != ISSUER:
        return HTMLResponse("<p>This answer comes from another server.</p>", 400)
    if "code" not in given:
        return HTMLResponse(f"<p>Not signed in: {escape(given.get('error_description', 'refused'))}</p>", 403)
    form = {"grant_type": "authorization_code", "code": given["code"], "redirect_uri": REDIRECT}
    async with httpx.AsyncClient(base_url=SERVER) as client:
        answer = await client.post("/oauth/token", data=form | {"code_verifier": pending["verifier"]}, auth=CLIENT)
    if answer.status_code != 200:
        return HTMLResponse(f"<p>Not signed in: {escape(answer.json().get('error_description', ''))}</p>", 502)
    value = secrets.token_urlsafe(32)
    visitors[value] = {"token": answer.json()["access_token"]}
    home_page = RedirectResponse("/", 303)
    home_page.set_cookie(COOKIE, value, httponly=True, samesite="lax", secure=SECURE)
    return home_page


app = Starlette(routes=[Route("/", home), Route("/login", login), Route("/callback", callback)])
