"""The ledger: what is written down stays until it is struck, whichever store is away."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.conversations.ledger import Entry, Ledger
from app.state.sqlite import SqliteStore
from tests.fakes import FakeClock
from tests.state.stores import FakeStore

ENTRY = Entry("chat-1", "connect", "process-1", due=0.0)
KEPT = Entry("chat-1", "connect", None, due=99.0)


class Books:
    """A ledger in two stores, the first of them shared and sometimes away; a second passes between two changes."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.first, self.second = FakeStore(self.clock), FakeStore(self.clock)
        self.ledger = Ledger([self.first, self.second], clock=self.clock)

    def write(self, entry: Entry) -> None:
        """Write an entry of the account."""
        self.clock.advance(1)
        self.ledger.write("account", entry)

    def strike(self, *conversation_ids: str) -> None:
        """Strike entries of the account."""
        self.clock.advance(1)
        self.ledger.strike("account", conversation_ids)

    @property
    def entries(self) -> list[Entry]:
        """Those of the account."""
        return self.ledger.entries("account")

    @property
    def left(self) -> list[dict[str, bytes]]:
        """All that the stores hold."""
        return [store.members("ledger:account") for store in (self.first, self.second)]


def test_an_entry_stays_until_it_is_struck() -> None:
    """And no trace of it after that."""
    books = Books()
    books.write(ENTRY)
    assert books.entries == [ENTRY]
    books.strike("chat-1")
    assert [books.entries, books.left] == [[], [{}, {}]]


def test_a_conversation_has_one_entry() -> None:
    """The latest."""
    books = Books()
    books.write(ENTRY)
    books.write(KEPT)
    assert books.entries == [KEPT]


def test_accounts_have_entries_of_their_own() -> None:
    """Nobody deletes with another one's token."""
    books = Books()
    books.write(ENTRY)
    assert books.ledger.entries("other") == []
    books.ledger.strike("other", ["chat-1"])
    assert books.entries == [ENTRY]


def test_only_what_is_named_is_struck() -> None:
    """Names that are not there are passed over."""
    books = Books()
    books.write(ENTRY)
    books.write(Entry("chat-2", "rest", None, 5.0))
    books.strike("chat-1", "chat-9")
    assert books.entries == [Entry("chat-2", "rest", None, 5.0)]


def test_entries_survive_the_process(tmp_path: Path) -> None:
    """In a file."""
    path, clock = str(tmp_path / "state.sqlite3"), FakeClock()
    Ledger([SqliteStore(path, clock=clock)], clock=clock).write("account", ENTRY)
    assert Ledger([SqliteStore(path, clock=clock)], clock=clock).entries("account") == [ENTRY]


def test_entries_do_not_expire() -> None:
    """A conversation of ours is ours for ever."""
    books = Books()
    books.write(ENTRY)
    books.clock.advance(10 * 365 * 86_400)
    assert books.entries == [ENTRY]


def test_an_entry_is_written_where_it_can_be() -> None:
    """And found again when the better place is back."""
    books = Books()
    books.first.away = True
    books.write(ENTRY)
    assert books.entries == [ENTRY]
    books.first.away = False
    assert books.entries == [ENTRY]
    books.strike("chat-1")
    assert books.left == [{}, {}]


@pytest.mark.parametrize(("before", "then"), [(ENTRY, KEPT), (KEPT, ENTRY)])
@pytest.mark.parametrize("away", [True, False])
def test_the_newest_word_counts(before: Entry, then: Entry, *, away: bool) -> None:
    """Wherever it was written."""
    books = Books()
    books.first.away = not away
    books.write(before)
    books.first.away = away
    books.write(then)
    books.first.away = False
    assert books.entries == [then]


@pytest.mark.parametrize("holder", ["first", "second"])
def test_what_was_struck_does_not_come_back_with_its_store(holder: str) -> None:
    """The store that was away is told afterwards."""
    books = Books()
    books.first.away = holder == "second"
    books.write(ENTRY)
    books.first.away, books.second.away = holder == "first", holder == "second"
    books.strike("chat-1")
    assert books.entries == []
    books.first.away = books.second.away = False
    assert [books.entries, books.left] == [[], [{}, {}]]


def test_a_conversation_that_is_used_again_after_it_was_struck_is_written_down_again() -> None:
    """Also where its end could not be told to a store."""
    books = Books()
    books.write(ENTRY)
    books.first.away = True
    books.strike("chat-1")
    books.first.away = False
    books.write(KEPT)
    assert books.entries == [KEPT]


def test_a_ledger_without_a_store_that_answers_holds_up_no_answer() -> None:
    """Nothing is raised."""
    books = Books()
    books.first.away = books.second.away = True
    books.write(ENTRY)
    books.strike("chat-1")
    assert books.entries == []
