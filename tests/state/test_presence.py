"""Presence: who still runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.state.leases import LIFE, Leases
from app.state.presence import DOUBT, Presence
from app.state.sqlite import SqliteStore
from app.state.store import StateUnavailable, Store
from tests.fakes import FakeClock
from tests.state.stores import FakeStore, Program, output


class House:
    """A process and its store; no thread renews, tests do."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = FakeStore(self.clock)
        self.leases = unrenewed(self.store)
        self.presence = Presence(self.store, self.leases, timer=self.clock)

    def announce(self, name: str) -> None:
        """Another process lets itself be seen."""
        self.store.put({f"process:{name}": b"lease"}, LIFE)


def unrenewed(store: Store) -> Leases:
    """Leases that think they are being renewed."""
    leases = Leases(store)
    leases._renewing = True
    return leases


@pytest.fixture
def house() -> House:
    """Nobody has announced anything."""
    return House()


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where processes meet."""
    return str(tmp_path / "state.sqlite3")


@pytest.fixture
def neighbour(path: str) -> Iterator[Program]:
    """Another process of this machine."""
    with Program("live", path) as program:
        yield program


def named(machine: str, pid: object) -> str:
    """A name as processes give themselves."""
    return f"{machine}:{pid}:77:0123abcd"


def machine(house: House) -> str:
    """The name of this machine."""
    return house.presence.name.rsplit(":", 3)[0]


# --- This process ------------------------------------------------------------------------------------------


def test_a_process_has_one_name(house: House) -> None:
    """Its machine, its process id, and something of its own, as a process id is given again."""
    name = house.presence.name
    assert name == house.presence.name == house.presence.announce()
    assert name.split(":")[-3] == str(os.getpid())
    assert name != Presence(house.store, house.leases).name


def test_a_process_lives(house: House) -> None:
    """Announced or not, and also while its store is away."""
    assert house.presence.lives(house.presence.name)
    house.presence.announce()
    house.clock.advance(2 * LIFE)
    house.store.away = True
    assert house.presence.lives(house.presence.name)


def test_a_process_is_announced_once(house: House) -> None:
    """By a lease on its name, which is renewed like any other."""
    name = house.presence.announce()
    house.store.calls.clear()
    assert house.presence.announce() == name
    assert house.store.calls == []
    other = Presence(house.store, unrenewed(house.store))
    house.clock.advance(LIFE - 1)
    house.leases.renew()
    house.clock.advance(LIFE - 1)
    assert other.lives(name)


def test_a_process_that_could_not_be_announced_tries_again(house: House) -> None:
    """Its name stays."""
    name = house.presence.name
    house.store.away = True
    with pytest.raises(StateUnavailable):
        house.presence.announce()
    house.store.away = False
    assert house.presence.announce() == name
    assert house.store.get([f"process:{name}"]) != [None]


def test_a_child_has_a_name_of_its_own(path: str) -> None:
    """Which it announces itself; its parent keeps its name, and lives."""
    child, parent = (line.split() for line in output("name_after_fork", path))
    assert child[1:] == ["True", "True"]
    assert parent[1:] == ["True"]
    assert child[0] != parent[0]
    assert child[0].rsplit(":", 3)[1] != parent[0].rsplit(":", 3)[1]


# --- Processes of this machine -----------------------------------------------------------------------------


def test_a_neighbour_lives_while_it_runs(path: str, neighbour: Program) -> None:
    """Its name is in the file that both share."""
    store = SqliteStore(path)
    assert Presence(store, Leases(store)).lives(neighbour.line())


@pytest.mark.parametrize("killed", [False, True])
def test_the_death_of_a_neighbour_is_seen_at_once(path: str, neighbour: Program, *, killed: bool) -> None:
    """Although its lease has not run out."""
    name = neighbour.line()
    if killed:
        neighbour.kill()
    else:
        neighbour.tell()
    assert neighbour.rest() == []
    store = SqliteStore(path)
    assert store.get([f"process:{name}"]) != [None]
    assert not Presence(store, Leases(store)).lives(name)


linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the kernel tells nothing of processes")


@linux
def test_a_neighbour_lives_also_without_a_lease(path: str, neighbour: Program) -> None:
    """A store that was restarted empty says nothing about who runs."""
    name = neighbour.line()
    store = SqliteStore(path)
    held = store.get([f"process:{name}"])[0]
    assert store.swap(f"process:{name}", held, None, 1)
    assert Presence(store, Leases(store)).lives(name)


@linux
@pytest.mark.parametrize("announced", [False, True])
def test_a_process_id_is_not_a_life(house: House, *, announced: bool) -> None:
    """It was given again: who was started at another time is not the one that had the name."""
    name = named(machine(house), os.getpid())
    if announced:
        house.announce(name)
    assert not house.presence.lives(name)


@linux
def test_a_process_of_another_user_is_seen(house: House) -> None:
    """Whoever it belongs to, the kernel tells when it was started."""
    started = Path("/proc/1/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    assert house.presence.lives(f"{machine(house)}:1:{started}:0123abcd")


@pytest.mark.parametrize("pid", ["", "x", "1.5", "-"])
def test_a_strange_process_id_lives_by_its_lease(house: House, pid: str) -> None:
    """What cannot be asked for may run."""
    name = named(machine(house), pid)
    house.announce(name)
    assert house.presence.lives(name)
    assert gone(house, name)


# --- Other machines ----------------------------------------------------------------------------------------


def gone(house: House, name: str) -> bool:
    """Whether a process counts as dead once its lease has been missed for as long as doubt lasts."""
    house.clock.advance(LIFE)
    first = house.presence.lives(name)
    house.clock.advance(DOUBT - 0.1)
    still = house.presence.lives(name)
    house.clock.advance(0.1)
    return [first, still, house.presence.lives(name)] == [True, True, False]


@pytest.mark.parametrize("name", [named("elsewhere", 1), named("elsewhere", 999_999_999), "strange", "", "a:b"])
def test_a_process_elsewhere_lives_until_its_lease_has_run_out_for_a_while(house: House, name: str) -> None:
    """Its process id says nothing here."""
    house.announce(name)
    house.clock.advance(LIFE - 0.1)
    assert house.presence.lives(name)
    assert gone(house, name)


def test_a_lease_that_comes_back_ends_the_doubt(house: House) -> None:
    """The store had lost its memory, and was told anew."""
    name = named("elsewhere", 1)
    assert house.presence.lives(name)
    house.announce(name)
    house.clock.advance(DOUBT)
    assert house.presence.lives(name)
    assert gone(house, name)


def test_what_cannot_be_known_is_said(house: House) -> None:
    """Nothing is cleaned up on a guess."""
    house.store.away = True
    with pytest.raises(StateUnavailable):
        house.presence.lives(named("elsewhere", 1))
