"""The stores that the settings ask for, opened; what cannot be used is gone without, and said."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from app.state.fallback import Fallback
from app.state.leases import Leases
from app.state.presence import Presence
from app.state.redis import PATIENT_TIMEOUT, RedisStore
from app.state.sqlite import MEMORY, SqliteStore
from app.state.store import StateUnavailable, Store

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class State:
    """All that is shared.

    `stores` are what there is, the one most widely shared first; `shared` is the first of them that answers; `careful`
    are the same, but given more time. `lasting` says that what is written survives this process.
    """

    stores: tuple[RedisStore | SqliteStore, ...]
    careful: tuple[Store, ...]
    shared: Store
    leases: Leases
    presence: Presence
    lasting: bool
    engine: str
    _warning: str | None = None

    def on_restart(self, callback: Callable[[], None]) -> None:
        """Call `callback` whenever a store has been restarted, and may have forgotten; it must be quick."""
        for store in {*self.stores, *self.careful}:
            if isinstance(store, RedisStore):
                store.on_restart.append(callback)

    def warnings(self) -> list[str]:
        """What an operator should know, one sentence each."""
        found = [] if self._warning is None else [self._warning]
        found += [_AWAY[type(store)] for store in self.stores if store.is_away]
        return found


_ONLY_REDIS = "while Redis does not answer, state is kept in memory."
_ONLY_MEMORY = "state is kept in memory, and a restart forgets rotated tokens."
_APART = "The workers know nothing of each other: each refreshes the same token, and Kimi may end its session."
_AWAY = {
    RedisStore: "Redis does not answer: this machine goes on by itself.",
    SqliteStore: "The database does not work at the moment: this worker goes on by itself.",
}


def open_state(database_path: str, redis_url: str | None = None, *, workers: int = 1) -> State:
    """Open what the settings name, for so many workers of this machine.

    A database that cannot be used is replaced by memory, with a warning.
    """
    stores: list[RedisStore | SqliteStore] = [RedisStore(redis_url)] if redis_url else []
    warning = None
    if database_path != MEMORY:
        try:
            stores.append(SqliteStore(database_path))
        except StateUnavailable:
            warning = "DATABASE_PATH cannot be used: " + (_ONLY_REDIS if redis_url else _ONLY_MEMORY)
    lasting = bool(stores)
    if workers > 1 and not lasting:
        warning = f"{warning or 'DATABASE_PATH is :memory:.'} {_APART}"
    if warning is not None:
        _log.warning(warning)
    engine = "redis" if redis_url else "sqlite" if lasting else "memory"
    # Memory is the last resort also where there is a file: a disk may fill up.
    stores.append(SqliteStore(MEMORY))
    careful = (RedisStore(redis_url, timeout=PATIENT_TIMEOUT), *stores[1:]) if redis_url else tuple(stores)
    shared = Fallback(stores)
    leases = Leases(shared)
    return State(tuple(stores), careful, shared, leases, Presence(shared, leases), lasting, engine, warning)
