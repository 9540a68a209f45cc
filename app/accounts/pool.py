"""The pool: of several accounts, the one that serves a request; none of them more than it bears.

The least busy account serves, of those the one that has been unused longest. Streams are counted over all workers and
machines: each holds one of the account's numbered slots, a lease that runs out by itself when its worker dies. Where
all are busy a request waits in line; where all have been refused it is told so at once, with the time at which it is
worth trying again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from app.accounts.cooldown import Cooldown, Cooldowns
from app.accounts.credentials import Credential
from app.accounts.line import Lines
from app.accounts.standing import Standing, Standings, single_key, used_key
from app.chat.cancellation import Cancellation
from app.errors import GatewayError, NoAccountReady, Overloaded, RateLimitExceeded, SecondStreamRefused
from app.state.leases import Lease as SlotLease
from app.state.leases import Leases
from app.state.store import Store

POLL = 0.1
"""Seconds between two looks of the first in a line: a stream of another worker ends unseen."""

SINGLE_LIFE = 86_400.0
"""Seconds for which an account on which Kimi refused a second stream is given one at a time."""

USED_LIFE = 86_400.0
"""Seconds for which it is remembered when an account was last used."""

_RETRY_BUSY = 5.0
"""Seconds after which a place may be free: how long an answer takes cannot be known."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """How many streams one worker and one account may have, and how many seconds a request waits for its turn."""

    streams: int = 5000
    streams_per_account: int = 2
    queue: float = 30.0


class AccountLease:
    """An account for one request; given back at the end of the block. `waited` is the seconds it took to get it."""

    def __init__(self, pool: Pool, credential: Credential, kind: str, slot: SlotLease, standing: Standing) -> None:
        self.credential = credential
        self.waited = 0.0
        self._pool = pool
        self._kind = kind
        self._slot: SlotLease | None = slot
        self._standing = standing

    def succeeded(self) -> None:
        """Kimi has answered: what had been noted when the account was taken is over."""
        self._pool.note_success(self._standing.noted)

    def failed(self, error: GatewayError) -> None:
        """Kimi has refused, or failed: what concerns the account is written down, and the error told the truth."""
        self._pool.note_failure(self.credential, self._kind, error, others=self._standing.busy)

    def __enter__(self) -> Self:
        return self

    def keep(self) -> Callable[[], None]:
        """Keep the account beyond the block; the result gives it back."""
        slot, self._slot = self._slot, None
        return lambda: self._pool.ended(slot)

    def give_back(self) -> None:
        """Give the account back before the block's end; harmless when that was done before."""
        self.keep()()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.give_back()


class Pool:
    """All accounts of all requests. `clock` is the time of day, `timer` monotonic, both in seconds."""

    def __init__(
        self,
        *,
        store: Store,
        leases: Leases,
        limits: Limits,
        clock: Callable[[], float] = time.time,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._leases = leases
        self._limits = limits
        self._clock = clock
        self._timer = timer
        self._cooldowns = Cooldowns(store, clock=clock)
        self._standings = Standings(store, self._cooldowns, limits.streams_per_account)
        self._lines = Lines()
        self._lock = threading.Lock()
        self._open = 0

    def lease(
        self, credentials: Sequence[Credential], kind: str, cancellation: Cancellation, *, prefer: str | None = None
    ) -> AccountLease:
        """One of these accounts for a request of this kind, in its turn; `prefer` names the one to take if it is free.

        Raises ClientGone after a cancellation, RateLimitExceeded when no turn came in time, Overloaded when the worker
        is full, and what stands against the accounts when none of them may be asked.
        """
        began = self._timer()
        line = (kind, frozenset(credential.account for credential in credentials))
        with self._lines.join(line) as place:
            forget = cancellation.on_cancel(place.call)
            try:
                while True:
                    cancellation.check()
                    left = began + self._limits.queue - self._timer()
                    leased = self._looked(credentials, kind, prefer, left) if place.is_first else None
                    if leased is not None:
                        leased.waited = self._timer() - began
                        return leased
                    if left <= 0:
                        raise self._no_turn()
                    place.wait(min(left, POLL) if place.is_first else left)
            finally:
                forget()

    def standing(self, credential: Credential, kind: str) -> tuple[int, Cooldown | None]:
        """How many streams an account has, and the pause that it is in; for the diagnosis."""
        found = self._standings.of([credential], kind)[0]
        return found.busy, found.cooldown

    def note_success(self, noted: Mapping[str, bytes]) -> None:
        """Kimi has answered: what had been noted before is over, what was noted meanwhile is not."""
        for key, value in noted.items():
            self._store.swap(key, value, None, 0)

    def note_failure(self, credential: Credential, kind: str, error: GatewayError, *, others: int) -> None:
        """Write down what a failure says of the account, and tell the error when trying again makes sense.

        `others` is how many streams the account had when it was taken; more may have come since. Kimi does not always
        say that it was one too many (protocol.md B9): a limit without a time, while another stream ran, is taken for
        that.
        """
        if isinstance(error, RateLimitExceeded):
            others = max(others, self._standings.of([credential], kind)[0].busy - 1)
        untold = type(error) is RateLimitExceeded and error.retry_after is None and error.resets_at is None
        crowded = isinstance(error, SecondStreamRefused) or (untold and others > 0)
        if crowded:
            self._store.put({single_key(credential): b"1"}, SINGLE_LIFE)
            _log.info("the account takes one stream at a time", extra={"fields": {"account": credential.account[:12]}})
        if crowded and others:
            error.retryable, error.retry_after = True, 1.0  # tried again at once, the request waits for its turn
            return
        cooldown = self._cooldowns.note(credential, kind, error)
        if cooldown is not None:
            fields = {"account": credential.account[:12], "code": error.code, "seconds": round(cooldown.pause, 1)}
            _log.info("an account is left alone for a while", extra={"fields": fields})
            if not cooldown.is_aside:
                error.retry_after = cooldown.pause

    def ended(self, slot: SlotLease | None) -> None:
        """A stream has ended; None: that was said before."""
        if slot is None:
            return
        with self._lock:
            self._open -= 1
        slot.release()
        self._lines.call_all()

    def refusal(self, credentials: Sequence[Credential], kind: str) -> GatewayError | None:
        """What stands against all of these accounts, None if one of them may be asked (or is merely busy)."""
        return self._refusal([standing.cooldown for standing in self._standings.of(credentials, kind)])

    def _looked(
        self, credentials: Sequence[Credential], kind: str, prefer: str | None, left: float
    ) -> AccountLease | None:
        """An account if one is free now, None if waiting may help. Raises what stands against all of them."""
        standings = self._standings.of(credentials, kind)
        ready = [standing for standing in standings if standing.is_ready]
        ready.sort(key=lambda standing: (standing.credential.name != prefer, standing.busy, standing.used))
        for standing in ready:
            if (slot := self._counted(standing)) is not None:
                if len(credentials) > 1:
                    self._store.put({used_key(standing.credential): repr(self._clock()).encode()}, USED_LIFE)
                return AccountLease(self, standing.credential, kind, slot, standing)
        error = self._refusal([standing.cooldown for standing in standings])
        if error is not None and not self._ends_within(left, standings):
            raise error
        return None

    def _counted(self, standing: Standing) -> SlotLease | None:
        """A slot of the account, if the worker has room for one more stream."""
        with self._lock:
            if self._open >= self._limits.streams:
                return None
            self._open += 1  # before the slot is taken: other requests run meanwhile
        slot = self._taken(standing)
        if slot is None:
            with self._lock:
                self._open -= 1
        return slot

    def _taken(self, standing: Standing) -> SlotLease | None:
        for key in standing.free:
            if slot := self._leases.take(key):
                return slot
        return None

    def _refusal(self, cooldowns: Sequence[Cooldown | None]) -> GatewayError | None:
        paused = [cooldown for cooldown in cooldowns if cooldown is not None]
        if len(paused) < len(cooldowns):
            return None
        now = self._clock()
        passing = [cooldown for cooldown in paused if not cooldown.is_aside]
        codes = {cooldown.code for cooldown in paused}
        if len(codes) == 1:
            return min(paused, key=lambda cooldown: cooldown.until).error(now)
        counts = ", ".join(f"{sum(cooldown.code == code for cooldown in paused)} {code}" for code in sorted(codes))
        soonest = min((cooldown.until for cooldown in passing), default=None)
        wait = None if soonest is None else max(1.0, soonest - now)
        return NoAccountReady(f"None of the {len(paused)} accounts can serve now: {counts}.", retry_after=wait)

    def _ends_within(self, left: float, standings: Sequence[Standing]) -> bool:
        """Whether a pause ends before the waiting does."""
        ends = [
            standing.cooldown.until for standing in standings if standing.cooldown and not standing.cooldown.is_aside
        ]
        return bool(ends) and min(ends) <= self._clock() + left

    def _no_turn(self) -> GatewayError:
        waited = f"{self._limits.queue:g} s"
        if self._open >= self._limits.streams:
            return Overloaded(f"This gateway is full; no place became free in {waited}.", retry_after=_RETRY_BUSY)
        return RateLimitExceeded(
            f"The account is busy with as many answers as it may; none ended in {waited}.", retry_after=_RETRY_BUSY
        )
