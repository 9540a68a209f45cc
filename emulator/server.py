"""One HTTP server that plays the web host, the auth host and the legacy host at once.

Their paths do not collide, so a client can be pointed at the same loopback port three times.
"""

import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from gevent.pywsgi import WSGIHandler, WSGIServer

from emulator import auth_host, connect_chat, connect_files, connect_unary, control, legacy_files, legacy_site
from emulator.accounts import InvalidTokenError, RestrictedError
from emulator.connect_frames import read_only_frame
from emulator.delivery import StartResponse, deliver
from emulator.exchange import Reply, Request, json_reply
from emulator.line import CutOnPurposeError, Line
from emulator.log import Entry
from emulator.presigned import OBJECTS
from emulator.received import Stream, receive_form, receive_raw
from emulator.rpc import RpcError, refusal
from emulator.site import Site
from emulator.values import Malformed, decode, snake_keys

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_SOCKET_KEY = "emulator.socket"
_CONNECT = ("/apiv2/", "/apiv2-files/")


class BreakableConnection(WSGIHandler):
    """Hands the client's socket to the application, which a fault must be able to break."""

    def handle(self) -> None:
        """Send small writes at once: Nagle's algorithm would glue frames that a test wants apart."""
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().handle()

    def get_environ(self) -> "WSGIEnvironment":
        """Add the socket to what the server says about a request."""
        environ = super().get_environ()
        environ[_SOCKET_KEY] = self.socket
        return environ


class Emulator:
    """The WSGI application around one `Site`."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def __call__(self, environ: "WSGIEnvironment", start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request; the control plane is answered in passing, without a log entry."""
        request = _read_head(environ)
        if _is_upload(request):
            return self._upload(request, environ["wsgi.input"], start_response)
        request = replace(request, body=environ["wsgi.input"].read())
        entry = self._entry(request)
        if request.path.startswith(control.PREFIX):
            reply = control.answer(request, self.site)
        else:
            self.site.log.add(entry)
            reply = self._answer(request)
        return _Body(deliver(reply, request.line, entry, start_response))

    def _upload(self, request: Request, stream: Stream, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one upload, whose body is read piece by piece; it counts as in progress all the while."""
        entry = self._entry(request)
        entry.account = entry.account or legacy_files.owner(request.path, self.site)
        self.site.log.add(entry)
        self.site.uploads.begin()
        content_type = request.headers.get("content-type", "")
        receive = receive_raw if request.method == "PUT" else receive_form
        try:
            received = receive(stream, content_type)
        except OSError:
            self.site.uploads.end()
            entry.client_closed, entry.ended_at = True, time.time()
            raise CutOnPurposeError from None
        entry.request = received.as_log()
        reply = self._answer(replace(request, received=received))
        counted = replace(reply, on_close=self.site.uploads.end)
        return _Body(deliver(counted, request.line, entry, start_response))

    def _answer(self, request: Request) -> Reply:
        if request.path.startswith(OBJECTS):
            return legacy_files.put(request, self.site)
        if request.path == auth_host.REFRESH_PATH or request.path.startswith(_CONNECT):
            if request.method != "POST":
                return json_reply(405, {}, (("allow", "POST"),))
            if request.path == auth_host.REFRESH_PATH:
                return auth_host.refresh(request, self.site)
            return self._connect(request)
        return legacy_site.answer(request, self.site)

    def _connect(self, request: Request) -> Reply:
        is_chat, is_upload = request.path == connect_unary.CHAT_PATH, request.path == connect_files.UPLOAD_PATH
        try:
            if not is_chat and not is_upload and request.path not in connect_unary.CALLS:
                raise RpcError("not_found", "there is no such call")  # noqa: TRY301 -- one exit
            account = self.site.accounts.admit(request.bearer, "access").account
            if is_upload:
                return connect_files.upload(request, account, self.site)
            if is_chat:
                return connect_chat.chat(request, account, self.site)
            return connect_unary.unary(request.path, request, account, self.site)
        except (InvalidTokenError, RestrictedError) as error:
            return refusal(error).unary()
        except RpcError as error:
            return error.unary()

    def _entry(self, request: Request) -> Entry:
        """Begin the log entry of a request; secrets in its headers stay out of it."""
        token = self.site.accounts.recognise(request.bearer)
        kind = "none" if "authorization" not in request.headers else "bearer unknown"
        shown = {name: value for name, value in request.headers.items() if name not in {"authorization", "cookie"}}
        named = token or self.site.accounts.recognise(_token_in(request))
        return Entry(
            at=time.time(),
            method=request.method,
            path=request.path,
            account=named.account.name if named else None,
            authorization=f"bearer {token.kind}" if token else kind,
            headers=shown,
            request=_decoded(request.body),
        )


class _Body:
    """An answer without a length that the server could ask for: it must stream, not collect."""

    def __init__(self, steps: Iterator[bytes]) -> None:
        self._steps = steps

    def __iter__(self) -> Iterator[bytes]:
        return self._steps


def serve(site: Site, host: str, port: int) -> WSGIServer:
    """Start to listen; the caller stops the server. Port 0 takes a free one."""
    server = WSGIServer((host, port), Emulator(site), handler_class=BreakableConnection, log=None)
    server.start()
    return server


def _is_upload(request: Request) -> bool:
    """Tell the two calls whose bodies are not read whole."""
    if request.method == "PUT":
        return request.path.startswith(OBJECTS)
    return request.method == "POST" and request.path == connect_files.UPLOAD_PATH


def _read_head(environ: "WSGIEnvironment") -> Request:
    headers = {
        key.removeprefix("HTTP_").replace("_", "-").lower(): str(value)
        for key, value in environ.items()
        if key.startswith("HTTP_") or key in {"CONTENT_TYPE", "CONTENT_LENGTH"}
    }
    return Request(
        method=str(environ["REQUEST_METHOD"]),
        path=str(environ["PATH_INFO"]),
        headers=headers,
        body=b"",
        line=Line(environ[_SOCKET_KEY]),
        query=str(environ["QUERY_STRING"]),
    )


def _token_in(request: Request) -> str:
    """Find the refresh token in the body of the one call that carries no Authorization."""
    body = _decoded(request.body) if request.path == auth_host.REFRESH_PATH else None
    fields = snake_keys(body)
    return str(fields.get("refresh_token", "")) if isinstance(fields, dict) else ""


def _decoded(body: bytes) -> object:
    """Decode a request for the log: a frame, JSON, or what text there is; null for no body."""
    if not body:
        return None
    for read in (read_only_frame, decode):
        try:
            return read(body)
        except Malformed:
            continue
    return body.decode("utf-8", "replace")
