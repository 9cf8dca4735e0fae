"""`apiv3 serve`: the server, and its first start."""

from __future__ import annotations

import logging
import os
import socket
import ssl
import sys
import threading
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

import click
import uvicorn
from uvicorn.supervisors import Multiprocess

from apiv3 import __version__
from apiv3.cli.installation import run_on
from apiv3.cli.place import location
from apiv3.installation import Installation
from apiv3.live.packets import LARGEST
from apiv3.live.workers import FOLDER
from apiv3.model.errors import Conflict
from apiv3.model.identity import Subject
from apiv3.security.proxies import is_loopback
from apiv3.settings import Settings, SettingsError, load, provision
from apiv3.web.protocol import BoundedProtocol, BoundedWebSocket
from apiv3.web.redirect import Redirect

ADMIN = "admin"
_LONGEST_PATH = 60
"""Characters of a directory in which sockets can have names: the whole path has about 100."""
_log = logging.getLogger("apiv3")

_NO_SECURITY = """SECURITY IS SWITCHED OFF
******************************************************************************
API3_SECURITY_ENABLE is false: whoever reaches this server can read, change and
delete everything. This is for debugging; never run it so with real data.
******************************************************************************"""


@click.command()
@click.option("--host", help="Address to listen on (HOST, 127.0.0.1).")
@click.option("--port", type=int, help="Port to listen on (PORT, 8000).")
@click.option("--workers", type=int, help="Number of processes (WORKERS, 1).")
@click.option("--tls-cert", type=click.Path(), help="Certificate chain, PEM (TLS_CERT); with it the server speaks HTTPS.")
@click.option("--tls-key", type=click.Path(), help="Private key, PEM (TLS_KEY).")
@click.option("--http-port", type=int, help="Beside TLS: a port that sends plain HTTP to HTTPS (HTTP_PORT).")
def serve(**options: str | int | None) -> None:
    """Start the server.

    The first start creates the data directory, the tables, the secrets and the subject "admin", and prints its token.

    \b
    apiv3 serve
    apiv3 serve --host 0.0.0.0 --port 443 --tls-cert chain.pem --tls-key key.pem --http-port 80
    DATABASE_URL=postgresql://apiv3:password@db/apiv3 apiv3 serve --workers 4
    """
    os.environ.update({name.upper(): str(value) for name, value in options.items() if value is not None})
    settings = provision(load())
    check_exposure(settings)
    _check_tls(settings)
    listener = listen(settings.host, settings.port)
    token = run_on(settings, _first_start, makes=True)
    _announce(settings, listener.getsockname()[1], token)
    if settings.http_port is not None:
        _redirect(settings, settings.http_port, listener.getsockname()[1])
    _serve(settings, listener)


def check_exposure(settings: Settings) -> None:
    """Without security: warn at every start, and refuse to listen to the network unless told twice."""
    if settings.api3_security_enable:
        return
    local = settings.host == "localhost" or is_loopback(settings.host)
    if not local and not settings.api3_security_disabled_on_network:
        raise SettingsError(
            f"API3_SECURITY_ENABLE is false, so everybody who reaches HOST {settings.host} could read and change everything; "
            "listen on 127.0.0.1, or set API3_SECURITY_DISABLED_ON_NETWORK=true too if you really mean it."
        )
    _log.warning(_NO_SECURITY)


def _check_tls(settings: Settings) -> None:
    if settings.tls_cert is None or settings.tls_key is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.tls_cert, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        files = f"TLS_CERT is {str(settings.tls_cert)!r} and TLS_KEY is {str(settings.tls_key)!r}"
        raise SettingsError(f"{files}, which cannot be used: {error}.") from error


def listen(host: str, port: int, setting: str = "PORT") -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        raise SettingsError(f"HOST is {host!r} and {setting} is {port}, where nothing can listen: {error}.") from error
    listener.set_inheritable(True)
    return listener


async def _first_start(installation: Installation) -> str | None:
    """Create the subject `admin` in an installation without subjects; its access token, None if there were some."""
    if installation.policies.current.subjects:
        return None
    try:
        admin = await installation.administration.add_subject(Subject("", ADMIN, ("admin",), "created at the first start"))
    except Conflict:  # another process was faster
        return None
    return installation.policies.current.token(admin)


def _announce(settings: Settings, port: int, token: str | None) -> None:
    scheme = "https" if settings.tls_cert else "http"
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    url = f"{scheme}://{host}:{port}"
    click.echo(f"apiv3 {__version__} listens on {url}, with its data in {location(settings)}")
    if token is not None:
        words = {"command": _command(), "url": url, "token": token, "options": " -k" if settings.tls_cert else ""}
        click.echo(_WELCOME.format(**words, post=_POST.format(**words)))


def _command() -> str:
    """How to call this program from here."""
    program = Path(sys.argv[0])
    if program.name != "apiv3":
        return "apiv3"
    return str(program.relative_to(Path.cwd())) if program.is_relative_to(Path.cwd()) else str(program)


_WELCOME = """
This is the first start. The subject "admin" may do everything; its access token, shown only now
(later: {command} subject show admin):

    {token}

Read the latest glucose entries:

curl -s{options} "{url}/api/v3/entries?sort\\$desc=date&limit=10&token={token}&now=$(date +%s)000"

Trade the token for a JWT, and post a glucose entry with it:

{post}
"""

_POST = " ".join(
    (
        'curl -s{options} -X POST "{url}/api/v3/entries"',
        '-H "Authorization: Bearer $(curl -s{options} {url}/api/v2/authorization/request/{token}'
        """ | sed 's/.*"token":"\\([^"]*\\)".*/\\1/')\"""",
        '-H "Date: $(date +%s)000" -H "Content-Type: application/json"',
        """-d '{{"app":"curl","device":"terminal","type":"sgv","sgv":120,"date":'$(date +%s)'000}}'""",
    )
)


def _redirect(settings: Settings, port: int, tls_port: int) -> None:
    """Listen for plain HTTP in a thread of its own, whatever the number of worker processes."""
    listener = listen(settings.host, port, "HTTP_PORT")
    config = uvicorn_config(settings, Redirect(tls_port), lifespan="off")
    threading.Thread(target=uvicorn.Server(config).run, args=([listener],), daemon=True, name="http-port").start()


def uvicorn_config(settings: Settings, app: Any, **options: Any) -> uvicorn.Config:
    """uvicorn as we want it: nothing trusted that a client sends, nothing said about itself, everything bounded."""
    return uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws=BoundedWebSocket,
        ws_max_size=LARGEST,
        ws_ping_interval=None,  # Engine.IO has heartbeats of its own
        ws_per_message_deflate=False,  # it costs each connection more memory than all the rest
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        h11_max_incomplete_event_size=settings.api3_max_headers,
        timeout_keep_alive=ceil(settings.api3_request_timeout),
        timeout_graceful_shutdown=10,
        **options,
    )


def _serve(settings: Settings, listener: socket.socket) -> None:
    config = uvicorn_config(
        settings,
        "apiv3.app:create",
        factory=True,
        lifespan="on",
        workers=settings.workers,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
    )
    if settings.workers == 1:
        uvicorn.Server(config).run([listener])
        return
    with meeting_place() as folder:
        os.environ[FOLDER] = folder
        Multiprocess(config, [listener]).run()


def meeting_place() -> TemporaryDirectory[str]:
    """A directory that only we can enter, for the sockets by which the workers reach each other."""
    usual = gettempdir()
    return TemporaryDirectory(prefix="apiv3-", dir=usual if len(usual) <= _LONGEST_PATH else "/tmp")  # noqa: S108 (mode 0700)
