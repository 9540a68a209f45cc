"""What the tests of accounts share: credentials, an auth host as strict as Kimi's, and workers that can die."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

from app.accounts.credentials import Credential, parse_credentials
from app.accounts.tokens import AccessToken, AccessTokens
from app.accounts.vault import Vault
from app.errors import TokenExpired
from app.kimi.refresh import TokenPair
from app.state.store import StateUnavailable, Store
from tests.fakes import FakeClock, jwt

PATIENCE = 10.0
"""Seconds that a test waits for what must come at once."""


def credential(token: str) -> Credential:
    """What is recognised in a token."""
    return parse_credentials(token)[0]


def refreshable(**claims: object) -> Credential:
    """A refresh token."""
    return credential(jwt(**{"typ": "refresh", **claims}))


def accessing(**claims: object) -> Credential:
    """An access token."""
    return credential(jwt(**claims))


class Died(BaseException):
    """The process was killed here; nothing of it runs any more."""


class Mortal:
    """A process's way to a store that others use as well; after its death nothing it does arrives there.

    `step` happens before each call.
    """

    def __init__(self, store: Store, step: Callable[[], None] = lambda: None) -> None:
        self.dead = False
        self._store = store
        self._step = step

    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        return self._alive().get(keys)

    def put(self, items: Mapping[str, bytes], ttl: float) -> None:
        self._alive().put(items, ttl)

    def swap(self, key: str, old: bytes | None, new: bytes | None, ttl: float, *, durable: bool = False) -> bool:
        return self._alive().swap(key, old, new, ttl, durable=durable)

    def members(self, group: str) -> dict[str, bytes]:
        return self._alive().members(group)

    def add(self, group: str, name: str, value: bytes) -> None:
        self._alive().add(group, name, value)

    def remove(self, group: str, names: Sequence[str]) -> None:
        self._alive().remove(group, names)

    def _alive(self) -> Store:
        if not self.dead:
            self._step()
        if self.dead:
            raise StateUnavailable("its process is dead")
        return self._store


class AuthHost:
    """Rotates refresh tokens as Kimi does, beginning with `token`.

    An old one works once more within `window` seconds of its first use; any other use of it ends the whole family.
    `refreshed` are the tokens that were presented.
    """

    def __init__(self, clock: FakeClock, token: str, *, window: float = 30.0, life: float = 900.0) -> None:
        self.refreshed: list[str] = []
        self.revoked = False
        self._clock = clock
        self._window = window
        self._life = life
        self._lock = threading.Lock()
        self._uses: dict[str, list[float]] = {token: []}
        self._accepted: dict[str, float] = {}

    def __call__(self, whose: Credential, token: str) -> TokenPair:
        """Exchange a refresh token."""
        with self._lock:
            now = self._clock()
            self.refreshed.append(token)
            uses = self._uses.get(token)
            if uses is not None and (len(uses) > 1 or (uses and now - uses[0] > self._window)):
                self.revoked = True
            if uses is None or self.revoked:
                raise TokenExpired("the family is revoked")
            uses.append(now)
            number = len(self.refreshed)
            pair = TokenPair(
                jwt(iat=now, exp=now + self._life, jti=number),
                jwt(typ="refresh", exp=now + 90 * 86_400, jti=number),
            )
            self._uses[pair.refresh or ""] = []
            self._accepted[pair.access] = now + self._life
            return pair

    def serve(self, token: AccessToken) -> str:
        """Serve a request with an access token; gives the token."""
        if self.revoked or self._accepted.get(token.value, 0.0) <= self._clock():
            raise TokenExpired("the access token is not accepted")
        return token.value

    def end_access(self) -> None:
        """Accept none of the access tokens given so far."""
        self._accepted.clear()


class Worker:
    """One process with access tokens, of several on one store.

    It is killed at its step number `dies_at`; what is to happen while it stands still before its step number
    `stands_at` is `meanwhile`. Steps are its calls to the store, and two for a refresh: its call and its answer.
    """

    def __init__(self, store: Store, host: Callable[[Credential, str], TokenPair], clock: FakeClock) -> None:
        self.store = Mortal(store, self._step)
        self.dies_at: int | None = None
        self.stands_at: int | None = None
        self.meanwhile: Callable[[], object] = lambda: None
        self.steps = 0
        self.log: list[str] = []
        self._host = host
        self.tokens = AccessTokens(
            refresh=self._refresh,
            vault=Vault([self.store]),
            store=self.store,
            clock=clock,
            sleep=lambda seconds: clock.advance(10 * seconds),  # fewer looks do
        )

    def get(self, whose: Credential) -> str:
        """The access token's text."""
        return self.tokens.get(whose).value

    def die(self) -> None:
        """Be killed."""
        self.store.dead = True
        raise Died

    def _refresh(self, whose: Credential, token: str) -> TokenPair:
        self._step()
        pair = self._host(whose, token)
        self._step()
        return pair

    def _step(self) -> None:
        self.steps += 1
        if self.steps == self.dies_at:
            self.die()
        if self.steps == self.stands_at:
            self.meanwhile()


def leave_no_threads() -> None:
    """Wait for the threads that renew leases or tell stores: they end soon after they have nothing more to do."""
    for thread in _ours():
        thread.join(PATIENCE)
    assert _ours() == []


def _ours() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name in {"leases", "vault"}]
