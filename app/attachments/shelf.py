"""The shelf: the files that clients uploaded by themselves, to use them by an id later on.

The bytes are on Kimi's side; what is kept here is which file of Kimi's an id stands for. Records stand under the
account's name, so that an id means nothing to anybody else.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from app.state.book import Book
from app.state.store import Store

MAX_FILES = 1000
"""Records of one account; beyond, the oldest are forgotten."""


@dataclass(frozen=True, slots=True)
class Record:
    """An uploaded file.

    `kimi_id` is Kimi's own id for it, valid over `protocol`; `created` is the time of day in seconds. `is_read` says
    that Kimi is known to have read it.
    """

    file_id: str
    kimi_id: str
    protocol: str
    name: str
    size: int
    created: float
    purpose: str
    is_image: bool
    is_read: bool = True


class Shelf:
    """The records of all accounts, kept in a book over `stores`; `clock` is the time of day in seconds."""

    def __init__(self, stores: Sequence[Store], *, clock: Callable[[], float]) -> None:
        self._book = Book(stores, clock=clock)
        self._clock = clock

    def add(self, account: str, record: Record) -> Record:
        """Write down a new file; it is given an id and its time."""
        record = replace(record, file_id=f"file-{uuid.uuid4().hex}", created=self._clock())
        self.update(account, record)
        self._book.strike(_group(account), [old.file_id for old in self.records(account)[MAX_FILES:]])
        return record

    def update(self, account: str, record: Record) -> None:
        """Write down what has become known of a file."""
        self._book.write(_group(account), record.file_id, asdict(record))

    def records(self, account: str) -> list[Record]:
        """All files of an account, the newest first."""
        found = (_record(values) for values in self._book.read(_group(account)).values())
        records = [record for record in found if record is not None]
        return sorted(records, key=lambda record: (record.created, record.file_id), reverse=True)

    def remove(self, account: str, file_id: str) -> None:
        """Forget a file."""
        self._book.strike(_group(account), [file_id])


def _record(values: dict[str, Any]) -> Record | None:
    """A record as it was written down; None for one that another version wrote in another way."""
    try:
        return Record(**values)
    except TypeError:
        return None


def _group(account: str) -> str:
    return f"files:{account}"
