"""Redis: given up quickly when it does not answer, and used again when it does.

What needs no answer is shown with a listener that gives none; the rest with a Redis that is frozen and killed.
"""

from __future__ import annotations

import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from app.state.redis import PAUSE, PREFIX, TIMEOUT, RedisStore
from app.state.store import StateUnavailable, Store
from tests.e2e.redis_server import RedisServer, free_port, redis_server
from tests.fakes import FakeClock
from tests.state.stores import PATIENCE

LIFE = 60.0
SOON = 2.0
"""Seconds within which any call has ended."""

STEPS: dict[str, Callable[[Store], object]] = {
    "get": lambda store: store.get(["a"]),
    "put": lambda store: store.put({"a": b"1"}, LIFE),
    "swap": lambda store: store.swap("a", None, b"1", LIFE),
    "swap durably": lambda store: store.swap("a", None, b"1", LIFE, durable=True),
    "members": lambda store: store.members("group"),
    "add": lambda store: store.add("group", "name", b"1"),
    "remove": lambda store: store.remove("group", ["name"]),
}


class Silence:
    """A listener that takes connections and never answers."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=100)
        self._socket.settimeout(0)
        self._taken: list[socket.socket] = []

    @property
    def url(self) -> str:
        """Where it is, with a password."""
        return f"redis://somebody:s3cret-word@127.0.0.1:{self._socket.getsockname()[1]}/0"

    def calls(self) -> int:
        """How many connections came since this was asked last."""
        before = len(self._taken)
        while True:
            try:
                self._taken.append(self._socket.accept()[0])
            except BlockingIOError:
                return len(self._taken) - before

    def close(self) -> None:
        """Hang up."""
        self.calls()
        for each in [*self._taken, self._socket]:
            each.close()


@pytest.fixture
def silence() -> Iterator[Silence]:
    """Nobody answers."""
    listener = Silence()
    yield listener
    listener.close()


@contextmanager
def connected(url: str, clock: FakeClock | None = None) -> Iterator[RedisStore]:
    """A store whose connections are closed at the end."""
    store = RedisStore(url, clock=clock or FakeClock())
    try:
        yield store
    finally:
        store._client.connection_pool.disconnect()


def refused(store: Store, step: Callable[[Store], object] = STEPS["get"]) -> float:
    """Seconds until a call is given up."""
    began = time.monotonic()
    with pytest.raises(StateUnavailable):
        step(store)
    return time.monotonic() - began


def away(store: RedisStore) -> bool:
    """Whether it says so at this moment."""
    return store.is_away


AT_ONCE = TIMEOUT
"""Seconds that a call without a network takes at most, and one that waits for an answer never does."""


# --- Nobody answers ----------------------------------------------------------------------------------------


def test_no_call_waits_long(silence: Silence) -> None:
    """Whichever it is: a quarter of a second, once, as it is not repeated."""

    def call(step: Callable[[Store], object]) -> float:
        with connected(silence.url) as store:
            assert not away(store)
            seconds = refused(store, step)
            assert away(store)
            return seconds

    with ThreadPoolExecutor(len(STEPS)) as threads:
        seconds = list(threads.map(call, STEPS.values()))
    assert min(seconds) >= TIMEOUT
    assert max(seconds) < SOON
    assert silence.calls() == len(STEPS)


def test_a_redis_that_failed_is_left_alone(silence: Silence) -> None:
    """For five seconds every call is refused at once; then one is let through, and the pause begins anew."""
    clock = FakeClock()
    with connected(silence.url, clock) as store:
        for _ in range(2):
            assert TIMEOUT <= refused(store) < SOON
            assert silence.calls() == 1
            for seconds in (0, PAUSE - 0.1):
                clock.advance(seconds)
                assert max(refused(store, step) for step in STEPS.values()) < AT_ONCE
            assert silence.calls() == 0
            assert store.is_away
            clock.advance(0.1)


def test_one_call_finds_out_whether_redis_is_back(silence: Silence) -> None:
    """Of all that come after the pause; the others do not wait for what it finds."""
    clock, everyone = FakeClock(), threading.Barrier(20)

    def call(_: int) -> float:
        everyone.wait(PATIENCE)
        return refused(store)

    with connected(silence.url, clock) as store, ThreadPoolExecutor(20) as threads:
        refused(store)
        silence.calls()
        clock.advance(PAUSE)
        seconds = sorted(threads.map(call, range(20)))
        assert silence.calls() == 1
    assert seconds[-1] >= TIMEOUT
    assert seconds[-2] < TIMEOUT


def test_a_pause_begins_with_the_failure(silence: Silence) -> None:
    """Calls that were under way when the first one failed lengthen it by what they took, and no more."""
    clock = FakeClock()
    with connected(silence.url, clock) as store, ThreadPoolExecutor(5) as threads:
        for seconds in threads.map(lambda _: refused(store), range(5)):
            assert seconds < SOON
        silence.calls()
        clock.advance(PAUSE)
        assert refused(store) >= TIMEOUT
        assert silence.calls() == 1


def test_a_redis_that_is_not_there_is_given_up_at_once() -> None:
    """Nobody listens at its port."""
    with connected(f"redis://127.0.0.1:{free_port()}") as store:
        assert refused(store) < SOON
        assert store.is_away


def secrets(error: BaseException) -> str:
    """All that a log could say of an error."""
    return "".join([str(error), repr(error), *traceback.format_exception(error)])


@pytest.mark.parametrize("is_there", [True, False])
def test_no_error_holds_the_url(silence: Silence, *, is_there: bool) -> None:
    """Nor its password, also with the traceback: neither that of a failure nor those in the pause after it."""
    url = silence.url if is_there else f"redis://somebody:s3cret-word@127.0.0.1:{free_port()}/0"
    port = url.rpartition(":")[2].partition("/")[0]
    with connected(url) as store:
        for step in STEPS.values():
            with pytest.raises(StateUnavailable) as caught:
                step(store)
            said = secrets(caught.value)
            assert [word for word in ("s3cret-word", "somebody", "redis://", "127.0.0.1", port) if word in said] == []
        assert "s3cret-word" not in repr(store) + repr(vars(store))


@pytest.mark.parametrize("url", ["redis://:s3cret/word@host", "redis://:s3cret#word@host", "redis://:s3cret?word@host"])
def test_a_url_that_is_none_is_not_repeated(url: str) -> None:
    """A character of the password was not encoded, so that it ends where a port is looked for."""
    with pytest.raises((ValueError, StateUnavailable)) as caught:
        RedisStore(url)
    assert "s3cret" not in str(caught.value)


def test_no_option_of_the_url_makes_a_call_longer(silence: Silence) -> None:
    """Times and repetitions are ours."""
    options = "socket_timeout=30&socket_connect_timeout=30&retry_on_timeout=true"
    with connected(f"{silence.url}?{options}") as store:
        assert TIMEOUT <= refused(store) < SOON
        assert silence.calls() == 1


def test_an_option_that_is_none_is_an_absence(silence: Silence) -> None:
    """Or refused when the store is made, but no other exception leaves it."""
    with pytest.raises((ValueError, StateUnavailable)):
        RedisStore(f"{silence.url}?colour=green").get(["a"])


# --- A real one --------------------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of this test."""
    with redis_server(tmp_path) as running:
        yield running


@pytest.mark.e2e
def test_a_frozen_redis_is_used_again_once_it_answers(server: RedisServer) -> None:
    """After the pause, and with what it had."""
    clock = FakeClock()
    with connected(server.url, clock) as store:
        store.put({"a": b"1"}, LIFE)
        server.freeze()
        try:
            assert TIMEOUT <= refused(store) < SOON
            assert refused(store) < AT_ONCE
            clock.advance(PAUSE)
            assert TIMEOUT <= refused(store) < SOON
        finally:
            server.thaw()
        assert refused(store) < AT_ONCE
        clock.advance(PAUSE)
        assert away(store)
        assert store.get(["a"]) == [b"1"]
        assert not away(store)
        assert store.get(["a"]) == [b"1"]


@pytest.mark.e2e
def test_no_answer_is_given_to_the_wrong_call(server: RedisServer) -> None:
    """What a frozen Redis answers late is not what the next call asked for."""
    clock = FakeClock()
    with connected(server.url, clock) as store:
        store.put({"a": b"1", "b": b"2"}, LIFE)
        server.freeze()
        try:
            assert refused(store) < SOON
        finally:
            server.thaw()
        clock.advance(PAUSE)
        assert store.get(["b"]) == [b"2"]
        assert store.members("group") == {}


@pytest.mark.e2e
def test_a_killed_redis_is_used_again_once_it_is_back(server: RedisServer) -> None:
    """Empty as it then is, by all connections that there were."""
    clock, everyone = FakeClock(), threading.Barrier(5)

    def get(_: int) -> list[bytes | None]:
        everyone.wait(PATIENCE)
        return store.get(["a"])

    with connected(server.url, clock) as store, ThreadPoolExecutor(5) as threads:
        store.put({"a": b"1"}, LIFE)
        assert list(threads.map(get, range(5))) == [[b"1"]] * 5
        server.kill()
        assert refused(store) < SOON
        server.restart()
        assert refused(store) < AT_ONCE
        clock.advance(PAUSE)
        assert store.get(["a"]) == [None]
        assert list(threads.map(get, range(5))) == [[None]] * 5
        assert store.swap("a", None, b"2", LIFE)


@pytest.mark.e2e
def test_a_restart_is_told(server: RedisServer) -> None:
    """Redis may have forgotten: who must not forget is told, once for each restart, and not for more connections."""
    with connected(server.url) as store, ThreadPoolExecutor(8) as threads:
        restarts: list[int] = []
        store.on_restart.append(lambda: restarts.append(1))
        list(threads.map(lambda _: store.get(["a"]), range(50)))
        assert restarts == []
        for number in (1, 2):
            server.restart()
            store.get(["a"])
            list(threads.map(lambda _: store.get(["a"]), range(50)))
            assert len(restarts) == number


@pytest.mark.e2e
def test_a_restart_between_two_calls_goes_unnoticed(server: RedisServer) -> None:
    """A connection that was closed meanwhile is replaced, and is no reason for a pause."""
    with connected(server.url) as store:
        store.put({"a": b"1"}, LIFE)
        server.restart()
        assert store.get(["a"]) == [None]
        assert not store.is_away


@pytest.mark.e2e
def test_the_calls_of_all_go_on_once_one_has_succeeded(server: RedisServer) -> None:
    """At the same moment, by the same clock."""
    clock = FakeClock()
    with connected(server.url, clock) as store, ThreadPoolExecutor(20) as threads:
        server.freeze()
        try:
            refused(store)
        finally:
            server.thaw()
        clock.advance(PAUSE)
        assert store.get(["a"]) == [None]
        assert list(threads.map(lambda _: store.get(["a"]), range(20))) == [[None]] * 20


@pytest.mark.e2e
def test_a_wrong_password_is_not_repeated(server: RedisServer) -> None:
    """Redis refuses the connection, and the error holds neither the URL nor the password."""
    with connected(server.url.replace("redis://", "redis://somebody:s3cret-word@")) as store:
        with pytest.raises(StateUnavailable) as caught:
            store.get(["a"])
        assert [word for word in ("s3cret-word", "somebody", "redis://") if word in secrets(caught.value)] == []


@pytest.mark.e2e
def test_a_redis_that_refuses_to_write_cannot_serve(server: RedisServer) -> None:
    """A full one, or a replica: that is an absence like any other."""
    with connected(server.url) as store, redis.Redis.from_url(server.url) as client:
        client.config_set("maxmemory", "1")
        for call in ("put", "swap", "add"):
            with connected(server.url) as other, pytest.raises(StateUnavailable):
                STEPS[call](other)
        client.config_set("maxmemory", "0")
        assert store.get(["a"]) == [None]
        assert store.members("group") == {}


@pytest.mark.e2e
def test_a_put_is_whole_or_not_at_all(server: RedisServer) -> None:
    """All its values come in one transaction."""
    with connected(server.url) as store, redis.Redis.from_url(server.url) as client, client.monitor() as monitor:
        spoken = monitor.listen()
        store.put({"a": b"1", "b": b"2"}, LIFE)
        words = [""]
        while words[-1] != "EXEC":
            words.append(next(spoken)["command"].split()[0])
    assert words[-4:] == ["MULTI", "SET", "SET", "EXEC"]


@pytest.mark.e2e
def test_what_is_stored_is_ours_and_does_not_stay(server: RedisServer) -> None:
    """Every key begins with our prefix; a value has its life in milliseconds, and a group stays."""
    with connected(server.url) as store, redis.Redis.from_url(server.url) as client:
        store.put({"put": b"1", "briefly": b"1"}, 0.9)
        store.put({"at once": b"1"}, 0.0001)
        store.swap("swapped", None, b"1", LIFE)
        store.add("group", "name", b"1")
        found = {bytes(key).decode(): client.pttl(key) for key in client.scan_iter()}
    assert all(key.startswith(PREFIX) for key in found)
    (group,) = (key for key, life in found.items() if life == -1)
    assert group.endswith("group")
    assert 0 < found[f"{PREFIX}put"] <= 900
    assert LIFE * 1000 - 5000 < found[f"{PREFIX}swapped"] <= LIFE * 1000
