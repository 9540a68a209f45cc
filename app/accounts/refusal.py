"""Failures of a refresh as values: kept, shared by the workers, and raised anew.

A shared exception instance would grow its traceback at every raise; and what one worker has met, the others need not
meet by themselves.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Self

from app.accounts.kinds import by_name
from app.errors import GatewayError

REFUSAL_LIFE = 15.0
"""Seconds that a refusal is remembered, so that a dead token does not hammer Kimi."""

FAILURE_LIFE = 2.0
"""Seconds that a failed refresh is remembered, doubled with each further one: a refresh whose answer was lost may have
spent the token, and every attempt with a spent one may cost the account."""

MAX_FAILURE_LIFE = 60.0

_REFUSED = frozenset({401, 403})


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error with its life: `kind` is the name of its class, `until` the time of day at which it is forgotten."""

    kind: str
    message: str
    retryable: bool
    retry_after: float | None
    resets_at: float | None
    until: float
    life: float

    @classmethod
    def of(cls, error: GatewayError, life: float, now: float) -> Self:
        """An error as a value that is remembered for `life` seconds."""
        return cls(
            kind=type(error).__name__,
            message=error.message,
            retryable=error.retryable,
            retry_after=error.retry_after,
            resets_at=error.resets_at,
            until=now + life,
            life=life,
        )

    @classmethod
    def read(cls, note: bytes | None) -> Self | None:
        """A failure as it was written down; None also for one that another version wrote in another way."""
        try:
            return None if note is None else cls(**json.loads(note))
        except (ValueError, TypeError):
            return None

    def written(self) -> bytes:
        """What `read` reads."""
        return json.dumps(asdict(self)).encode()

    def error(self) -> GatewayError:
        """The error, a new instance each time."""
        error = by_name(self.kind)(self.message, retryable=self.retryable, retry_after=self.retry_after)
        error.resets_at = self.resets_at
        return error


def life_of(error: GatewayError, last: Refusal | None, since: float) -> float:
    """For how long a failure is remembered: longer than the one before, unless a refresh has succeeded `since`."""
    if error.status in _REFUSED:
        return REFUSAL_LIFE
    if last is None or by_name(last.kind).status in _REFUSED or last.until - last.life <= since:
        return FAILURE_LIFE
    return min(2 * last.life, MAX_FAILURE_LIFE)
