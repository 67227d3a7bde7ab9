"""Requests and their answers: the page, voices.json, exported files, and the files of runs."""

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from wavenet.errors import CheckpointError
from wavenet.web.exports import Exports
from wavenet.web.guard import Guard
from wavenet.web.listing import Listed, Listing, page_files
from wavenet.web.worker import Worker

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".jsonl": "application/x-ndjson",
    ".wasm": "application/wasm",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".webmanifest": "application/manifest+json",
    ".wav": "audio/wav",
}
"""The system's own table may lack some of these, or have others."""
OTHER = "application/octet-stream"
AHEAD = 8
"""How many voices are exported before they are asked for, in the order of the list."""


class Site:
    """Answers from two tables: the page's files, and what `Listing` found when voices.json was last asked for."""

    def __init__(self, listing: Listing, exports: Exports) -> None:
        self.listing, self.exports = listing, exports
        self.page = dict(page_files())
        self.listed = Listed([], {}, {})
        self._turn = asyncio.Lock()

    async def answer(self, request: Request) -> Response:
        address = request.path_params["address"] or "index.html"
        if address == "voices.json":
            return await self.voices(request)
        if (source := self.listed.sources.get(address)) is not None:
            try:
                exported = await self.exports.get(source)
            except CheckpointError as error:
                return PlainTextResponse(str(error), 404)
            return whole(request, exported.data, OTHER)
        path = self.page.get(address) or self.listed.files.get(address)
        if path is None:
            return PlainTextResponse("there is nothing here", 404)
        return await file(request, path)

    async def voices(self, request: Request) -> Response:
        await self.refresh()
        for source in self.listed.sources.values():
            if source.is_run:
                self.exports.renew(source)
        return whole(request, json.dumps(self.listed.voices, indent=1).encode(), TYPES[".json"])

    async def refresh(self) -> None:
        async with self._turn:
            self.listed = await asyncio.to_thread(self.listing.read, self.exports.state)

    async def export_ahead(self) -> None:
        """Export the first voices, so that they play at once."""
        for source in list(self.listed.sources.values())[:AHEAD]:
            with contextlib.suppress(CheckpointError):
                await self.exports.get(source)


async def file(request: Request, path: Path) -> Response:
    """A file of the disk. One that may grow or be replaced while it is sent is read at once, others in ranges."""
    kind = TYPES.get(path.suffix.lower(), OTHER)
    try:
        if path.suffix in (".jsonl", ".png"):
            return whole(request, await asyncio.to_thread(path.read_bytes), kind)
        response = FileResponse(path, stat_result=path.stat(), headers={"Cache-Control": "no-cache"}, media_type=kind)
    except OSError:
        return PlainTextResponse("it has gone", 404)
    return unchanged(request, response.headers["etag"]) or response


def whole(request: Request, data: bytes, kind: str) -> Response:
    """These bytes, unless the browser has them."""
    etag = f'"{hashlib.sha256(data).hexdigest()[:20]}"'
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    return unchanged(request, etag) or Response(data, headers=headers, media_type=kind)


def unchanged(request: Request, etag: str) -> Response | None:
    """The answer to a browser that has what `etag` names; None for any other."""
    has = {one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")}
    return Response(status_code=304, headers={"ETag": etag, "Cache-Control": "no-cache"}) if has & {etag, "*"} else None


def make_app(listing: Listing, worker: Worker, host: str = "127.0.0.1") -> Starlette:
    """The server's application. host: the address or name that it is reached by, beside localhost."""
    site = Site(listing, Exports(worker.export))

    @contextlib.asynccontextmanager
    async def life(_: Starlette) -> AsyncIterator[None]:
        await site.refresh()
        ahead = asyncio.create_task(site.export_ahead())
        yield
        ahead.cancel()
        await worker.close()

    routes = [Route("/{address:path}", site.answer, methods=["GET", "HEAD"])]
    return Starlette(routes=routes, middleware=[Middleware(Guard, host=host)], lifespan=life)
