"""Which models Kimi offers to an account: read when first needed, kept for an hour."""

from __future__ import annotations

import threading
from collections.abc import Callable

from cachetools import TLRUCache, cached

from app.accounts.vault import MAX_ACCOUNTS
from app.errors import AccountRestricted, GatewayError, TokenExpired
from config.models import ModelEntry

LIST_LIFE = 3600.0
FAILURE_LIFE = 300.0
"""Seconds: a list that could not be read is not asked for with every answer; the static table serves meanwhile."""

Offered = tuple[ModelEntry, ...]


class OfferedModels:
    """Gives the models of an account; an empty list means that the static table has to serve."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        cache: TLRUCache[str, Offered] = TLRUCache(MAX_ACCOUNTS, _use_until, timer=clock)
        condition = threading.Condition()
        self._read = cached(cache, key=lambda key, _fetch: key, condition=condition)(_fetched)

    def get(self, key: str, fetch: Callable[[], Offered]) -> Offered:
        """The models of the account with this key, by `fetch` if they are not known.

        Raises only what concerns the account: a token that has expired, an account that is restricted.
        """
        return self._read(key, fetch)


def _fetched(_key: str, fetch: Callable[[], Offered]) -> Offered:
    try:
        return fetch()
    except (TokenExpired, AccountRestricted):
        raise
    except GatewayError:
        return ()


def _use_until(_key: str, offered: Offered, now: float) -> float:
    return now + (LIST_LIFE if offered else FAILURE_LIFE)
