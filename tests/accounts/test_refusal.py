"""Failures as values: written, read, raised anew; how long they are remembered."""

from __future__ import annotations

import pytest

from app.accounts.refusal import FAILURE_LIFE, MAX_FAILURE_LIFE, REFUSAL_LIFE, Refusal, life_of
from app.errors import (
    AccountRestricted,
    GatewayError,
    RateLimitExceeded,
    TokenExpired,
    UpstreamTimeout,
    UpstreamUnavailable,
    UpstreamUnreachable,
)

NOW = 1000.0


def refusal(kind: type[GatewayError] = UpstreamTimeout, life: float = FAILURE_LIFE) -> Refusal:
    """A failure that was met just now."""
    return Refusal.of(kind("no"), life, NOW)


@pytest.mark.parametrize("kind", [TokenExpired, UpstreamUnreachable, RateLimitExceeded])
def test_an_error_is_what_it_was(kind: type[GatewayError]) -> None:
    """Its class, its words, and what it says of trying again; a new instance each time."""
    given = kind("no", retryable=True, retry_after=7.0)
    given.resets_at = 5.0
    read = Refusal.read(Refusal.of(given, 3.0, NOW).written())
    assert read is not None
    one, two = read.error(), read.error()
    assert one is not two
    assert [type(one), one.message, one.retryable, one.retry_after, one.resets_at] == [kind, "no", True, 7.0, 5.0]
    assert [read.until, read.life] == [NOW + 3.0, 3.0]


@pytest.mark.parametrize("note", [None, b"", b"\xff", b"[]", b"{}", b'{"code": "token_expired"}', b"1"])
def test_what_cannot_be_read_is_none(note: bytes | None) -> None:
    """Nothing was written, or another version did."""
    assert Refusal.read(note) is None


@pytest.mark.parametrize("kind", [TokenExpired, AccountRestricted])
def test_a_refusal_is_remembered_for_the_same_time_each_time(kind: type[GatewayError]) -> None:
    """Asking again costs little."""
    assert life_of(kind("no"), refusal(kind, REFUSAL_LIFE), since=0.0) == REFUSAL_LIFE


@pytest.mark.parametrize(
    ("last", "since", "life"),
    [
        (None, 0.0, FAILURE_LIFE),
        (refusal(), 0.0, 2 * FAILURE_LIFE),
        (refusal(life=MAX_FAILURE_LIFE), 0.0, MAX_FAILURE_LIFE),
        (refusal(), NOW, FAILURE_LIFE),
        (refusal(TokenExpired, REFUSAL_LIFE), 0.0, FAILURE_LIFE),
    ],
    ids=["first", "doubled", "longest", "after a success", "after a refusal"],
)
def test_failures_in_a_row_are_remembered_longer(last: Refusal | None, since: float, life: float) -> None:
    """Each attempt with a token that may be spent costs."""
    assert life_of(UpstreamUnavailable("no"), last, since=since) == life
