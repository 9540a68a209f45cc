"""Work that no answer waits for, such as deleting a conversation; a worker that ends waits for it a little."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Background:
    """Runs each piece of work in a thread of its own; under gevent, a greenlet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[threading.Thread] = set()

    def run(self, work: Callable[[], None]) -> None:
        """Begin `work` and return at once."""
        thread = threading.Thread(target=lambda: self._run(thread, work), daemon=True, name="background")
        with self._lock:
            self._running.add(thread)
        thread.start()

    def finish(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds for all that runs; True if nothing runs any more."""
        deadline = time.monotonic() + timeout
        with self._lock:
            running = list(self._running)
        for thread in running:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in running)

    def _run(self, thread: threading.Thread, work: Callable[[], None]) -> None:
        try:
            work()
        finally:
            with self._lock:
                self._running.discard(thread)
