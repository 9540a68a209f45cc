"""Several stores as one: the first that answers serves.

Good for what may be forgotten (leases, cooldowns, places in conversations). What must not be lost (rotated tokens, the
clean-up ledger) is kept by its owner in every store there is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from app.state.store import StateUnavailable, Store

_T = TypeVar("_T")


class Fallback:
    """A store that asks `stores` in their order."""

    def __init__(self, stores: Sequence[Store]) -> None:
        self._stores = tuple(stores)

    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values of these keys in their order."""
        return self._first(lambda store: store.get(keys))

    def put(self, items: Mapping[str, bytes], ttl: float) -> None:
        """Set all of these values."""
        self._first(lambda store: store.put(items, ttl))

    def swap(self, key: str, old: bytes | None, new: bytes | None, ttl: float, *, durable: bool = False) -> bool:
        """Change a value from `old` to `new`, if it still is `old`."""
        return self._first(lambda store: store.swap(key, old, new, ttl, durable=durable))

    def members(self, group: str) -> dict[str, bytes]:
        """The values of a group by their names."""
        return self._first(lambda store: store.members(group))

    def add(self, group: str, name: str, value: bytes) -> None:
        """Put a value into a group."""
        self._first(lambda store: store.add(group, name, value))

    def remove(self, group: str, names: Sequence[str]) -> None:
        """Take values out of a group."""
        self._first(lambda store: store.remove(group, names))

    def _first(self, step: Callable[[Store], _T]) -> _T:
        for store in self._stores[:-1]:
            try:
                return step(store)
            except StateUnavailable:
                continue
        return step(self._stores[-1])
