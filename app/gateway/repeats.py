"""Requests that have just failed, and are sent again by a program that heeds no `x-should-retry`.

Codex (0.169) asks 30 times within 25 seconds after a status of 5xx, Claude Code (2.1.197) once more after a stream that
broke off, gemini-cli (0.61) up to ten times. Each time would be a conversation of Kimi's that fails again. So for a few
seconds such a client is told the same error for the same request, and each repetition begins these seconds anew.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from collections.abc import Callable

from app.accounts.credentials import Credential
from app.accounts.kinds import by_name
from app.chat.request import ChatRequest
from app.conversations.history import of_request
from app.errors import (
    GatewayError,
    StructuredOutputFailed,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamTruncated,
    UpstreamUnavailable,
)
from app.state.store import StateUnavailable, Store

_log = logging.getLogger(__name__)

LONGEST = 60.0
"""Seconds after a failure from which on Kimi is asked again, however often the request has come in between."""

_FAILURES = (
    UpstreamProtocolError,
    UpstreamTruncated,
    UpstreamUnavailable,
    UpstreamTimeout,
    StructuredOutputFailed,
)
"""What Kimi answered, or did not: what an account is refused by is remembered by the pool."""


class Repeats:
    """Failures in `store`, each for `pause` seconds after the last time (0: none); `clock` is the time of day."""

    def __init__(self, store: Store, *, pause: float, clock: Callable[[], float]) -> None:
        self._store = store
        self._pause = pause
        self._clock = clock

    def refusal(self, request: ChatRequest, kind: str, credential: Credential) -> GatewayError | None:
        """The error by which the same request failed a moment ago; None if it did not."""
        if not self._pause:
            return None
        key = f"failed:{credential.account}"
        try:
            (value,) = self._store.get([key])
            found = _read(value) if value is not None else None
            # Most requests end here: the digest of a long history is not had for nothing.
            if found is None or found["name"] != _name(request, kind, credential):
                return None
            if self._clock() - float(found["since"]) > LONGEST:
                return None
            self._store.put({key: value or b""}, self._pause)
        except StateUnavailable:
            return None
        return by_name(found["kind"])(found["message"])

    def note(self, request: ChatRequest, kind: str, credential: Credential, error: GatewayError) -> None:
        """An answer has failed."""
        if not self._pause or error.retryable or not isinstance(error, _FAILURES):
            return
        failed = {
            "name": _name(request, kind, credential),
            "kind": type(error).__name__,
            "message": error.message,
            "since": str(self._clock()),
        }
        try:
            self._store.put({f"failed:{credential.account}": json.dumps(failed).encode()}, self._pause)
        except StateUnavailable:
            _log.warning("a failure cannot be remembered: the same request will be sent to Kimi again")


def _name(request: ChatRequest, kind: str, credential: Credential) -> str:
    """What tells a request from others, and nothing to who reads the store."""
    return hmac.digest(credential.secret, of_request(request, kind), hashlib.sha256).hex()


def _read(value: bytes) -> dict[str, str] | None:
    """A failure as it was written down; None for one that another version wrote in another way."""
    try:
        failed = json.loads(value)
        return {name: str(failed[name]) for name in ("name", "kind", "message")} | {
            "since": str(float(failed["since"]))
        }
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
