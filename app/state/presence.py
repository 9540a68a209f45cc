"""Whether the process that wrote something down still runs: what a dead one left behind is anybody's to clean up."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

from app.state import process
from app.state.leases import Lease, Leases
from app.state.store import Store

DOUBT = 5.0
"""Seconds for which a process of another machine must have been without its lease before it counts as dead: a store
that was restarted empty is told anew only when leases are renewed."""


class Presence:
    """The name of this process, and the life of others by theirs.

    On the same machine the kernel tells whether a process runs. Of another machine's only the lease on its name is
    known, which runs out soon after its death. `timer` is monotonic.
    """

    def __init__(self, store: Store, leases: Leases, *, timer: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._leases = leases
        self._timer = timer
        self._lock = threading.Lock()
        self._lease: Lease | None = None
        self._missed: dict[str, float] = {}
        self._name = ""
        self._pid = 0

    @property
    def name(self) -> str:
        """The name of this process, another one after a fork."""
        if self._pid != os.getpid():
            self._name, self._lease = process.a_name(), None
            self._pid = os.getpid()
        return self._name

    def announce(self) -> str:
        """Let others see that this process lives; give its name."""
        with self._lock:
            name = self.name
            if self._lease is None:
                self._lease = self._leases.take(_key(name))
        return name

    def lives(self, name: str) -> bool:
        """Whether the process of this name still runs, as far as can be known. Raises StateUnavailable."""
        if name == self.name:
            return True
        runs = process.runs(name)
        if runs is not None:
            return runs
        if self._store.get([_key(name)])[0] is not None:
            self._missed.pop(name, None)
            return True
        return self._timer() - self._missed.setdefault(name, self._timer()) < DOUBT


def _key(name: str) -> str:
    return f"process:{name}"
