"""The vault: the newest pair of tokens of each credential, sealed so that the database alone reveals nothing.

Kimi gives a new refresh token with every refresh and soon refuses the old one (protocol.md B3), while the client goes
on to present the one it was given. So the pair is kept under an HMAC of the token presented, encrypted with a key
derived from that very token: who does not present it can read nothing. A record is kept in every store that answers,
and the newest counts, so that a Redis that was away or has lost its memory is told what happened meanwhile.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, fields

from cachetools import LRUCache

from app.accounts.credentials import Credential
from app.accounts.seal import Seal
from app.state.leases import Leases
from app.state.store import StateUnavailable, Store

MAX_ACCOUNTS = 10_000
"""How many accounts one process remembers in its caches."""

LIFE = 200 * 86_400.0
"""Seconds that a pair is kept after its last refresh; refresh tokens live about 90 days (protocol.md B3)."""

DOUBT = 6.0
"""Seconds in which a store that was restarted is told by all: each process calls it at least every four (leases)."""

TELL_EVERY = 1.0
"""Seconds between two attempts to tell a store that was away what it has missed."""


@dataclass(frozen=True, slots=True)
class Pair:
    """What a refresh gave.

    `until` is the time of day until which the access token is used, `expires` that at which it ends. `serial` is how
    many pairs were kept before, `at` when this one was got: it tells the newer of two that machines got by themselves.
    """

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    until: float
    serial: int
    at: float
    expires: float = 0.0


@dataclass(frozen=True, slots=True)
class Record:
    """What is kept of a credential: the newest pair, None if there is none, and what each store holds of it.

    With `complete` unset a store did not answer, or may have forgotten: others may know of a newer pair.
    """

    pair: Pair | None
    sealed: tuple[bytes | None, ...] = field(repr=False)
    complete: bool


class Vault:
    """Keeps pairs in `stores`, and lets one refresh at a time happen. `timer` is monotonic, in seconds."""

    def __init__(
        self,
        stores: Sequence[Store],
        *,
        sleep: Callable[[float], None] = time.sleep,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stores = tuple(stores)
        self._leases = tuple(Leases(store) for store in stores)
        self._sleep = sleep
        self._timer = timer
        self._lock = threading.Lock()
        self._seen: LRUCache[str, Credential] = LRUCache(MAX_ACCOUNTS)
        self._behind: dict[str, Credential] = {}
        self._telling = False
        self._doubtful_until = 0.0

    def read(self, credential: Credential) -> Record:
        """The newest pair that any store holds; the others are told of it."""
        key = _key(credential)
        answers = [_answer(store, key) for store in self._stores]
        sealed = tuple(answer[0] if answer else None for answer in answers)
        pairs = [_unsealed(credential, box) for box in sealed]
        newest = max((pair for pair in pairs if pair), key=_age, default=None)
        if newest is not None:
            box = sealed[pairs.index(newest)]
            for store, pair, held in zip(self._stores, pairs, sealed, strict=True):
                if pair != newest:
                    _swapped(store, key, held, box)
        with self._lock:
            self._seen[credential.name] = credential
        return Record(newest, sealed, complete=None not in answers and not self.is_doubtful)

    def write(self, credential: Credential, pair: Pair, instead_of: Record) -> Pair:
        """Keep a new pair; it is safe when this returns. Gives the pair that counts from now on.

        That is another one if somebody else wrote since `instead_of` was read: it is read back, and nobody refreshes
        again.
        """
        key, box = _key(credential), _sealed(credential, pair)
        for store, was in zip(self._stores, instead_of.sealed, strict=True):
            held = was
            while (took := _swapped(store, key, held, box)) is False:
                # Somebody else wrote, or the store has lost its memory or regained it: the newest pair tells which.
                newest = self.read(credential).pair
                if newest is not None and _age(newest) > _age(pair):
                    return newest
                held = _held(store, key)
            if took is None:
                self._tell_later({credential.name: credential})
        return pair

    def lease(self, credential: Credential) -> ExitStack | None:
        """The right to refresh this credential, in every store that answers; None while another has it.

        In every store, because Redis may come and go between two workers' attempts.
        """
        with ExitStack() as stack:
            for leases in self._leases:
                try:
                    lease = leases.take(f"refresh:{credential.name}")
                except StateUnavailable:
                    continue
                if lease is None:
                    return None
                stack.enter_context(lease)
            return stack.pop_all()

    @property
    def is_doubtful(self) -> bool:
        """Whether a store has come back a moment ago, and others may not have told it yet of a newer pair."""
        return self._timer() < self._doubtful_until

    def tell_again(self) -> None:
        """A store has come back, maybe without its memory: have it told of all pairs that this process knows of."""
        with self._lock:
            self._doubtful_until = self._timer() + DOUBT
            known = dict(self._seen)
        self._tell_later(known)

    def _tell_later(self, credentials: Mapping[str, Credential]) -> None:
        """Have the stores told of the newest pairs as soon as all answer: others may look only into one of them."""
        with self._lock:
            self._behind.update(credentials)
            start = bool(self._behind) and not self._telling
            self._telling = self._telling or start
        if start:
            threading.Thread(target=self._tell, daemon=True, name="vault").start()

    def _tell(self) -> None:
        while True:
            self._sleep(TELL_EVERY)
            with self._lock:
                behind, self._behind = self._behind, {}
            for name, credential in behind.items():
                if not self._is_told(credential):
                    with self._lock:
                        self._behind.setdefault(name, credential)
            with self._lock:
                if not self._behind:
                    self._telling = False
                    return

    def _is_told(self, credential: Credential) -> bool:
        """Whether all stores hold the newest pair, now that it has been read, which tells those that do not."""
        self.read(credential)
        try:
            boxes = [store.get([_key(credential)])[0] for store in self._stores]
        except StateUnavailable:
            return False
        return len({_unsealed(credential, box) for box in boxes}) == 1


def _age(pair: Pair) -> tuple[int, float]:
    return pair.serial, pair.at


def _key(credential: Credential) -> str:
    return f"vault:{credential.name}"


def _answer(store: Store, key: str) -> list[bytes | None] | None:
    """What a store holds under a key, as a list of one; None if the store is away."""
    try:
        return store.get([key])
    except StateUnavailable:
        return None


def _held(store: Store, key: str) -> bytes | None:
    answer = _answer(store, key)
    return answer[0] if answer else None


def _swapped(store: Store, key: str, held: bytes | None, box: bytes | None) -> bool | None:
    """Whether the store took it; None if the store is away."""
    try:
        return store.swap(key, held, box, LIFE, durable=True)
    except StateUnavailable:
        return None


def _seal(credential: Credential) -> Seal:
    return Seal(credential.token.encode(), purpose="vault", place=credential.name)


def _sealed(credential: Credential, pair: Pair) -> bytes:
    return _seal(credential).close(json.dumps(asdict(pair)).encode())


def _unsealed(credential: Credential, box: bytes | None) -> Pair | None:
    """The pair in a box; None for one that was tampered with or is of another version."""
    text = None if box is None else _seal(credential).open(box)
    if text is None:
        return None
    try:
        values = json.loads(text)
        # Another version may know of more or of less; the tokens are what counts.
        return Pair(**{item.name: values[item.name] for item in fields(Pair) if item.name in values})
    except (ValueError, TypeError):
        return None
