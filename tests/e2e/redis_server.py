"""A Redis of one's own, that can be frozen, killed and looked into.

It speaks RESP over a plain socket, so a test sees what is stored without the client under test.
"""

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BufferedRWPair
from pathlib import Path

import pytest

_HOST = "127.0.0.1"
_PATIENCE = 10.0
_PORTS = range(20_000, 30_000)
"""Below the ports that systems give to outgoing connections: nobody else takes one by chance, also not between a kill
and a restart, and no client that tries again can connect to itself.
"""

Value = bytes | int | list["Value"] | None


def why_not(program: str) -> str | None:
    """Say why tests that need a program are skipped here; None where they run, and in CI they always do."""
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    return None if found or os.environ.get("CI") else f"{program} is not installed"


def missing() -> str | None:
    """Say why tests that need Redis are skipped here; None where they run."""
    return why_not("redis-server")


requires_redis = pytest.mark.skipif(missing() is not None, reason=str(missing()))


class RedisServer:
    """One `redis-server` on a port of loopback, with nothing on disk. Its log is in the folder."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._process = self._started()

    @property
    def url(self) -> str:
        """The address as clients take it."""
        return f"redis://{_HOST}:{self.port}/0"

    @property
    def pid(self) -> int:
        """The process as it is now; a restart changes it."""
        return self._process.pid

    def freeze(self) -> None:
        """Stop it in the middle of whatever it does: connections stay open, and nobody answers."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it without a farewell; all that it held is gone."""
        self._process.kill()
        self._process.wait()

    def restart(self) -> None:
        """Start it again on the same port, empty; one that still runs is killed first."""
        self.kill()
        self._process = self._started()

    def stop(self) -> None:
        """End it gently, also when it is frozen."""
        self.thaw()
        end(self._process)

    def dump(self) -> bytes:
        """Give every key, field and value, one per line, in no particular order."""
        with socket.create_connection((_HOST, self.port), _PATIENCE) as sock, sock.makefile("rwb") as wire:
            keys = _flat(_ask(wire, b"KEYS", b"*"))
            return b"\n".join(line for key in keys for line in (key, *_held(wire, key)))

    def _started(self) -> subprocess.Popen[bytes]:
        settings = {"port": str(self.port), "bind": _HOST, "dir": str(self._folder), "save": "", "appendonly": "no"}
        options = [word for name, value in settings.items() for word in (f"--{name}", value)]
        return started(["redis-server", *options], self.port, self._folder / "redis.log")


@contextmanager
def redis_server(folder: Path) -> Iterator[RedisServer]:
    """Run Redis; skips the test, or every test of the fixture, where it is not installed."""
    if reason := missing():
        pytest.skip(reason)
    server = RedisServer(folder)
    try:
        yield server
    finally:
        server.stop()


def free_port() -> int:
    """Find a port of loopback on which nobody listens."""
    for port in random.sample(_PORTS, 100):
        with socket.socket() as sock, suppress(OSError):
            sock.bind((_HOST, port))
            return port
    raise RuntimeError("no port is free")


def started(command: Sequence[str], port: int, log_file: Path) -> subprocess.Popen[bytes]:
    """Start a server and wait until it takes connections on a port.

    Raises RuntimeError, with what it wrote, if it does not come up.
    """
    with log_file.open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    is_up = False
    try:
        is_up = _comes_up(port, process)
    finally:
        if not is_up:
            end(process)
    if not is_up:
        raise RuntimeError(f"{command[0]} did not start:\n{log_file.read_text(encoding='utf-8', errors='replace')}")
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process, gently first."""
    process.terminate()
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _comes_up(port: int, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection((_HOST, port), _PATIENCE):
            return True
        time.sleep(0.01)
    return False


_READERS: dict[bytes, tuple[bytes, ...]] = {
    b"string": (b"GET",),
    b"hash": (b"HGETALL",),
    b"list": (b"LRANGE", b"0", b"-1"),
    b"set": (b"SMEMBERS",),
    b"zset": (b"ZRANGE", b"0", b"-1", b"WITHSCORES"),
    b"stream": (b"XRANGE", b"-", b"+"),
}


def _held(wire: BufferedRWPair, key: bytes) -> Iterator[bytes]:
    """Read what is under a key, by its type; a key that has just expired holds nothing."""
    kind = _ask(wire, b"TYPE", key)
    if isinstance(kind, bytes) and kind != b"none":
        command, *arguments = _READERS[kind]
        yield from _flat(_ask(wire, command, key, *arguments))


def _flat(value: Value) -> Iterator[bytes]:
    match value:
        case bytes():
            yield value
        case int():
            yield str(value).encode()
        case list():
            for item in value:
                yield from _flat(item)


def _ask(wire: BufferedRWPair, *words: bytes) -> Value:
    """Send one command and read its answer; raises RuntimeError for an error."""
    wire.write(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
    wire.flush()
    return _answer(wire)


def _answer(wire: BufferedRWPair) -> Value:
    line = wire.readline()
    kind, rest = line[:1], line[1:].rstrip(b"\r\n")
    match kind:
        case b"+":
            return rest
        case b":":
            return int(rest)
        case b"$":
            return None if rest == b"-1" else wire.read(int(rest) + 2)[:-2]
        case b"*":
            return [_answer(wire) for _ in range(int(rest))]
        case _:
            raise RuntimeError(f"Redis answered {line!r}")
