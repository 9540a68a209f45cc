"""Notices at once that a client has hung up, also while there is nothing to write to it.

A server learns of a closed connection by reading, and a WSGI server does not read while it answers: without this, a
silent upstream would run on for a client that has left. gunicorn hands its socket to the application for such ends.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import gevent
from gevent import monkey
from gevent.socket import wait_read

POLL = 0.4
"""Seconds between two looks where nothing tells: without gevent, and behind bytes that the client sent ahead."""

_ESTABLISHED = 1  # the first byte of Linux's tcp_info is the connection's state

Callback = Callable[[], None]


@contextmanager
def watching(client: object, on_hangup: Callback) -> Iterator[None]:
    """Call `on_hangup` if the peer of `client` closes its connection within the block.

    `client` is the client's socket as the server gives it (`environ["gunicorn.socket"]`); with anything else only a
    failing write tells that the client has left.
    """
    if not isinstance(client, socket.socket):
        yield
        return
    watch = _watch_by_greenlet if monkey.is_module_patched("socket") else _watch_by_thread
    stop = watch(client, on_hangup)
    try:
        yield
    finally:
        stop()


def break_off(client: object) -> None:
    """Close the connection of `client` (as above) without an end of its answer."""
    if isinstance(client, socket.socket):
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)


def _watch_by_greenlet(client: socket.socket, on_hangup: Callback) -> Callback:
    def watch() -> None:
        with contextlib.suppress(OSError, ValueError):
            wait_read(client.fileno())
            while not _has_hung_up(client):
                gevent.sleep(POLL)
            on_hangup()

    greenlet = gevent.spawn(watch)
    return lambda: greenlet.kill(block=False)


def _watch_by_thread(client: socket.socket, on_hangup: Callback) -> Callback:
    done = threading.Event()

    def watch() -> None:
        with contextlib.suppress(OSError, ValueError):
            while not done.is_set():
                readable, _, _ = select.select([client], [], [], POLL)
                if readable and not done.is_set():
                    if _has_hung_up(client):
                        on_hangup()
                        return
                    done.wait(POLL)

    threading.Thread(target=watch, daemon=True, name="client watch").start()
    return done.set


def _has_hung_up(client: socket.socket) -> bool:
    """Whether a readable socket has reached its end; what a client sends ahead is left for the server to read."""
    try:
        return client.recv(1, socket.MSG_PEEK) == b"" or _is_closed_behind(client)
    except ConnectionError:
        return True


def _is_closed_behind(client: socket.socket) -> bool:
    """Whether the peer has closed behind bytes that are not read yet: the kernel knows, where it tells (Linux)."""
    if not hasattr(socket, "TCP_INFO"):
        return False
    return client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != _ESTABLISHED
