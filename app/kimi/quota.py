"""What Kimi tells of an account's quotas; pure (protocol.md A3, B11, captures/11)."""

from __future__ import annotations

from dataclasses import dataclass

from app.kimi import json
from app.kimi.http import HttpAnswer


@dataclass(frozen=True, slots=True)
class Quota:
    """One quota: how much of it is used (0 to 1), and the time of day at which it is full again, where that is told.

    `chat` says that a chat needs it; the others are told for information.
    """

    name: str
    used: float
    resets_at: float | None = None
    chat: bool = False

    @property
    def spent(self) -> bool:
        """Whether nothing is left of it."""
        return self.used >= 1


_BALANCE = "subscriptionBalance"
_WINDOWS = {"ratelimitCode5h": "code, 5 hours", "ratelimitCode7d": "code, 7 days"}


def subscription_quotas(answer: HttpAnswer) -> tuple[Quota, ...]:
    """The quotas that GetSubscriptionStats tells; a ratio that is absent is 0."""
    body = _body(answer)
    found: list[Quota] = []
    balance = json.member(body, _BALANCE)
    if isinstance(balance, dict):
        used = json.number(balance, "amountUsedRatio") or 0.0
        resets = json.timestamp(balance, "resetTime")
        found.append(Quota("plan", used, resets or json.timestamp(balance, "expireTime"), chat=True))
    for name, title in _WINDOWS.items():
        window = json.member(body, name)
        if isinstance(window, dict) and json.member(window, "enabled") is not False:
            found.append(Quota(title, json.number(window, "ratio") or 0.0, json.timestamp(window, "resetTime")))
    return tuple(found)


def research_quota(answer: HttpAnswer) -> tuple[Quota, ...]:
    """The research turns that the legacy site tells of."""
    body = _body(answer)
    total, left = json.number(body, "total"), json.number(body, "remain")
    if total is None or left is None or total <= 0:
        return ()
    return (Quota("research", min(1.0, max(0.0, 1 - left / total))),)


def _body(answer: HttpAnswer) -> object:
    try:
        return json.parse(answer.body)
    except ValueError:
        return None
