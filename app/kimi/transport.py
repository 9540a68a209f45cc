"""The only place in this room that touches sockets: requests, with nothing done behind the caller's back.

No redirects, no retries, no cookies, no proxy or netrc from the environment, no decoding of bodies. A stream is read as
it arrives (`read1`), under three deadlines: first byte, silence, total. A cancellation closes the socket at once, also
while nothing arrives. Every foreign exception becomes one of ours here; none of their texts goes further, because
requests puts URLs and headers into them.
"""

from __future__ import annotations

import contextlib
import http.client
import http.cookiejar
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter

from app.chat.cancellation import Cancellation
from app.errors import GatewayError
from app.kimi.http import FileBody, FileReader, HttpAnswer, HttpRequest, media_type
from app.kimi.transport_errors import CONNECT_TIMEOUT, is_timeout, mapped, timed_out

UNARY_TIMEOUT = 15.0
"""Seconds of silence within a unary call; all of it may take twice as long."""

UPLOAD_TIMEOUT = 60.0
"""Seconds until an upload is answered, counted from its last byte: the site may look at the file first."""

DRAIN_TIMEOUT = 0.5
"""Seconds to wait for the end of a body; after that the connection is closed instead."""

MAX_ANSWER = 4 * 1024 * 1024
"""Bytes of an answer that is not a stream."""

_READ_SIZE = 64 * 1024
_FOREIGN = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds: until the first byte of an answer, of silence within it, and for all of it."""

    first_byte: float = 30.0
    idle: float = 90.0
    total: float = 900.0


class _Line:
    """The connection of one request: a cancellation shuts its socket.

    `started` is when its deadlines began (monotonic): as it was sent, or behind the last byte of a file.
    """

    def __init__(self, cancellation: Cancellation, *, is_file: bool) -> None:
        self.started = time.monotonic()
        self.sock: socket.socket | None = None
        self._cancellation = cancellation
        self._is_file = is_file
        self._forget: Callable[[], None] = lambda: None

    def opened(self, sock: socket.socket | None) -> None:
        """Take note of the socket that is written to."""
        if sock is not None and sock is not self.sock:
            self.let_go()
            self.sock = sock
            self._forget = self._cancellation.on_cancel(lambda: _shut(sock))

    def sent(self) -> None:
        """All bytes have left."""
        if self._is_file:
            self.started = time.monotonic()

    def wait_for(self, seconds: float) -> None:
        """How long the next read may take."""
        if self.sock is not None:
            self.sock.settimeout(seconds)

    def let_go(self) -> None:
        """The socket is another request's from now on; harmless when that was told before."""
        self._forget()


_LINE: ContextVar[_Line | None] = ContextVar("line", default=None)
"""The line of the request that the current thread sends: it is told the socket, and when all bytes have left."""


class _Tracked:
    """Tells its socket before it writes to it, and before it waits: both can be ended from outside."""

    sock: socket.socket | None

    def send(self, data: object) -> None:
        line = _LINE.get()
        if line is not None:
            if self.sock is None:
                self.connect()  # type: ignore[attr-defined] # as http.client does by itself
            line.opened(self.sock)
        try:
            super().send(data)  # type: ignore[misc] # of the urllib3 class beside it
        except ssl.SSLEOFError as error:
            raise BrokenPipeError from error  # which urllib3 knows may have an answer behind it

    def getresponse(self) -> urllib3.HTTPResponse:
        line = _LINE.get()
        if line is not None:
            line.sent()
        return super().getresponse()  # type: ignore[misc,no-any-return] # of the urllib3 class beside it


class _HttpConnection(_Tracked, urllib3.connection.HTTPConnection):  # type: ignore[misc]
    pass


class _HttpsConnection(_Tracked, urllib3.connection.HTTPSConnection):  # type: ignore[misc]
    pass


class _HttpPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _HttpConnection


class _HttpsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 # as requests calls it
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Follow nothing: requests would read the whole body of a redirect even when told not to follow it."""


class HttpStream:
    """An open answer: its head, and its body as it arrives."""

    def __init__(
        self, response: requests.Response, line: _Line, deadlines: Deadlines, cancellation: Cancellation
    ) -> None:
        self.status = response.status_code
        self.headers = {name.lower(): value for name, value in response.headers.items()}
        self.media_type = media_type(self.headers)
        self._raw: urllib3.HTTPResponse = response.raw
        self._line = line
        self._deadlines = deadlines
        self._ends_at = line.started + deadlines.total
        self._cancellation = cancellation
        self._silence = line.started + deadlines.first_byte - time.monotonic()

    def read(self, *, within: float | None = None) -> bytes:
        """The next bytes as soon as there are any; b"" at the end, also where the connection was cut.

        `within` is how long to wait, by default as long as the deadlines allow. Raises UpstreamTimeout at a
        deadline and ClientGone after a cancellation.
        """
        left = self._ends_at - time.monotonic()
        wait = min(self._silence if within is None else within, left)
        if wait <= 0:
            raise timed_out(left)
        try:
            if self._raw.connection is not None:
                self._line.wait_for(wait)
            data = self._raw.read1(_READ_SIZE, decode_content=False)
        except _FOREIGN as error:
            data = self._cut(error)
        if self._raw.connection is None:
            self._line.let_go()  # the body is read: the connection is in the pool, and soon another request's
        self._cancellation.check()
        self._silence = self._deadlines.idle
        return data

    def _cut(self, error: Exception) -> bytes:
        self._cancellation.check()
        if is_timeout(error):
            raise timed_out(self._ends_at - time.monotonic()) from error
        return b""  # the decoder judges whether the answer was whole

    def drain(self) -> None:
        """Read the end of a body that has said all, so that its connection can serve the next request."""
        with contextlib.suppress(GatewayError):
            self.read(within=DRAIN_TIMEOUT)

    def answer(self) -> HttpAnswer:
        """The whole of an answer that turned out not to be a stream; cut at MAX_ANSWER."""
        body = bytearray()
        while len(body) < MAX_ANSWER and (data := self.read(within=UNARY_TIMEOUT)):
            body += data
        return HttpAnswer(self.status, self.headers, bytes(body))


class Transport:
    """Sends requests over one pool of connections.

    `streams` is how many connections are kept per host; `authorities` is a file of certificates to trust instead of
    certifi's.
    """

    def __init__(
        self,
        *,
        user_agent: str,
        deadlines: Deadlines | None = None,
        streams: int = 256,
        authorities: str | None = None,
    ) -> None:
        self._deadlines = deadlines or Deadlines()
        self._session = _Session()
        self._session.trust_env = False
        self._session.verify = authorities or True
        self._session.headers = requests.structures.CaseInsensitiveDict(
            {"User-Agent": user_agent, "Accept": "*/*", "Accept-Encoding": "identity"}
        )
        # Cookies would carry one account's identity into another's calls.
        self._session.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
        adapter = _Adapter(pool_connections=16, pool_maxsize=streams, pool_block=False)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)

    def fetch(
        self, request: HttpRequest, *, timeout: float = UNARY_TIMEOUT, cancellation: Cancellation | None = None
    ) -> HttpAnswer:
        """Send a unary call and read its whole answer, whatever its status. Raises as `stream`.

        Without a `cancellation` it is heard out: a refresh that was sent must be, or its tokens are lost.
        """
        deadlines = Deadlines(first_byte=timeout, idle=timeout, total=2 * timeout)
        with self._open(request, deadlines, cancellation or Cancellation()) as stream:
            return stream.answer()

    def upload(self, request: HttpRequest, cancellation: Cancellation) -> HttpAnswer:
        """Send a file and read the whole answer, whatever its status.

        There is no limit to the time that the bytes take as long as they flow. Raises as `stream`.
        """
        deadlines = Deadlines(first_byte=UPLOAD_TIMEOUT, idle=UNARY_TIMEOUT, total=2 * UPLOAD_TIMEOUT)
        with self._open(request, deadlines, cancellation) as stream:
            return stream.answer()

    @contextmanager
    def stream(self, request: HttpRequest, cancellation: Cancellation) -> Iterator[HttpStream]:
        """Send a request and give its answer as a stream, closed with the block.

        Raises UpstreamUnavailable, UpstreamTimeout, or ClientGone after a cancellation.
        """
        with self._open(request, self._deadlines, cancellation) as stream:
            yield stream

    @contextmanager
    def _open(self, request: HttpRequest, deadlines: Deadlines, cancellation: Cancellation) -> Iterator[HttpStream]:
        cancellation.check()
        with contextlib.ExitStack() as stack:
            line = _Line(cancellation, is_file=isinstance(request.body, FileBody))
            stack.callback(line.let_go)
            token = _LINE.set(line)
            try:
                response = self._send(request, deadlines, cancellation)
            except _FOREIGN as error:
                cancellation.check()
                raise mapped(error, request) from error
            finally:
                _LINE.reset(token)
            stack.callback(response.close)
            yield HttpStream(response, line, deadlines, cancellation)

    def _send(self, request: HttpRequest, deadlines: Deadlines, cancellation: Cancellation) -> requests.Response:
        body = request.body
        data = FileReader(body, cancellation) if isinstance(body, FileBody) else body
        prepared = self._session.prepare_request(
            requests.Request(request.method, request.url, headers=dict(request.headers), data=data)
        )
        return self._session.send(
            prepared,
            stream=True,
            timeout=(CONNECT_TIMEOUT, deadlines.first_byte),
            allow_redirects=False,
        )


def _shut(sock: socket.socket) -> None:
    """Wake the reader of a socket: it sees the end of the stream."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
