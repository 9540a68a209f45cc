"""The store of several machines: Redis, given up quickly and for a while when it does not answer.

No client waits for a Redis that is away: a call has a quarter of a second, is not repeated (unless this process was
the one that stood still), and after one that failed none is tried for five seconds. Then a single one is; the rest go
on without until it succeeds.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.state.store import StateUnavailable

TIMEOUT = 0.25
"""Seconds for a call and for a connection."""

PATIENT_TIMEOUT = 1.0
"""The same for what is worth waiting for: a refresh that goes on without Redis may cost the account."""

LATE = 0.05
"""Seconds by which a time-out came too late: then this process stood still, and Redis may well have answered."""

PAUSE = 5.0
"""Seconds in which a Redis that failed is left alone."""

PREFIX = "kimi-gateway:"
"""Before every key: a Redis may serve others as well."""

GROUP = PREFIX + "group:"
"""Before every group's name: to Redis it is a key as well."""

_SWAP = """
local found = redis.call('GET', KEYS[1])
if ARGV[1] == '' then
    if found then return 0 end
elseif found ~= ARGV[2] then
    return 0
end
if ARGV[3] == '' then
    redis.call('DEL', KEYS[1])
else
    redis.call('SET', KEYS[1], ARGV[4], 'PX', ARGV[5])
end
return 1
"""


_RUN = re.compile(rb"^run_id:(\w+)", re.MULTILINE)


class RedisStore:
    """A store in the Redis at `url`. `timeout` is in seconds, and so is `clock`, which is monotonic.

    Raises StateUnavailable for a URL that cannot be used; whether a Redis is there, only the calls tell.
    """

    def __init__(self, url: str, *, timeout: float = TIMEOUT, clock: Callable[[], float] = time.monotonic) -> None:
        self._timeout = timeout
        self._clock = clock
        self._lock = threading.Lock()
        self._away_until: float | None = None
        self._run: bytes | None = None
        self.on_restart: list[Callable[[], None]] = []
        """Called when a connection leads to another run of Redis than the last: it may have forgotten everything."""
        try:
            pool = redis.ConnectionPool.from_url(url, max_connections=10_000)  # a limit would be one more way to fail
            pool.connection_kwargs |= {
                "socket_timeout": timeout,
                "socket_connect_timeout": timeout,
                "retry": Retry(NoBackoff(), 0),
                "redis_connect_func": self._connected,
            }
            pool.make_connection()  # shows whether all options of the URL are known; nothing is connected yet
        except (ValueError, TypeError):
            # Its text may hold a part of the password.
            raise StateUnavailable("The URL of Redis cannot be used.") from None
        self._client = redis.Redis.from_pool(pool)

    @property
    def is_away(self) -> bool:
        """Whether the last call failed."""
        return self._away_until is not None

    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values of these keys in their order."""
        return cast("list[bytes | None]", self._call(lambda: self._client.mget([PREFIX + key for key in keys])))

    def put(self, items: Mapping[str, bytes], ttl: float) -> None:
        """Set all of these values."""

        def send() -> None:
            with self._client.pipeline(transaction=True) as pipeline:
                for key, value in items.items():
                    pipeline.set(PREFIX + key, value, px=_milliseconds(ttl))
                pipeline.execute()

        self._call(send)

    def swap(self, key: str, old: bytes | None, new: bytes | None, ttl: float, *, durable: bool = False) -> bool:
        """Change a value from `old` to `new`, if it still is `old`. How durable that is, Redis's own settings say."""
        del durable
        arguments = ["" if old is None else "1", old or b"", "" if new is None else "1", new or b"", _milliseconds(ttl)]
        return self._call(lambda: self._client.eval(_SWAP, 1, PREFIX + key, *arguments)) == 1

    def members(self, group: str) -> dict[str, bytes]:
        """The values of a group by their names."""
        found = cast("dict[bytes, bytes]", self._call(lambda: self._client.hgetall(GROUP + group)))
        return {name.decode(): value for name, value in found.items()}

    def add(self, group: str, name: str, value: bytes) -> None:
        """Put a value into a group."""
        self._call(lambda: self._client.hset(GROUP + group, name, cast("Any", value)))

    def remove(self, group: str, names: Sequence[str]) -> None:
        """Take values out of a group."""
        if names:
            self._call(lambda: self._client.hdel(GROUP + group, *names))

    def _call(self, send: Callable[[], object]) -> object:
        self._check()
        try:
            answer = self._sent(send)
        except (redis.RedisError, OSError) as error:
            with self._lock:
                self._away_until = self._clock() + PAUSE
            # Its text may hold the URL, and the URL a password.
            raise StateUnavailable(f"Redis cannot serve: {type(error).__name__}") from None
        self._away_until = None
        return answer

    def _sent(self, send: Callable[[], object]) -> object:
        began = time.monotonic()
        try:
            return send()
        except redis.TimeoutError:
            if time.monotonic() - began < self._timeout + LATE:
                raise
        return send()

    def _connected(self, connection: redis.Connection) -> None:
        connection.on_connect()  # type: ignore[no-untyped-call] # what redis-py does where no function is given
        run = _run_of(connection)
        with self._lock:
            last, self._run = self._run, run or self._run
        if last is not None and run is not None and run != last:
            for callback in self.on_restart:
                callback()

    def _check(self) -> None:
        """Let a call through unless Redis is being left alone; after that time, let one through to see."""
        with self._lock:
            if self._away_until is None:
                return
            now = self._clock()
            if now < self._away_until:
                raise StateUnavailable("Redis is left alone after a failure")
            self._away_until = now + PAUSE


def _run_of(connection: redis.Connection) -> bytes | None:
    """The random name that a Redis has from its start to its end; None where it does not tell."""
    try:
        connection.send_command("INFO", "server")  # type: ignore[no-untyped-call]
        told = connection.read_response(disable_decoding=True)
    except redis.ResponseError:  # hosted ones may forbid the command
        return None
    found = _RUN.search(told if isinstance(told, bytes) else b"")
    return found[1] if found else None


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
