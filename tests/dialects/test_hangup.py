"""A client that hangs up is noticed, also while nothing is written to it."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from app.dialects import hangup
from app.dialects.hangup import break_off, watching

Pair = tuple[socket.socket, socket.socket]
SOON = 5.0
QUIET = 0.1


@pytest.fixture
def pair() -> Iterator[Pair]:
    """The server's end and the client's."""
    server, client = socket.socketpair()
    with server, client:
        yield server, client


def test_a_client_that_closes_is_noticed_at_once(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at the next look, which may be far off."""
    monkeypatch.setattr(hangup, "POLL", 2 * SOON)
    server, client = pair
    noticed = threading.Event()
    with watching(server, noticed.set):
        client.close()
        assert noticed.wait(SOON)


def test_a_client_that_is_cut_off_is_noticed() -> None:
    """A reset is an end too."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    noticed = threading.Event()
    with server, watching(server, noticed.set):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        assert noticed.wait(SOON)


def test_a_silent_client_has_not_hung_up(pair: Pair) -> None:
    """It waits for its answer."""
    noticed = threading.Event()
    with watching(pair[0], noticed.set):
        assert not noticed.wait(QUIET)


def test_what_a_client_sends_ahead_is_no_hang_up(pair: Pair) -> None:
    """And is left for the server to read."""
    server, client = pair
    noticed = threading.Event()
    with watching(server, noticed.set):
        client.sendall(b"GET")
        assert not noticed.wait(QUIET)
    assert server.recv(10) == b"GET"


def test_nothing_is_noticed_after_the_block(pair: Pair) -> None:
    """The connection may serve another request."""
    server, client = pair
    noticed = threading.Event()
    with watching(server, noticed.set):
        pass
    client.close()
    assert not noticed.wait(QUIET)


@pytest.mark.parametrize("client", [None, "socket", 7])
def test_anything_else_is_not_watched(client: object) -> None:
    """Other servers hand no socket out."""
    noticed = threading.Event()
    with watching(client, noticed.set):
        assert not noticed.is_set()


def test_a_socket_that_is_closed_already_does_no_harm(pair: Pair) -> None:
    """The server may be quicker."""
    pair[0].close()
    with watching(pair[0], lambda: None):
        time.sleep(0.01)


GREENLETS = """
from gevent import monkey; monkey.patch_all()
import socket, time
from app.dialects.hangup import watching

def noticed(act, leave=False):
    server, client = socket.socketpair()
    seen = []
    with watching(server, lambda: seen.append(True)):
        time.sleep(0.01)
        if not leave:
            act(client)
            time.sleep(0.05)
    if leave:
        act(client)
        time.sleep(0.05)
    return bool(seen)

print(noticed(lambda c: c.close()), noticed(lambda c: c.sendall(b"GET")), noticed(lambda c: c.close(), leave=True))
"""


def test_greenlets_notice_the_same() -> None:
    """As they do under gunicorn: a hang-up, but neither what is sent ahead nor what comes after the block."""
    program = subprocess.run([sys.executable, "-c", GREENLETS], capture_output=True, text=True, timeout=30, check=True)
    assert program.stdout.split() == ["True", "False", "False"]


def test_a_connection_that_is_broken_off_ends_for_the_client(pair: Pair) -> None:
    """Twice is no harm, and neither is what is no connection."""
    server, client = pair
    break_off(server)
    break_off(server)
    break_off(None)
    assert client.recv(1) == b""
