"""The book: the newest word of all stores counts, whichever of them is away when it is said."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.state.book import Book
from tests.fakes import FakeClock
from tests.state.stores import FakeStore

ENTRY = {"text": "名前", "number": 1.5, "nothing": None, "list": [1, {"a": "b"}], "yes": True}


class Shop:
    """A book in two stores, each of them sometimes away; a second passes between two changes."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.first, self.second = FakeStore(self.clock), FakeStore(self.clock)
        self.book = Book([self.first, self.second], clock=self.clock)

    def send_away(self, *stores: str) -> None:
        """Send away these, and have the others back."""
        self.first.away, self.second.away = "first" in stores, "second" in stores

    def write(self, name: str, values: Mapping[str, object]) -> None:
        """Write into the group."""
        self.clock.advance(1)
        self.book.write("group", name, values)

    def strike(self, *names: str) -> None:
        """Strike from the group."""
        self.clock.advance(1)
        self.book.strike("group", names)

    def read(self) -> dict[str, dict[str, object]]:
        """All of the group."""
        self.clock.advance(1)
        return self.book.read("group")

    @property
    def left(self) -> list[list[str]]:
        """The names that the stores hold something under."""
        return [sorted(store.members("group")) for store in (self.first, self.second)]


def test_what_is_written_is_read() -> None:
    """Any JSON, under any name."""
    shop = Shop()
    shop.write("", {})
    shop.write("名/前\n:", ENTRY)
    assert shop.read() == {"": {}, "名/前\n:": ENTRY}


def test_a_name_has_one_entry() -> None:
    """The latest, and all of it."""
    shop = Shop()
    shop.write("a", {"x": 1, "y": 2})
    shop.write("a", {"x": 3})
    assert shop.read() == {"a": {"x": 3}}


def test_groups_are_apart() -> None:
    """Whatever their names have in common."""
    shop = Shop()
    shop.write("a", ENTRY)
    shop.book.strike("grou", ["a"])
    shop.book.strike("group:a", ["a"])
    assert [shop.book.read(group) for group in ("group", "grou", "group:", "")] == [{"a": ENTRY}, {}, {}, {}]


def test_what_is_struck_is_gone() -> None:
    """With no trace of it; names that are not there are passed over."""
    shop = Shop()
    for name in ("a", "b", "c"):
        shop.write(name, ENTRY)
    shop.strike("a", "x", "c")
    assert (shop.read(), shop.left) == ({"b": ENTRY}, [["b"], []])
    shop.strike()
    assert shop.read() == {"b": ENTRY}


def test_entries_do_not_expire() -> None:
    """Unlike values under keys."""
    shop = Shop()
    shop.write("a", ENTRY)
    shop.clock.advance(10 * 365 * 86_400)
    assert shop.read() == {"a": ENTRY}


def test_the_first_store_that_answers_is_written_into() -> None:
    """One is enough."""
    shop = Shop()
    shop.write("a", ENTRY)
    shop.send_away("first")
    shop.write("b", ENTRY)
    assert shop.read() == {"b": ENTRY}
    shop.send_away()
    assert (shop.read(), shop.left) == ({"a": ENTRY, "b": ENTRY}, [["a"], ["b"]])


@pytest.mark.parametrize("away", [("first", "second"), ("second", "first"), ("first", ""), ("", "first")])
def test_the_newest_word_of_all_stores_counts(away: tuple[str, str]) -> None:
    """Wherever it was said; the order of the stores says nothing."""
    shop = Shop()
    for store, number in zip(away, (1, 2), strict=True):
        shop.send_away(store)
        shop.write("a", {"n": number})
    shop.send_away()
    assert shop.read() == {"a": {"n": 2}}


@pytest.mark.parametrize("holder", ["first", "second"])
def test_a_strike_that_missed_a_store_is_not_undone_by_its_return(holder: str) -> None:
    """It is told when it is back; then no trace is left."""
    shop, other = Shop(), {"first": "second", "second": "first"}[holder]
    shop.send_away(other)
    shop.write("a", ENTRY)
    shop.send_away(holder)
    shop.strike("a")
    assert shop.read() == {}
    shop.send_away()
    assert [shop.read(), shop.read()] == [{}, {}]
    assert shop.left == [[], []]


def test_an_entry_that_is_written_after_a_strike_is_there() -> None:
    """Also where the strike had missed a store."""
    shop = Shop()
    shop.write("a", {"n": 1})
    shop.send_away("first")
    shop.strike("a")
    shop.send_away()
    shop.write("a", {"n": 2})
    assert shop.read() == {"a": {"n": 2}}


def test_looking_while_a_store_is_away_loses_nothing() -> None:
    """A note that something is gone says when it went, not when it was looked at."""
    shop = Shop()
    shop.write("a", {"n": 1})
    shop.send_away("first")
    shop.strike("a")  # the second store notes it
    shop.send_away()
    shop.write("a", {"n": 2})  # the first store has it again
    shop.send_away("first")
    assert shop.read() == {}  # as far as can be known
    shop.send_away()
    assert shop.read() == {"a": {"n": 2}}


def test_a_book_without_a_store_that_answers_holds_up_nothing() -> None:
    """Nothing is raised."""
    shop = Shop()
    shop.send_away("first", "second")
    shop.write("a", ENTRY)
    shop.strike("a")
    assert shop.read() == {}
    assert Book([], clock=shop.clock).read("group") == {}


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\xff",
        b"nonsense",
        b"null",
        b"1",
        b'"ab"',
        b"{}",
        b"[]",
        b"[1]",
        b"[1, {}, {}]",
        b'["yesterday", {}]',
        b"[null, {}]",
        b"[{}, {}]",
        b"[1, []]",
        b'[1, "text"]',
        b"[1, true]",
        b"[" + b"9" * 400 + b", {}]",
        b"[" + b"9" * 5000 + b", {}]",
        b"[" * 100_000,
    ],
    ids=lambda value: repr(value[:16]),
)
def test_what_is_no_entry_is_passed_over(value: bytes) -> None:
    """The others are read all the same, also one of that name in another store."""
    shop = Shop()
    shop.send_away("first")
    shop.write("a", ENTRY)
    shop.send_away()
    shop.write("b", ENTRY)
    shop.first.add("group", "a", value)
    shop.first.add("group", "c", value)
    assert shop.read() == {"a": ENTRY, "b": ENTRY}


steps = st.one_of(
    st.tuples(st.just("away"), st.sampled_from([(), ("first",), ("second",)])),
    st.tuples(st.just("write"), st.sampled_from("ab")),
    st.tuples(st.just("strike"), st.sampled_from(["a", "b", "ab"])),
    st.tuples(st.just("read"), st.just("")),
)


@given(st.lists(steps, max_size=25))
def test_whatever_happens_the_last_word_counts_in_the_end(steps: list[tuple[str, tuple[str, ...] | str]]) -> None:
    """As long as one store answers at a time."""
    shop, expected = Shop(), dict[str, dict[str, object]]()
    for number, (step, given_) in enumerate(steps):
        if step == "away":
            shop.send_away(*given_)
        elif step == "write":
            expected[str(given_)] = {"n": number}
            shop.write(str(given_), {"n": number})
        elif step == "strike":
            for name in given_:
                expected.pop(name, None)
            shop.strike(*given_)
        elif not shop.first.away and not shop.second.away:
            assert shop.read() == expected
        else:
            shop.read()
    shop.send_away()
    assert [shop.read(), shop.read()] == [expected, expected]
