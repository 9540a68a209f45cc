"""The store of one machine: a SQLite file that its workers share, or the memory of one worker.

Every change is a single statement or one short transaction, so that a crash at any point leaves all of it or nothing.
SQLite's own waiting for a lock would hold up every greenlet of the worker, so a busy file is tried again from here.
"""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from app.state.store import StateUnavailable

MEMORY = ":memory:"

BUSY_LIMIT = 2.0
"""Seconds to try again while another worker writes; a write takes well under a millisecond."""

SWEEP_EVERY = 60.0
"""Seconds between two sweeps of what has expired."""

_BUSY_PAUSE = 0.002
_PRIMARY_CODE = 0xFF
_SCHEMA = """
CREATE TABLE IF NOT EXISTS item (key TEXT PRIMARY KEY, value BLOB NOT NULL, expires REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS item_expires ON item (expires);
CREATE TABLE IF NOT EXISTS member (
    house TEXT NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (house, name)
) WITHOUT ROWID;
"""
_TAKE = """
INSERT INTO item (key, value, expires) VALUES (?, ?, ?)
ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires = excluded.expires WHERE item.expires <= ?
"""
_PUT = "INSERT OR REPLACE INTO item (key, value, expires) VALUES (?, ?, ?)"
_CHANGE = "UPDATE item SET value = ?, expires = ? WHERE key = ? AND value = ? AND expires > ?"
_DROP = "DELETE FROM item WHERE key = ? AND value = ? AND expires > ?"


class SqliteStore:
    """A store in the file `path`, or in memory with ":memory:".

    The file and its folder are made if they are missing, for this user only. `clock` is the time of day in seconds,
    which all workers of a machine share. Raises StateUnavailable if the file cannot be used.
    """

    def __init__(self, path: str, *, clock: Callable[[], float] = time.time) -> None:
        self.is_away = False
        """Whether the last call failed."""
        self._path = path
        self._clock = clock
        self._lock = threading.RLock()
        self._pid = 0
        self._connection: sqlite3.Connection
        self._close: Callable[[], object] = lambda: None
        self._swept = 0.0
        if path != MEMORY:
            self._sweep()  # shows that the file can be written
            self._close()  # a server may fork before the first request
            self._pid = 0

    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values of these keys in their order."""
        marks = ",".join("?" * len(keys))
        query = f"SELECT key, value FROM item WHERE key IN ({marks}) AND expires > ?"  # noqa: S608 # marks only
        found = dict(self._guarded(lambda: self._run(query, (*keys, self._clock())).fetchall()))
        return [found.get(key) for key in keys]

    def put(self, items: Mapping[str, bytes], ttl: float) -> None:
        """Set all of these values."""
        expires = self._clock() + ttl
        rows = [(key, value, expires) for key, value in items.items()]
        self._guarded(lambda: self._all(_PUT, rows))
        with contextlib.suppress(StateUnavailable):
            self._sweep()

    def swap(self, key: str, old: bytes | None, new: bytes | None, ttl: float, *, durable: bool = False) -> bool:
        """Change a value from `old` to `new`, if it still is `old`."""
        if old is None and new is None:
            return self.get([key])[0] is None
        now = self._clock()
        values: tuple[object, ...]
        query, values = _CHANGE, (new, now + ttl, key, old, now)
        if new is None:
            query, values = _DROP, (key, old, now)
        elif old is None:
            query, values = _TAKE, (key, new, now + ttl, now)
        return bool(self._guarded(lambda: self._run(query, values, durable=durable).rowcount == 1))

    def members(self, group: str) -> dict[str, bytes]:
        """The values of a group by their names."""
        return dict(
            self._guarded(lambda: self._run("SELECT name, value FROM member WHERE house = ?", (group,)).fetchall())
        )

    def add(self, group: str, name: str, value: bytes) -> None:
        """Put a value into a group."""
        self._guarded(lambda: self._run("INSERT OR REPLACE INTO member VALUES (?, ?, ?)", (group, name, value)))

    def remove(self, group: str, names: Sequence[str]) -> None:
        """Take values out of a group."""
        rows = [(group, name) for name in names]
        self._guarded(lambda: self._all("DELETE FROM member WHERE house = ? AND name = ?", rows))

    def _run(self, query: str, values: Sequence[object], *, durable: bool = False) -> sqlite3.Cursor:
        """One statement, which is a transaction by itself."""
        connection = self._opened()
        if not durable:
            return connection.execute(query, values)
        connection.execute("PRAGMA synchronous = FULL")
        try:
            return connection.execute(query, values)
        finally:
            connection.execute("PRAGMA synchronous = NORMAL")

    def _all(self, query: str, rows: Sequence[Sequence[object]]) -> None:
        """The statement for each row, in one transaction."""
        connection = self._opened()
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.executemany(query, rows)
            connection.execute("COMMIT")
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _guarded(self, step: Callable[[], Any]) -> Any:  # noqa: ANN401 # what the step gives
        give_up = time.monotonic() + BUSY_LIMIT
        with self._lock:
            self.is_away = False
            while True:
                try:
                    return step()
                except (sqlite3.Error, OSError) as error:
                    code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE  # busy has several finer codes
                    if code != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                        self.is_away = True
                        raise StateUnavailable(f"SQLite cannot serve: {type(error).__name__}") from error
                time.sleep(random.uniform(_BUSY_PAUSE / 2, _BUSY_PAUSE))  # noqa: S311 # so that two do not keep step

    def _opened(self) -> sqlite3.Connection:
        """The connection of this process: one that was open at a fork may not be used behind it, nor stay open."""
        if self._pid != os.getpid():
            self._close()
            self._connection = _connect(self._path)
            self._close = weakref.finalize(self, self._connection.close)
            self._pid = os.getpid()
        return self._connection

    def _sweep(self) -> None:
        now = self._clock()
        if now - self._swept >= SWEEP_EVERY:
            self._swept = now
            self._guarded(lambda: self._run("DELETE FROM item WHERE expires <= ?", (now,)))


def _connect(path: str) -> sqlite3.Connection:
    if path != MEMORY:
        Path(path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(FileExistsError):
            # Opening and closing one that is there would drop the locks that this process may have on it.
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")  # stays as it is where the file system cannot do it
        connection.execute("PRAGMA synchronous = NORMAL")  # a crash of ours loses nothing, a power failure the latest
        for statement in _SCHEMA.split(";"):
            connection.execute(statement)
    except sqlite3.Error:
        connection.close()
        raise
    return connection
