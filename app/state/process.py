"""Names of processes that tell others of the same machine whether they still run.

In a name are the machine since its start, the container in it, the process id and the time of the process's start: the
kernel gives an id again, but not both.
"""

from __future__ import annotations

import functools
import os
import secrets
import socket
from pathlib import Path

_PARTS = 4


def a_name() -> str:
    """A new name for this process."""
    pid = os.getpid()
    return f"{_machine()}:{pid}:{_started(pid) or 0}:{secrets.token_hex(8)}"


def runs(name: str) -> bool | None:
    """Whether the process of a name still runs; None where that cannot be told, as of another machine's."""
    parts = name.rsplit(":", _PARTS - 1)
    if len(parts) != _PARTS or parts[0] != _machine():
        return None
    return _runs(parts[1], parts[2])


@functools.cache
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
