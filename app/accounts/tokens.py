"""Access tokens: exchanged for refresh tokens, kept until shortly before they expire, one refresh in flight each.

Kimi rotates both tokens at every refresh and revokes the whole family when an old one is used again, so two refreshes
of one account must never run side by side, and the new refresh token is stored before the access token is used.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from cachetools import TLRUCache, cached

from app.accounts.credentials import Claims, Credential, Kind, claims_of, routing_claims
from app.accounts.vault import MAX_ACCOUNTS, Vault
from app.errors import GatewayError, InvalidApiKey, TokenExpired

EXPIRY_MARGIN = 60.0
"""Seconds before its end from which a token is not used any more (a fifth of its life, if that is less)."""

UNDATED_LIFE = 300.0
"""Seconds that an access token without `exp` lives (protocol.md A2)."""

REFUSAL_LIFE = 15.0
"""Seconds that a refusal is remembered, so that a dead token does not hammer Kimi."""

FAILURE_LIFE = 2.0
"""Seconds that a failed refresh is remembered: those who waited for it do not each try again in turn."""


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
    """A token that Kimi's sites take, and on which of them."""

    value: str = field(repr=False)
    overseas: bool


@dataclass(frozen=True, slots=True)
class _Granted:
    token: AccessToken
    life: float


@dataclass(frozen=True, slots=True)
class _Refused:
    """An error as a value: a shared exception instance would grow its traceback at every raise."""

    kind: type[GatewayError]
    message: str
    retryable: bool
    retry_after: float | None


class AccessTokens:
    """Gives the access token of a credential.

    `clock` gives the time of day in seconds, because `exp` is one; `secret` keys the names under which tokens are kept.
    """

    def __init__(self, *, refresh: Refresh, vault: Vault, secret: bytes, clock: Callable[[], float]) -> None:
        self._refresh = refresh
        self._vault = vault
        self._secret = secret
        self._clock = clock
        self._cache: TLRUCache[bytes, _Granted | _Refused] = TLRUCache(MAX_ACCOUNTS, _use_until, timer=clock)
        self._condition = threading.Condition()
        self._exchange = cached(self._cache, key=self.key, condition=self._condition)(self._exchanged)

    def key(self, credential: Credential) -> bytes:
        """A name for the account that does not reveal its token: an HMAC of all of it."""
        return hmac.digest(self._secret, credential.token.encode(), hashlib.sha256)

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
        if isinstance(outcome, _Refused):
            raise outcome.kind(outcome.message, retryable=outcome.retryable, retry_after=outcome.retry_after)
        return outcome.token

    def reject(self, credential: Credential, token: AccessToken) -> bool:
        """Drop a token that Kimi refused; True if another one can be had by a refresh."""
        if credential.kind not in {Kind.REFRESH, Kind.LEGACY}:
            return False
        with self._condition:
            kept = self._cache.get(self.key(credential))
            if isinstance(kept, _Granted) and kept.token == token:
                del self._cache[self.key(credential)]
        return True

    def _exchanged(self, credential: Credential) -> _Granted | _Refused:
        key = self.key(credential)
        token = self._vault.current(key) or credential.token  # a rotated one outlives the one presented
        try:
            self._check(routing_claims(claims_of(token)))
            new = self._refresh(credential, token)
        except GatewayError as error:
            return _Refused(type(error), error.message, error.retryable, error.retry_after)
        if new.refresh:
            self._vault.store(key, new.refresh)
        claims = routing_claims(claims_of(new.access))
        access = AccessToken(new.access, claims.overseas or credential.claims.overseas)
        return _Granted(access, life=self._life(claims))

    def _check(self, claims: Claims) -> None:
        """Refuse a token that has expired by its own word: Kimi need not be asked."""
        if claims.expires_at is not None and claims.expires_at <= self._clock():
            raise TokenExpired("The Kimi token has expired: log in again and copy the new one.")

    def _life(self, claims: Claims) -> float:
        """Seconds that a token just issued lives: by its own two dates, so that a clock set wrong does not matter."""
        if claims.lifetime is not None:
            return claims.lifetime
        return UNDATED_LIFE if claims.expires_at is None else claims.expires_at - self._clock()


def _use_until(_key: bytes, outcome: _Granted | _Refused, now: float) -> float:
    if isinstance(outcome, _Refused):
        return now + (REFUSAL_LIFE if outcome.kind.status in {401, 403} else FAILURE_LIFE)
    return now + max(outcome.life - min(EXPIRY_MARGIN, outcome.life / 5), FAILURE_LIFE)
