"""Somebody's web server, in a thread: files behind URLs, and servers as they should not be.

A path is served by a function that writes the whole answer; `page` makes one that behaves. What was asked for is kept,
and so is the moment at which a client left in the middle of an answer.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[[BaseHTTPRequestHandler], None]

_PIECE = 256 * 1024


@dataclass
class WebServer:
    """A running one.

    `asked` are the requests so far, as path and headers, `connections` how often somebody connected at all, and `left`
    when clients left in the middle of an answer, by the monotonic clock.
    """

    url: str
    connections: int = 0
    _answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    left: list[float] = field(default_factory=list)

    def put(self, path: str, answer: Answer) -> str:
        """Serve a path from now on; give its URL."""
        self._answers[path] = answer
        return self.url + path

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        self.asked.append((request.path, {name.lower(): value for name, value in request.headers.items()}))
        try:
            self._answers.get(request.path.partition("?")[0], _nothing)(request)
        except (ConnectionError, TimeoutError):
            self.left.append(time.monotonic())
            request.close_connection = True


def page(data: bytes, content_type: str | None, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer that is as it should be, unless its headers say otherwise."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        sent = {"Content-Length": str(len(data)), **({"Content-Type": content_type} if content_type else {})}
        _begin(request, {**sent, **(headers or {})}, status)
        for start in range(0, len(data), _PIECE):
            request.wfile.write(data[start : start + _PIECE])

    return answer


def redirect(location: str, status: int = 302) -> Answer:
    """Lead elsewhere."""
    return page(b"", None, status, {"Location": location})


def endless(data: bytes, content_type: str, pause: float = 0.0) -> Answer:
    """Begin as a file does and never end; with a pause, in seconds, a byte at a time."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        _begin(request, {"Content-Type": content_type})
        request.wfile.write(data)
        while True:
            request.wfile.write(b"x" if pause else b"x" * _PIECE)
            time.sleep(pause)

    return answer


def silent(data: bytes | None = None, seconds: float = 30.0) -> Answer:
    """Say nothing, or nothing beyond the head and these bytes, until the client leaves."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        if data is not None:
            _begin(request, {"Content-Type": "image/png"})
            request.wfile.write(data)
        request.connection.settimeout(seconds)
        if request.connection.recv(1) == b"":
            raise ConnectionAbortedError

    return answer


def short(data: bytes, content_type: str, promised: int) -> Answer:
    """Promise more bytes than come."""
    return page(data, content_type, headers={"Content-Length": str(promised)})


@contextmanager
def serving_web(host: str = "127.0.0.1", port: int = 0) -> Iterator[WebServer]:
    """Run a web server; raises OSError where the address cannot be taken."""
    with _Listener((host, port), _Request) as listener:
        listener.site = WebServer(f"http://{host if ':' not in host else f'[{host}]'}:{listener.server_port}")
        thread = threading.Thread(target=listener.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield listener.site
        finally:
            listener.shutdown()
            thread.join()


class _Listener(ThreadingHTTPServer):
    site: WebServer
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], kind: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, kind)

    def verify_request(self, *_: object) -> bool:
        """Count who comes, whatever is asked for then."""
        self.site.connections += 1
        return True

    def handle_error(self, *_: object) -> None:
        """Say nothing: a client that leaves is part of the play."""


class _Request(BaseHTTPRequestHandler):
    server: _Listener

    def do_GET(self) -> None:
        self.server.site.answer(self)

    def log_message(self, *_: object) -> None:
        pass


def _begin(request: BaseHTTPRequestHandler, headers: Mapping[str, str], status: int = 200) -> None:
    request.send_response(status)
    for name, value in headers.items():
        request.send_header(name, value)
    request.send_header("Connection", "close")
    request.end_headers()


def _nothing(request: BaseHTTPRequestHandler) -> None:
    page(b"There is nothing here.", "text/plain", 404)(request)
