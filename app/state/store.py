"""What a store can do: one small interface, two engines.

A store holds values under keys, each for a time, and groups of named values that stay until they are taken away.
`swap` is the one atomic step: a lease is a swap from nothing, a safe change is a swap from what was read. Times to live
are in seconds. A store that cannot serve raises StateUnavailable; no other exception leaves it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class StateUnavailable(Exception):
    """A store cannot serve now; nothing was changed, as far as can be known."""


class Store(Protocol):
    """Values that workers share."""

    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values of these keys in their order; None for one that is not there or has expired."""

    def put(self, items: Mapping[str, bytes], ttl: float) -> None:
        """Set all of these values, whatever was there."""

    def swap(self, key: str, old: bytes | None, new: bytes | None, ttl: float, *, durable: bool = False) -> bool:
        """Change a value from `old` to `new`, if it still is `old`; tell whether it was. None is no value.

        With `durable` the change survives also a power failure, where the engine can promise that.
        """

    def members(self, group: str) -> dict[str, bytes]:
        """The values of a group by their names."""

    def add(self, group: str, name: str, value: bytes) -> None:
        """Put a value into a group, or replace the one of that name. Groups do not expire."""

    def remove(self, group: str, names: Sequence[str]) -> None:
        """Take values out of a group; names that are not there are passed over."""
