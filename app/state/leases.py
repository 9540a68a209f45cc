"""Leases: held by one process at a time, renewed while they are held, gone soon after their holder died.

A lease is a value that names its holder. What a killed worker held is free at once for others of the same machine, and
for the rest within seconds, because the time to live is short. One thread (under gevent, a greenlet) renews all that
this process holds, and ends with the last.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from app.state import process
from app.state.store import StateUnavailable, Store

LIFE = 12.0
"""Seconds that a lease outlives its holder. Shorter than the time in which Kimi forgives the second use of a refresh
token (protocol.md B3: brief): whoever takes over from a crashed worker must come in time."""

RENEWALS = 3
"""How often a lease is renewed within its life."""

_log = logging.getLogger(__name__)


def has_ended(holder: bytes) -> bool:
    """Whether the process that holds a lease is known to have died."""
    return process.runs(holder.decode(errors="replace")) is False


class Lease:
    """A lease that this process holds; as a context manager it is given back at the end of the block."""

    def __init__(self, leases: Leases, key: str, holder: bytes) -> None:
        self.key = key
        self.holder = holder
        self._leases = leases

    def release(self) -> None:
        """Give the lease back; harmless when that was done before."""
        self._leases.release(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()


class Leases:
    """The leases of one process in one store."""

    def __init__(self, store: Store, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._store = store
        self._sleep = sleep
        self._lock = threading.Lock()
        self._held: dict[str, Lease] = {}
        self._renewing = False
        self._pid = os.getpid()

    def take(self, key: str) -> Lease | None:
        """The lease of this name, None while another holds it. Raises StateUnavailable.

        One whose holder has died on this machine is taken over at once.
        """
        lease = Lease(self, key, process.a_name().encode())
        if not self._store.swap(key, None, lease.holder, LIFE):
            held = self._store.get([key])[0]
            if held is None or not has_ended(held) or not self._store.swap(key, held, lease.holder, LIFE):
                return None
        with self._lock:
            if self._pid != os.getpid():  # behind a fork: the thread and the leases stayed with the parent
                self._pid, self._held, self._renewing = os.getpid(), {}, False
            self._held[key] = lease
            start, self._renewing = not self._renewing, True
        if start:
            threading.Thread(target=self._keep_renewing, daemon=True, name="leases").start()
        return lease

    def release(self, lease: Lease) -> None:
        """Give a lease back, also one that was lost meanwhile."""
        with self._lock:
            if self._held.get(lease.key) is not lease:
                return
            del self._held[lease.key]
        try:
            self._store.swap(lease.key, lease.holder, None, LIFE)
        except StateUnavailable:
            _log.info("a lease runs out by itself: the store is away")

    def renew(self) -> bool:
        """Renew all that is held; False once there is nothing to renew."""
        with self._lock:
            held = list(self._held.values())
            self._renewing = bool(held)
        for lease in held:
            self._renew(lease)
        return bool(held)

    def _renew(self, lease: Lease) -> None:
        try:
            # A store that lost it (or another one, that serves in its place) is told anew.
            renewed = self._store.swap(lease.key, lease.holder, lease.holder, LIFE)
            renewed = renewed or self._store.swap(lease.key, None, lease.holder, LIFE)
            if not renewed:
                _log.warning("a lease was lost to another worker")
            elif self._held.get(lease.key) is not lease:
                self._store.swap(lease.key, lease.holder, None, LIFE)  # it was given back in between
        except StateUnavailable:
            _log.info("a lease could not be renewed: the store is away")

    def _keep_renewing(self) -> None:
        self._sleep(LIFE / RENEWALS)
        while self.renew():
            self._sleep(LIFE / RENEWALS)
