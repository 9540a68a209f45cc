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
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

from app.chat.cancellation import Cancellation
from app.errors import GatewayError, UpstreamTimeout, UpstreamUnavailable, UpstreamUnreachable
from app.kimi.http import HttpAnswer, HttpRequest, media_type

CONNECT_TIMEOUT = 5.0
UNARY_TIMEOUT = 15.0
"""Seconds of silence within a unary call; all of it may take twice as long."""

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


OnSocket = Callable[[socket.socket], None]
_ON_SOCKET: ContextVar[OnSocket | None] = ContextVar("on_socket", default=None)
"""Told the socket of the request that the current thread sends, once its bytes have left."""


class _Tracked:
    """Tells its socket before it waits for an answer, so that the wait can be ended from outside."""

    sock: socket.socket | None

    def getresponse(self) -> urllib3.HTTPResponse:
        on_socket = _ON_SOCKET.get()
        if on_socket is not None and self.sock is not None:
            on_socket(self.sock)
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


@dataclass(frozen=True, slots=True)
class _Line:
    """The connection of one request: its socket, and how to let go of it. `started` is when it was sent (monotonic)."""

    sock: socket.socket
    let_go: Callable[[], None]
    started: float


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
            raise UpstreamTimeout("Kimi's answer took longer than the gateway allows.")
        try:
            if self._raw.connection is not None:
                self._line.sock.settimeout(wait)
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
        if _is_timeout(error):
            raise UpstreamTimeout("Kimi stopped sending in the middle of an answer.") from error
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

    def fetch(self, request: HttpRequest, *, timeout: float = UNARY_TIMEOUT) -> HttpAnswer:
        """Send a unary call and read its whole answer, whatever its status.

        It cannot be cancelled: a refresh that was sent must be heard out, or its tokens are lost. Raises
        UpstreamUnavailable or UpstreamTimeout.
        """
        deadlines = Deadlines(first_byte=timeout, idle=timeout, total=2 * timeout)
        with self._open(request, deadlines, Cancellation()) as stream:
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
            lines: list[_Line] = []

            def on_socket(sock: socket.socket) -> None:
                let_go = cancellation.on_cancel(lambda: _shut(sock))
                stack.callback(let_go)
                lines.append(_Line(sock, let_go, started))

            started = time.monotonic()
            token = _ON_SOCKET.set(on_socket)
            try:
                response = self._send(request, deadlines)
            except _FOREIGN as error:
                cancellation.check()
                raise mapped(error, request) from error
            finally:
                _ON_SOCKET.reset(token)
            stack.callback(response.close)
            yield HttpStream(response, lines[-1], deadlines, cancellation)

    def _send(self, request: HttpRequest, deadlines: Deadlines) -> requests.Response:
        prepared = self._session.prepare_request(
            requests.Request(request.method, request.url, headers=dict(request.headers), data=request.body)
        )
        return self._session.send(
            prepared,
            stream=True,
            timeout=(CONNECT_TIMEOUT, deadlines.first_byte),
            allow_redirects=False,
        )


def mapped(error: Exception, request: HttpRequest) -> GatewayError:
    """Our error for a foreign one raised before an answer began; it names the host and nothing else."""
    host = urlsplit(request.url).hostname
    if isinstance(error, requests.ConnectTimeout):
        return UpstreamUnreachable(f"{host} could not be reached in {CONNECT_TIMEOUT:g} s.", retryable=True)
    if _is_timeout(error):
        return UpstreamTimeout(f"{host} did not answer in time.")
    if "SSLCertVerificationError" in _reasons(error):
        return UpstreamUnreachable(f"No trusted connection to {host}: its certificate is refused.")
    # Only where no connection came about is it certain that nothing was sent.
    if _reasons(error) & {"NewConnectionError", "NameResolutionError"}:
        return UpstreamUnreachable(f"{host} could not be reached.", retryable=True)
    return UpstreamUnavailable(f"{host} closed the connection without an answer.")


def _reasons(error: BaseException) -> set[str]:
    """The class names of an exception and all that caused it; requests hides urllib3's in its arguments."""
    names: set[str] = set()
    seen: set[int] = set()
    pending: list[object] = [error]
    while pending:
        current = pending.pop()
        if isinstance(current, BaseException) and id(current) not in seen:
            seen.add(id(current))
            names.add(type(current).__name__)
            pending += [*current.args, getattr(current, "reason", None), current.__cause__]
    return names


def _is_timeout(error: BaseException) -> bool:
    return bool(_reasons(error) & {"ReadTimeout", "ReadTimeoutError", "TimeoutError", "timeout"})


def _shut(sock: socket.socket) -> None:
    """Wake the reader of a socket: it sees the end of the stream."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
