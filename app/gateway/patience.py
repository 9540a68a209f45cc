"""How long an upstream may run on when its client has left."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Self

from app.chat.cancellation import Cancellation

OPENING_GRACE = 0.6
"""Seconds that an answer whose client is gone may still run until Kimi has told its conversation's id.

Without the id the conversation could not be deleted; with more time the upstream would not be closed within the second
that the contract allows.
"""


class Patience:
    """Ends the upstream when the client leaves: at once, or when its conversation is known if that comes soon."""

    def __init__(self, client: Cancellation) -> None:
        self.upstream = Cancellation()
        self._client = client
        self._opened = False
        self._forget: Callable[[], None] = lambda: None

    def __enter__(self) -> Self:
        if self._client.cancelled:
            self.upstream.cancel()  # nothing was sent yet, and nothing will be
        else:
            self._forget = self._client.on_cancel(self._client_left)
        return self

    def __exit__(self, *_: object) -> None:
        self._forget()

    def opened(self) -> None:
        """The conversation's id is known: from here on it can be stopped and deleted."""
        self._opened = True
        if self._client.cancelled:
            self.upstream.cancel()

    def _client_left(self) -> None:
        if self._opened:
            self.upstream.cancel()
            return
        timer = threading.Timer(OPENING_GRACE, self.upstream.cancel)
        timer.daemon = True
        timer.start()
