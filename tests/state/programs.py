"""What tests of state let other processes do: `python -m tests.state.programs NAME ARGUMENTS`.

A program says what it has done line by line, and waits for a line where it is told to. It loads app.state alone: the
rest of the application takes several times as long as the program itself.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import sys
import threading
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from types import ModuleType

if __name__ == "__main__":
    package = sys.modules["app"] = ModuleType("app")
    package.__path__ = [str(Path(__file__).parents[2] / "app")]

from app.state.leases import Leases
from app.state.presence import Presence
from app.state.redis import RedisStore
from app.state.sqlite import SqliteStore
from app.state.store import StateUnavailable, Store

LIFE = 60.0
SHARED_MEMORY_LOCKS = 120
"""Where the write, checkpoint and recovery locks are in a -shm file (sqlite.org/walformat.html, 2.3.2)."""
SHARED_MEMORY_IN_USE = 128
"""The lock that whoever has the -shm file open shares."""


def say(*words: object) -> None:
    """Write a line that is read at once."""
    print(*words, flush=True)  # noqa: T201 # this is how programs answer


def wait() -> None:
    """Stop until told to go on."""
    sys.stdin.readline()


def opened(place: str) -> Store:
    """The store at a path or a URL."""
    return RedisStore(place) if place.startswith("redis://") else SqliteStore(place)


def start(place: str) -> None:
    """Open a store at the same moment as others, and write to it."""
    say("ready")
    wait()
    try:
        opened(place).put({str(os.getpid()): bytes(3000)}, LIFE)
    except StateUnavailable as error:
        say(error, error.__cause__)
    else:
        say("served")
    wait()


def take(place: str, key: str, rounds: str) -> None:
    """Try to take so many keys, in the same order as others."""
    store = opened(place)
    say("ready")
    wait()
    say(*(number for number in range(int(rounds)) if store.swap(f"{key}{number}", None, b"mine", LIFE)))


def increment(place: str, key: str, times: str) -> None:
    """Count so often in a value that others count in."""
    store = opened(place)
    say("ready")
    wait()
    for _ in range(int(times)):
        while True:
            (held,) = store.get([key])
            if store.swap(key, held, str(int(held or b"0") + 1).encode(), LIFE):
                break
    say("done")


def write(path: str) -> None:
    """Write for ever, and say each key once it is written."""
    store = SqliteStore(path)
    for number in count():
        key = f"key {number}"
        if number % 3 == 0:
            store.put({key: key.encode()}, LIFE)
        elif number % 3 == 1:
            store.swap(key, None, key.encode(), LIFE)
        else:
            store.swap(key, None, key.encode(), LIFE, durable=True)
        say(key)


def fill(path: str, mebibytes: str) -> None:
    """Die without having closed a database, so that the next one who opens it has much to recover."""
    store = SqliteStore(path)
    store._opened().execute("PRAGMA wal_autocheckpoint = 0")
    for number in range(int(mebibytes)):
        store.put({f"{number}": bytes(2**20)}, LIFE)
    os._exit(0)


def recover(path: str) -> None:
    """Hold the locks of a process that recovers a database, until told to let go."""
    with open(f"{path}-shm", "r+b") as file:  # noqa: PTH123 # a plain file, to be locked
        file.truncate(0)
        file.truncate(32768)
        fcntl.lockf(file, fcntl.LOCK_SH, 1, SHARED_MEMORY_IN_USE)
        fcntl.lockf(file, fcntl.LOCK_EX, 3, SHARED_MEMORY_LOCKS)
        say("recovering")
        wait()


def serve_and_fork(path: str) -> None:
    """Write, fork, write on both sides; say what each side reads of both."""
    store = SqliteStore(path)
    store.put({"before": b"1"}, LIFE)
    if child := os.fork():
        os.waitpid(child, 0)
        store.put({"parent": b"3"}, LIFE)
        say("parent", *(value is not None for value in store.get(["before", "child", "parent"])))
        return
    inherited = store._connection
    store.put({"child": b"2"}, LIFE)
    say("child", *(value is not None for value in store.get(["before", "child", "parent"])))
    say("same connection" if store._connection is inherited else "own connection")
    os._exit(0)


def fork_and_end(path: str) -> None:
    """Write, fork, and let the child write on after its parent has ended; say when both are gone."""
    store = SqliteStore(path)
    store.put({"before": b"1"}, LIFE)
    ended, end = os.pipe()
    if os.fork():
        while store.get(["early"]) == [None]:
            pass
        return
    store.put({"early": b"2"}, LIFE)
    os.close(end)
    os.read(ended, 1)  # the other end is closed once the parent has exited, all of its finalizers done
    store.put({"late": b"3"}, LIFE)
    say("written")
    wait()
    os._exit(0)


def memory_after_fork() -> None:
    """Say what a child finds of its parent's memory."""
    store = SqliteStore(":memory:")
    store.put({"a": b"1"}, LIFE)
    if child := os.fork():
        os.waitpid(child, 0)
        say("parent", *store.get(["a"]))
        return
    say("child", *store.get(["a"]))
    os._exit(0)


def lease_after_fork(path: str) -> None:
    """Say whether a child renews what it takes, and whether it holds what its parent does."""
    for_ever = threading.Event()

    def sleep(_: float) -> None:
        for_ever.wait()

    leases = Leases(SqliteStore(path), sleep=sleep)
    leases.take("parent")
    if child := os.fork():
        os.waitpid(child, 0)
        return
    leases.take("child")
    say(*(thread.name for thread in threading.enumerate() if thread.name == "leases"))
    say(*leases._held)
    os._exit(0)


def live(path: str) -> None:
    """Announce oneself, say the name, and die when told to."""
    store = SqliteStore(path)
    say(Presence(store, Leases(store)).announce())
    wait()
    os._exit(0)


def name_after_fork(path: str) -> None:
    """Say the name before and behind a fork, and whether the child lets others see it."""
    store = SqliteStore(path)
    presence = Presence(store, Leases(store))
    parent = presence.announce()
    if child := os.fork():
        os.waitpid(child, 0)
        say(parent, presence.announce() == parent)
        return
    child_name = presence.announce()
    say(child_name, store.get([f"process:{child_name}"])[0] is not None, presence.lives(parent))
    os._exit(0)


def hold(path: str) -> None:
    """Hold the write lock of a database until told to let go."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    say("locked")
    wait()
    connection.execute("ROLLBACK")
    connection.close()


PROGRAMS: Mapping[str, Callable[..., None]] = {
    each.__name__: each
    for each in (
        start,
        take,
        increment,
        write,
        fill,
        recover,
        serve_and_fork,
        fork_and_end,
        memory_after_fork,
        lease_after_fork,
        live,
        name_after_fork,
        hold,
    )
}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](*sys.argv[2:])
