"""The ledger: every conversation that the gateway opened and has not yet seen deleted.

A conversation is written down before the first event of its answer is passed on, and struck off when Kimi has
confirmed its deletion. It is what clean-up works from, also after a crash; nothing ever asks Kimi which conversations
there are, so what a person began by hand cannot be touched. An entry is kept in every store that answers, under the
account's name, which does not reveal the account.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from app.state.store import StateUnavailable, Store


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
    """The entries of all accounts, each under its account's name. `clock` is the time of day in seconds.

    A store that is away cannot be told of a change. So every value says when it was written, the newest of all stores
    counts, and an entry that could not be taken out everywhere is overruled by a note that it is gone.
    """

    def __init__(self, stores: Sequence[Store], *, clock: Callable[[], float]) -> None:
        self._stores = tuple(stores)
        self._clock = clock

    def write(self, account: str, entry: Entry) -> None:
        """Write an entry down, or change the one of the same conversation."""
        self._add(account, entry.conversation_id, asdict(entry))

    def strike(self, account: str, conversation_ids: Sequence[str]) -> None:
        """Take entries out: their conversations are gone, or are the client's own from now on."""
        missed = False
        for store in self._stores:
            try:
                store.remove(_group(account), conversation_ids)
            except StateUnavailable:
                missed = True
        for identity in conversation_ids if missed else ():
            self._add(account, identity, None)

    def entries(self, account: str) -> list[Entry]:
        """All entries of an account."""
        newest: dict[str, tuple[float, Entry | None]] = {}
        for store in self._stores:
            try:
                values = store.members(_group(account))
            except StateUnavailable:
                continue
            for identity, value in values.items():
                read = _read(value)
                if read is not None and (identity not in newest or read[0] > newest[identity][0]):
                    newest[identity] = read
        gone = [identity for identity, (_, entry) in newest.items() if entry is None]
        if gone:
            self.strike(account, gone)
        return [entry for _, entry in newest.values() if entry is not None]

    def postpone(self, account: str, entry: Entry, due: float) -> None:
        """Note a deletion that failed, to be tried again at `due`."""
        self.write(account, replace(entry, user=None, due=due, attempts=entry.attempts + 1))

    def _add(self, account: str, identity: str, entry: dict[str, Any] | None) -> None:
        """Write a value into the first store that answers."""
        value = json.dumps([self._clock(), entry]).encode()
        for store in self._stores:
            try:
                store.add(_group(account), identity, value)
            except StateUnavailable:
                continue
            else:
                return


def _read(value: bytes) -> tuple[float, Entry | None] | None:
    """When a value was written, and its entry (None: it is gone); None for what another version wrote otherwise."""
    try:
        at, entry = json.loads(value)
        return float(at), None if entry is None else Entry(**entry)
    except (ValueError, TypeError):
        return None


def _group(account: str) -> str:
    return f"ledger:{account}"
