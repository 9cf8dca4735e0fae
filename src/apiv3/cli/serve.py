"""`apiv3 serve`: start the server, and set up the installation at the first start."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import click

from apiv3 import __version__
from apiv3.cli.checks import (
    check_clock,
    check_database,
    check_default_roles,
    check_exposure,
    check_proxies,
    check_reach,
    check_roles,
    check_secrets,
    check_tls,
)
from apiv3.cli.db import migrate
from apiv3.cli.installation import run_on, with_secret
from apiv3.cli.meeting_place import meeting_place
from apiv3.cli.place import location
from apiv3.cli.supervisor import Supervisor
from apiv3.installation import Installation
from apiv3.live.workers import FOLDER
from apiv3.model.errors import Conflict
from apiv3.model.identity import Subject
from apiv3.provisioning import is_lacking, make_folder, needed, provision, revealed, secret_missing
from apiv3.security.accounts.first_invitation import FirstInvitation
from apiv3.security.authors import OPERATOR
from apiv3.security.ledger import Budget
from apiv3.security.permissions import Demand
from apiv3.security.policy import Snapshot
from apiv3.settings import EVERYWHERE, Settings, SettingsError, load, local_url
from apiv3.web.next_page import FIRST_INVITATION
from apiv3.web.redirect import Redirect
from apiv3.web.server.connections import Connections
from apiv3.web.server.run import Config, Server, alone

ADMIN = "admin"


@click.command()
@click.option("--host", help="Address to listen on (HOST, 127.0.0.1).")
@click.option("--port", type=int, help="Port to listen on (PORT, 8000).")
@click.option("--workers", type=int, help="Number of processes (WORKERS, 1).")
@click.option(
    "--only", type=click.Choice(["login", "api"]), help="Be one half of the server (ONLY; docs/how-to/split-the-server.md)."
)
@click.option("--tls-cert", type=click.Path(), help="Certificate chain, PEM (TLS_CERT). The server then speaks HTTPS.")
@click.option("--tls-key", type=click.Path(), help="Private key, PEM (TLS_KEY).")
@click.option("--http-port", type=int, help="With TLS: a further port that redirects plain HTTP to HTTPS (HTTP_PORT).")
def serve(**options: str | int | None) -> None:
    """Start the server.

    The first start creates the data directory, the tables, the secrets and the subject "admin", and prints its token.

    \b
    apiv3 serve
    apiv3 serve --host 0.0.0.0 --port 443 --tls-cert chain.pem --tls-key key.pem --http-port 80
    DATABASE_URL=postgresql://apiv3:password@db/apiv3 apiv3 serve --workers 4
    """
    os.environ.update({name.upper(): str(value) for name, value in options.items() if value is not None})
    settings = load()
    check_exposure(settings)
    check_tls(settings)
    check_database(settings)
    listener = listen(settings.host, settings.port)
    if settings.port == 0:  # links and passkeys of all workers need the port that the system chose
        os.environ["PORT"] = str(listener.getsockname()[1])
        settings = load()
    plain = None if settings.http_port is None else listen(settings.host, settings.http_port, "HTTP_PORT")
    make_folder(settings)
    migrate(settings)
    _check_secret(settings)
    settings = provision(settings, needed(settings))
    last_tick, welcome, policy, demands = run_on(settings, _start)
    check_reach(settings)
    check_secrets(settings)
    check_default_roles(settings, policy)
    check_roles(policy, demands)
    check_proxies(settings)
    check_clock(last_tick)
    port = listener.getsockname()[1]
    _announce(settings, port, welcome)
    if plain is not None:
        _redirect(settings, plain, port)
    _serve(settings, listener)


def listen(host: str, port: int, setting: str = "PORT") -> socket.socket:
    """Listen at an address; at `::`, which means every address of the machine, also for IPv4. Raises SettingsError."""
    both = host == "::" and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=2048, dualstack_ipv6=both)
    except (OSError, OverflowError) as error:
        raise SettingsError(f"HOST is {host!r} and {setting} is {port}, where nothing can listen: {error}.") from error
    listener.set_inheritable(True)
    return listener


def _check_secret(settings: Settings) -> None:
    """Raise SettingsError when API_SECRET was lost, since a new one would change all access tokens."""
    if not is_lacking(settings):
        return
    has_subjects = run_on(with_secret(settings), _has_subjects)
    if has_subjects and is_lacking(settings):  # checked again: another process may have generated it
        raise secret_missing(settings)


async def _has_subjects(installation: Installation) -> bool:
    return bool(installation.policies.current.subjects)


class Welcome(NamedTuple):
    """What the first start tells: the access token of `admin`, and the code of the first administrator's invitation."""

    token: str
    code: str


async def _start(installation: Installation) -> tuple[int, Welcome | None, Snapshot, Sequence[Demand]]:
    """Return the greatest `srvModified` in ms, the welcome if this is the first start, the policy, and all demands."""
    welcome = await _first_start(installation)
    return await installation.documents.last_tick(), welcome, installation.policies.current, installation.demands


async def _first_start(installation: Installation) -> Welcome | None:
    """Create the subject `admin` in an installation without subjects and return the welcome; otherwise None."""
    if installation.policies.current.subjects:
        return None
    try:
        subject = Subject("", ADMIN, ("admin",), "created at the first start")
        admin = await installation.administration.add_subject(subject, OPERATOR)
    except Conflict:  # another process was faster
        return None
    invitation = FirstInvitation(revealed(installation.settings.jwt_key), installation.accounts)
    return Welcome(installation.policies.current.token(admin), invitation.code())


def _announce(settings: Settings, port: int, welcome: Welcome | None) -> None:
    url = local_url(settings, port)
    others = " and every other address of this machine" if settings.host in EVERYWHERE else ""
    click.echo(f"apiv3 {__version__} listens on {url}{others}, with its data in {location(settings)}")
    if welcome is not None:
        link = f"{settings.public_url or url}{FIRST_INVITATION}{welcome.code}"
        words = {
            "command": _command(),
            "url": url,
            "token": welcome.token,
            "link": link,
            "options": " -k" if settings.tls_cert else "",
        }
        click.echo(_WELCOME.format(**words, post=_POST.format(**words)))


def _command() -> str:
    """Return the command line that starts this program from the current directory."""
    program = Path(sys.argv[0])
    if program.name != "apiv3":
        return "apiv3"
    return str(program.relative_to(Path.cwd())) if program.is_relative_to(Path.cwd()) else str(program)


_WELCOME = """
This is the first start. The subject "admin" may do everything; its access token, shown only now
(later: {command} subject show admin):

    {token}

Open this link to make an account for yourself, with which you sign in on a browser and may do everything. It is good once,
for 72 hours, and as long as nobody has an account:

    {link}

Read the latest glucose entries:

curl -s{options} "{url}/api/v3/entries?sort\\$desc=date&limit=10&token={token}&now=$(date +%s)000"

Exchange the token for a JWT, and post a glucose entry with it:

{post}

Each call carries the time, so that nobody can record it and send it again later. AndroidAPS sends the time. For apps that do
not, add a subject with --no-timestamp. Which apps work: docs/how-to/which-apps-work.md

{command} subject add NAME --role readable --no-timestamp
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


def _redirect(settings: Settings, listener: socket.socket, tls_port: int) -> None:
    """Answer plain HTTP in a separate thread of this process, whatever the number of worker processes."""
    connections = Connections(Budget(settings.api3_max_connections), settings.api3_request_timeout)
    config = Config(alone(Redirect(tls_port), connections), most_headers=settings.api3_max_headers)
    threading.Thread(target=Server(config).run, args=([listener],), daemon=True, name="http-port").start()


def _serve(settings: Settings, listener: socket.socket) -> None:
    config = Config(
        "apiv3.app:create",
        most_headers=settings.api3_max_headers,
        factory=True,
        workers=settings.workers,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
    )
    if settings.workers == 1:
        with suppress(KeyboardInterrupt):  # uvicorn raises it again after its shutdown
            _run(config, listener)
        return
    with meeting_place() as folder:
        os.environ[FOLDER] = str(folder)
        Supervisor(partial(_work, config), listener, settings.workers).run()


def _work(config: Config, listener: socket.socket) -> None:
    """Run the server in a worker. One that is started later may find invalid settings, since they may have changed."""
    try:
        _run(config, listener)
    except SettingsError as error:
        sys.exit(f"Error: {error}")


def _run(config: Config, listener: socket.socket) -> None:
    Server(config).run([listener])
