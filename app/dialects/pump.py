"""Runs an answer in a thread of its own, so that whoever waits for it can also watch the clock and the client.

Under gevent the thread is a greenlet. What the answer gives is collected until it is taken, so that all that came in
the meantime leaves in one write; a client that reads slowly holds the answer back.
"""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing

from app.chat.cancellation import Cancellation
from app.chat.events import Event, Failed
from app.errors import InternalError
from app.observability.defects import log_defect

_log = logging.getLogger(__name__)

CAPACITY = 4096
"""Events that may wait to be taken."""

Source = Callable[[Cancellation], Iterator[list[Event]]]


class Pump:
    """Starts the answer at once; `close` ends it."""

    def __init__(self, source: Source) -> None:
        self.cancellation = Cancellation()
        self._source = source
        self._condition = threading.Condition()
        self._waiting: list[Event] = []
        self._ended = False
        self._closed = False
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(self._run,), daemon=True, name="answer").start()

    def get(self, timeout: float | None) -> list[Event] | None:
        """All events that wait, as soon as there are any; [] after the end, None after `timeout` seconds without."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._condition:
            while not self._waiting and not self._ended:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return None
                self._condition.wait(left)
            events, self._waiting = self._waiting, []
            self._condition.notify_all()
        return events

    def close(self) -> None:
        """Stop the answer if it still runs; harmless after its end."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
        self.cancellation.cancel()

    def _run(self) -> None:
        try:
            with closing(_as_generator(self._source(self.cancellation))) as answer:
                for events in answer:
                    if not self._put(events):
                        break
        except Exception as error:  # noqa: BLE001 # the last border of this thread: else the client waits for ever
            log_defect(_log, "an answer failed unexpectedly", error)
            self._put([Failed(InternalError("The gateway failed unexpectedly; its log has the details."))])
        finally:
            with self._condition:
                self._ended = True
                self._condition.notify_all()

    def _put(self, events: list[Event]) -> bool:
        with self._condition:
            while len(self._waiting) >= CAPACITY and not self._closed:
                self._condition.wait()
            self._waiting += events
            self._condition.notify_all()
            return not self._closed


def _as_generator(events: Iterator[list[Event]]) -> Generator[list[Event]]:
    yield from events
