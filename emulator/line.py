"""The connection to one client: is it still there, and how to break it on purpose."""

import contextlib
import errno
import socket
import struct

import gevent
from gevent.event import Event
from gevent.greenlet import Greenlet
from gevent.socket import socket as GeventSocket  # noqa: N812 -- it is a class, named by its library
from gevent.socket import wait_read

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_PENDING_DATA_INTERVAL = 0.05


class CutOnPurposeError(BrokenPipeError):
    """Ends an answer from inside. The server takes EPIPE for a client's leaving, and hangs up."""

    def __init__(self) -> None:
        super().__init__(errno.EPIPE, "cut on purpose")


class Line:
    """Watches one client socket during one exchange, and ends every wait when it goes away.

    `gone` becomes true as soon as the client closes or resets, also while nothing is being sent.
    `cancelled` becomes true when CancelChat stops the answer (B11).
    """

    def __init__(self, sock: GeventSocket) -> None:
        self._sock = sock
        self._interrupted = Event()
        self._watcher: Greenlet[[], None] | None = None
        self.gone = False
        self.cancelled = False

    def watch(self) -> None:
        """Begin to watch; the request must have been read, for its bytes would look like life."""
        self._watcher = gevent.spawn(self._watch)

    def unwatch(self) -> None:
        """Stop watching, before anybody else reads from the socket."""
        if self._watcher is not None:
            self._watcher.kill()

    def cancel(self) -> None:
        """End the answer in progress early."""
        self.cancelled = True
        self._interrupted.set()

    @property
    def interrupted(self) -> bool:
        """Whether the answer should stop: the client is gone or has cancelled."""
        return self._interrupted.is_set()

    def sleep(self, seconds: float | None) -> None:
        """Wait; `None` waits for ever. An interruption ends the wait at once."""
        self._interrupted.wait(seconds)

    def cut(self, how: str) -> None:
        """End the connection under the answer, by `fin` or by `rst`. Always raises."""
        with contextlib.suppress(OSError):  # the client may have been faster
            if how == "rst":
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            else:
                self._sock.shutdown(socket.SHUT_WR)
        raise CutOnPurposeError

    def _watch(self) -> None:
        try:
            while self._peek():
                gevent.sleep(_PENDING_DATA_INTERVAL)
        except OSError:
            pass  # a reset is a way of leaving too
        self.gone = True
        self._interrupted.set()

    def _peek(self) -> bytes:
        """Wait until the socket has something to say; empty bytes are the end of the line."""
        wait_read(self._sock.fileno())
        data: bytes = self._sock.recv(1, socket.MSG_PEEK)
        return data
