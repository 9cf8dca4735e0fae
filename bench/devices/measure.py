"""The measurements on one database, with two server processes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from apiv3.cli.installation import run_on
from apiv3.installation import Installation as Apiv3
from apiv3.model.identity import Subject
from apiv3.model.timestamps import now
from apiv3.noise import KeyPair
from apiv3.security import secrets
from apiv3.settings import load
from bench.devices.crowd import Crowd, HttpClient, Key, cut, round_of, send_bulk, send_message
from bench.measure import Ratio
from bench.operations import admin_token, storage
from bench.processes import Cpus, Installation, Server
from bench.report import say
from tests.support.devices import Connection, text

DOCUMENTS = (1, 10, 100)
"""Documents in a message."""
SENDERS = 8
"""Devices that send, and connections of HTTP."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """The number of connected devices and of revoked ones, and the length (s) and number of rounds."""

    devices: int
    revoked: int
    seconds: float
    rounds: int


@dataclass(frozen=True, slots=True)
class Speed:
    """Messages, and bulk requests with as many documents: how many a second in each round."""

    documents: int
    messages: list[float]
    requests: list[float]

    @property
    def ratio(self) -> Ratio | None:
        return Ratio.of([ours / other for ours, other in zip(self.messages, self.requests, strict=True)])


@dataclass(frozen=True, slots=True)
class Measured:
    """The results of one database. `handshakes`: a second; `waits`: seconds of each; `memory`: KB for each device.

    `cuts`: by the name of the process that revoked, the seconds until the connection was cut.
    """

    database: str
    version: str
    handshakes: float
    waits: list[float]
    memory: float | None
    speeds: list[Speed]
    cuts: dict[str, list[float]]


def measure(sizes: Sizes, database: str, folder: Path, url: str, cpus: Cpus) -> Measured:
    """Start two servers on one database, and measure. Raise WrongAnswer or RuntimeError."""
    say(f"{database}: starting two servers, adding {sizes.devices:,} devices")
    hub = KeyPair.generate()
    installation = Installation.make(folder / "devices", url)
    settings = {"HUB_KEY": text(hub.private), "API3_LIVE_CONNECTIONS": "20000", "API3_MAX_CONNECTIONS": "20000"}
    with ExitStack() as stack:
        servers = [stack.enter_context(Server(installation, name, cpus.server, (), settings)) for name in ("one", "two")]
        number = max(sizes.devices, 2 * sizes.revoked + SENDERS)
        devices = [Key(secrets.object_id(), KeyPair.generate()) for _ in range(number)]
        run_on(load(database_url=url, api_secret=installation.api_secret), partial(_add, devices))
        token = admin_token(servers[0], installation.api_secret)
        return asyncio.run(_measure(sizes, database, servers, devices, hub.public, token))


async def _add(devices: Sequence[Key], apiv3: Apiv3) -> None:
    """Add devices with their keys, all in one transaction."""
    async with apiv3.device_table.changing() as writer:
        for device in devices:
            await writer.policy.put_subject(Subject(device.id, f"device {device.id}", ("admin",)))
            await writer.add(device.id)
            await writer.add_key(device.id, text(device.keys.public), now())


async def _measure(
    sizes: Sizes, database: str, servers: Sequence[Server], devices: Sequence[Key], hub_key: bytes, token: str
) -> Measured:
    one, two = servers
    async with Crowd(hub_key) as warm_up:
        await warm_up.gather(one.port, devices[-SENDERS:])
    async with Crowd(hub_key) as crowd:
        say(f"{database}: {len(devices):,} devices connect")
        before = one.memory
        seconds = await crowd.gather(one.port, devices)
        after = one.memory
        say(f"{database}: {2 * sizes.revoked} devices are revoked")
        by_one, by_two = devices[: sizes.revoked], devices[sizes.revoked : 2 * sizes.revoked]
        cuts = {
            "same process": [await cut(crowd.connections[each.id], one.port, token, each.id) for each in by_one],
            "another process": [await cut(crowd.connections[each.id], two.port, token, each.id) for each in by_two],
        }
    async with Crowd(hub_key) as senders:
        say(f"{database}: messages and bulk requests")
        await senders.gather(one.port, devices[-SENDERS:])
        speeds = [await _speed(sizes, one, list(senders.connections.values()), token, number) for number in DOCUMENTS]
    memory = None if before is None or after is None else (after - before) * 1024 / len(devices)
    return Measured(database, storage(one), len(devices) / seconds, crowd.waits, memory, speeds, cuts)


async def _speed(sizes: Sizes, server: Server, connections: Sequence[Connection], token: str, number: int) -> Speed:
    clients = [await HttpClient.open(server.port, token) for _ in connections]
    speed = Speed(number, [], [])
    for _ in range(sizes.rounds):
        speed.messages.append(await round_of(send_message, connections, number, sizes.seconds))
        speed.requests.append(await round_of(send_bulk, clients, number, sizes.seconds))
    for each in clients:
        each.close()
    return speed
