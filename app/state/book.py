"""Books: groups of named entries that must not be lost, kept over all stores.

A store that is away cannot be told of a change. So every entry says when it was written, the newest of all stores
counts, and an entry that could not be taken out everywhere is overruled by a note that it is gone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

from app.state.store import StateUnavailable, Store

Values = dict[str, object]


class Book:
    """Entries of JSON values, by group and name; `clock` is the time of day in seconds."""

    def __init__(self, stores: Sequence[Store], *, clock: Callable[[], float]) -> None:
        self._stores = tuple(stores)
        self._clock = clock

    def write(self, group: str, name: str, values: Mapping[str, object]) -> None:
        """Write an entry, or replace the one of that name."""
        self._add(group, name, values)

    def strike(self, group: str, names: Sequence[str]) -> None:
        """Take entries out; names that are not there are passed over."""
        missed = False
        for store in self._stores:
            try:
                store.remove(group, names)
            except StateUnavailable:
                missed = True
        for name in names if missed else ():
            self._add(group, name, None)

    def read(self, group: str) -> dict[str, Values]:
        """All entries of a group by their names; what another version wrote otherwise is left out."""
        newest: dict[str, tuple[float, Values | None]] = {}
        complete = True
        for store in self._stores:
            try:
                members = store.members(group)
            except StateUnavailable:
                complete = False
                continue
            for name, value in members.items():
                found = _read(value)
                if found is not None and (name not in newest or found[0] > newest[name][0]):
                    newest[name] = found
        gone = [name for name, (_, values) in newest.items() if values is None]
        if gone and complete:  # a store that is away may have what was written since
            self.strike(group, gone)
        return {name: values for name, (_, values) in newest.items() if values is not None}

    def _add(self, group: str, name: str, values: Mapping[str, object] | None) -> None:
        """Write into the first store that answers."""
        value = json.dumps([self._clock(), values]).encode()
        for store in self._stores:
            try:
                store.add(group, name, value)
            except StateUnavailable:
                continue
            else:
                return


def _read(value: bytes) -> tuple[float, Values | None] | None:
    """When an entry was written, and its values (None: it is gone)."""
    try:
        at, values = json.loads(value)
        return (float(at), values) if values is None or isinstance(values, dict) else None
    except (ValueError, TypeError, OverflowError, RecursionError):
        return None
