"""Web sites on loopback that answer as a test says, and downloads that are let through to them."""

from __future__ import annotations

import contextlib
import os
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path

import pytest
import trustme

from app.attachments.download import Download, Downloads, Limits
from app.attachments.guard import Guard
from app.chat.cancellation import Cancellation
from tests.attachments.names import Names

HOST = "files.example.net"
HERE = "127.0.0.1"
BESIDE = "127.0.0.2"
"""Another address of this machine."""

PATIENCE = 10.0
"""Seconds that a test waits for what must come soon."""


@dataclass
class Visit:
    """One request to a site: its head, and ways to answer it."""

    site: Site
    connection: socket.socket
    head: str

    @property
    def path(self) -> str:
        """What was asked for."""
        return self.head.split(" ")[1]

    def send(self, data: bytes) -> None:
        """Write to the client; OSError once it has left."""
        self.connection.sendall(data)

    def send_beneath_tls(self, data: bytes) -> None:
        """Write to the client's socket as if there were no TLS."""
        os.write(self.connection.fileno(), data)

    def drip(self, data: bytes) -> None:
        """Write again and again, a little at a time, until the client leaves or has been patient for far too long."""
        for _ in range(int(3 * PATIENCE / 0.02)):
            self.send(data)
            if self.site.over.wait(0.02):
                return

    def be_silent(self) -> None:
        """Say nothing until the client leaves; `site.left` counts those that did."""
        self.connection.settimeout(PATIENCE)
        with contextlib.suppress(OSError):
            while self.connection.recv(65_536):
                pass
        self.site.left.release()


Page = bytes | Callable[[Visit], None]


class Site(socketserver.ThreadingTCPServer):
    """Answers each path with its page and closes the connection behind it.

    `heads` are all requests, `greeted` the names that TLS clients asked for, `connections` counts also those who asked
    for nothing. `arrived` counts requests, `over` is set at the end of the test.
    """

    daemon_threads = False
    allow_reuse_address = True

    def __init__(self, pages: Mapping[str, Page], *, address: str, port: int, context: ssl.SSLContext | None) -> None:
        self.connections = 0
        self.heads: list[str] = []
        self.greeted: list[str | None] = []
        self.arrived = threading.Semaphore(0)
        self.left = threading.Semaphore(0)
        self.over = threading.Event()
        self._pages = pages
        self._context = context
        if context is not None:
            context.sni_callback = lambda _socket, name, _context: self.greeted.append(name)
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address, port), socketserver.BaseRequestHandler)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.server_address[1])

    def url(self, path: str = "/", host: str = HOST) -> str:
        """The URL of a page."""
        return f"{'https' if self._context else 'http'}://{host}:{self.port}{path}"

    def finish_request(self, request: object, client_address: object) -> None:
        """Serve one connection, in a thread of its own."""
        assert isinstance(request, socket.socket)
        self.connections += 1
        request.settimeout(PATIENCE)
        with contextlib.suppress(OSError):
            if self._context is None:
                self._answer(request)
                return
            with self._context.wrap_socket(request, server_side=True) as secured:
                self._answer(secured)

    def _answer(self, connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            if not (data := connection.recv(65_536)):
                return
            head += data
        visit = Visit(self, connection, head.decode("latin-1"))
        self.heads.append(visit.head)
        self.arrived.release()
        page = self._pages[visit.path]
        if isinstance(page, bytes):
            visit.send(page)
        else:
            page(visit)


@contextmanager
def site(
    pages: Mapping[str, Page], *, address: str = HERE, port: int = 0, context: ssl.SSLContext | None = None
) -> Iterator[Site]:
    """Run a site for the block."""
    with Site(pages, address=address, port=port, context=context) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            server.shutdown()
            thread.join()


@contextmanager
def listening(converse: Callable[[socket.socket], None]) -> Iterator[str]:
    """Do something with the bare sockets of a server; gives the rest of a URL behind the host."""
    over = threading.Event()
    with socket.create_server((HERE, 0)) as server:
        server.settimeout(0.05)

        def serve() -> None:
            while not over.is_set():
                with contextlib.suppress(OSError):
                    connection, _ = server.accept()
                    connection.settimeout(PATIENCE)
                    with connection:
                        converse(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f":{server.getsockname()[1]}/"
        finally:
            over.set()
            thread.join()


@contextmanager
def blackhole(address: str, port: int = 0) -> Iterator[int]:
    """A port on which nobody answers those who connect: its line is full; gives its number."""
    with socket.create_server((address, port), backlog=0) as server, contextlib.ExitStack() as stack:
        port = server.getsockname()[1]
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.settimeout(0)
            waiting.connect_ex((BESIDE, port))
        yield port


def answer(body: bytes = b"", *headers: str, status: str = "200 OK") -> bytes:
    """A whole answer; without a length only if a header tells the body's end in another way."""
    told = any(header.lower().startswith(("content-length", "transfer-encoding", "connection")) for header in headers)
    lines = [f"HTTP/1.1 {status}", *headers, *([] if told else [f"Content-Length: {len(body)}"])]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def redirect(location: str, *headers: str, status: str = "302 Found", body: bytes = b"") -> bytes:
    """An answer that leads elsewhere."""
    return answer(body, f"Location: {location}", *headers, status=status)


def in_chunks(body: bytes, size: int = 1000) -> bytes:
    """A chunked body."""
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces) + b"0\r\n\r\n"


@dataclass
class Visitor:
    """Downloads over loopback, and what becomes of them.

    `names` is what hosts resolve to (this machine, unless a test says otherwise), `networks` are those let through.
    """

    names: Names = field(default_factory=lambda: Names(otherwise=[HERE]))
    networks: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    limits: Limits = field(default_factory=lambda: Limits(size=8 * 1024 * 1024, total=PATIENCE))
    authorities: str | None = None

    def __post_init__(self) -> None:
        guard = Guard(resolve=self.names, allowed=[ip_network(network) for network in self.networks])
        self.downloads = Downloads(
            guard=guard, limits=self.limits, user_agent="kimi-gateway/tests", authorities=self.authorities
        )

    def fetch(self, url: str, cancellation: Cancellation | None = None) -> bytes:
        """The bytes behind a URL."""
        return self.fetch_named(url, cancellation)[0]

    def fetch_named(self, url: str, cancellation: Cancellation | None = None) -> tuple[bytes, str | None, str | None]:
        """The bytes behind a URL, and the name and media type that go with them."""
        download: Download = self.downloads.fetch(url, cancellation or Cancellation())
        with closing(download.spool) as spool:
            data = spool.content("a.bin", None).file.read() if spool.size else b""
            assert len(data) == spool.size
            return data, download.name, download.media_type


def server_context(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    """What a site needs to be these hosts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


def open_files() -> int:
    """How many files and sockets this process has open."""
    return len(list(Path("/dev/fd").iterdir()))


def requires(address: str) -> pytest.MarkDecorator:
    """Skip a test on a machine that does not have this address: not all have IPv6, and macOS has one loopback."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as sock:
            sock.bind((address, 0))
    except OSError:
        return pytest.mark.skip(reason=f"this machine does not have the address {address}")
    return pytest.mark.skipif(False, reason="")  # noqa: FBT003 # as pytest takes it


beside = requires(BESIDE)


def comes_true(fact: Callable[[], bool]) -> bool:
    """Whether something becomes so within some seconds."""
    deadline = time.monotonic() + PATIENCE
    while not fact():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
