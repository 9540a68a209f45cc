"""A server on loopback that does to each connection what a test says."""

from __future__ import annotations

import contextlib
import os
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Peer:
    """The server's end of one connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = b""

    def request(self) -> tuple[str, bytes]:
        """The head and the body of the next request; ("", b"") when the client has left."""
        if not (head := self.head()):
            return "", b""
        return head, b"".join(self.pieces(length_of(head)))

    def head(self) -> str:
        """The head of the next request, "" when the client has left; its body waits to be read."""
        while b"\r\n\r\n" not in self._buffer:
            if not (data := self._connection.recv(65_536)):
                return ""
            self._buffer += data
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        return head.decode("latin-1")

    def pieces(self, length: int) -> Iterator[bytes]:
        """So many bytes of a body as they come; fewer when the client leaves before."""
        while length > 0:
            data = self._buffer or self._connection.recv(65_536)
            if not data:
                return
            piece, self._buffer = data[:length], data[length:]
            length -= len(piece)
            yield piece

    def send(self, data: bytes) -> None:
        """Write to the client."""
        self._connection.sendall(data)

    def send_beneath_tls(self, data: bytes) -> None:
        """Write to the client's socket as if there were no TLS."""
        os.write(self._connection.fileno(), data)

    def wait_for_end(self) -> bool:
        """Whether the client closes its end within some seconds."""
        self._connection.settimeout(5)
        try:
            return self._connection.recv(1) == b""
        except ConnectionError:
            return True


def length_of(head: str) -> int:
    """The Content-Length that a head names, 0 if it names none."""
    for line in head.split("\r\n"):
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            return int(value)
    return 0


Script = Callable[[Peer], None]


class Loopback(socketserver.ThreadingTCPServer):
    """Runs the script for every connection, over TLS if there is a context for it; `connections` counts them."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, script: Script, context: ssl.SSLContext | None = None) -> None:
        self.connections = 0
        self.released = threading.Event()
        self._script = script
        self._context = context
        super().__init__(("127.0.0.1", 0), socketserver.BaseRequestHandler)

    @property
    def url(self) -> str:
        """The base URL."""
        return f"{'https' if self._context else 'http'}://127.0.0.1:{self.server_address[1]}"

    def finish_request(self, request: object, client_address: object) -> None:
        """Serve one connection, in a thread of its own."""
        assert isinstance(request, socket.socket)
        self.connections += 1
        with contextlib.suppress(OSError):
            if self._context is None:
                self._script(Peer(request))
                return
            with self._context.wrap_socket(request, server_side=True) as secured:
                self._script(Peer(secured))


@contextmanager
def serving(script: Script, context: ssl.SSLContext | None = None) -> Iterator[Loopback]:
    """Run a server for the block; `released` is set at its end, for scripts that wait."""
    with Loopback(script, context) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.released.set()
            server.shutdown()
            thread.join()


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
