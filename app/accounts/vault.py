"""Where rotated refresh tokens are kept: Kimi gives a new one with every refresh and soon refuses the old.

This one lives in the worker's memory, so a restart goes back to the token that the client presents.
"""

from __future__ import annotations

import threading
from typing import Protocol

from cachetools import LRUCache

MAX_ACCOUNTS = 10_000


class Vault(Protocol):
    """The newest refresh token of each account, under a key that does not reveal the token presented."""

    def current(self, key: bytes) -> str | None:
        """The newest refresh token, None if none was ever stored."""

    def store(self, key: bytes, refresh_token: str) -> None:
        """Keep a new refresh token; it must be safe when this returns."""


class MemoryVault:
    """A vault for one worker; the least recently used accounts go first when there are very many."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tokens: LRUCache[bytes, str] = LRUCache(MAX_ACCOUNTS)

    def current(self, key: bytes) -> str | None:
        """The newest refresh token, None if none was ever stored."""
        with self._lock:
            return self._tokens.get(key)

    def store(self, key: bytes, refresh_token: str) -> None:
        """Keep a new refresh token."""
        with self._lock:
            self._tokens[key] = refresh_token
