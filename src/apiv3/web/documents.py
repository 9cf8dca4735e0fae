"""The endpoints of /api/v3/{collection}. Each turns a call into values, runs one operation, and renders the result.

The first line of an endpoint's docstring is the summary of its routes in the OpenAPI description and on the page `/`.
"""

from __future__ import annotations

import re
import time
from functools import partial
from urllib.parse import quote

from apiv3.model import timestamps
from apiv3.model.collections import Collection
from apiv3.model.errors import AnswerTooLarge, BadRequest, MissingPermission, NotAcceptable, NotFound
from apiv3.model.queries import Query
from apiv3.operations.bulk import Bulk, reported
from apiv3.operations.reading import Reading
from apiv3.operations.writing import Writing, Written
from apiv3.storage.contracts import LargePage, Page
from apiv3.turns import apart
from apiv3.web import rendering, requests, search_parameters
from apiv3.web.bodies import Limits, read_items, read_object
from apiv3.web.calls import Call
from apiv3.web.negotiation import Format, negotiate
from apiv3.web.parameters import LONGEST_REMEMBERED, Parameters
from apiv3.web.rendering import Style
from apiv3.web.responses import Answer, Headers, enveloped

_ENDING = re.compile("[A-Za-z][A-Za-z0-9]*")
"""A file name extension that may be meant as a format; the `.000Z` of `2026-03-01T00:00:00.000Z` is none."""


class Documents:
    """The endpoints of one collection. `most`: the most documents in one answer.

    Some endpoints take `extension`: the format that the path asks for, as in `/entries.csv`.
    """

    def __init__(
        self, collection: Collection, reading: Reading, writing: Writing, bulk: Bulk, limits: Limits, most: int
    ) -> None:
        self.collection, self.reading, self.writing, self.bulk, self.limits = collection, reading, writing, bulk, limits
        self._search_query = partial(search_parameters.search_query, most=most)
        self._limit = partial(search_parameters.limit, most=most)
        self._styles = {form: partial(self._styled, form=form) for form in Format}

    async def search(self, call: Call, extension: Format | None = None) -> Answer:
        """Search for documents that match the filters, deleted ones left out."""
        form = _format(call, extension)
        query = await self._query(call)
        style = self._style(call, form)
        page = await self.reading.search(call.principal, self.collection, query)
        return await rendering.many(_caller(call), page, style)

    async def _query(self, call: Call) -> Query:
        """Parse the query; in a thread if it is long or has regular expressions. Raises BadRequest, TooMuchWork."""
        text: bytes = call.scope["query_string"]
        if len(text) <= LONGEST_REMEMBERED and b"re=" not in text:
            return call.query.derive(self._search_query)
        return await apart(_caller(call), lambda: self._search_query(call.query))

    async def create(self, call: Call) -> Answer:
        """Create a document, or a new version of it if it exists already."""
        document = await read_object(call, self.limits)
        written = await self.writing.create(call.principal, self.collection, document)
        return self._written(written)

    async def create_many(self, call: Call) -> Answer:
        """Create many documents, sent as a JSON array or NDJSON, and report the outcome of each."""
        keep = _flag(call, "keep")
        items = await read_items(call, self.limits)
        outcomes = await self.bulk.create(call.principal, self.collection, items, keep=keep)
        return enveloped({"result": [reported(each) for each in outcomes]})

    async def read(self, call: Call) -> Answer:
        """Read a document. The endings `.csv`, `.xml` and `.json` choose a format, unless an identifier ends in them."""
        identifier = requests.identifier(call.params[-1])
        extension = None
        try:
            stored = await self.reading.read(call.principal, self.collection, identifier)
        except (NotFound, MissingPermission) as error:
            stem, extension = _split(identifier)
            if stem == identifier:
                raise
            if extension is not None or isinstance(error, MissingPermission):
                stored = await self.reading.read(call.principal, self.collection, stem)
            if extension is None:
                raise NotAcceptable from None
        since = requests.seconds_header(call, b"if-modified-since")
        headers = _last_modified(stored.srv_modified)
        if since is not None and stored.srv_modified // 1000 <= since:
            return Answer(304, headers=headers)
        return await rendering.one(_caller(call), stored, self._style(call, _format(call, extension)), headers)

    async def update(self, call: Call) -> Answer:
        """Replace a document, or create one with this identifier."""
        identifier = requests.identifier(call.params[-1])
        unmodified_since = requests.unmodified_since(call)
        document = await read_object(call, self.limits)
        written = await self.writing.update(call.principal, self.collection, identifier, document, unmodified_since)
        if written.created:
            return self._written(written)
        return enveloped({"lastModified": written.srv_modified}, headers=_last_modified(written.srv_modified))

    async def patch(self, call: Call) -> Answer:
        """Change some fields of a document."""
        identifier = requests.identifier(call.params[-1])
        unmodified_since = requests.unmodified_since(call)
        document = await read_object(call, self.limits)
        written = await self.writing.patch(call.principal, self.collection, identifier, document, unmodified_since)
        return enveloped({}, headers=_last_modified(written.srv_modified))

    async def delete(self, call: Call) -> Answer:
        """Mark a document as deleted, or remove it for good with `permanent=true`."""
        permanent = _flag(call, "permanent")
        identifier = requests.identifier(call.params[-1])
        await self.writing.delete(call.principal, self.collection, identifier, permanent=permanent)
        return enveloped({})

    async def history(self, call: Call, extension: Format | None = None) -> Answer:
        """List the changes since the time in the `Last-Modified` request header: whole seconds, inclusive."""
        since = requests.since(call.header(b"last-modified"))
        return await self._history(call, since // 1000 * 1000 - 1, extension, second=since // 1000)

    async def history_since(self, call: Call) -> Answer:
        """List the changes after a time, exclusive: the `lastModified` or the ETag of the client's last request."""
        text = requests.identifier(call.params[-1])
        stem, extension = _split(text)
        since = requests.since(stem)
        if stem != text and extension is None:
            raise NotAcceptable
        return await self._history(call, since, extension)

    async def _history(self, call: Call, since: int, extension: Format | None, second: int | None = None) -> Answer:
        """List the changes after `since` (ms since 1970), exclusive.

        `second`: for clients that continue with whole seconds, the second that this page begins with. Raises AnswerTooLarge
        when the page is cut within that second, since such a client would get the same page again and again.
        """
        form = _format(call, extension)
        style = self._style(call, form)
        limit = call.query.derive(self._limit)
        page = await self.reading.history(call.principal, self.collection, since, limit)
        if isinstance(page, LargePage) and page.cut and page.srv_modified // 1000 == second:
            page.release()
            raise AnswerTooLarge("The changes of this second are too large: ask for history/{lastModified}")
        headers = _page_headers(page)
        if headers and _is_known(call, page):
            if isinstance(page, LargePage):
                page.release()
            return Answer(304, headers=headers)
        return await rendering.many(_caller(call), page, style, headers)

    def _style(self, call: Call, form: Format) -> Style:
        return call.query.derive(self._styles[form])

    def _styled(self, query: Parameters, form: Format) -> Style:
        return Style(form, search_parameters.fields(query), search_parameters.exact(query), self.collection.name)

    def _written(self, written: Written) -> Answer:
        location = f"/api/v3/{self.collection.name}/{_segment(written.identifier)}"
        headers = ((b"location", location.encode()), *_last_modified(written.srv_modified))
        return enveloped(written.fields(), 201 if written.created else 200, headers)


def _caller(call: Call) -> str:
    return call.principal.name or ""


def _flag(call: Call, name: str) -> bool:
    """Return a parameter that must be `true` or `false`; False when it is missing. Raises BadRequest."""
    value = (call.query.one(name) or "false").lower()
    if value not in ("true", "false"):
        raise BadRequest(f"Parameter {name} must be true or false")
    return value == "true"


def _segment(identifier: str) -> str:
    """An identifier as one segment of a path, which no route and no client takes for something else."""
    if identifier in (".", "..") or _split(identifier)[0] == "history":
        return "".join(f"%{ord(letter):02X}" for letter in identifier)
    return quote(identifier, safe="")


def _split(text: str) -> tuple[str, Format | None]:
    """`abc.csv` -> `abc` and the format; `abc.ttf` -> `abc` and None; the whole text where there is no ending."""
    stem, _, ending = text.rpartition(".")
    if not stem or not _ENDING.fullmatch(ending):
        return text, None
    return stem, Format(ending) if ending in ("csv", "xml", "json") else None


def _format(call: Call, extension: Format | None) -> Format:
    """The path's extension before the Accept header. Raises NotAcceptable."""
    accept = call.headers.get(b"accept")
    if extension is None and (accept is None or accept == b"application/json"):
        return Format.JSON
    form = extension or negotiate(call.header(b"accept"))
    if form is None:
        raise NotAcceptable
    return form


def _last_modified(srv_modified: int) -> Headers:
    """The header, in whole seconds; never later than `Date`, though the clock may run ahead in a burst of writes."""
    seconds, now = srv_modified // 1000, int(time.time())
    return ((b"last-modified", timestamps.http_date(min(now, seconds))),)


def _page_headers(page: Page | LargePage) -> Headers:
    if isinstance(page, Page) and not page.text:
        return ()
    return (*_last_modified(page.srv_modified), (b"etag", _etag(page)))


def _etag(page: Page | LargePage) -> bytes:
    return b'W/"%d"' % page.srv_modified


def _is_known(call: Call, page: Page | LargePage) -> bool:
    """Whether the client has this page already: by its ETag, else by its time (RFC 9110, section 13.2.2)."""
    if b"if-none-match" in call.headers:
        return requests.is_current(call, _etag(page))
    since = requests.seconds_header(call, b"if-modified-since")
    return since is not None and page.srv_modified // 1000 <= since
