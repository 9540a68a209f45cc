"""What is opened for which settings, and what an operator is told."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from app.state.fallback import Fallback
from app.state.redis import RedisStore
from app.state.sqlite import SqliteStore
from app.state.state import open_state
from tests.e2e.redis_server import free_port, redis_server

LIFE = 60.0
MEMORY = ":memory:"
REDIS_IS_AWAY = "Redis does not answer: this machine goes on by itself."


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A path at which a database can be."""
    return str(tmp_path / "instance" / "state.sqlite3")


@pytest.fixture
def no_path(tmp_path: Path) -> str:
    """A path at which there can be none."""
    (tmp_path / "file").touch()
    return str(tmp_path / "file" / "state.sqlite3")


def dead_redis() -> str:
    """The address of a Redis that is not there, with a password."""
    return f"redis://somebody:s3cret-word@127.0.0.1:{free_port()}/0"


def test_a_file_is_used(path: str) -> None:
    """It outlives this process, and there is nothing to tell."""
    state = open_state(path)
    assert (state.engine, state.lasting, state.warnings()) == ("sqlite", True, [])
    assert [type(store) for store in state.stores] == [SqliteStore, SqliteStore]
    state.shared.put({"a": b"1"}, LIFE)
    assert SqliteStore(path).get(["a"]) == [b"1"]


def test_memory_is_used_where_it_was_asked_for() -> None:
    """That nothing lasts is what the operator wished."""
    state = open_state(MEMORY)
    assert (state.engine, state.lasting, state.warnings()) == ("memory", False, [])
    assert [type(store) for store in state.stores] == [SqliteStore]
    state.shared.put({"a": b"1"}, LIFE)
    assert state.shared.get(["a"]) == [b"1"]
    assert open_state(MEMORY).shared.get(["a"]) == [None]


@pytest.mark.parametrize("usable", [True, False])
def test_workers_without_a_common_store_are_warned_of(
    no_path: str, caplog: pytest.LogCaptureFixture, *, usable: bool
) -> None:
    """Each would refresh the same token."""
    with caplog.at_level(logging.WARNING):
        (warning,) = open_state(MEMORY if usable else no_path, workers=2).warnings()
    assert "workers" in warning
    assert caplog.messages == [warning]


def test_workers_with_a_common_store_need_no_warning(path: str) -> None:
    """A file is one."""
    assert open_state(path, workers=2).warnings() == []


def test_memory_is_used_where_there_can_be_no_file(no_path: str, caplog: pytest.LogCaptureFixture) -> None:
    """With a warning in the log, and as long as it runs."""
    with caplog.at_level(logging.WARNING):
        state = open_state(no_path)
    (warning,) = state.warnings()
    assert (state.engine, state.lasting) == ("memory", False)
    assert [type(store) for store in state.stores] == [SqliteStore]
    assert "DATABASE_PATH" in warning
    assert caplog.messages == [warning]
    state.shared.put({"a": b"1"}, LIFE)
    assert state.shared.get(["a"]) == [b"1"]


@pytest.mark.parametrize("database", ["file", "memory"])
def test_redis_comes_first(path: str, database: str) -> None:
    """Then the file, then memory; nothing is called at the start, so nothing is told yet."""
    state = open_state(path if database == "file" else MEMORY, dead_redis())
    assert (state.engine, state.lasting, state.warnings()) == ("redis", True, [])
    files = [SqliteStore] if database == "file" else []
    assert [type(store) for store in state.stores] == [RedisStore, *files, SqliteStore]


def test_redis_makes_up_for_a_file(no_path: str) -> None:
    """What it holds lasts; the operator is told of the file all the same."""
    state = open_state(no_path, dead_redis())
    (warning,) = state.warnings()
    assert (state.engine, state.lasting) == ("redis", True)
    assert "DATABASE_PATH" in warning
    assert [type(store) for store in state.stores] == [RedisStore, SqliteStore]


@pytest.mark.parametrize("database", ["file", "memory"])
def test_a_redis_that_is_away_is_made_up_for(path: str, database: str) -> None:
    """By the file, or by memory; it is told once it has failed."""
    state = open_state(path if database == "file" else MEMORY, dead_redis())
    state.shared.put({"a": b"1"}, LIFE)
    assert state.warnings() == [REDIS_IS_AWAY]
    assert state.shared.get(["a"]) == [b"1"]
    assert state.stores[1].get(["a"]) == [b"1"]


def test_both_may_be_wanting(no_path: str) -> None:
    """Both are told, and memory serves."""
    state = open_state(no_path, dead_redis())
    assert state.shared.swap("a", None, b"1", LIFE)
    assert len(state.warnings()) == 2
    assert state.warnings()[1] == REDIS_IS_AWAY


def test_no_secret_is_told(no_path: str, caplog: pytest.LogCaptureFixture) -> None:
    """Neither in the log nor in a warning nor by the state itself: the URL holds a password."""
    url = dead_redis()
    with caplog.at_level(logging.DEBUG):
        state = open_state(no_path, url)
        state.shared.get(["a"])
        said = " ".join(
            [caplog.text, *state.warnings(), repr(state), *(repr(vars(record)) for record in caplog.records)]
        )
    assert [word for word in ("s3cret-word", "somebody", url) if word in said] == []


def test_leases_and_presence_are_kept_where_all_is(path: str) -> None:
    """In the first store that answers."""
    state, other = open_state(path), open_state(path)
    state.leases._renewing = other.leases._renewing = True  # no thread is needed for so short a time
    assert isinstance(state.shared, Fallback)
    with state.leases.take("a") or pytest.fail("it was free"):
        assert SqliteStore(path).get(["a"]) != [None]
        assert other.leases.take("a") is None
    assert state.presence.lives(state.presence.name)


def test_a_full_disk_is_made_up_for(path: str) -> None:
    """By memory, as long as it lasts."""
    state = open_state(path)
    file = state.stores[0]
    assert isinstance(file, SqliteStore)
    file.put({"a": b"1"}, LIFE)
    file._opened().execute("PRAGMA max_page_count = 1")
    state.shared.put({"b": bytes(100_000)}, LIFE)
    assert state.stores[1].get(["b"]) == [bytes(100_000)]


@pytest.mark.e2e
def test_a_redis_that_answers_serves(path: str, tmp_path: Path) -> None:
    """The file is not asked."""
    with redis_server(tmp_path) as server:
        states = [open_state(path, server.url), open_state(MEMORY, server.url)]
        state, other = states
        state.shared.put({"a": b"1"}, LIFE)
        assert state.warnings() == []
        assert [store.get(["a"]) for store in state.stores] == [[b"1"], [None], [None]]
        assert other.shared.get(["a"]) == [b"1"]
        server.kill()
        assert state.shared.get(["a"]) == [None]
        assert state.warnings() == [REDIS_IS_AWAY]
        for redis_store in (each.stores[0] for each in states):
            assert isinstance(redis_store, RedisStore)
            redis_store._client.connection_pool.disconnect()
