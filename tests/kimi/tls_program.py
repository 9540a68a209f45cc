"""Reads answers over TLS and hangs up on some; a process of its own, because gevent patches all of one.

`python -m tests.kimi.tls_program gevent|threads` prints a line for each answer.
"""

import sys

if sys.argv[1] == "gevent":
    from gevent import monkey

    monkey.patch_all()

import io  # nothing may be imported before the patch
import ssl
import tempfile
import threading
import time

import trustme

from app.chat.cancellation import Cancellation
from app.errors import GatewayError
from app.kimi.http import FileBody, HttpRequest
from app.kimi.transport import Deadlines, Transport
from tests.kimi.loopback import Peer, length_of, serving

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
HANG_UP_AFTER = 0.2
LARGE = 20 * 1024 * 1024
"""Bytes: more than the buffers of both ends of a connection hold."""


def script(peer: Peer) -> None:
    """Answer whole, or fall silent, break the encryption or leave a file unread where the path says so."""
    while head := peer.head():
        if "/unread" in head:
            time.sleep(3)
            return
        if "/refused" in head:
            peer.send(b"HTTP/1.1 413 X\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")
            return
        received = sum(map(len, peer.pieces(length_of(head))))
        if "/file" in head:
            peer.send(f"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{received:08}".encode())
            continue
        if "/broken" in head:
            peer.send_beneath_tls(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            return
        if "/silent" not in head:
            peer.send(HEAD + b"5\r\nhello\r\n")
        if "/whole" not in head:
            peer.wait_for_end()
            return
        peer.send(b"0\r\n\r\n")


def main() -> None:
    """Serve on loopback and ask."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        authority.cert_pem.write_to_path(file.name)
        with serving(script, context) as server:
            deadlines = Deadlines(first_byte=2, idle=0.5, total=5)
            transport = Transport(user_agent="tests", deadlines=deadlines, authorities=file.name)
            for path in ("/whole", "/whole", "/cut", "/silent", "/stalls", "/whole", "/broken"):
                answer = ask(transport, server.url + path, hang_up=path in {"/cut", "/silent"})
                sys.stdout.write(f"{path} {answer}\n")
            for path in ("/file", "/file", "/refused", "/unread", "/file"):
                answer = send(transport, server.url + path, hang_up=path == "/unread")
                sys.stdout.write(f"{path} {answer}\n")
            sys.stdout.write(f"connections {server.connections}\n")
            untrusting = Transport(user_agent="tests")
            sys.stdout.write(f"untrusted {ask(untrusting, server.url + '/whole', hang_up=False)}\n")


def ask(transport: Transport, url: str, *, hang_up: bool) -> str:
    """What comes of a request; "late" is added if a hang-up takes long."""
    cancellation, received, began = cancelled(hang_up=hang_up), b"", time.monotonic()
    try:
        with transport.stream(HttpRequest("POST", url, {}, b"x"), cancellation) as stream:
            while data := stream.read():
                received += data
    except GatewayError as error:
        return f"{received.decode()} {type(error).__name__}{lateness(began, hang_up=hang_up)}".strip()
    return received.decode()


def send(transport: Transport, url: str, *, hang_up: bool) -> str:
    """What comes of a large file; "late" is added if a hang-up takes long."""
    began = time.monotonic()
    request = HttpRequest("PUT", url, {}, FileBody(io.BytesIO(b"x" * LARGE), LARGE))
    try:
        answer = transport.upload(request, cancelled(hang_up=hang_up))
    except GatewayError as error:
        return f"{type(error).__name__}{lateness(began, hang_up=hang_up)}"
    return f"{answer.status} {answer.body.decode()}"


def cancelled(*, hang_up: bool) -> Cancellation:
    """The signal of a client that hangs up soon, or never."""
    cancellation = Cancellation()
    if hang_up:
        threading.Timer(HANG_UP_AFTER, cancellation.cancel).start()
    return cancellation


def lateness(began: float, *, hang_up: bool) -> str:
    """A word for a hang-up that took long."""
    return " late" if hang_up and time.monotonic() - began > HANG_UP_AFTER + 1 else ""


if __name__ == "__main__":
    main()
