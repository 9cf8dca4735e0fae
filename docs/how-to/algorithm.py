"""An algorithm in a container: it reads the newest glucose entry with a token of its own. Runs with httpx alone.

    APIV3_URL=https://data.example.org APIV3_TOKEN=at_... python algorithm.py

Without APIV3_TOKEN it gets one by itself, with APIV3_CLIENT_ID and APIV3_CLIENT_SECRET.
"""

import os
import sys
from collections.abc import Iterator

import httpx


class Application(httpx.Auth):
    """Sends an access token, and gets another one when there is none or the server does not take it any more."""

    requires_response_body = True

    def __init__(self, url: str, environment: os._Environ[str]) -> None:
        self._url, self._token = url, environment.get("APIV3_TOKEN", "")
        self._client = (environment.get("APIV3_CLIENT_ID", ""), environment.get("APIV3_CLIENT_SECRET", ""))

    def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
            answer = yield request
            if answer.status_code != 401:
                return
        if not all(self._client):
            sys.exit("The token is missing or not good any more; set APIV3_TOKEN, or APIV3_CLIENT_ID and APIV3_CLIENT_SECRET.")
        answer = yield self._asking()
        if answer.status_code != 200:
            sys.exit(f"No token: {answer.json().get('error_description', answer.status_code)}")
        self._token = answer.json()["access_token"]
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request

    def _asking(self) -> httpx.Request:
        form = {"grant_type": "client_credentials", "client_id": self._client[0], "client_secret": self._client[1]}
        return httpx.Request("POST", f"{self._url}/oauth/token", data=form)


def main() -> None:
    url = os.environ.get("APIV3_URL", "http://127.0.0.1:8000")
    try:
        with httpx.Client(base_url=url, auth=Application(url, os.environ), timeout=30) as client:
            answer = client.get("/api/v3/entries", params={"limit": 1, "sort$desc": "date", "fields": "date,sgv"})
    except httpx.TransportError as error:
        sys.exit(f"{url} cannot be reached: {error}")
    if answer.status_code != 200:
        sys.exit(f"The server says {answer.status_code}: {answer.json().get('message')}")
    for entry in answer.json()["result"]:
        sys.stdout.write(f"{entry['date']}: {entry['sgv']} mg/dL\n")


if __name__ == "__main__":
    main()
