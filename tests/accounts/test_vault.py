"""The vault: sealed, the newest pair wins, nothing newer is overwritten, one refresh at a time."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from app.accounts.vault import DOUBT, LIFE, TELL_EVERY, Pair, Record, Vault
from app.state import leases
from app.state.sqlite import MEMORY, SqliteStore
from app.state.store import StateUnavailable, Store
from tests.accounts.workers import PATIENCE, Mortal, credential, leave_no_threads, refreshable
from tests.fakes import FakeClock
from tests.state.stores import FakeStore

WHOSE = refreshable(sub="user-1")
OTHER = refreshable(sub="user-2")
KEY = f"vault:{WHOSE.name}"


OVER = threading.Event()


@pytest.fixture(autouse=True, scope="module")
def _threads() -> Iterator[None]:
    """Whoever counts threads later finds none of ours."""
    yield
    leave_no_threads()


@pytest.fixture(autouse=True)
def _telling() -> Iterator[None]:
    """What stores have missed is told them at the end of each test."""
    OVER.clear()
    yield
    OVER.set()
    assert end_of_telling()


def pair(serial: int = 1, at: float = 0.0, name: str = "") -> Pair:
    """A pair of tokens that can be told from others."""
    name = name or f"{serial}-{at:g}"
    return Pair(access=f"access-{name}", refresh=f"refresh-{name}", until=1e10, expires=1e10, serial=serial, at=at)


def a_vault(stores: Sequence[Store]) -> Vault:
    """A vault that tells a store that was away what it has missed behind the end of the test only."""

    def sleep(_: float) -> None:
        OVER.wait(PATIENCE)
        for store in stores:
            if isinstance(store, FakeStore):
                store.away = False

    return Vault(stores, sleep=sleep)


def boxed(*stores: Store) -> list[bytes | None]:
    """What the stores hold of the credential."""
    return [store.get([KEY])[0] for store in stores]


def kept(*stores: Store) -> list[Pair | None]:
    """The pair that each of these stores gives by itself."""
    return [a_vault([store]).read(WHOSE).pair for store in stores]


def write(store: Store, new: Pair) -> None:
    """Keep a pair in one store, as a machine that has no other does."""
    vault = a_vault([store])
    assert vault.write(WHOSE, new, vault.read(WHOSE)) == new


def two_stores() -> tuple[FakeStore, FakeStore]:
    """Such as Redis and a file."""
    clock = FakeClock()
    return FakeStore(clock), FakeStore(clock)


# --- Kept and sealed ---------------------------------------------------------------------------------------


def test_nothing_is_known_at_first() -> None:
    """The token that the client presents serves then."""
    assert a_vault(two_stores()).read(WHOSE) == Record(None, (None, None), complete=True)


def test_a_record_tells_that_a_store_was_away() -> None:
    """What it would have said is not known."""
    one, two = two_stores()
    vault = a_vault([one, two])
    one.away = True
    assert not vault.read(WHOSE).complete
    one.away = False
    assert vault.read(WHOSE).complete


def test_the_newest_pair_is_kept_for_each_credential() -> None:
    """One credential's tokens are none of another's."""
    vault = a_vault([FakeStore()])
    for whose, new in ((WHOSE, pair(1)), (OTHER, pair(5)), (WHOSE, pair(2))):
        assert vault.write(whose, new, vault.read(whose)) == new
    assert [vault.read(WHOSE).pair, vault.read(OTHER).pair] == [pair(2), pair(5)]


def test_a_pair_is_kept_for_200_days() -> None:
    """Longer than the refresh token in it lives."""
    clock = FakeClock()
    vault = a_vault([FakeStore(clock)])
    vault.write(WHOSE, pair(), vault.read(WHOSE))
    clock.advance(LIFE - 1)
    assert vault.read(WHOSE).pair == pair()
    clock.advance(2)
    assert vault.read(WHOSE).pair is None
    assert LIFE == 200 * 86_400


def test_a_pair_survives_a_power_failure() -> None:
    """Every write of one is durable."""
    stores = two_stores()
    vault = a_vault(stores)
    vault.write(WHOSE, pair(1), vault.read(WHOSE))
    write(stores[0], pair(2))
    vault.read(WHOSE)
    assert {call for store in stores for call in store.calls} == {"get", "swap durably"}


def test_the_database_reveals_nothing(tmp_path: Path) -> None:
    """Neither of the tokens, nor the one presented, nor the user; not in the file, and not in its journal."""
    store = SqliteStore(str(tmp_path / "state"))
    vault = a_vault([store])
    new = Pair(access="canary-access", refresh="canary-refresh", until=1.0, serial=1, at=1.0)
    vault.write(WHOSE, new, vault.read(WHOSE))
    found = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert KEY.encode() in found
    for secret in (b"canary", b"access", b"refresh", b"user-1", WHOSE.token.encode(), WHOSE.token.encode()[-30:]):
        assert secret not in found


def test_the_same_pair_is_sealed_differently_each_time() -> None:
    """A nonce is never used twice."""
    stores = [FakeStore() for _ in range(50)]
    for store in stores:
        write(store, pair())
    assert len(set(boxed(*stores))) == 50


def test_a_box_is_opened_with_the_token_alone() -> None:
    """Its key is derived from that; this is how it must be found after an update, so it may never change."""
    store = FakeStore()
    write(store, pair(3, 7.0))
    box = boxed(store)[0] or b""
    key = HKDF(SHA256(), 32, None, b"kimi-gateway vault 1").derive(WHOSE.token.encode())
    text = AESGCM(key).decrypt(box[:12], box[12:], WHOSE.name.encode())
    assert json.loads(text) == {
        "access": "access-3-7",
        "refresh": "refresh-3-7",
        "until": 1e10,
        "serial": 3,
        "at": 7.0,
        "expires": 1e10,
    }


@pytest.mark.parametrize("change", [{"expires": None}, {"colour": "red"}])
def test_a_pair_of_another_version_is_a_pair(change: dict[str, str | None]) -> None:
    """It may know of more or of less: to take it for none would show Kimi a token that is spent."""
    store = FakeStore()
    values: dict[str, object] = {"access": "a", "refresh": "r", "until": 5.0, "serial": 3, "at": 7.0, "expires": 0.0}
    text = json.dumps({name: value for name, value in {**values, **change}.items() if value is not None})
    key = HKDF(SHA256(), 32, None, b"kimi-gateway vault 1").derive(WHOSE.token.encode())
    store.put({KEY: bytes(12) + AESGCM(key).encrypt(bytes(12), text.encode(), WHOSE.name.encode())}, LIFE)
    assert kept(store) == [Pair("a", "r", 5.0, 3, 7.0)]


def test_another_token_does_not_open_a_box() -> None:
    """Also where the box is put under that token's name."""
    store = FakeStore()
    write(store, pair())
    (box,) = boxed(store)
    assert box is not None
    store.put({f"vault:{OTHER.name}": box}, LIFE)
    assert a_vault([store]).read(OTHER).pair is None


def test_another_token_of_the_same_user_does_not_open_a_box() -> None:
    """Anybody can write a token with that user's id in it."""
    store = FakeStore()
    write(store, pair())
    assert a_vault([store]).read(refreshable(sub="user-1", jti="forged")).pair is None


@given(st.data())
def test_a_box_that_was_tampered_with_is_as_none(data: st.DataObject) -> None:
    """Wherever, and however; and the next pair takes its place."""
    store = FakeStore()
    write(store, pair())
    box = boxed(store)[0] or b""
    at = data.draw(st.integers(0, len(box) - 1))
    bad = data.draw(
        st.sampled_from([box[:at], box[at + 1 :], box + b"x", box[:at] + bytes([box[at] ^ 1]) + box[at + 1 :]])
        | st.binary(max_size=100)
    )
    store.put({KEY: bad}, LIFE)
    assert kept(store) == [None]
    write(store, pair(2))
    assert kept(store) == [pair(2)]


def test_a_tampered_box_is_replaced_from_another_store() -> None:
    """As one that was lost."""
    one, two = two_stores()
    write(two, pair(3))
    one.put({KEY: b"x" * 100}, LIFE)
    assert a_vault([one, two]).read(WHOSE).pair == pair(3)
    assert kept(one, two) == [pair(3), pair(3)]


def test_a_pair_and_a_record_show_no_token() -> None:
    """Their repr may end up in a log."""
    store = FakeStore()
    write(store, pair())
    shown = repr(a_vault([store]).read(WHOSE))
    assert "access-" not in shown
    assert "refresh-" not in shown
    assert repr(boxed(store)[0]) not in shown


# --- Several stores ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize(
    ("older", "newer"),
    [(pair(1, 9.0), pair(2, 3.0)), (pair(2, 3.0), pair(2, 4.0))],
    ids=["more rotations", "later"],
)
def test_the_newest_pair_of_all_stores_wins_and_heals_the_others(
    older: Pair, newer: Pair, order: tuple[int, int]
) -> None:
    """By its number, and of two that machines got apart from each other the later one."""
    stores = two_stores()
    write(stores[order[0]], older)
    write(stores[order[1]], newer)
    assert a_vault(stores).read(WHOSE).pair == newer
    assert kept(*stores) == [newer, newer]


def test_a_store_that_agrees_is_not_written_to() -> None:
    """A look changes nothing."""
    stores = two_stores()
    vault = a_vault(stores)
    vault.write(WHOSE, pair(), vault.read(WHOSE))
    for store in stores:
        store.calls.clear()
    vault.read(WHOSE)
    assert [store.calls for store in stores] == [["get"], ["get"]]


def test_a_store_that_was_away_is_told_what_happened_meanwhile() -> None:
    """A Redis that comes back holds an older pair: it does not count."""
    redis, file = two_stores()
    vault = a_vault([redis, file])
    vault.write(WHOSE, pair(1), vault.read(WHOSE))
    redis.away = True
    assert vault.write(WHOSE, pair(2), vault.read(WHOSE)) == pair(2)
    redis.away = False
    assert vault.read(WHOSE).pair == pair(2)
    assert kept(redis, file) == [pair(2), pair(2)]


def test_a_store_that_lost_its_memory_is_told_again() -> None:
    """As a Redis without a disk does at its restart."""
    redis, file = two_stores()
    vault = a_vault([redis, file])
    vault.write(WHOSE, pair(1), vault.read(WHOSE))
    redis.forget()
    assert vault.read(WHOSE).pair == pair(1)
    assert kept(redis, file) == [pair(1), pair(1)]


def test_a_machine_that_was_cut_off_learns_what_the_others_did() -> None:
    """Redis holds what they got meanwhile."""
    redis, file = two_stores()
    vault = a_vault([redis, file])
    redis.away = True
    vault.write(WHOSE, pair(1), vault.read(WHOSE))
    redis.away = False
    write(redis, pair(7))
    assert vault.read(WHOSE).pair == pair(7)
    assert kept(redis, file) == [pair(7), pair(7)]


@pytest.mark.parametrize("away", [(True, False), (False, True), (True, True)])
def test_a_store_that_is_away_is_gone_without(away: tuple[bool, bool]) -> None:
    """Reading, writing and leasing go on; where all are away nothing is known."""
    stores = two_stores()
    vault = a_vault(stores)
    vault.write(WHOSE, pair(1), vault.read(WHOSE))
    stores[0].away, stores[1].away = away
    record = vault.read(WHOSE)
    assert record.pair == (None if all(away) else pair(1))
    assert vault.write(WHOSE, pair(2), record) == pair(2)
    lease = vault.lease(WHOSE)
    assert lease is not None
    lease.close()
    stores[0].away = stores[1].away = False
    assert kept(*stores) == [pair(1 if gone else 2) for gone in away]


def test_a_store_that_goes_away_between_look_and_write_is_gone_without() -> None:
    """What was read of it is no reason to wait for it."""
    one, two = two_stores()
    vault = a_vault([one, two])
    vault.write(WHOSE, pair(1), vault.read(WHOSE))
    record = vault.read(WHOSE)
    one.away = True
    assert vault.write(WHOSE, pair(2), record) == pair(2)
    assert kept(two) == [pair(2)]


# --- Telling a store that was away -------------------------------------------------------------------------


class Rounds:
    """A sleep that lasts until the next round; `lengths` are the seconds that were asked for."""

    def __init__(self) -> None:
        self.lengths: list[float] = []
        self._asleep = threading.Semaphore(0)
        self._next = threading.Semaphore(0)

    def __call__(self, seconds: float) -> None:
        self.lengths.append(seconds)
        self._asleep.release()
        assert self._next.acquire(timeout=PATIENCE)

    def begin(self) -> None:
        """Let the thread work once that has gone to sleep."""
        assert self._asleep.acquire(timeout=PATIENCE)
        self._next.release()

    def begin_and_end(self) -> None:
        """The same, until it sleeps again."""
        self.begin()
        assert self._asleep.acquire(timeout=PATIENCE)
        self._asleep.release()


def telling() -> list[threading.Thread]:
    """The threads that tell stores."""
    return [thread for thread in threading.enumerate() if thread.name == "vault"]


def end_of_telling() -> bool:
    """Wait for the end of all of them."""
    for thread in telling():
        thread.join(PATIENCE)
    return telling() == []


def test_a_store_is_told_what_it_missed_when_it_is_back() -> None:
    """Although nobody asks: another machine may look only there."""
    (redis, file), rounds = two_stores(), Rounds()
    vault = Vault([redis, file], sleep=rounds)
    redis.away = True
    vault.write(WHOSE, pair(1), vault.read(WHOSE))
    vault.write(WHOSE, pair(2), vault.read(WHOSE))
    vault.write(OTHER, pair(5), vault.read(OTHER))
    rounds.begin_and_end()
    redis.away = False
    assert kept(redis) == [None]
    rounds.begin()
    assert end_of_telling()
    assert kept(redis) == [pair(2)]
    assert a_vault([redis]).read(OTHER).pair == pair(5)
    assert rounds.lengths == [TELL_EVERY, TELL_EVERY]
    assert TELL_EVERY == 1.0


def test_a_store_that_is_away_again_is_told_again() -> None:
    """A thread begins where the last one has ended."""
    (redis, file), rounds = two_stores(), Rounds()
    vault = Vault([redis, file], sleep=rounds)
    for serial in (1, 2):
        redis.away = True
        vault.write(WHOSE, pair(serial), vault.read(WHOSE))
        redis.away = False
        rounds.begin()
        assert end_of_telling()
        assert kept(redis) == [pair(serial)]


@pytest.mark.parametrize("stays", [True, False])
def test_a_store_that_goes_away_while_it_is_told_is_told_again(*, stays: bool) -> None:
    """It answers, but the pair does not arrive; also where it answers again right after."""
    (redis, file), rounds = two_stores(), Rounds()
    vault = Vault([redis, file], sleep=rounds)
    redis.away = True
    vault.write(WHOSE, pair(1), vault.read(WHOSE))

    def leave() -> None:
        redis.away = stays
        raise StateUnavailable

    redis.away = False
    redis.before = [leave]
    rounds.begin_and_end()
    redis.away = False
    assert kept(redis) == [None]
    rounds.begin()
    assert end_of_telling()
    assert kept(redis) == [pair(1)]


def test_a_store_that_knows_a_newer_pair_by_then_keeps_it() -> None:
    """The other stores are told that one."""
    (redis, file), rounds = two_stores(), Rounds()
    vault = Vault([redis, file], sleep=rounds)
    redis.away = True
    vault.write(WHOSE, pair(1), vault.read(WHOSE))
    redis.away = False
    write(redis, pair(7))
    rounds.begin()
    assert end_of_telling()
    assert kept(redis, file) == [pair(7), pair(7)]


def test_a_store_that_came_back_without_its_memory_is_told_all_again() -> None:
    """Others may look only there, and would use a token that is spent."""
    one, two = two_stores()
    rounds = Rounds()
    vault = Vault([one, two], sleep=rounds)
    vault.write(WHOSE, pair(2), vault.read(WHOSE))
    one.forget()
    vault.tell_again()
    rounds.begin()
    assert end_of_telling()
    assert kept(one) == [pair(2)]


def test_nothing_is_to_be_told_where_nothing_is_known() -> None:
    """The first connection of a process is no return."""
    a_vault(two_stores()).tell_again()
    assert telling() == []


def test_what_a_store_says_is_doubtful_until_all_have_told_it() -> None:
    """Another process may know of a newer pair."""
    clock = FakeClock()
    vault = Vault(two_stores(), sleep=lambda _: None, timer=clock)
    vault.tell_again()
    clock.advance(DOUBT - 0.1)
    assert not vault.read(WHOSE).complete
    clock.advance(0.1)
    assert vault.read(WHOSE).complete


def test_nobody_is_told_where_no_store_was_away() -> None:
    """No thread runs for nothing."""
    vault = Vault(two_stores(), sleep=Rounds())
    vault.write(WHOSE, pair(1), vault.read(WHOSE))
    assert telling() == []


# --- Conflicts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", [0, 1])
def test_a_newer_pair_is_read_back_and_never_overwritten(where: int) -> None:
    """Somebody else wrote since the record was read, in whichever of the stores."""
    stores = two_stores()
    vault = a_vault(stores)
    vault.write(WHOSE, pair(1), vault.read(WHOSE))
    record = vault.read(WHOSE)
    newer = pair(3, 50.0)
    write(stores[where], newer)
    assert vault.write(WHOSE, pair(2, 60.0), record) == newer
    assert kept(*stores) == [newer, newer]


def test_of_two_first_pairs_the_later_counts_on_either_side() -> None:
    """Whichever of them is written first."""
    early, late = pair(1, 10.0), pair(1, 12.0)
    for first, second in ((early, late), (late, early)):
        store = FakeStore()
        vault = a_vault([store])
        record = vault.read(WHOSE)
        assert vault.write(WHOSE, first, record) == first
        assert vault.write(WHOSE, second, record) == late
        assert kept(store) == [late]


def test_a_store_that_forgot_in_between_is_no_conflict() -> None:
    """The new pair is kept there all the same."""
    one, two = two_stores()
    vault = a_vault([one, two])
    vault.write(WHOSE, pair(1), vault.read(WHOSE))
    record = vault.read(WHOSE)
    one.forget()
    assert vault.write(WHOSE, pair(2), record) == pair(2)
    assert kept(one, two) == [pair(2), pair(2)]


def test_a_store_that_came_back_older_in_between_is_no_conflict() -> None:
    """The pair that it remembers is of no use to anybody."""
    one, two = two_stores()
    write(one, pair(1))
    vault = a_vault([one, two])
    one.away = True
    vault.write(WHOSE, pair(2), vault.read(WHOSE))
    record = vault.read(WHOSE)
    one.away = False
    assert vault.write(WHOSE, pair(3), record) == pair(3)
    assert kept(one, two) == [pair(3), pair(3)]


def test_a_healing_at_the_same_moment_is_no_conflict() -> None:
    """Another worker tells a store of the old pair between our look and our write."""
    one, two = two_stores()
    write(two, pair(1))
    vault = a_vault([one, two])
    one.away = True
    record = vault.read(WHOSE)
    one.away = False
    assert a_vault([one, two]).read(WHOSE).pair == pair(1)
    assert vault.write(WHOSE, pair(2), record) == pair(2)
    assert kept(one, two) == [pair(2), pair(2)]


def test_a_second_writer_during_the_reading_back_is_heard_as_well() -> None:
    """What is given is what is kept, however often others write in between."""
    store = FakeStore()
    vault = a_vault([store])
    record = vault.read(WHOSE)
    write(store, pair(1, 1.0))
    store.before = [lambda: None, lambda: write(store, pair(9, 1.0))]
    given = vault.write(WHOSE, pair(1, 5.0), record)
    assert [given] == kept(store)


@given(st.permutations([pair(1, 1.0), pair(1, 2.0), pair(2, 1.0), pair(3, 0.5)]), st.data())
def test_the_newest_pair_is_kept_in_whatever_order_they_are_written(order: list[Pair], data: st.DataObject) -> None:
    """By workers that have all read an empty vault, with either store away now and then."""
    stores = two_stores()
    record = a_vault(stores).read(WHOSE)
    for new in order:
        stores[0].away = data.draw(st.booleans())
        a_vault(stores).write(WHOSE, new, record)
    stores[0].away = False
    assert a_vault(stores).read(WHOSE).pair == pair(3, 0.5)
    assert kept(*stores) == [pair(3, 0.5), pair(3, 0.5)]


# --- The lease ---------------------------------------------------------------------------------------------


def test_one_of_many_workers_gets_the_lease() -> None:
    """Each with a vault of its own on the same store."""
    store, everyone = SqliteStore(MEMORY), threading.Barrier(20)

    def take(_: int) -> ExitStack | None:
        everyone.wait(10)
        return a_vault([store]).lease(WHOSE)

    with ThreadPoolExecutor(20) as threads:
        taken = [lease for lease in threads.map(take, range(20)) if lease is not None]
    assert len(taken) == 1
    assert a_vault([store]).lease(WHOSE) is None
    taken[0].close()
    again = a_vault([store]).lease(WHOSE)
    assert again is not None
    again.close()


def test_a_lease_is_one_credential_s() -> None:
    """Others are refreshed at the same time."""
    vault = a_vault([FakeStore()])
    mine, other = vault.lease(WHOSE), vault.lease(OTHER)
    assert mine is not None
    assert other is not None
    mine.close()
    other.close()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_lease_that_is_taken_in_any_store_is_taken(order: tuple[int, int]) -> None:
    """Redis may come and go between two workers' attempts; nothing is held on to in the others."""
    stores = two_stores()
    stores[order[0]].away = True
    lease = a_vault(stores).lease(WHOSE)
    assert lease is not None
    stores[order[0]].away = False
    assert a_vault(stores).lease(WHOSE) is None
    assert stores[order[0]].get([f"refresh:{WHOSE.name}"]) == [None]
    lease.close()
    again = a_vault(stores).lease(WHOSE)
    assert again is not None
    again.close()


def test_the_lease_of_a_worker_that_died_ends_soon() -> None:
    """Another may try then, and not before."""
    clock = FakeClock()
    store = FakeStore(clock)
    dying = Mortal(store)
    lease = a_vault([dying]).lease(WHOSE)
    assert lease is not None
    dying.dead = True
    lease.close()
    clock.advance(leases.LIFE - 1)
    assert a_vault([store]).lease(WHOSE) is None
    clock.advance(2)
    again = a_vault([store]).lease(WHOSE)
    assert again is not None
    again.close()


def test_a_lease_is_given_back_after_an_error() -> None:
    """A refresh that failed holds nobody up."""
    vault = a_vault([FakeStore()])
    lease = vault.lease(WHOSE)
    assert lease is not None
    with pytest.raises(StateUnavailable), lease:
        raise StateUnavailable
    again = vault.lease(WHOSE)
    assert again is not None
    again.close()


def test_a_token_of_any_look_is_sealed_and_found() -> None:
    """Opaque ones of the legacy site too."""
    vault = a_vault([FakeStore()])
    whose = credential("0123456789abcdefghij")
    vault.write(whose, replace(pair(), refresh="rotated"), vault.read(whose))
    assert a_vault(vault._stores).read(whose).pair == replace(pair(), refresh="rotated")
