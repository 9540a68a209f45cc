"""How long an upstream may run on when its client has left."""

from __future__ import annotations

import threading
import time

from app.chat.cancellation import Cancellation
from app.gateway.patience import OPENING_GRACE, Patience


def ended_after(upstream: Cancellation, limit: float) -> float | None:
    """After how many seconds the upstream is ended; None if it is not within the limit."""
    ended = threading.Event()
    upstream.on_cancel(ended.set)
    began = time.monotonic()
    return time.monotonic() - began if ended.wait(limit) else None


def test_a_client_that_stays_ends_nothing() -> None:
    """Neither before nor after the conversation is known."""
    with Patience(Cancellation()) as patience:
        patience.opened()
    assert not patience.upstream.cancelled


def test_nothing_is_begun_for_a_client_that_has_left_before() -> None:
    """There is no conversation to wait for."""
    client = Cancellation()
    client.cancel()
    with Patience(client) as patience:
        assert patience.upstream.cancelled


def test_a_client_that_leaves_early_is_waited_for_until_the_conversation_could_be_known() -> None:
    """Without the id the conversation could not be deleted; the contract gives a second."""
    client = Cancellation()
    with Patience(client) as patience:
        client.cancel()
        assert not patience.upstream.cancelled
        waited = ended_after(patience.upstream, 10.0)
    assert waited is not None
    assert waited >= OPENING_GRACE - 0.05
    assert OPENING_GRACE < 1.0


def test_the_conversation_s_id_ends_the_waiting() -> None:
    """As soon as it is told, it has served its purpose."""
    client = Cancellation()
    with Patience(client) as patience:
        client.cancel()
        patience.opened()
        assert patience.upstream.cancelled


def test_a_client_that_leaves_a_known_conversation_ends_the_upstream_at_once() -> None:
    """It can be stopped and deleted."""
    client = Cancellation()
    with Patience(client) as patience:
        patience.opened()
        client.cancel()
        assert patience.upstream.cancelled


def test_a_client_that_leaves_after_the_answer_ends_nothing() -> None:
    """What comes behind the answer is not its business."""
    client = Cancellation()
    with Patience(client) as patience:
        patience.opened()
    client.cancel()
    assert not patience.upstream.cancelled
