"""Standings: an account's free slots, its use and what speaks against it, of all accounts by one look."""

from __future__ import annotations

import subprocess
import sys

import pytest

from app.accounts.cooldown import Cooldowns
from app.accounts.credentials import Credential
from app.accounts.standing import Standing, Standings, single_key, used_key
from app.errors import GatewayError, TokenExpired, UpstreamBusy
from app.state.process import a_name
from tests.accounts.workers import accessing
from tests.state.stores import FakeStore

A, B = accessing(sub="user-a"), accessing(sub="user-b")
A_TOO = accessing(sub="user-a", jti=2)


class House:
    """Standings on a store in memory, of at most three streams for each account."""

    def __init__(self) -> None:
        self.store = FakeStore()
        self.cooldowns = Cooldowns(self.store, clock=self.store.clock)
        self.standings = Standings(self.store, self.cooldowns, 3)

    def of(self, credential: Credential, kind: str = "chat") -> Standing:
        """How one account stands."""
        (standing,) = self.standings.of([credential], kind)
        return standing

    def hold(self, slot: str) -> None:
        """Take a slot, as a stream does."""
        assert self.store.swap(slot, None, b"somebody", 10)

    def note(self, error: GatewayError, kind: str = "chat") -> None:
        """Have something speak against the first account."""
        self.cooldowns.note(A, kind, error)


def test_an_account_that_nobody_knows_is_ready() -> None:
    """With all of its slots, never used."""
    standing = House().of(A)
    assert standing.is_ready
    assert [len(set(standing.free)), standing.busy, standing.used] == [3, 0, 0.0]
    assert [standing.noted, standing.cooldown] == [{}, None]


def test_all_accounts_are_read_by_one_look() -> None:
    """In their order: with Redis each look is a journey."""
    house = House()
    house.hold(house.of(B).free[0])
    house.store.calls.clear()
    standings = house.standings.of([B, A, A_TOO], "chat")
    assert house.store.calls == ["get"]
    assert [(standing.credential, standing.busy) for standing in standings] == [(B, 1), (A, 0), (A_TOO, 0)]


def test_the_slot_of_a_process_that_died_here_is_free() -> None:
    """Its stream died with it."""
    house = House()
    with subprocess.Popen([sys.executable, "-c", "pass"]) as process:
        process.wait()
    machine, _, started, random = a_name().rsplit(":", 3)
    dead = f"{machine}:{process.pid}:{started}:{random}".encode()
    assert house.store.swap(house.of(A).free[0], None, dead, 10)
    assert [len(house.of(A).free), house.of(A).busy] == [3, 0]


def test_a_slot_that_is_held_is_not_free() -> None:
    """Also for another token of the same user, and for every kind of request."""
    house = House()
    slots = house.of(A).free
    house.hold(slots[1])
    for credential in (A, A_TOO):
        standing = house.of(credential, "research")
        assert [standing.free, standing.busy, standing.is_ready] == [(slots[0], slots[2]), 1, True]
    assert house.of(B).busy == 0


def test_an_account_without_a_free_slot_is_not_ready() -> None:
    """All are held."""
    house = House()
    for slot in house.of(A).free:
        house.hold(slot)
    standing = house.of(A)
    assert [standing.free, standing.busy, standing.is_ready, standing.cooldown] == [(), 3, False, None]


def test_with_one_stream_at_a_time_all_contend_for_one_slot() -> None:
    """So that two who look at the same time cannot both have one; it is the account's, not the token's."""
    house = House()
    first = house.of(A).free[0]
    house.store.put({single_key(A): b"1"}, 10)
    assert [house.of(A).free, house.of(A_TOO).free, len(house.of(B).free)] == [(first,), (first,), 3]


@pytest.mark.parametrize("held", [0, 1, 2])
def test_with_one_stream_at_a_time_any_slot_counts(held: int) -> None:
    """Those that were taken before are still held."""
    house = House()
    house.hold(house.of(A).free[held])
    house.store.put({single_key(A): b"1"}, 10)
    assert [house.of(A).free, house.of(A).is_ready] == [(), False]


def test_the_last_use_is_the_account_s() -> None:
    """Whichever of its tokens was used."""
    house = House()
    house.store.put({used_key(A): b"1800000000.25"}, 10)
    assert [house.of(A).used, house.of(A_TOO).used, house.of(B).used] == [1800000000.25, 1800000000.25, 0.0]


@pytest.mark.parametrize("error", [UpstreamBusy("no"), TokenExpired("no")])
def test_an_account_that_is_paused_is_not_ready(error: GatewayError) -> None:
    """Although its slots are free."""
    house = House()
    house.note(error)
    standing = house.of(A)
    assert standing.cooldown is not None
    assert [standing.cooldown.code, standing.is_ready, len(standing.free)] == [error.code, False, 3]
    assert house.of(B).is_ready


def test_what_was_noted_is_told_also_when_it_is_over() -> None:
    """With where it stands, so that a success can take back just that: of this kind, and of the token."""
    house = House()
    house.note(UpstreamBusy("no"))
    house.note(UpstreamBusy("no"), "research")
    house.note(TokenExpired("no"))
    house.store.clock.advance(60)
    standing = house.of(A)
    assert [standing.cooldown, standing.is_ready] == [None, True]
    keys = house.cooldowns.keys(A, "chat")
    assert standing.noted == dict(zip(keys, house.store.get(keys), strict=True))
    assert set(house.of(A_TOO).noted) == {keys[1]}
    assert house.of(B).noted == {}
