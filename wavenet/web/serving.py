"""The port, and the server's life from its first line to Ctrl-C."""

import asyncio
import contextlib
import errno
import ipaddress
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from wavenet.errors import ConfigError
from wavenet.web.worker import Worker

PORTS = 20
"""How many ports are tried, beginning with the one that was asked for."""
MOST_CONNECTIONS = 64
MOST_HEADERS = 16384
"""Bytes"""
GRACE_SECONDS = 2
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]


def listen(host: str, port: int, only: bool) -> socket.socket:
    """A socket that listens on this port, or, unless it may be `only` this one, on the next free port.

    Raises ConfigError if there is none, or if the machine does not have the address `host`.
    """
    ports = [port] if only or port == 0 else range(port, min(port + PORTS, 65536))
    for one in ports:
        try:
            return _bound(host, one)
        except OSError as error:
            if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
                raise ConfigError(f"host is {host!r}, which this machine does not have: 0.0.0.0 means all") from error
            if error.errno == errno.EACCES:
                raise ConfigError(f"port is {one}, which this account may not use: choose one above 1023") from error
            if error.errno != errno.EADDRINUSE:
                raise ConfigError(f"cannot listen on {host}, port {one} ({error.strerror})") from error
    if len(ports) == 1:
        raise ConfigError(f"port is {port}, but another program uses it: choose another, or leave port out")
    raise ConfigError(f"the ports {ports[0]} to {ports[-1]} are all in use: choose another, as in port=9000")


def _bound(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    made = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # a port that a server has just left; elsewhere the option would share a port in use
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen()
    except OSError:
        made.close()
        raise
    return made


def reached_by(listener: socket.socket) -> tuple[str, bool]:
    """A name by which a browser on this machine reaches the socket, and whether other machines reach it too."""
    address = ipaddress.ip_address(listener.getsockname()[0])
    own = "localhost" if address.is_unspecified or address.is_loopback else str(address)
    return f"[{own}]" if ":" in own else own, not address.is_loopback


def serve(app: ASGIApp, worker: Worker, listener: socket.socket) -> None:
    """Answer until Ctrl-C or SIGTERM, which raises KeyboardInterrupt once the server has ended."""
    logging.getLogger("uvicorn.error").addFilter(_is_fault)
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        h11_max_incomplete_event_size=MOST_HEADERS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    _Server(config, worker).run([listener])


class _Server(uvicorn.Server):
    """Ends the worker first, so that requests which wait for it do not hold the server up."""

    def __init__(self, config: uvicorn.Config, worker: Worker) -> None:
        super().__init__(config)
        self.worker = worker

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Let signals end the server in order, then raise the first again. Uvicorn's own leaves out SIGHUP, of a closed
        terminal, and takes signals that are to be ignored."""
        received: list[int] = []

        def stop(number: int, _: Any) -> None:
            received.append(number)
            self.should_exit = True

        before = {number: signal.getsignal(number) for number in SIGNALS}
        taken = [number for number, handler in before.items() if handler != signal.SIG_IGN]
        if threading.current_thread() is not threading.main_thread():
            taken = []
        for number in taken:
            signal.signal(number, stop)
        try:
            yield
        finally:
            for number in taken:
                signal.signal(number, before[number])
        if received:
            signal.raise_signal(received[0])

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self.worker.close()
        await super().shutdown(sockets)


def _is_fault(record: logging.LogRecord) -> bool:
    """Whether a log record of uvicorn has the traceback of a fault; malformed requests are not worth a line."""
    error = record.exc_info[1] if record.exc_info else None
    return error is not None and not isinstance(error, asyncio.CancelledError)
