"""Lines: who came first is served first, and is woken when something has become free."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.accounts.line import Lines
from tests.accounts.workers import PATIENCE

NEVER = 0.05
"""Seconds after which what has not come is taken to stay away."""


def woken(wait: Callable[[float], None], seconds: float) -> bool:
    """Whether a wait ended before its time."""
    began = time.monotonic()
    wait(seconds)
    return time.monotonic() - began < seconds


def test_who_came_first_is_first() -> None:
    """And who comes next when it has left."""
    lines = Lines()
    places = [lines.join("a") for _ in range(3)]
    order: list[list[bool]] = []
    for place in places:
        order.append([other.is_first for other in places])
        lines.leave(place)
    assert order == [[True, False, False], [False, True, False], [False, False, True]]


def test_who_leaves_from_the_middle_lets_nobody_pass() -> None:
    """Only its own place is given up."""
    lines = Lines()
    first, second, third = (lines.join("a") for _ in range(3))
    lines.leave(second)
    assert [first.is_first, third.is_first] == [True, False]
    lines.leave(first)
    assert third.is_first


def test_each_line_has_its_first() -> None:
    """They do not wait for each other."""
    lines = Lines()
    assert lines.join("a").is_first
    assert lines.join(frozenset({"a", "b"})).is_first


def test_an_empty_line_has_no_first() -> None:
    """Nothing is kept of it: the keys come from clients."""
    lines = Lines()
    assert lines.first("a") is None
    with lines.join("a") as place:
        assert lines.first("a") is place
    assert lines.first("a") is None
    assert lines._lines == {}


def test_a_place_is_given_up_at_the_end_of_its_block() -> None:
    """Also after an error, and the next one is woken."""
    lines = Lines()
    first = lines.join("a")
    second = lines.join("a")
    with pytest.raises(KeyError), first:
        raise KeyError
    assert second.is_first
    assert woken(second.wait, PATIENCE)


def test_a_call_ends_a_wait() -> None:
    """As soon as it comes."""
    lines, begun = Lines(), threading.Event()
    place = lines.join("a")

    def wait() -> bool:
        begun.set()
        return woken(place.wait, PATIENCE)

    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(wait)
        assert begun.wait(PATIENCE)
        lines.call("a")
        assert waiting.result(PATIENCE)


def test_a_call_before_a_wait_is_not_lost() -> None:
    """Something may become free between the look and the wait."""
    place = Lines().join("a")
    place.call()
    assert woken(place.wait, PATIENCE)


def test_a_call_ends_one_wait() -> None:
    """The next look has seen what it was about."""
    place = Lines().join("a")
    place.call()
    place.wait(PATIENCE)
    assert not woken(place.wait, NEVER)


def test_a_wait_ends_by_itself() -> None:
    """After the time it was given."""
    began = time.monotonic()
    Lines().join("a").wait(NEVER)
    assert NEVER <= time.monotonic() - began < PATIENCE


def test_only_the_first_of_a_line_is_called() -> None:
    """The others could not do anything yet."""
    lines = Lines()
    places = [lines.join("a"), lines.join("a"), lines.join("b")]
    lines.call("a")
    assert [woken(place.wait, NEVER) for place in places] == [True, False, False]


def test_the_first_of_every_line_is_called() -> None:
    """An account that has become free may be in any of their sets."""
    lines = Lines()
    places = [lines.join("a"), lines.join("a"), lines.join("b")]
    lines.call_all()
    assert [woken(place.wait, NEVER) for place in places] == [True, False, True]


def test_a_call_to_a_line_that_is_empty_is_harmless() -> None:
    """Its last waiter has just left."""
    lines = Lines()
    lines.call("a")
    lines.call_all()
    assert lines.first("a") is None
