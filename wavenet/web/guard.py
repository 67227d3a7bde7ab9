"""What every request has to pass before it is answered, and the headers that every answer gets."""

import ipaddress
import socket

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_REQUESTS = 32
"""Requests that are answered at once. A browser opens six connections."""
MOST_ADDRESS = 1024
"""Bytes of an address, with its query."""

HEADERS = {
    "Content-Security-Policy": "; ".join(
        [
            "default-src 'self'",
            "script-src 'self' 'wasm-unsafe-eval'",  # the kernel is WebAssembly
            "img-src 'self' data: blob:",
            "media-src 'self' blob:",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    ),
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
}


class Guard:
    """Refuses requests that a browser on this page does not make, and more than MOST_REQUESTS at once.

    host: the address that the server listens on, or the name that the user gave for it.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        self.app = app
        self.names = {"localhost", host.lower(), *own_names()}
        self.answering = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        if (refusal := self._refusal(scope)) is not None:
            await refusal(scope, receive, guarded)
            return
        self.answering += 1
        try:
            await self.app(scope, receive, guarded)
        finally:
            self.answering -= 1

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        if not self.is_own(headers.get("host", "")):
            return PlainTextResponse("this server has another name", 421)
        if scope["method"] not in ("GET", "HEAD"):
            return PlainTextResponse("only GET and HEAD are answered", 405, {"Allow": "GET, HEAD"})
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > MOST_ADDRESS:
            return PlainTextResponse(f"the address is longer than {MOST_ADDRESS} bytes", 414)
        if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
            return PlainTextResponse("a request has no body here", 413)
        if self.answering >= MOST_REQUESTS:
            return PlainTextResponse(f"{MOST_REQUESTS} requests are under way: try again", 503, {"Retry-After": "1"})
        return None

    def is_own(self, host: str) -> bool:
        """Whether a Host header names this machine.

        A page of another site that points its own name here (DNS rebinding) sends that name. It cannot do so with a
        bare address.
        """
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
        name = name.lower().removesuffix(".")
        try:
            ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
            return True
        except ValueError:
            return name in self.names


def own_names() -> set[str]:
    """Names by which others on the network may call this machine."""
    name = socket.gethostname().lower()
    return {name, f"{name.partition('.')[0]}.local"}
