"""Accounts that Kimi has refused for now: for how long, and why.

A refusal concerns one kind of request of one account: research that is used up leaves the chat alone. A token that
Kimi does not take, and an account that it has restricted, are set aside for every kind. Kimi's own word on the time
counts; without it the pause doubles with each refusal in a row. All workers and machines keep to it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

from app.accounts.credentials import Credential
from app.accounts.kinds import by_code
from app.errors import AccountRestricted, GatewayError, RateLimitExceeded, TokenExpired, UpstreamBusy
from app.state.store import Store

FIRST = 30.0
LONGEST = 900.0
"""Seconds of the first pause and of the longest, where Kimi does not tell."""

LONGEST_TOLD = 7 * 86_400.0
"""Seconds: no more is believed, so that a slip of Kimi's does not cost an account for ever."""

FIRST_ASIDE = 15.0
"""Seconds of the first pause of an account that is set aside: it may have been a slip, and asking costs little."""

MEMORY = 600.0
"""Seconds after its end for which a pause counts towards the next one's length."""

_COOLING = (RateLimitExceeded, UpstreamBusy)
_ASIDE = (TokenExpired, AccountRestricted)


@dataclass(frozen=True, slots=True)
class Cooldown:
    """A pause: until when (time of day), how long it was, and for which error."""

    until: float
    pause: float
    code: str
    message: str

    @property
    def is_aside(self) -> bool:
        """Whether the account is set aside: waiting will not mend it."""
        return issubclass(by_code(self.code), _ASIDE)

    def error(self, now: float) -> GatewayError:
        """The error for a request that the pause concerns."""
        return by_code(self.code)(self.message, retry_after=None if self.is_aside else max(1.0, self.until - now))


class Cooldowns:
    """The pauses of all accounts. `clock` is the time of day in seconds."""

    def __init__(self, store: Store, *, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock

    def keys(self, credential: Credential, kind: str) -> tuple[str, str]:
        """Where the pauses stand that concern a request of this kind; the pool reads them with what else it needs."""
        return f"aside:{credential.name}", f"cool:{credential.account}:{kind}"

    def active(self, values: tuple[bytes | None, bytes | None]) -> Cooldown | None:
        """The pause that is in force of the values under `keys`."""
        return next((pause for pause in map(_read, values) if pause is not None and pause.until > self._clock()), None)

    def note(self, credential: Credential, kind: str, error: GatewayError) -> Cooldown | None:
        """Write down what a failure means for the account; None for a failure that is not the account's."""
        aside, cool = self.keys(credential, kind)
        if isinstance(error, _ASIDE):
            key, first = aside, FIRST_ASIDE
        elif isinstance(error, _COOLING):
            key, first = cool, FIRST
        else:
            return None
        last = _read(self._store.get([key])[0])
        pause = first if last is None else max(first, min(2 * last.pause, LONGEST))
        now = self._clock()
        told = error.retry_after
        if told is None and error.resets_at is not None:
            told = max(1.0, error.resets_at - now)
        if told is not None:
            pause = min(told, LONGEST_TOLD)
        noted = Cooldown(now + pause, pause, error.code, error.message)
        self._store.put({key: json.dumps(asdict(noted)).encode()}, pause + MEMORY)
        return noted


def _read(value: bytes | None) -> Cooldown | None:
    """A pause as it was written down; None also for one that another version wrote in another way."""
    try:
        return None if value is None else Cooldown(**json.loads(value))
    except (ValueError, TypeError):
        return None
