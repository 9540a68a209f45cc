"""Whether the process that wrote something down still runs: what a dead one left behind is anybody's to clean up."""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from app.state.leases import Lease, Leases
from app.state.store import Store

DOUBT = 5.0
"""Seconds for which a process of another machine must have been without its lease before it counts as dead: a store
that was restarted empty is told anew only when leases are renewed."""


class Presence:
    """The name of this process, and the life of others by theirs.

    On the same machine the kernel tells whether a process runs: its id and the time of its start are in its name. Of
    another machine's only the lease on its name is known, which runs out soon after its death. `timer` is monotonic.
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
            pid = os.getpid()
            self._name, self._lease = f"{_machine()}:{pid}:{_started(pid) or 0}:{secrets.token_hex(4)}", None
            self._pid = pid
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
        parts = name.rsplit(":", 3)
        if len(parts) == _PARTS and parts[0] == _machine():
            runs = _runs(parts[1], parts[2])
            if runs is not None:
                return runs
        if self._store.get([_key(name)])[0] is not None:
            self._missed.pop(name, None)
            return True
        return self._timer() - self._missed.setdefault(name, self._timer()) < DOUBT


_PARTS = 4


def _key(name: str) -> str:
    return f"process:{name}"


def _machine() -> str:
    """Where a process id means the same process: the machine since its start, and the container in it."""
    parts = [socket.gethostname()]
    for place in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        path = Path(place)
        try:
            parts.append(str(path.readlink()) if path.is_symlink() else path.read_text(encoding="ascii").strip())
        except OSError:  # not Linux
            continue
    return "/".join(parts)


def _started(pid: int) -> int | None:
    """When a process was started, in the kernel's ticks; None if it does not run or the kernel does not tell."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        state, *fields = text.rpartition(")")[2].split()  # before it stands the program's name, which may hold anything
        return None if state in "ZX" else int(fields[_START_TIME])
    except (OSError, ValueError, IndexError):
        return None


_START_TIME = 18  # of the fields behind the state, proc(5)


def _runs(pid: str, started: str) -> bool | None:
    """Whether the process that was started then still runs; None where that cannot be told."""
    try:
        number = int(pid)
        if _started(os.getpid()) is not None:
            return str(_started(number)) == started
        os.kill(number, 0)  # not Linux: at least a process that is gone is known
    except ProcessLookupError:
        return False
    except (OSError, ValueError, OverflowError):
        return None
    return None
