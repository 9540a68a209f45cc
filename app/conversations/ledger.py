"""The ledger: every conversation that the gateway opened and has not yet seen deleted.

A conversation is written down before the first event of its answer is passed on, and struck off when Kimi has
confirmed its deletion. It is what clean-up works from, also after a crash; nothing ever asks Kimi which conversations
there are, so what a person began by hand cannot be touched. Entries stand under the account's name, which does not
reveal the account.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from app.state.book import Book
from app.state.store import Store


@dataclass(frozen=True, slots=True)
class Entry:
    """A conversation of ours.

    `protocol` is the one it was opened by. `user` names the process that is using it, None when nobody does; from
    `due` (time of day) on an unused one is to be deleted. `attempts` counts the deletions that failed.
    """

    conversation_id: str
    protocol: str
    user: str | None
    due: float
    attempts: int = 0


class Ledger:
    """The entries of all accounts, kept in a book over `stores`; `clock` is the time of day in seconds."""

    def __init__(self, stores: Sequence[Store], *, clock: Callable[[], float]) -> None:
        self._book = Book(stores, clock=clock)

    def write(self, account: str, entry: Entry) -> None:
        """Write an entry down, or change the one of the same conversation."""
        self._book.write(_group(account), entry.conversation_id, asdict(entry))

    def strike(self, account: str, conversation_ids: Sequence[str]) -> None:
        """Take entries out: their conversations are gone, or are the client's own from now on."""
        self._book.strike(_group(account), conversation_ids)

    def entries(self, account: str) -> list[Entry]:
        """All entries of an account."""
        found = (_entry(values) for values in self._book.read(_group(account)).values())
        return [entry for entry in found if entry is not None]


def _entry(values: dict[str, Any]) -> Entry | None:
    """An entry as it was written down; None for one that another version wrote in another way."""
    try:
        return Entry(**values)
    except TypeError:
        return None


def _group(account: str) -> str:
    return f"ledger:{account}"
