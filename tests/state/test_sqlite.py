"""SQLite: its file, other processes that hold it, and a crash at any moment."""

from __future__ import annotations

import gc
import os
import random
import shutil
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from app.state import sqlite
from app.state.sqlite import MEMORY, SWEEP_EVERY, SqliteStore
from app.state.store import StateUnavailable
from tests.fakes import FakeClock
from tests.state.stores import PATIENCE, Program, output, race

LIFE = 60.0


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where a database may be made, in a folder that is missing."""
    return str(tmp_path / "instance" / "state.sqlite3")


@contextmanager
def another(path: str) -> Iterator[sqlite3.Connection]:
    """A connection to a database that is none of ours."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def mode(path: Path) -> int:
    """The permissions of a file or folder."""
    return stat.S_IMODE(path.stat().st_mode)


# --- The file ----------------------------------------------------------------------------------------------


def test_the_file_and_its_folder_are_for_this_user_only(path: str) -> None:
    """Whatever the umask; so are the two files beside it."""
    umask = os.umask(0)
    try:
        store = SqliteStore(path)
        store.put({"a": b"1"}, LIFE)
        folder = Path(path).parent
        assert mode(folder) == 0o700
        modes = {file.name: mode(file) for file in folder.iterdir()}
        assert modes == dict.fromkeys(("state.sqlite3", "state.sqlite3-wal", "state.sqlite3-shm"), 0o600)
    finally:
        os.umask(umask)


def test_a_folder_that_is_there_keeps_its_permissions(tmp_path: Path) -> None:
    """It is the operator's."""
    tmp_path.chmod(0o750)
    SqliteStore(str(tmp_path / "state.sqlite3"))
    assert mode(tmp_path) == 0o750


def unusable(tmp_path: Path, kind: str) -> str:
    """A path at which there can be no database."""
    file = tmp_path / "file"
    file.write_bytes(b"This is a letter, and no database at all.\n" * 100)
    return {
        "below a file": str(file / "state.sqlite3"),
        "deep below a file": str(file / "folder" / "state.sqlite3"),
        "a folder": str(tmp_path),
        "no database": str(file),
        "nowhere": "",
    }[kind]


@pytest.mark.parametrize("kind", ["below a file", "deep below a file", "a folder", "no database", "nowhere"])
def test_a_path_that_cannot_be_used_is_told_at_once(tmp_path: Path, kind: str) -> None:
    """When the store is made, and what is there is left as it is."""
    with pytest.raises(StateUnavailable):
        SqliteStore(unusable(tmp_path, kind))
    assert (tmp_path / "file").read_bytes().startswith(b"This is a letter")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("target", ["file", "folder"])
def test_what_may_not_be_written_cannot_be_used(path: str, target: str) -> None:
    """A store that only reads would forget a rotated token."""
    SqliteStore(path)
    place = Path(path) if target == "file" else Path(path).parent
    place.chmod(0o500)
    try:
        with pytest.raises(StateUnavailable):
            SqliteStore(path)
    finally:
        place.chmod(0o700)


def test_what_was_written_is_there_after_a_restart(path: str) -> None:
    """Values and groups."""
    clock = FakeClock()
    store = SqliteStore(path, clock=clock)
    store.put({"put": b"1"}, LIFE)
    store.swap("swapped", None, b"2", LIFE, durable=True)
    store.add("group", "name", b"3")
    del store
    store = SqliteStore(path, clock=clock)
    assert store.get(["put", "swapped"]) == [b"1", b"2"]
    assert store.members("group") == {"name": b"3"}


def test_readers_and_a_writer_do_not_hold_each_other_up(path: str) -> None:
    """The journal is a write-ahead log."""
    store = SqliteStore(path)
    store.put({"a": b"1"}, LIFE)
    with another(path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        connection.execute("BEGIN IMMEDIATE")
        assert store.get(["a"]) == [b"1"]
        connection.execute("ROLLBACK")
        connection.execute("BEGIN")
        connection.execute("SELECT * FROM item").fetchall()
        store.put({"a": b"2"}, LIFE)
        assert store.get(["a"]) == [b"2"]
        connection.execute("COMMIT")


def test_a_durable_change_is_on_the_disk(path: str) -> None:
    """SQLite waits for the disk only then."""
    store = SqliteStore(path)
    spoken: list[str] = []
    store._opened().set_trace_callback(spoken.append)
    store.swap("a", None, b"1", LIFE, durable=True)
    assert [word.rpartition(" ")[2] for word in spoken if "synchronous" in word] == ["FULL", "NORMAL"]
    assert spoken[1].lstrip().startswith("INSERT")
    del spoken[:]
    store.swap("b", None, b"1", LIFE)
    assert [word for word in spoken if "synchronous" in word] == []
    store._opened().set_trace_callback(None)


def test_a_file_is_closed_with_its_store(path: str) -> None:
    """Python would warn of a connection left open, and warnings are errors."""
    store = SqliteStore(path)
    store.put({"a": b"1"}, LIFE)
    assert len(list(Path(path).parent.iterdir())) == 3
    del store
    gc.collect()
    assert [file.name for file in Path(path).parent.iterdir()] == ["state.sqlite3"]


def test_a_store_that_was_only_made_holds_nothing_open(path: str) -> None:
    """A server may fork before the first request."""
    store = SqliteStore(path)
    assert [file.name for file in Path(path).parent.iterdir()] == ["state.sqlite3"]
    assert store.get(["a"]) == [None]


# --- A disk without room -----------------------------------------------------------------------------------


def test_a_full_disk_changes_nothing(path: str) -> None:
    """All of a put is there or nothing; what needs no room is served on."""
    store = SqliteStore(path)
    store.put({"a": b"1"}, LIFE)
    (pages,) = store._opened().execute("PRAGMA page_count").fetchone()
    store._opened().execute(f"PRAGMA max_page_count = {pages + 4}")
    with pytest.raises(StateUnavailable):
        store.put({"a": b"2", "b": b"2", "c": bytes(100_000)}, LIFE)
    with pytest.raises(StateUnavailable):
        store.swap("c", None, bytes(100_000), LIFE, durable=True)
    with pytest.raises(StateUnavailable):
        store.add("group", "name", bytes(100_000))
    assert store.get(["a", "b", "c"]) == [b"1", None, None]
    assert store.swap("a", b"1", b"2", LIFE)
    assert SqliteStore(path).get(["a"]) == [b"2"]


# --- Time --------------------------------------------------------------------------------------------------


def rows(path: str) -> int:
    """How many values a file holds, expired ones included."""
    with another(path) as connection:
        (found,) = connection.execute("SELECT count(*) FROM item").fetchone()
    return int(found)


def test_what_has_expired_is_swept(path: str) -> None:
    """By a later put, and not more often than needed."""
    clock = FakeClock()
    store = SqliteStore(path, clock=clock)
    store.put({"a": b"1", "b": b"1"}, 1)
    store.put({"c": b"1"}, SWEEP_EVERY + 10)
    clock.advance(SWEEP_EVERY - 1)
    store.put({"d": b"1"}, 1)
    assert rows(path) == 4
    clock.advance(1)
    store.put({"e": b"1"}, 1)
    assert rows(path) == 2
    assert store.get(["a", "b", "c", "d", "e"]) == [None, None, b"1", None, b"1"]


def test_what_has_expired_is_swept_at_the_start(path: str) -> None:
    """Leases of dead processes do not pile up."""
    clock = FakeClock()
    store = SqliteStore(path, clock=clock)
    store.put({"a": b"1"}, 1)
    store.put({"b": b"1"}, LIFE)
    clock.advance(1)
    del store
    SqliteStore(path, clock=clock)
    assert rows(path) == 1


# --- Another one writes ------------------------------------------------------------------------------------


def test_a_busy_file_is_waited_for(path: str) -> None:
    """Each kind of change is done once the other process has let go."""
    store = SqliteStore(path)
    store.add("group", "old", b"1")
    store.put({"old": b"1"}, LIFE)
    steps = [
        lambda: store.put({"put": b"1"}, LIFE),
        lambda: store.swap("taken", None, b"1", LIFE),
        lambda: store.swap("durable", None, b"1", LIFE, durable=True),
        lambda: store.swap("old", b"1", None, LIFE),
        lambda: store.add("group", "new", b"1"),
        lambda: store.remove("group", ["old"]),
    ]
    with another(path) as holder, ThreadPoolExecutor(len(steps)) as threads:
        holder.execute("BEGIN IMMEDIATE")
        futures = [threads.submit(step) for step in steps]
        time.sleep(0.1)  # each has been refused many times by now
        assert [future.done() for future in futures] == [False] * len(steps)
        holder.execute("ROLLBACK")
        assert [future.result(PATIENCE) for future in futures] == [None, True, True, True, None, None]
    assert store.get(["put", "taken", "durable", "old"]) == [b"1", b"1", b"1", None]
    assert store.members("group") == {"new": b"1"}


def test_a_new_store_waits_for_a_busy_file(path: str) -> None:
    """Of another process, as when workers start one after the other."""
    SqliteStore(path)
    with Program("hold", path) as program, ThreadPoolExecutor(1) as threads:
        assert program.line() == "locked"
        future = threads.submit(SqliteStore, path)
        time.sleep(0.05)
        assert not future.done()
        program.tell()
        assert future.result(PATIENCE).get(["a"]) == [None]


def test_a_file_that_stays_busy_is_given_up(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing has changed then, and once it is free it is used again."""
    monkeypatch.setattr(sqlite, "BUSY_LIMIT", 0.05)
    store = SqliteStore(path)
    with another(path) as holder:
        holder.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        with pytest.raises(StateUnavailable):
            store.swap("a", None, b"1", LIFE)
        assert 0.05 <= time.monotonic() - began < PATIENCE / 2
        with pytest.raises(StateUnavailable):
            store.put({"a": b"1"}, LIFE)
        assert store.get(["a"]) == [None]
        holder.execute("ROLLBACK")
    assert store.swap("a", None, b"2", LIFE)
    assert store.get(["a"]) == [b"2"]


def test_those_who_wait_together_give_up_together(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last of them has not waited for all of the others."""
    monkeypatch.setattr(sqlite, "BUSY_LIMIT", 0.1)
    store = SqliteStore(path)
    everyone = threading.Barrier(10)

    def swap(number: int) -> float:
        everyone.wait(PATIENCE)
        began = time.monotonic()
        with pytest.raises(StateUnavailable):
            store.swap(f"{number}", None, b"1", LIFE)
        return time.monotonic() - began

    with another(path) as holder, ThreadPoolExecutor(10) as threads:
        holder.execute("BEGIN IMMEDIATE")
        assert max(threads.map(swap, range(10))) < 0.5
        holder.execute("ROLLBACK")


def test_a_reader_does_not_spoil_a_writer_without_a_log(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file system allows no write-ahead log, a reader holds up a commit; what follows is still committed."""
    monkeypatch.setattr(sqlite, "BUSY_LIMIT", 0.05)
    store = SqliteStore(path)
    store._opened().execute("PRAGMA journal_mode = DELETE")
    with another(path) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM item").fetchall()
        with pytest.raises(StateUnavailable):
            store.put({"a": b"1"}, LIFE)
        reader.execute("COMMIT")
        assert store.swap("b", None, b"2", LIFE)
        assert not store._opened().in_transaction
        assert reader.execute("SELECT key FROM item").fetchall() == [("b",)]


def test_two_stores_of_one_process_share_a_file(path: str) -> None:
    """Opening the second takes nothing from the first: neither its locks nor, at another process's end, its log."""
    first = SqliteStore(path)
    first.put({"a": b"1"}, LIFE)
    second = SqliteStore(path)
    assert second.get(["a"]) == [b"1"]
    del second
    assert race("start", [(path,)]) == ["served"]
    with Program("take", path, "key", 1) as program:  # it comes, writes, and closes the file
        program.line()
        program.tell()
        assert program.rest() == ["0"]
    first.put({"b": b"2"}, LIFE)
    with another(path) as connection:
        assert connection.execute("SELECT value FROM item WHERE key = 'b'").fetchall() == [(b"2",)]


# --- Forks -------------------------------------------------------------------------------------------------


def test_each_side_of_a_fork_has_its_own_connection(path: str) -> None:
    """Also when the store was used before, and each sees what the other has written."""
    assert output("serve_and_fork", path) == [
        "child True True False",
        "own connection",
        "parent True True True",
    ]


def test_a_child_outlives_its_parent(path: str) -> None:
    """What it writes after its parent's end is not lost with the parent's locks."""
    with Program("fork_and_end", path) as program:
        assert program.line() == "written"
        assert SqliteStore(path).get(["before", "early", "late"]) == [b"1", b"2", b"3"]
        program.tell()


def test_memory_is_each_process_s_own() -> None:
    """A child begins with none."""
    assert output("memory_after_fork") == ["child None", "parent b'1'"]


# --- Crashes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at_most", [10, 100, 500])
def test_a_killed_writer_loses_nothing_that_it_has_said(path: str, at_most: int) -> None:
    """Killed at a random moment: each key that it gave out is there, and the file serves on."""
    with Program("write", path) as program:
        said = [program.line() for _ in range(random.randint(1, at_most))]  # noqa: S311 # not a secret
        program.kill()
        said += program.rest()
    store = SqliteStore(path)
    assert said[0] == "key 0"
    assert store.get(said) == [key.encode() for key in said]
    assert store.swap("key 0", b"key 0", b"changed", LIFE)
    with another(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_copy_taken_at_any_moment_is_a_database(path: str, tmp_path: Path) -> None:
    """As a power failure leaves it: the file, and its log cut off anywhere."""
    store = SqliteStore(path)
    for number in range(20):
        store.put({f"{number}": b"1"}, LIFE)
    (tmp_path / "copy").mkdir()
    copy = shutil.copy(path, tmp_path / "copy" / "state.sqlite3")
    log = Path(f"{path}-wal").read_bytes()
    Path(f"{copy}-wal").write_bytes(log[: random.randrange(len(log))])  # noqa: S311 # not a secret
    found = SqliteStore(str(copy)).get([f"{number}" for number in range(20)])
    kept = found.index(None) if None in found else 20
    assert found == [b"1"] * kept + [None] * (20 - kept)


def test_a_recovery_by_another_process_is_waited_for(path: str) -> None:
    """Workers that start together after a crash: one repairs the file, and none goes on without it."""
    output("fill", path, 1)
    with Program("recover", path) as program, ThreadPoolExecutor(1) as threads:
        assert program.line() == "recovering"
        future = threads.submit(SqliteStore, path)
        time.sleep(0.1)
        program.tell()
        assert future.result(PATIENCE).get(["0"]) == [bytes(2**20)]


# --- A model -----------------------------------------------------------------------------------------------

keys = st.sampled_from("abc")
names = st.sampled_from("xyz")
values = st.sampled_from([b"", b"\0", b"1", b"2"])
lives = st.sampled_from([0.5, 1.0, 30.0, 90.0])


class Model(RuleBasedStateMachine):
    """A store in memory beside a dict that is meant to do the same."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.store = SqliteStore(MEMORY, clock=self.clock)
        self.kept: dict[str, tuple[bytes, float]] = {}
        self.groups: dict[str, dict[str, bytes]] = {}

    def held(self, key: str) -> bytes | None:
        value, expires = self.kept.get(key, (b"", 0.0))
        return value if expires > self.clock() else None

    @rule(seconds=st.sampled_from([0.25, 0.5, 1.0, 29.0, 61.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(items=st.dictionaries(keys, values), life=lives)
    def put(self, items: dict[str, bytes], life: float) -> None:
        self.store.put(items, life)
        self.kept.update({key: (value, self.clock() + life) for key, value in items.items()})

    @rule(key=keys, old=st.none() | values, new=st.none() | values, life=lives, durable=st.booleans())
    def swap(self, key: str, old: bytes | None, new: bytes | None, life: float, *, durable: bool) -> None:
        fits = self.held(key) == old
        assert self.store.swap(key, old, new, life, durable=durable) == fits
        if fits and new is None:
            self.kept.pop(key, None)
        elif fits and new is not None:
            self.kept[key] = (new, self.clock() + life)

    @rule(key=keys, life=lives)
    def renew(self, key: str, life: float) -> None:
        if (value := self.held(key)) is not None:
            self.swap(key, value, value, life, durable=False)

    @rule(group=keys, name=names, value=values)
    def add(self, group: str, name: str, value: bytes) -> None:
        self.store.add(group, name, value)
        self.groups.setdefault(group, {})[name] = value

    @rule(group=keys, gone=st.lists(names))
    def remove(self, group: str, gone: list[str]) -> None:
        self.store.remove(group, gone)
        for name in gone:
            self.groups.get(group, {}).pop(name, None)

    @invariant()
    def the_same_is_held(self) -> None:
        assert self.store.get(["a", "b", "c", "a"]) == [self.held(key) for key in "abca"]
        assert [self.store.members(group) for group in "abc"] == [self.groups.get(group, {}) for group in "abc"]


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=60, stateful_step_count=30)
