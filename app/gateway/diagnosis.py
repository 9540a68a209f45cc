"""The diagnosis of a credential: what is wrong with it, in a word for programs and in a sentence for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum

from app.accounts.cooldown import Cooldown
from app.accounts.credentials import Credential, Kind, parse_credentials
from app.accounts.pool import Pool
from app.errors import (
    AccountRestricted,
    GatewayError,
    InvalidApiKey,
    RateLimitExceeded,
    TokenExpired,
    UpstreamBlocked,
    UpstreamBusy,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from app.gateway.upstream import Upstream
from app.kimi.quota import Quota


class Reason(Enum):
    """What was found; the values are stable, programs read them (contract, section 6)."""

    OK = "ok"
    MALFORMED = "token_malformed"
    KEY_REFUSED = "key_refused"
    EXPIRED = "token_expired"
    REFUSED = "refresh_refused"
    RESTRICTED = "account_restricted"
    SPENT = "quota_spent"
    BUSY = "kimi_busy"
    BLOCKED = "network_blocked"
    UNAVAILABLE = "kimi_unavailable"
    CHANGED = "protocol_changed"
    OFFICIAL = "official_key"
    UNCHECKED = "not_checked"


REMEDIES = {
    Reason.OK: "Nothing to do.",
    Reason.MALFORMED: "Copy the whole value of refresh_token from the site's local storage, without quotes or spaces.",
    Reason.KEY_REFUSED: "Use one of the keys in API_KEYS; they are served by KIMI_TOKENS, which must be set as well.",
    Reason.EXPIRED: "Log in again at Kimi's site and copy the new refresh_token.",
    Reason.REFUSED: "The session was ended, or its token used elsewhere: log in again and copy the new refresh_token.",
    Reason.RESTRICTED: "Log in at Kimi's site and see what it says of the account; the gateway cannot mend this.",
    Reason.SPENT: "Wait until the quota is full again, use another account, or a bigger plan.",
    Reason.BUSY: "Try again later: Kimi refuses this plan while it is overloaded.",
    Reason.BLOCKED: "Kimi cannot be reached from here: check the network, its DNS, the region, and KIMI_WEB_URL and "
    "KIMI_AUTH_URL if they are set.",
    Reason.UNAVAILABLE: "Kimi fails with an error of its own: try again later.",
    Reason.CHANGED: "Kimi answers in an unknown way: look for a newer version of this gateway.",
    Reason.OFFICIAL: "This version serves accounts of Kimi's chat; use the key at the official API.",
    Reason.UNCHECKED: "State is kept in memory only (DATABASE_PATH), so a check would use up the token for the running "
    "service: ask the service instead, by POST /token/check.",
}

_LIVE = frozenset({Reason.OK, Reason.SPENT, Reason.BUSY})

_REASONS: tuple[tuple[type[GatewayError], Reason], ...] = (
    (InvalidApiKey, Reason.MALFORMED),
    (AccountRestricted, Reason.RESTRICTED),
    (RateLimitExceeded, Reason.SPENT),
    (UpstreamBusy, Reason.BUSY),
    (UpstreamBlocked, Reason.BLOCKED),
    (UpstreamProtocolError, Reason.CHANGED),
    (UpstreamUnreachable, Reason.BLOCKED),
    (UpstreamTimeout, Reason.BLOCKED),
    (GatewayError, Reason.UNAVAILABLE),
)
"""The first that fits counts. A refused token is looked at more closely."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one credential. Nothing in it reveals the token; times are times of day in seconds.

    `detail` is what Kimi's answer meant, `streams` how many answers the account gives now, `cooldown` the pause that
    this gateway keeps, `resets_at` when a spent quota is full again, where that is known.
    """

    reason: Reason
    detail: str = ""
    kind: str | None = None
    account: str | None = None
    site: str | None = None
    expires_at: float | None = None
    streams: int = 0
    cooldown: Cooldown | None = None
    resets_at: float | None = None
    quotas: tuple[Quota, ...] = field(default=())

    @property
    def live(self) -> bool:
        """Whether Kimi takes the credential."""
        return self.reason in _LIVE

    @property
    def remedy(self) -> str:
        """What to do, in one line."""
        return REMEDIES[self.reason]


class Diagnosis:
    """Examines credentials. `model_kind` is the kind of request whose cooldown counts; `clock` is the time of day."""

    def __init__(self, *, upstream: Upstream, pool: Pool, model_kind: str, clock: Callable[[], float]) -> None:
        self._upstream = upstream
        self._pool = pool
        self._kind = model_kind
        self._clock = clock

    def examine(self, token: str, *, refreshes: bool = True) -> Finding:
        """What is to be said of one token, which is no list.

        Without `refreshes` one that would have to be exchanged is not asked about.
        Kimi is asked who the account is and what is left of its quotas; no conversation is opened.
        """
        try:
            (credential,) = parse_credentials(token)
        except GatewayError as error:
            return Finding(Reason.MALFORMED, error.message)
        if credential.kind is Kind.OFFICIAL:
            return Finding(Reason.OFFICIAL, kind=credential.kind.value)
        if not refreshes and credential.kind is not Kind.ACCESS:
            return self._found(credential, Reason.UNCHECKED)
        try:
            quotas = self._upstream.quotas(credential)
        except GatewayError as error:
            reason = next(reason for kind, reason in _REASONS if isinstance(error, kind))
            if isinstance(error, TokenExpired):
                reason = self._why_refused(credential)
            return self._found(credential, reason, error.message, resets_at=error.resets_at)
        if not any(quota.chat and quota.spent for quota in quotas):
            return self._found(credential, Reason.OK, quotas=quotas)
        return self._found(credential, Reason.SPENT, quotas=quotas, resets_at=self._full_again(quotas))

    def _full_again(self, quotas: Sequence[Quota]) -> float | None:
        """When the last of the spent quotas that a chat needs is full again; where none tells, of all that do."""
        spent = [quota for quota in quotas if quota.spent and quota.resets_at and quota.resets_at > self._clock()]
        needed = [quota for quota in spent if quota.chat]
        return max((quota.resets_at for quota in needed or spent if quota.resets_at), default=None)

    def _why_refused(self, credential: Credential) -> Reason:
        """Whether a token is too old by its own word, or was refused although it is not."""
        expires = credential.claims.expires_at
        if credential.kind is Kind.ACCESS or (expires is not None and expires <= self._clock()):
            return Reason.EXPIRED
        return Reason.REFUSED

    def _found(
        self,
        credential: Credential,
        reason: Reason,
        detail: str = "",
        *,
        quotas: tuple[Quota, ...] = (),
        resets_at: float | None = None,
    ) -> Finding:
        streams, cooldown = self._pool.standing(credential, self._kind)
        if reason is Reason.OK and cooldown is not None and not cooldown.is_aside:
            # What the last answer met counts as well: not every quota is told by a call.
            reason = Reason.BUSY if cooldown.code == UpstreamBusy.code else Reason.SPENT
            detail, resets_at = cooldown.message, cooldown.until
        return Finding(
            reason,
            detail,
            kind=credential.kind.value,
            account=credential.account[:12],
            site=self._upstream.site(credential),
            expires_at=credential.claims.expires_at,
            streams=streams,
            cooldown=cooldown,
            resets_at=resets_at,
            quotas=quotas,
        )


def as_json(finding: Finding) -> dict[str, object]:
    """A finding for programs; what is not known is left out, times are in RFC 3339."""
    cooldown = finding.cooldown
    values = {
        "live": finding.live,
        "reason": finding.reason.value,
        "remedy": finding.remedy,
        "detail": finding.detail or None,
        "kind": finding.kind,
        "account": finding.account,
        "site": finding.site,
        "expires_at": _moment(finding.expires_at),
        "resets_at": _moment(finding.resets_at),
        "streams": finding.streams if finding.account else None,
        "cooldown": cooldown and {"code": cooldown.code, "until": _moment(cooldown.until)},
        "quotas": [
            {"name": quota.name, "used": round(quota.used, 4), "resets_at": _moment(quota.resets_at)}
            for quota in finding.quotas
        ],
    }
    return {name: value for name, value in values.items() if value is not None}


def _moment(seconds: float | None) -> str | None:
    """A time of day for people and programs; None for one that no calendar has."""
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return None
