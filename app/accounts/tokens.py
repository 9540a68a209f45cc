"""Access tokens: exchanged for refresh tokens, kept until shortly before they expire, one refresh in flight each.

Kimi rotates both tokens at every refresh and revokes the whole family when an old one is used again. So of all workers
and machines one refreshes at a time, the pair it got is in the vault before anybody uses it, and the others read it
there. Within a process the threads that want the same token wait for the first of them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

from cachetools import LRUCache, TLRUCache, cached

from app.accounts.credentials import Claims, Credential, Kind, claims_of, routing_claims
from app.accounts.refusal import FAILURE_LIFE, MAX_FAILURE_LIFE, Refusal, life_of
from app.accounts.vault import MAX_ACCOUNTS, Pair, Record, Vault
from app.errors import GatewayError, InvalidApiKey, TokenExpired, UpstreamTimeout
from app.state.store import Store

EXPIRY_MARGIN = 60.0
"""Seconds before its end from which a token is not used any more (a fifth of its life, if that is less)."""

UNDATED_LIFE = 300.0
"""Seconds that an access token without `exp` lives (protocol.md A2)."""

RENEWALS = 2
"""How often a token that Kimi refuses is replaced for one request: by the one that another worker has got, which may
have been ended as well, and by a fresh one."""

POSTPONED = 2.0
"""Seconds for which a refresh is put off while a store does not answer and the old access token is still good."""

FLIGHT_LIMIT = 60.0
"""Seconds to wait for another worker's refresh."""

_POLL = 0.05
_REMEMBERED = 4  # refused tokens of an account: stragglers come with older ones


_T = TypeVar("_T")


class NewTokens(Protocol):
    """What a refresh gives."""

    @property
    def access(self) -> str:
        """The new access token."""

    @property
    def refresh(self) -> str | None:
        """The new refresh token, None if the old one stays."""


Refresh = Callable[[Credential, str], NewTokens]
"""Exchanges a refresh token of this credential; raises GatewayError."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token that Kimi's sites take, and on which of them; `fresh` if this process has refreshed to get it."""

    value: str = field(repr=False)
    overseas: bool
    fresh: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class _Granted:
    token: AccessToken
    until: float


@dataclass(frozen=True, slots=True)
class _Look:
    """What is written down: the pair, the last failure, and which of them decides now."""

    record: Record
    last: Refusal | None
    outcome: _Granted | Refusal | None


class AccessTokens:
    """Gives the access token of a credential.

    `vault` holds the pairs, `store` what workers tell each other of failures. `clock` gives the time of day in
    seconds, because `exp` is one.
    """

    def __init__(
        self,
        *,
        refresh: Refresh,
        vault: Vault,
        store: Store,
        clock: Callable[[], float],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._refresh = refresh
        self._vault = vault
        self._store = store
        self._clock = clock
        self._sleep = sleep
        self._rejected: LRUCache[str, tuple[str, ...]] = LRUCache(MAX_ACCOUNTS)
        self._cache: TLRUCache[str, _Granted | Refusal] = TLRUCache(MAX_ACCOUNTS, _use_until, timer=clock)
        self._condition = threading.Condition()
        self._exchange = cached(self._cache, key=_name, condition=self._condition)(self._exchanged)

    def get(self, credential: Credential) -> AccessToken:
        """An access token: the credential itself until its `exp`, or one exchanged that is good for a while yet.

        Raises TokenExpired, InvalidApiKey for an official key, and what a refresh raises.
        """
        if credential.kind is Kind.OFFICIAL:
            raise InvalidApiKey(
                "Keys of the official API (sk-...) are not served by this version: it serves accounts of Kimi's chat."
            )
        if credential.kind is Kind.ACCESS:
            self._check(credential.claims)
            return AccessToken(credential.token, credential.claims.overseas)
        outcome = self._exchange(credential)
        if isinstance(outcome, Refusal):
            raise outcome.error()
        return outcome.token

    def reject(self, credential: Credential, token: AccessToken) -> bool:
        """Drop a token that Kimi refused; True if another one can be had by a refresh."""
        if credential.kind not in {Kind.REFRESH, Kind.LEGACY}:
            return False
        with self._condition:
            known = self._rejected.get(credential.name, ())
            self._rejected[credential.name] = (token.value, *known)[:_REMEMBERED]
            kept = self._cache.get(credential.name)
            if isinstance(kept, _Granted) and kept.token == token:
                del self._cache[credential.name]
        return True

    def using(self, credential: Credential, step: Callable[[AccessToken], _T]) -> _T:
        """Do something with an access token; one that Kimi has ended meanwhile is replaced.

        Raises what `get` and `step` raise.
        """
        renewals = 0
        while True:
            token = self.get(credential)
            try:
                return step(token)
            except TokenExpired:
                if not self.renews(credential, token, renewals):
                    raise
                renewals += 1

    def renews(self, credential: Credential, token: AccessToken, renewals: int) -> bool:
        """Whether a token that Kimi refused, after so many others, is dropped because `get` has one worth trying."""
        worth = renewals == 0 or (renewals < RENEWALS and not token.fresh)
        return worth and self.reject(credential, token)

    def _exchanged(self, credential: Credential) -> _Granted | Refusal:
        """The pair that some worker got, or one that is got now."""
        waited = 0.0
        while True:
            if known := self._known(credential).outcome:
                return known
            began = self._clock()
            # With the store that was restarted a moment ago, the newest pair is about to come back.
            lease = None if self._vault.is_doubtful else self._vault.lease(credential)
            if lease is not None:
                with lease:
                    look = self._known(credential)  # it may have come between the look and the lease
                    return look.outcome or self._renewed(credential, look, began)
            if waited > FLIGHT_LIMIT:
                error = UpstreamTimeout("Another worker has been refreshing this token for too long.")
                return Refusal.of(error, FAILURE_LIFE, self._clock())
            self._sleep(_POLL)
            waited += _POLL

    def _known(self, credential: Credential) -> _Look:
        """What the workers have written down: a pair that is good, or a refusal that is fresh."""
        record = self._vault.read(credential)
        note = self._store.get([_refusal_key(credential)])[0]
        last = Refusal.read(note)
        pair, now = record.pair, self._clock()
        if pair is not None and pair.access not in self._rejected.get(credential.name, ()):
            if pair.until > now:
                return _Look(record, last, self._granted(credential, pair))
            if not record.complete and pair.expires > now + POSTPONED:
                # Somebody may have refreshed out of our sight, and the second use of a refresh token may cost the
                # account; the margin before the end of the old token is there to be used.
                return _Look(record, last, self._granted(credential, replace(pair, until=now + POSTPONED)))
        return _Look(record, last, last if last is not None and last.until > now else None)

    def _renewed(self, credential: Credential, look: _Look, began: float) -> _Granted | Refusal:
        """Refresh, and store the pair before it is used.

        `began` dates the pair: a time before the lease was taken, so that a worker that stood still until it had lost
        its lease counts as older than the one that has it now.
        """
        kept = look.record.pair
        token = kept.refresh if kept else credential.token  # a rotated one outlives the one presented
        try:
            self._check(routing_claims(claims_of(token)))
            new = self._refresh(credential, token)
        except GatewayError as error:
            pause = life_of(error, look.last, since=kept.at if kept else 0.0)
            refusal = Refusal.of(error, pause, self._clock())
            self._store.put({_refusal_key(credential): refusal.written()}, 2 * MAX_FAILURE_LIFE)
            return refusal
        now = self._clock()
        life = self._life(routing_claims(claims_of(new.access)))
        pair = Pair(
            access=new.access,
            refresh=new.refresh or token,
            until=now + max(life - min(EXPIRY_MARGIN, life / 5), FAILURE_LIFE),
            expires=now + life,
            serial=kept.serial + 1 if kept else 1,
            at=began,
        )
        kept = self._vault.write(credential, pair, instead_of=look.record)
        return self._granted(credential, kept, fresh=kept == pair)

    def _granted(self, credential: Credential, pair: Pair, *, fresh: bool = False) -> _Granted:
        claims = routing_claims(claims_of(pair.access))
        overseas = claims.overseas or credential.claims.overseas
        return _Granted(AccessToken(pair.access, overseas, fresh), pair.until)

    def _check(self, claims: Claims) -> None:
        """Refuse a token that has expired by its own word: Kimi need not be asked."""
        if claims.expires_at is not None and claims.expires_at <= self._clock():
            raise TokenExpired("The Kimi token has expired: log in again and copy the new one.")

    def _life(self, claims: Claims) -> float:
        """Seconds that a token just issued lives: by its own two dates, so that a clock set wrong does not matter."""
        if claims.lifetime is not None:
            return claims.lifetime
        return UNDATED_LIFE if claims.expires_at is None else claims.expires_at - self._clock()


def _name(credential: Credential) -> str:
    return credential.name


def _refusal_key(credential: Credential) -> str:
    return f"refusal:{credential.name}"


def _use_until(_key: str, outcome: _Granted | Refusal, _now: float) -> float:
    return outcome.until
