"""A stop signal that crosses rooms: the door that sees the client leave tells the socket that serves it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from app.errors import ClientGone

Callback = Callable[[], None]


class Cancellation:
    """Set once, never reset; callbacks run once, in the thread that cancels, or at once if it is set already."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cancelled = False
        self._callbacks: list[Callback] = []

    @property
    def cancelled(self) -> bool:
        """True once `cancel` was called."""
        return self._cancelled

    def check(self) -> None:
        """Raise ClientGone if the signal is set."""
        if self._cancelled:
            raise ClientGone("The client hung up.")

    def wait(self, seconds: float) -> None:
        """Let time pass; raises ClientGone as soon as the signal is set."""
        signal = threading.Event()
        forget = self.on_cancel(signal.set)
        signal.wait(seconds)
        forget()
        self.check()

    def cancel(self) -> None:
        """Set the signal and run the callbacks; later calls do nothing."""
        with self._lock:
            if self._cancelled:
                return
            self._cancelled = True
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def on_cancel(self, callback: Callback) -> Callback:
        """Run `callback` at the signal; the result takes it back (harmless when it has run)."""
        with self._lock:
            if not self._cancelled:
                self._callbacks.append(callback)
                return lambda: self._remove(callback)
        callback()
        return lambda: None

    def _remove(self, callback: Callback) -> None:
        with self._lock:
            if callback in self._callbacks:
                self._callbacks.remove(callback)
