"""The main job on real input: readings of a glucose sensor go in by HTTP and come out again, exactly.

A small export is made up; a real one is read too where there is one (see `tests.support.clarity`).
"""

import asyncio
import csv
import io
from datetime import UTC, datetime

import httpx
import pytest

from tests.support.clarity import EXPORTS, Reading, readings
from tests.support.documents import api_of
from tests.support.factories import FreshServer
from tests.support.server import LiveServer

NUMBER_OF_READINGS = {"sample": 14, "real": 2148}
CONNECTIONS = 8
MOST = 600
"""Readings that are uploaded, evenly chosen from an export."""


async def upload(server: LiveServer, headers: httpx.Headers, documents: list[Reading]) -> list[httpx.Response]:
    """Posts them over several connections at once; returns the answers in the order of the documents."""
    limits = httpx.Limits(max_connections=CONNECTIONS)
    places = asyncio.Semaphore(CONNECTIONS)
    async with httpx.AsyncClient(
        base_url=server.url, headers=headers, limits=limits, trust_env=False, verify=False, timeout=30
    ) as client:

        async def post(document: Reading) -> httpx.Response:
            async with places:
                date = str(int(datetime.now(UTC).timestamp() * 1000))
                return await client.post("/api/v3/entries", json=document, headers={"Date": date})

        return await asyncio.gather(*map(post, documents))


def by_search(api: httpx.Client) -> list[Reading]:
    """Everything, a page at a time, each from the last date of the one before."""
    found: list[Reading] = []
    last = 946_684_800_000
    while page := api.get(f"/entries?sort=date&date$gt={last}&type=sgv&limit=500").json()["result"]:
        found += page
        last = page[-1]["date"]
    return found


def by_history(api: httpx.Client) -> list[Reading]:
    """Everything, as the closed-loop app pages: the cursor is the number in the ETag."""
    found: list[Reading] = []
    cursor = "946684800000"
    while (answer := api.get(f"/entries/history/{cursor}?limit=500")).json()["result"]:
        found += answer.json()["result"]
        cursor = answer.headers["ETag"].removeprefix('W/"').removesuffix('"')
    return found


def by_csv(api: httpx.Client) -> list[Reading]:
    """Everything, as a spreadsheet takes it."""
    found: list[dict[str, str]] = []
    while page := api.get(f"/entries.csv?sort=date&limit=1000&skip={len(found)}&fields=date,sgv,device,app,type,units").text:
        found += csv.DictReader(io.StringIO(page, newline=""))
    return [{**row, "date": int(row["date"]), "sgv": int(row["sgv"])} for row in found]


def as_sent(stored: list[Reading]) -> list[Reading]:
    """Stored documents, without what the server added."""
    return [{name: document[name] for name in ("type", "sgv", "units", "date", "device", "app")} for document in stored]


@pytest.mark.parametrize("export", EXPORTS)
async def test_readings_go_in_and_come_out(fresh_server: FreshServer, database: str, export: str) -> None:
    sent = readings(EXPORTS[export])
    assert len(sent) == NUMBER_OF_READINGS[export]
    sent = sent[:: -(-len(sent) // MOST)]
    server = fresh_server(database)
    api = api_of(server, "api:entries:create,read,update")

    answers = await upload(server, api.headers, sent)
    assert {answer.status_code for answer in answers} == {201}
    identifiers = [answer.json()["identifier"] for answer in answers]
    assert len(set(identifiers)) == len(sent)

    stored = by_search(api)
    assert as_sent(stored) == sent
    assert [each["identifier"] for each in stored] == identifiers
    for each, answer in zip(stored, answers, strict=True):
        moment = datetime.fromtimestamp(each["date"] / 1000, UTC)
        assert each["created_at"] == f"{moment:%Y-%m-%dT%H:%M:%S}.000Z"
        assert each["utcOffset"] == 0
        assert each["srvCreated"] == each["srvModified"] == answer.json()["lastModified"]

    history = by_history(api)
    changes = [each["srvModified"] for each in history]
    assert changes == sorted(set(changes))
    assert sorted(history, key=lambda each: int(each["date"])) == stored
    assert as_sent(by_csv(api)) == sent

    # the same again, with the dates spelled otherwise: nothing is new
    respelled = [{**each, "date": old["created_at"]} for each, old in zip(sent, stored, strict=True)]
    again = await upload(server, api.headers, respelled)
    assert {answer.status_code for answer in again} == {200}
    assert [answer.json()["identifier"] for answer in again] == identifiers
    assert all(answer.json()["isDeduplication"] for answer in again)
    rewritten = by_search(api)
    assert as_sent(rewritten) == sent
    for new, old, answer in zip(rewritten, stored, again, strict=True):
        assert new == old | {"srvModified": answer.json()["lastModified"]}
    assert len(by_history(api)) == len(sent)
