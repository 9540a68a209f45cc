"""Computation that would hold up every other request of the worker, done beside them.

Under gevent all requests share one thread: what computes for long without waiting makes them all wait. Here it runs in
a thread of the operating system, and only its own request waits for it. The pool is not the hub's own, in which host
names are looked up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from gevent import monkey
from gevent.threadpool import ThreadPool

LARGE = 256 * 1024
"""Bytes from which on the way to another thread and back is worth it."""

THREADS = 1
"""All threads share one interpreter: more would not be faster, and the hub would wait for each of them in turn."""

_T = TypeVar("_T")


class Offload:
    """Runs computation on large bodies; the thread pool is made when it is first needed, after the worker's fork."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool: ThreadPool | None = None

    def run(self, work: Callable[[], _T], *, size: int) -> _T:
        """The result of `work` on so many bytes; raises what it raises."""
        if size < LARGE or not monkey.is_module_patched("threading"):
            return work()
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPool(THREADS)
        results: list[_T] = []
        errors: list[Exception] = []

        def attempt() -> None:
            """Raise nothing: gevent would print the traceback before it hands an error on."""
            try:
                results.append(work())
            except Exception as error:  # noqa: BLE001 # it is raised below, in the thread of its request
                errors.append(error)

        self._pool.apply(attempt)
        if errors:
            raise errors[0]
        return results[0]
