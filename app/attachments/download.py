"""Fetches what a URL of a client leads to, under guard and within limits.

urllib3 carries the HTTP; the connection is dialled here, to the address that the guard has looked at, while the host's
name stays what it is for the Host header, for SNI and for the certificate. Redirects are followed by hand. One limit
of time is over everything, also over a server that sends a byte a second from its TLS handshake on: at its end the
socket is shut, and whoever reads from it wakes.
"""

from __future__ import annotations

import contextlib
import email.message
import email.utils
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import unquote, urljoin, urlsplit

import certifi
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from app.attachments.guard import Destination, Guard
from app.attachments.intake import Spool, cleaned_name, too_large
from app.chat.cancellation import Cancellation
from app.errors import AttachmentRefused, Overloaded

MAX_DIALS = 3
"""Addresses of one host that are tried."""

_OK = 200
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PIECE = 64 * 1024
_FOREIGN = (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError, ValueError)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes of a download, and seconds: until a connection, until each of its bytes, and for all of it.

    `redirects` are followed, and `at_once` downloads run at a time: each may hold one of the few threads that look up
    names, and Kimi's own name has to be looked up, too.
    """

    size: int
    connect: float = 5.0
    silence: float = 10.0
    total: float = 30.0
    redirects: int = 3
    at_once: int = 4


@dataclass(frozen=True, slots=True)
class Download:
    """What was fetched: its bytes, and what the server calls them."""

    spool: Spool
    name: str | None
    media_type: str | None


class Downloads:
    """Fetches; `authorities` is a file of certificates to trust instead of certifi's."""

    def __init__(self, *, guard: Guard, limits: Limits, user_agent: str, authorities: str | None = None) -> None:
        self._guard = guard
        self._limits = limits
        self._headers = {"User-Agent": user_agent, "Accept": "*/*", "Accept-Encoding": "identity"}
        self._tls = ssl.create_default_context(cafile=authorities or certifi.where())
        self._places = threading.BoundedSemaphore(limits.at_once)

    def fetch(self, url: str, cancellation: Cancellation) -> Download:
        """Fetch a URL; the caller closes the spool.

        Raises AttachmentRefused, RequestTooLarge, Overloaded when no turn came in time, ClientGone after a
        cancellation.
        """
        with self._place(cancellation), _Alarm(self._limits.total, cancellation) as alarm:
            try:
                return self._followed(url, alarm)
            except _FOREIGN as error:
                cancellation.check()
                raise _failed(error, alarm) from error

    def _followed(self, url: str, alarm: _Alarm) -> Download:
        for _ in range(self._limits.redirects + 1):
            destination = self._guard.destination(url)
            with contextlib.closing(self._connected(destination, alarm)) as connection:
                connection.request(
                    "GET", destination.target, headers=self._headers, preload_content=False, decode_content=False
                )
                with contextlib.closing(connection.getresponse()) as response:  # it may hold the socket by itself
                    if response.status not in _REDIRECTS:
                        return self._taken(url, response, alarm)
                    url = _next(url, _said(response, "location"))
        raise AttachmentRefused(f"The URL redirects more than {self._limits.redirects} times.")

    def _connected(self, destination: Destination, alarm: _Alarm) -> HTTPConnection:
        """A connection to one of the addresses that were looked at."""
        kind = _Https if destination.scheme == "https" else _Http
        options: dict[str, Any] = {"ssl_context": self._tls} if kind is _Https else {}
        for address in destination.addresses[:MAX_DIALS]:
            alarm.check()  # a look-up, or an address that does not answer, takes its time
            connection = kind(
                destination.host, destination.port, timeout=self._limits.connect, dial=_Dial(address, alarm), **options
            )
            try:
                connection.connect()
            except (urllib3.exceptions.ConnectTimeoutError, urllib3.exceptions.NewConnectionError) as error:
                connection.close()
                last = error
                continue
            except BaseException:
                connection.close()
                raise
            connection.timeout = self._limits.silence
            connection.sock.settimeout(self._limits.silence)
            return connection
        raise last

    def _taken(self, url: str, response: urllib3.HTTPResponse, alarm: _Alarm) -> Download:
        if response.status != _OK:
            raise AttachmentRefused(f"The URL could not be fetched: its server answered {response.status}.")
        if response.headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}:
            raise AttachmentRefused("The URL's server sends compressed data, though it was asked not to.")
        if response.headers.get("transfer-encoding", "chunked").strip().lower() not in {"", "chunked"}:
            raise AttachmentRefused("The URL's server sends compressed data, though it was asked not to.")
        length = response.headers.get("content-length", "")
        if length.isdecimal() and int(length[:20]) > self._limits.size:
            raise too_large(self._limits.size)
        with contextlib.ExitStack() as stack:
            spool = stack.enter_context(contextlib.closing(Spool(self._limits.size)))
            while data := response.read1(_PIECE, decode_content=False):
                alarm.check()
                spool.write(data)
            alarm.check()  # a socket that was shut looks like the end of the body
            if length.isdecimal() and spool.size != int(length[:20]):
                raise AttachmentRefused("The URL's server closed the connection before all bytes had come.")
            download = Download(spool, _name(url, response), response.headers.get("content-type"))
            stack.pop_all()
            return download

    @contextmanager
    def _place(self, cancellation: Cancellation) -> Iterator[None]:
        """One of the few places, in its turn."""
        deadline = time.monotonic() + self._limits.total
        while not self._places.acquire(timeout=0.2):
            cancellation.check()
            if time.monotonic() > deadline:
                raise Overloaded("Too many downloads are under way.", retryable=True)
        try:
            yield
        finally:
            self._places.release()


class _Alarm:
    """Shuts the sockets of a download when its time is over or its client has left."""

    def __init__(self, seconds: float, cancellation: Cancellation) -> None:
        self.rang = False
        self._cancellation = cancellation
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._ring)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._forget = self._cancellation.on_cancel(self._ring)
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._forget()
        with self._lock:
            for sock in self._sockets:
                sock.close()

    def watch(self, sock: socket.socket) -> None:
        """Have a socket shut in time. It is known by a duplicate: TLS takes the original over."""
        with self._lock:
            self._sockets.append(sock.dup())
        self.check()

    def check(self) -> None:
        """Raise what has happened: ClientGone, or AttachmentRefused when the time is over."""
        self._cancellation.check()
        if self.rang:
            raise AttachmentRefused("The URL's server was too slow.")

    def _ring(self) -> None:
        self.rang = True
        with self._lock:
            for sock in self._sockets:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)


@dataclass(frozen=True, slots=True)
class _Dial:
    """Which address a connection goes to, and who watches it."""

    address: str
    alarm: _Alarm


class _Dialled:
    """A connection to an address that was looked at, not to what its host name resolves to now."""

    port: int
    timeout: float

    def __init__(self, *args: Any, dial: _Dial, **options: Any) -> None:  # noqa: ANN401 # as urllib3 takes them
        super().__init__(*args, **options)
        self._dial = dial

    def _new_conn(self) -> socket.socket:
        try:
            sock = socket.create_connection((self._dial.address, self.port), self.timeout)
        except TimeoutError as error:
            raise urllib3.exceptions.ConnectTimeoutError(self, "timed out") from error
        except OSError as error:
            raise urllib3.exceptions.NewConnectionError(self, "refused") from error  # type: ignore[arg-type]
        try:
            self._dial.alarm.watch(sock)
        except BaseException:
            sock.close()
            raise
        return sock


class _Http(_Dialled, HTTPConnection):  # type: ignore[misc]
    pass


class _Https(_Dialled, HTTPSConnection):  # type: ignore[misc]
    pass


def _next(url: str, location: str) -> str:
    """Where a redirect leads; what may be followed at all is the guard's to say."""
    following = urljoin(url, location.strip())
    if not location.strip():
        raise AttachmentRefused("The URL redirects to nowhere.")
    if urlsplit(url).scheme.lower() == "https" and urlsplit(following).scheme.lower() != "https":
        raise AttachmentRefused("The URL redirects from https to something else.")
    return following


def _name(url: str, response: urllib3.HTTPResponse) -> str | None:
    """What the server calls the file, else the last part of the URL's path."""
    message = email.message.Message()
    message["content-disposition"] = _said(response, "content-disposition")
    try:
        # Those of RFC 5987 come behind the plain ones here, and go before them (RFC 6266 4.3).
        named = [value for key, value in message.get_params(header="content-disposition") or () if key == "filename"]
        name = email.utils.collapse_rfc2231_value(named[-1]) if named else None
    except (ValueError, TypeError, LookupError):  # what email has for parameters that contradict each other
        name = None
    return cleaned_name(name) or cleaned_name(unquote(urlsplit(url).path))


def _said(response: urllib3.HTTPResponse, header: str) -> str:
    """A header's value, "" if there is none; many servers write UTF-8 where http.client reads Latin-1."""
    value = response.headers.get(header, "")
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value


def _failed(error: Exception, alarm: _Alarm) -> AttachmentRefused:
    """Our error for a foreign one: it says what happened in our words, not in the exception's."""
    if alarm.rang:
        return AttachmentRefused("The URL's server was too slow.")
    if isinstance(error, urllib3.exceptions.NewConnectionError):  # before the time-outs, of which it is one by class
        return AttachmentRefused("The URL's server cannot be reached.")
    if isinstance(error, TimeoutError | urllib3.exceptions.TimeoutError):
        return AttachmentRefused("The URL's server was too slow.")
    if isinstance(error, ssl.SSLCertVerificationError):
        return AttachmentRefused("The URL's server has no certificate that can be trusted.")
    return AttachmentRefused("The URL's server did not answer with a file that can be read.")
