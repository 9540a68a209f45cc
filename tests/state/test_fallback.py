"""Several stores as one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from app.state.fallback import Fallback
from app.state.store import StateUnavailable, Store
from tests.state.stores import FakeStore

LIFE = 60.0

STEPS: dict[str, tuple[Callable[[Store], object], object]] = {
    "get": (lambda store: store.get(["a"]), [b"1"]),
    "put": (lambda store: store.put({"b": b"2"}, LIFE), None),
    "swap": (lambda store: store.swap("a", b"1", b"2", LIFE), True),
    "swap durably": (lambda store: store.swap("a", b"0", None, LIFE, durable=True), False),
    "members": (lambda store: store.members("group"), {"name": b"1"}),
    "add": (lambda store: store.add("group", "name", b"2"), None),
    "remove": (lambda store: store.remove("group", ["name"]), None),
}
"""Each call, and what a store answers that holds one value and one group."""


def filled(*, away: bool = False) -> FakeStore:
    """A store that holds a value and a group."""
    store = FakeStore()
    store.put({"a": b"1"}, LIFE)
    store.add("group", "name", b"1")
    store.calls.clear()
    store.away = away
    return store


@pytest.mark.parametrize("call", STEPS)
def test_the_first_store_serves(call: str) -> None:
    """The others are not asked."""
    step, answer = STEPS[call]
    stores = [filled(), FakeStore(), FakeStore()]
    assert step(Fallback(stores)) == answer
    assert [store.calls for store in stores] == [[call], [], []]


@pytest.mark.parametrize("call", STEPS)
def test_the_next_one_serves_when_one_is_away(call: str) -> None:
    """In their order, each asked once."""
    step, answer = STEPS[call]
    stores = [FakeStore(away=True), FakeStore(away=True), filled(), FakeStore()]
    assert step(Fallback(stores)) == answer
    assert [store.calls for store in stores] == [[call], [call], [call], []]


@pytest.mark.parametrize("call", STEPS)
@pytest.mark.parametrize("count", [1, 3])
def test_the_last_one_s_error_is_raised(call: str, count: int) -> None:
    """There is no other to ask."""
    stores = [filled(away=True) for _ in range(count)]
    with pytest.raises(StateUnavailable):
        STEPS[call][0](Fallback(stores))
    assert [store.calls for store in stores] == [[call]] * count


@pytest.mark.parametrize("call", STEPS)
def test_what_was_put_can_be_read(call: str) -> None:
    """A fallback with one store is that store."""
    ours, its = filled(), filled()
    assert STEPS[call][0](Fallback([ours])) == STEPS[call][0](its)
    assert ours.get(["a", "b"]) == its.get(["a", "b"])
    assert ours.members("group") == its.members("group")


def test_a_refused_swap_is_an_answer() -> None:
    """Not a reason to ask the next store."""
    first, second = filled(), FakeStore()
    assert not Fallback([first, second]).swap("a", None, b"2", LIFE)
    assert second.calls == []


def test_the_first_one_serves_again_once_it_is_back() -> None:
    """Nothing is remembered of its absence."""
    first, second = filled(away=True), FakeStore()
    store = Fallback([first, second])
    assert store.get(["a"]) == [None]
    first.away = False
    assert store.get(["a"]) == [b"1"]


def test_a_defect_is_not_hidden() -> None:
    """Only the want of a store is made up for by another."""

    def fail() -> None:
        raise ZeroDivisionError

    first, second = filled(), FakeStore()
    first.before = [fail]
    with pytest.raises(ZeroDivisionError):
        Fallback([first, second]).swap("a", None, b"2", LIFE)
    assert second.calls == []
