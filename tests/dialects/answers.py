"""An answer whose events are given by the test, one list at a time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator

from app.chat.cancellation import Cancellation
from app.chat.events import Event


class Answer:
    """What the gateway would give; it ends when it is cancelled, and `closed` tells that it has."""

    def __init__(self) -> None:
        self.closed = threading.Event()
        self._steps: queue.SimpleQueue[list[Event] | Exception | None] = queue.SimpleQueue()

    def __call__(self, cancellation: Cancellation) -> Iterator[list[Event]]:
        cancellation.on_cancel(self.end)
        try:
            while (step := self._steps.get()) is not None:
                if isinstance(step, Exception):
                    raise step
                yield step
        finally:
            self.closed.set()

    def say(self, *events: Event) -> Answer:
        """Give events, as one list."""
        self._steps.put([*events])
        return self

    def crash(self, error: Exception) -> Answer:
        """Raise what nobody expects."""
        self._steps.put(error)
        return self

    def end(self) -> None:
        """Give nothing more."""
        self._steps.put(None)
