"""Accounts, their tokens, and the rules by which tokens live and die (A2, B3)."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from emulator.identifiers import decimal_id, xid
from emulator.tokens import signed_jwt
from emulator.values import Json, Malformed, integer, number, refuse_unknown, text

State = Literal["ok", "restricted", "revoked", "spent"]
Kind = Literal["access", "refresh", "legacy"]

_STATES: dict[str, State] = {"ok": "ok", "restricted": "restricted", "revoked": "revoked", "spent": "spent"}
_KINDS: tuple[Kind, ...] = ("access", "refresh", "legacy")
NINETY_DAYS = 90 * 24 * 3600.0
_LONGEST_RESET = 1e9
_FIELDS = frozenset(
    {
        "name",
        "access_seconds",
        "refresh_seconds",
        "region",
        "reuse_window",
        "max_streams",
        "research_remaining",
        "reset_seconds",
        "used_ratio",
        "state",
        "expire_access",
    }
)


class InvalidTokenError(Exception):
    """The bearer is missing, unknown, expired, revoked or of the wrong kind."""


class RestrictedError(Exception):
    """The token is good, but its account may do nothing (a banned account)."""


@dataclass
class Token:
    """One issued token.

    `expires_at` is Unix time in seconds. `rotated_at` is when a refresh token was exchanged, and
    `reused` whether the one exchange that the site forgives (B3) has been taken.
    """

    value: str
    kind: Kind
    account: "Account"
    expires_at: float
    rotated_at: float | None = None
    reused: bool = False


@dataclass
class Account:
    """A user of the site. Times are seconds; `running` counts the streams in progress.

    `resets_at` is the Unix time at which the quota is full again, or None when nobody tells.
    """

    name: str
    access_seconds: float = 900.0
    refresh_seconds: float = NINETY_DAYS
    region: str = "cn"
    reuse_window: float = 30.0
    max_streams: int = 1000
    research_remaining: int = 5
    reset_seconds: float = 0.0
    used_ratio: float = 0.0
    state: State = "ok"
    resets_at: float | None = None
    running: int = 0
    user_id: str = field(default_factory=xid)
    session_id: str = field(default_factory=decimal_id)
    device_id: str = field(default_factory=decimal_id)

    @property
    def ratio(self) -> float:
        """How much of the quota is used, from 0 to 1; the whole of a spent account's."""
        return 1 if self.state == "spent" or self.used_ratio == 1 else self.used_ratio

    def update(self, wanted: Json, now: float) -> None:
        """Take the fields that the control plane sent; absent ones stay as they are."""
        refuse_unknown(wanted, _FIELDS, "an account")
        state = _STATES.get(text(wanted, "state", self.state))
        if state is None:
            raise Malformed("state must be ok, restricted, revoked or spent")
        reset_seconds = number(wanted, "reset_seconds", self.reset_seconds)
        if not 0 <= reset_seconds <= _LONGEST_RESET:
            raise Malformed("reset_seconds must be from 0 to 1e9")
        used_ratio = number(wanted, "used_ratio", self.used_ratio)
        if not 0 <= used_ratio <= 1:
            raise Malformed("used_ratio must be from 0 to 1")
        self.access_seconds = number(wanted, "access_seconds", self.access_seconds)
        self.refresh_seconds = number(wanted, "refresh_seconds", self.refresh_seconds)
        self.region = text(wanted, "region", self.region)
        self.reuse_window = number(wanted, "reuse_window", self.reuse_window)
        self.max_streams = integer(wanted, "max_streams", self.max_streams)
        self.research_remaining = integer(wanted, "research_remaining", self.research_remaining)
        self.used_ratio = used_ratio
        if wanted.get("reset_seconds") is not None:
            self.reset_seconds = reset_seconds
            self.resets_at = now + reset_seconds if reset_seconds else None
        self.state = state


class AccountBook:
    """All accounts and every token issued to them.

    A token is found by its whole text. So a change of any byte makes it unknown, also one in the
    bits of the last base64 character that a lenient decoder drops.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._secret = secrets.token_bytes(32)
        self._accounts: dict[str, Account] = {}
        self._tokens: dict[str, Token] = {}

    def open(self, wanted: Json) -> Account:
        """Make an account, or make the named one anew: its earlier tokens die."""
        account = Account(text(wanted, "name") or f"account-{len(self._accounts) + 1}")
        self.change(account, wanted)
        self._forget_tokens(account.name)
        self._accounts[account.name] = account
        for kind in _KINDS:
            self.issue(account, kind)
        return account

    def change(self, account: Account, wanted: Json) -> None:
        """Change the fields of an account; a time until its reset is counted from now."""
        account.update(wanted, self._clock())

    def named(self, name: str) -> Account | None:
        """Find an account by its name."""
        return self._accounts.get(name)

    def names(self) -> list[str]:
        """Give the names of all accounts, oldest first."""
        return list(self._accounts)

    def clear(self) -> None:
        """Forget every account and every token."""
        self._accounts.clear()
        self._tokens.clear()

    def issue(self, account: Account, kind: Kind) -> Token:
        """Issue one token of a kind; earlier ones keep their own lives."""
        now = self._clock()
        if kind == "legacy":
            token = Token(secrets.token_hex(20), kind, account, float("inf"))
        else:
            seconds = account.access_seconds if kind == "access" else account.refresh_seconds
            token = Token("", kind, account, now + seconds)
            token.value = signed_jwt(self._secret, self._claims(token, now))
        self._tokens[token.value] = token
        return token

    def newest(self, account: Account) -> Json:
        """Describe an account as the control plane answers it: its name and newest tokens."""
        answer: Json = {"name": account.name, "state": account.state}
        for token in self._tokens.values():  # in the order of issue, so the newest stays
            if token.account is account:
                answer[f"{token.kind}_token"] = token.value
        return answer

    def recognise(self, value: str) -> Token | None:
        """Find an issued token, dead or alive (the log names it; nobody is let in by this)."""
        return self._tokens.get(value)

    def admit(self, value: str, *kinds: Kind) -> Token:
        """Let a bearer in, or raise `InvalidTokenError` / `RestrictedError`."""
        token = self._tokens.get(value)
        if token is None or token.kind not in kinds or token.expires_at <= self._clock():
            raise InvalidTokenError
        if token.account.state == "revoked":
            raise InvalidTokenError
        if token.account.state == "restricted":
            raise RestrictedError
        return token

    def rotate(self, value: str) -> tuple[Token, Token]:
        """Exchange a refresh token for a new access and refresh token (B3).

        The old one works once more within the account's window. Any later use is taken for theft:
        the whole family dies and the account is revoked.
        """
        token = self.admit(value, "refresh")
        account, now = token.account, self._clock()
        if token.rotated_at is None:
            token.rotated_at = now
        elif token.reused or now - token.rotated_at > account.reuse_window:
            account.state = "revoked"
            raise InvalidTokenError
        else:
            token.reused = True
        return self.issue(account, "access"), self.issue(account, "refresh")

    def expire_access(self, account: Account) -> None:
        """Make all access tokens issued so far invalid, whatever their exp claim says."""
        for token in self._tokens.values():
            if token.account is account and token.kind == "access":
                token.expires_at = 0.0

    def _forget_tokens(self, name: str) -> None:
        self._tokens = {value: token for value, token in self._tokens.items() if token.account.name != name}

    def _claims(self, token: Token, now: float) -> Json:
        """Build the claims of B3; membership level 10 is the free plan of captures/02."""
        account = token.account
        return {
            "iss": "account",
            "aud": ["kimi.ai" if account.region == "overseas" else "kimi.com"],
            "iat": int(now),
            "exp": int(token.expires_at),
            "jti": xid(),
            "typ": token.kind,
            "app_id": "kimi",
            "sub": account.user_id,
            "abstract_user_id": account.user_id,
            "ssid": account.session_id,
            "device_id": account.device_id,
            "region": account.region,
            "membership": {"level": 10},
            "code_membership": {"level": 10},
        }
