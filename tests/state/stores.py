"""What the tests of state share: stores that can be sent away, and programs that run in other processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from app.state.sqlite import MEMORY, SqliteStore
from app.state.store import StateUnavailable, Store
from tests.fakes import FakeClock

ROOT = Path(__file__).parents[2]
PATIENCE = 10.0
"""Seconds that a test waits for what must come at once."""


class FakeStore:
    """A store in memory that can be away; `calls` are the names of the calls that were made.

    `before` are done before the next swaps, one for each, and `after` behind them.
    """

    def __init__(self, clock: FakeClock | None = None, *, away: bool = False) -> None:
        self.clock = clock or FakeClock()
        self.away = away
        self.calls: list[str] = []
        self.before: list[Callable[[], None]] = []
        self.after: list[Callable[[], None]] = []
        self._kept: Store
        self.forget()

    def forget(self) -> None:
        """Lose all values."""
        self._kept = SqliteStore(MEMORY, clock=self.clock)

    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        return self._called("get").get(keys)

    def put(self, items: Mapping[str, bytes], ttl: float) -> None:
        self._called("put").put(items, ttl)

    def swap(self, key: str, old: bytes | None, new: bytes | None, ttl: float, *, durable: bool = False) -> bool:
        _first(self.before)
        swapped = self._called("swap durably" if durable else "swap").swap(key, old, new, ttl, durable=durable)
        _first(self.after)
        return swapped

    def members(self, group: str) -> dict[str, bytes]:
        return self._called("members").members(group)

    def add(self, group: str, name: str, value: bytes) -> None:
        self._called("add").add(group, name, value)

    def remove(self, group: str, names: Sequence[str]) -> None:
        self._called("remove").remove(group, names)

    def _called(self, name: str) -> Store:
        self.calls.append(name)
        if self.away:
            raise StateUnavailable("away")
        return self._kept


def _first(steps: list[Callable[[], None]]) -> None:
    if steps:
        steps.pop(0)()


class Program:
    """A function of tests/state/programs.py in a process of its own; killed at the end of the block."""

    def __init__(self, name: str, *arguments: object) -> None:
        command = [sys.executable, "-m", "tests.state.programs", name, *map(str, arguments)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.pid = self._process.pid

    def line(self) -> str:
        """The next line that it writes; empty after its end."""
        return _open(self._process.stdout).readline().rstrip("\n")

    def tell(self) -> None:
        """Let it go on from where it waits."""
        writer = _open(self._process.stdin)
        writer.write("\n")
        writer.flush()

    def rest(self) -> list[str]:
        """All other lines that it writes, to its end."""
        lines = _open(self._process.stdout).read().splitlines()
        self._process.wait(PATIENCE)
        return lines

    def kill(self) -> None:
        """End it without a farewell."""
        self._process.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()
        self._process.wait(PATIENCE)
        for pipe in (self._process.stdin, self._process.stdout):
            _open(pipe).close()


def _open(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def output(name: str, *arguments: object) -> list[str]:
    """All lines of a program that asks for nothing."""
    with Program(name, *arguments) as program:
        return program.rest()


def race(name: str, arguments: Sequence[Sequence[object]]) -> list[str]:
    """The last line of each of these runs of a program, which all begin at the same time."""
    programs = [Program(name, *each) for each in arguments]
    try:
        assert [program.line() for program in programs] == ["ready"] * len(programs)
        for program in programs:
            program.tell()
        return [program.line() for program in programs]
    finally:
        for program in programs:
            program.__exit__(None, None, None)
