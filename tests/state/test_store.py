"""What every engine of a store keeps to: memory, a file, and Redis."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier

import pytest

from app.state.redis import RedisStore
from app.state.sqlite import MEMORY, SqliteStore
from app.state.store import Store
from tests.e2e.redis_server import RedisServer, redis_server
from tests.fakes import FakeClock
from tests.state.stores import PATIENCE, race

LIFE = 60.0
REDIS = pytest.param("redis", marks=pytest.mark.e2e)
VALUES = [b"", b"\0", b"a\0b", b"\xff\xfe", b"0", b"text", bytes(range(256)), b"x" * 1_000_000]
KEYS = ["", "a", "A", "a b", "a:b", "a*", "a%", "a'b\"", "a\0b", "ключ", "键", "🔑", "e\u0301", "\u00e9", "a" * 1000]


@dataclass(frozen=True)
class House:
    """A store, where others find it, and how its time passes."""

    store: Store
    place: str
    wait: Callable[[float], None]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One Redis for all tests of this module."""
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


def on_redis(server: RedisServer) -> Iterator[House]:
    """An empty Redis; its time is the machine's."""
    store = RedisStore(server.url)
    store._client.flushall()
    yield House(store, server.url, lambda seconds: time.sleep(seconds + 0.02))  # it counts in milliseconds
    store._client.connection_pool.disconnect()


@pytest.fixture(params=["memory", "file", REDIS])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    """Every engine."""
    if request.param == "redis":
        yield from on_redis(request.getfixturevalue("server"))
    else:
        clock, path = FakeClock(), MEMORY if request.param == "memory" else str(tmp_path / "state.sqlite3")
        yield House(SqliteStore(path, clock=clock), path, clock.advance)


@pytest.fixture(params=["file", REDIS])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    """The engines that processes share."""
    if request.param == "redis":
        yield from on_redis(request.getfixturevalue("server"))
    else:
        path = str(tmp_path / "state.sqlite3")
        yield House(SqliteStore(path), path, time.sleep)


@pytest.fixture
def store(house: House) -> Store:
    """The store alone."""
    return house.store


def test_values_come_in_the_order_of_their_keys(store: Store) -> None:
    """None where there is none, and a key asked for twice is answered twice."""
    store.put({"a": b"1", "b": b"2"}, LIFE)
    assert store.get(["b", "missing", "a", "b"]) == [b"2", None, b"1", b"2"]


def test_no_keys_have_no_values(store: Store) -> None:
    """Nobody need ask first whether there is anything to ask; the store serves on."""
    assert store.get([]) == []
    store.put({"a": b"1"}, LIFE)
    assert store.get(["a"]) == [b"1"]


def test_nothing_can_be_put(store: Store) -> None:
    """And nothing happens."""
    store.put({}, LIFE)
    assert store.get(["a"]) == [None]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{value[:8]!r}x{len(value)}")
def test_a_value_is_any_bytes(store: Store, value: bytes) -> None:
    """Empty ones, NULs and what is no UTF-8 come back as they were, whichever way they went in."""
    store.put({"put": value}, LIFE)
    assert store.swap("taken", None, value, LIFE)
    assert store.swap("taken", value, value + b"+", LIFE)
    assert store.swap("taken", value + b"+", value, LIFE)
    store.add("group", "name", value)
    assert store.get(["put", "taken"]) == [value, value]
    assert store.members("group") == {"name": value}


def test_a_key_is_any_text(store: Store) -> None:
    """No two texts are one key, and no character means anything."""
    items = {key: str(number).encode() for number, key in enumerate(KEYS)}
    store.put(items, LIFE)
    for key, value in items.items():
        assert store.swap(f"swap {key}", None, value, LIFE)
        store.add(f"group {key}", key, value)
        store.add("all", key, value)
    assert store.get(KEYS) == list(items.values())
    assert store.get([f"swap {key}" for key in KEYS]) == list(items.values())
    assert [store.members(f"group {key}") for key in KEYS] == [{key: value} for key, value in items.items()]
    assert store.members("all") == items


def test_put_replaces(store: Store) -> None:
    """Whatever was there."""
    store.put({"a": b"1", "b": b"1"}, LIFE)
    store.put({"b": b"2", "c": b"2"}, LIFE)
    assert store.get(["a", "b", "c"]) == [b"1", b"2", b"2"]


@pytest.mark.parametrize("durable", [False, True])
def test_a_value_is_taken_only_where_there_is_none(store: Store, *, durable: bool) -> None:
    """A swap from nothing is a lease."""
    assert store.swap("a", None, b"1", LIFE, durable=durable)
    assert not store.swap("a", None, b"2", LIFE, durable=durable)
    assert not store.swap("a", None, b"1", LIFE, durable=durable)
    assert store.get(["a"]) == [b"1"]


@pytest.mark.parametrize("durable", [False, True])
def test_a_value_is_changed_only_from_what_it_is(store: Store, *, durable: bool) -> None:
    """A swap from what was read is a safe change."""
    store.put({"a": b"1"}, LIFE)
    assert not store.swap("a", b"0", b"2", LIFE, durable=durable)
    assert not store.swap("a", b"", b"2", LIFE, durable=durable)
    assert not store.swap("missing", b"1", b"2", LIFE, durable=durable)
    assert store.get(["a", "missing"]) == [b"1", None]
    assert store.swap("a", b"1", b"2", LIFE, durable=durable)
    assert store.get(["a"]) == [b"2"]


@pytest.mark.parametrize("durable", [False, True])
def test_a_value_is_dropped_only_if_it_is_the_one(store: Store, *, durable: bool) -> None:
    """A swap to nothing gives a lease back, and no other's."""
    store.put({"a": b"1", "b": b"1"}, LIFE)
    assert not store.swap("a", b"2", None, LIFE, durable=durable)
    assert not store.swap("missing", b"1", None, LIFE, durable=durable)
    assert store.swap("a", b"1", None, LIFE, durable=durable)
    assert not store.swap("a", b"1", None, LIFE, durable=durable)
    assert store.get(["a", "b"]) == [None, b"1"]
    assert store.swap("a", None, b"3", LIFE, durable=durable)


def test_an_empty_value_is_not_no_value(store: Store) -> None:
    """It can be taken, changed and dropped like any other."""
    assert store.swap("a", None, b"", LIFE)
    assert not store.swap("a", None, b"1", LIFE)
    assert store.swap("a", b"", b"1", LIFE)
    assert not store.swap("a", b"", None, LIFE)
    assert store.swap("a", b"1", b"", LIFE)
    assert store.swap("a", b"", None, LIFE)
    assert store.get(["a"]) == [None]


def test_nothing_for_nothing_tells_whether_there_is_nothing(store: Store) -> None:
    """And changes nothing."""
    store.put({"a": b"1"}, LIFE)
    assert not store.swap("a", None, None, LIFE)
    assert store.swap("missing", None, None, LIFE)
    assert store.get(["a", "missing"]) == [b"1", None]


LITTLE = 0.2
"""A life so short that it can be waited for, and long enough for a few calls."""


def test_a_value_lives_for_its_time(house: House) -> None:
    """One that was put or taken is gone then, each at its own time, and can be taken anew."""
    house.store.put({"put": b"1"}, LITTLE)
    house.store.put({"kept": b"1"}, LIFE)
    house.store.swap("taken", None, b"1", LITTLE)
    assert house.store.get(["put", "kept", "taken"]) == [b"1", b"1", b"1"]
    house.wait(LITTLE)
    assert house.store.get(["put", "kept", "taken"]) == [None, b"1", None]
    assert house.store.swap("put", None, b"2", LIFE)
    assert house.store.swap("taken", None, b"2", LIFE)
    assert house.store.get(["put", "taken"]) == [b"2", b"2"]


def test_an_expired_value_is_no_value(house: House) -> None:
    """It is neither changed nor dropped, also not by who knows what it was."""
    house.store.put({"a": b"1"}, LITTLE)
    house.wait(LITTLE)
    assert not house.store.swap("a", b"1", b"2", LIFE)
    assert not house.store.swap("a", b"1", None, LIFE)
    assert house.store.get(["a"]) == [None]


def test_each_change_gives_a_new_life(house: House) -> None:
    """A lease is renewed by a swap from itself to itself; one that fails gives nothing."""
    house.store.put({"swapped": b"1", "put": b"1", "failed": b"1"}, LITTLE)
    assert house.store.swap("swapped", b"1", b"1", LIFE)
    house.store.put({"put": b"1"}, LIFE)
    assert not house.store.swap("failed", b"0", b"1", LIFE)
    assert not house.store.swap("failed", None, b"1", LIFE)
    house.wait(LITTLE)
    assert house.store.get(["swapped", "put", "failed"]) == [b"1", b"1", None]


def test_a_life_may_be_shortened(house: House) -> None:
    """The last word counts."""
    house.store.put({"a": b"1"}, LIFE)
    house.store.put({"a": b"1"}, LITTLE)
    house.wait(LITTLE)
    assert house.store.get(["a"]) == [None]


def test_a_group_holds_values_by_name(store: Store) -> None:
    """Each name one, the latest."""
    store.add("group", "a", b"1")
    store.add("group", "b", b"2")
    store.add("group", "a", b"3")
    store.add("other", "a", b"4")
    assert [store.members(group) for group in ("group", "other", "none")] == [{"a": b"3", "b": b"2"}, {"a": b"4"}, {}]


def test_values_are_taken_out_of_a_group(store: Store) -> None:
    """Names that are not there are passed over, and other groups left alone."""
    for name in "abc":
        store.add("group", name, b"1")
        store.add("other", name, b"1")
    store.remove("group", [])
    assert set(store.members("group")) == {"a", "b", "c"}
    store.remove("group", ["a", "missing", "c"])
    store.remove("none", ["a"])
    assert [set(store.members(group)) for group in ("group", "other")] == [{"b"}, {"a", "b", "c"}]
    store.remove("group", ["b"])
    assert store.members("group") == {}


def test_groups_do_not_expire(house: House) -> None:
    """The clean-up ledger waits until somebody cleans up."""
    house.store.add("group", "a", b"1")
    house.store.put({"a": b"1"}, LITTLE)
    house.wait(LITTLE)
    house.store.put({"b": b"1"}, LITTLE)
    assert house.store.members("group") == {"a": b"1"}


def test_a_group_may_have_the_name_of_a_key(store: Store) -> None:
    """Neither sees the other."""
    store.put({"a": b"1"}, LIFE)
    store.add("a", "name", b"2")
    assert store.get(["a", "name"]) == [b"1", None]
    assert store.members("a") == {"name": b"2"}
    assert store.swap("a", b"1", None, LIFE)
    assert store.members("a") == {"name": b"2"}


def test_one_thread_takes_a_key(store: Store) -> None:
    """Of twenty that try at the same time, in every one of ten rounds."""
    everyone = Barrier(20)

    def take(number: int) -> list[int]:
        everyone.wait(PATIENCE)
        return [turn for turn in range(10) if store.swap(f"key {turn}", None, f"{number}".encode(), LIFE)]

    with ThreadPoolExecutor(20) as threads:
        taken = list(threads.map(take, range(20)))
    assert sorted(turn for turns in taken for turn in turns) == list(range(10))
    holders = [next(number for number, turns in enumerate(taken) if turn in turns) for turn in range(10)]
    assert store.get([f"key {turn}" for turn in range(10)]) == [f"{holder}".encode() for holder in holders]


def test_one_process_takes_a_key(shared: House) -> None:
    """Of four that try at the same time, in every one of fifty rounds."""
    taken = race("take", [(shared.place, "key ", 50)] * 4)
    assert sorted(int(number) for line in taken for number in line.split()) == list(range(50))
    assert shared.store.get([f"key {number}" for number in range(50)]) == [b"mine"] * 50


def test_no_increment_of_any_process_is_lost(shared: House) -> None:
    """A value that was changed meanwhile is read again."""
    assert race("increment", [(shared.place, "counter", 200)] * 4) == ["done"] * 4
    assert shared.store.get(["counter"]) == [b"800"]
