"""Lines in which requests wait for an account: who came first is served first.

A line belongs to a set of accounts and a kind of request. Only its first waiter looks whether one is free, from time to
time (other workers' streams end unseen) and whenever a stream of this worker has ended.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Hashable
from types import TracebackType
from typing import Self


class Place:
    """One waiter's place in a line; as a context manager it is given up at the end of the block."""

    def __init__(self, lines: Lines, key: Hashable) -> None:
        self.key = key
        self._lines = lines
        self._called = threading.Event()

    @property
    def is_first(self) -> bool:
        """Whether it is this waiter's turn."""
        return self._lines.first(self.key) is self

    def wait(self, seconds: float) -> None:
        """Wait until called, at most so long."""
        self._called.wait(seconds)
        self._called.clear()

    def call(self) -> None:
        """Wake the waiter."""
        self._called.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._lines.leave(self)


class Lines:
    """The lines of one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: dict[Hashable, deque[Place]] = {}

    def join(self, key: Hashable) -> Place:
        """Take the last place of a line."""
        place = Place(self, key)
        with self._lock:
            self._lines.setdefault(key, deque()).append(place)
        return place

    def first(self, key: Hashable) -> Place | None:
        """Whose turn it is."""
        with self._lock:
            line = self._lines.get(key)
            return line[0] if line else None

    def leave(self, place: Place) -> None:
        """Give up a place; whoever is first now is called."""
        with self._lock:
            line = self._lines[place.key]
            line.remove(place)
            if not line:
                del self._lines[place.key]
        self.call(place.key)

    def call(self, key: Hashable) -> None:
        """Wake the first of one line."""
        if place := self.first(key):
            place.call()

    def call_all(self) -> None:
        """Wake the first of every line: something has become free."""
        with self._lock:
            firsts = [line[0] for line in self._lines.values()]
        for place in firsts:
            place.call()
