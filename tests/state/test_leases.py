"""Leases: one holder, renewed while held, gone soon after."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.state.leases import LIFE, RENEWALS, Leases
from app.state.process import a_name
from app.state.store import StateUnavailable
from tests.fakes import FakeClock
from tests.state.stores import PATIENCE, FakeStore, output


class Sleep:
    """A sleep that lasts until it is told to end; `asked` are the seconds that were wished for."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self._begun = threading.Semaphore(0)
        self._ended = threading.Semaphore(0)
        self._over = threading.Event()

    def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        self._begun.release()
        if not self._over.is_set():
            assert self._ended.acquire(timeout=PATIENCE)

    def begins(self) -> bool:
        """Wait until a thread sleeps that was not waited for before; tell whether it came."""
        return self._begun.acquire(timeout=PATIENCE)

    def end(self) -> None:
        """Let one go on."""
        self._ended.release()

    def end_all(self) -> None:
        """Let all go on, from now on at once."""
        self._over.set()
        for _ in self.asked:
            self._ended.release()


class House:
    """Two workers' leases in one store."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = FakeStore(self.clock)
        self.sleep, self.other_sleep = Sleep(), Sleep()
        self.leases = Leases(self.store, sleep=self.sleep)
        self.others = Leases(self.store, sleep=self.other_sleep)

    def close(self) -> None:
        """Let the threads end."""
        for leases, sleep in ((self.leases, self.sleep), (self.others, self.other_sleep)):
            leases._held.clear()
            sleep.end_all()
        for thread in renewing():
            thread.join(PATIENCE)
        assert renewing() == []

    def is_free(self, key: str = "a") -> bool:
        """Whether nobody holds it."""
        return self.store.get([key]) == [None]


@pytest.fixture
def house() -> Iterator[House]:
    """Nobody holds anything, and no thread is left behind."""
    house = House()
    yield house
    house.close()


def a_dead_process() -> bytes:
    """The name of a process of this machine that has ended."""
    with subprocess.Popen([sys.executable, "-c", "pass"]) as process:
        process.wait()
    machine, _, started, random = a_name().rsplit(":", 3)
    return f"{machine}:{process.pid}:{started}:{random}".encode()


def renewing() -> list[threading.Thread]:
    """The threads that renew."""
    return [thread for thread in threading.enumerate() if thread.name == "leases"]


# --- Held --------------------------------------------------------------------------------------------------


def test_a_lease_has_one_holder(house: House) -> None:
    """Neither another worker gets it nor this one again; another name is another lease."""
    lease = house.leases.take("a")
    assert lease is not None
    assert lease.key == "a"
    assert [house.others.take("a"), house.leases.take("a")] == [None, None]
    assert house.others.take("b") is not None


def test_a_lease_is_given_back(house: House) -> None:
    """The next one has it at once."""
    lease = house.leases.take("a")
    assert lease is not None
    lease.release()
    assert house.is_free()
    assert house.others.take("a") is not None


def test_a_lease_is_given_back_at_the_end_of_its_block(house: House) -> None:
    """Also when that is an error."""
    lease = house.leases.take("a")
    assert lease is not None
    with lease as held:
        assert held is lease
        assert not house.is_free()
    assert house.is_free()
    again = house.leases.take("a")
    assert again is not None
    with pytest.raises(ZeroDivisionError), again:
        raise ZeroDivisionError
    assert house.is_free()


def test_a_lease_can_be_given_back_again(house: House) -> None:
    """That takes nothing from who has it now."""
    lease = house.leases.take("a")
    assert lease is not None
    lease.release()
    again = house.leases.take("a")
    assert again is not None
    lease.release()
    lease.release()
    assert house.store.get(["a"]) == [again.holder]


def test_no_two_holders_are_alike(house: House) -> None:
    """Each taking has its own name, so that nobody gives back what is another's."""
    holders = {lease.holder for key in "abc" if (lease := house.leases.take(key))}
    assert len(holders) == 3


# --- Lost --------------------------------------------------------------------------------------------------


def test_a_lease_outlives_its_holder_by_a_little(house: House) -> None:
    """Who is dead renews nothing: another gets it after its life, and not before."""
    house.leases.take("a")
    house.clock.advance(LIFE - 0.1)
    assert house.others.take("a") is None
    house.clock.advance(0.1)
    assert house.others.take("a") is not None


def test_the_lease_of_a_process_that_died_here_is_taken_over(house: House) -> None:
    """At once: whoever waits for a killed worker's account need not wait for its lease to run out."""
    for holder, taken in ((a_dead_process(), True), (b"elsewhere:1:2:3", False), (b"\xff", False)):
        house.store.put({"a": holder}, LIFE)
        lease = house.leases.take("a")
        assert (lease is not None) == taken
        if lease is not None:
            assert house.store.get(["a"]) == [lease.holder]
            lease.release()


def test_one_worker_takes_over(house: House) -> None:
    """Another one was faster."""
    house.store.put({"a": a_dead_process()}, LIFE)
    house.store.before = [lambda: None, lambda: house.store.put({"a": b"somebody"}, LIFE)]
    assert house.leases.take("a") is None
    assert house.store.get(["a"]) == [b"somebody"]


def test_who_lost_a_lease_does_not_give_back_another_s(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """It neither renews it nor drops it; its loss is logged."""
    lost = house.leases.take("a")
    assert lost is not None
    house.clock.advance(LIFE)
    taken = house.others.take("a")
    assert taken is not None
    with caplog.at_level(logging.WARNING):
        assert house.leases.renew()
    assert caplog.messages == ["a lease was lost to another worker"]
    lost.release()
    assert house.store.get(["a"]) == [taken.holder]
    house.clock.advance(LIFE - 1)
    assert house.others.renew()
    house.clock.advance(LIFE - 1)
    assert house.store.get(["a"]) == [taken.holder]


def test_a_lease_that_ran_out_may_be_taken_anew_by_the_same_worker(house: House) -> None:
    """The older one is history: it gives nothing back."""
    old = house.leases.take("a")
    assert old is not None
    house.clock.advance(LIFE)
    new = house.leases.take("a")
    assert new is not None
    old.release()
    assert house.leases.renew()
    assert house.store.get(["a"]) == [new.holder]
    new.release()
    assert house.is_free()


# --- Renewed -----------------------------------------------------------------------------------------------


def test_a_renewed_lease_lives_on(house: House) -> None:
    """As long as it is held, and all that is held."""
    house.leases.take("a")
    house.leases.take("b")
    for _ in range(5):
        house.clock.advance(LIFE - 0.1)
        assert house.leases.renew()
    assert not house.is_free("a")
    assert not house.is_free("b")


def test_a_store_that_forgot_is_told_anew(house: House) -> None:
    """A Redis that was restarted, or another store in its place."""
    lease = house.leases.take("a")
    assert lease is not None
    house.store.forget()
    assert house.leases.renew()
    assert house.others.take("a") is None
    assert house.store.get(["a"]) == [lease.holder]


def test_there_may_be_nothing_to_renew(house: House) -> None:
    """No call is made then."""
    lease = house.leases.take("a")
    assert lease is not None
    lease.release()
    house.store.calls.clear()
    assert not house.leases.renew()
    assert house.store.calls == []


def none() -> None:
    """Nothing happens."""


@pytest.mark.parametrize("forgotten", [False, True])
@pytest.mark.parametrize(("before", "after"), [(0, None), (None, 0), (1, None), (None, 1)])
def test_what_is_given_back_during_its_renewal_stays_free(
    house: House, before: int | None, after: int | None, *, forgotten: bool
) -> None:
    """Before or after any of the calls that renew it, also those that tell it to a store anew."""
    lease = house.leases.take("a")
    assert lease is not None
    if forgotten:
        house.store.forget()
    house.store.before = [] if before is None else [none] * before + [lease.release]
    house.store.after = [] if after is None else [none] * after + [lease.release]
    house.leases.renew()
    house.store.before, house.store.after = [], []
    lease.release()
    assert house.is_free()
    assert house.others.take("a") is not None


# --- A store that is away ----------------------------------------------------------------------------------


def test_nothing_is_taken_from_a_store_that_is_away(house: House) -> None:
    """Whoever asks goes on without; nothing is held, and no thread begun."""
    house.store.away = True
    with pytest.raises(StateUnavailable):
        house.leases.take("a")
    assert renewing() == []
    house.store.away = False
    assert not house.leases.renew()
    assert house.others.take("a") is not None


def test_a_lease_runs_out_where_it_cannot_be_given_back(house: House) -> None:
    """Nothing is raised, and it is not renewed any more."""
    lease = house.leases.take("a")
    assert lease is not None
    house.store.away = True
    lease.release()
    house.store.away = False
    assert not house.leases.renew()
    assert house.others.take("a") is None
    house.clock.advance(LIFE)
    assert house.others.take("a") is not None


@pytest.mark.parametrize("seconds", [1.0, LIFE, 100 * LIFE])
def test_an_absence_loses_no_lease(house: House, seconds: float) -> None:
    """However long: once the store is back it is renewed, or told anew."""
    lease = house.leases.take("a")
    assert lease is not None
    house.store.away = True
    house.clock.advance(seconds)
    assert house.leases.renew()
    house.store.away = False
    assert house.leases.renew()
    assert house.store.get(["a"]) == [lease.holder]
    lease.release()
    assert house.is_free()


def test_a_store_that_goes_away_in_the_middle_does_no_harm(house: House) -> None:
    """A lease was given back during its renewal and cannot be dropped: the others are renewed all the same."""
    lease = house.leases.take("a")
    other = house.leases.take("b")
    assert lease is not None
    assert other is not None

    def leave() -> None:
        lease.release()
        house.store.away = True

    house.store.forget()
    house.store.after = [none, leave]
    assert house.leases.renew()
    house.store.away = False
    assert house.leases.renew()
    assert house.store.get(["b"]) == [other.holder]


# --- The thread --------------------------------------------------------------------------------------------


def test_a_thread_renews_what_is_held(house: House) -> None:
    """Several times within its life, one thread for all."""
    for key in "abc":
        house.leases.take(key)
    assert len(renewing()) == 1
    assert renewing()[0].daemon
    for _ in range(2 * RENEWALS):
        assert house.sleep.begins()
        house.clock.advance(LIFE / RENEWALS)
        house.sleep.end()
    assert house.sleep.begins()
    assert set(house.sleep.asked) == {LIFE / RENEWALS}
    assert [house.is_free(key) for key in "abc"] == [False] * 3


def test_the_thread_ends_with_the_last_lease(house: House) -> None:
    """And begins again with the next one."""
    for _ in range(3):
        lease = house.leases.take("a")
        assert lease is not None
        (thread,) = renewing()
        assert house.sleep.begins()
        lease.release()
        house.sleep.end()
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_a_lease_taken_before_the_thread_has_ended_is_renewed(house: House) -> None:
    """By the one that sleeps."""
    first = house.leases.take("a")
    assert first is not None
    assert house.sleep.begins()
    first.release()
    house.leases.take("b")
    assert len(renewing()) == 1
    house.clock.advance(LIFE - 1)
    house.sleep.end()
    assert house.sleep.begins()
    house.clock.advance(LIFE - 1)
    assert not house.is_free("b")


def test_the_thread_outlives_an_absence_of_the_store(house: House) -> None:
    """It tries again at the next turn."""
    house.leases.take("a")
    assert house.sleep.begins()
    house.store.away = True
    house.clock.advance(LIFE)
    house.sleep.end()
    assert house.sleep.begins()
    house.store.away = False
    assert house.is_free()
    house.sleep.end()
    assert house.sleep.begins()
    assert not house.is_free()


def test_the_thread_outlives_an_absence_in_the_middle(house: House) -> None:
    """Also when it was about to drop what had been given back meanwhile."""
    lease = house.leases.take("a")
    assert lease is not None
    house.leases.take("b")
    assert house.sleep.begins()

    def leave() -> None:
        lease.release()
        house.store.away = True

    house.store.forget()
    house.store.after = [none, leave]
    house.sleep.end()
    assert house.sleep.begins()
    house.store.away = False
    house.sleep.end()
    assert house.sleep.begins()
    assert not house.is_free("b")


def test_a_child_renews_its_own_leases(tmp_path: Path) -> None:
    """A thread does not live behind a fork, so it begins another one; its parent's leases are not its own."""
    assert output("lease_after_fork", tmp_path / "state.sqlite3") == ["leases", "child"]
