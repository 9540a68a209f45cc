"""Cooldowns: for how long an account is left alone, and why."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.accounts.cooldown import (
    FIRST,
    FIRST_ASIDE,
    LONGEST,
    LONGEST_TOLD,
    MEMORY,
    Cooldown,
    Cooldowns,
)
from app.accounts.credentials import Credential
from app.errors import (
    AccountRestricted,
    ClientGone,
    ContentFiltered,
    GatewayError,
    InternalError,
    InvalidRequest,
    PlanRequired,
    RateLimitExceeded,
    SecondStreamRefused,
    TokenExpired,
    UpstreamBusy,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamTruncated,
    UpstreamUnavailable,
)
from app.state.sqlite import MEMORY as IN_MEMORY
from app.state.sqlite import SqliteStore
from tests.accounts.workers import accessing
from tests.fakes import FakeClock

ONE = accessing(sub="user-1")
SAME_USER = accessing(sub="user-1", jti=2)
OTHER = accessing(sub="user-2")


class House:
    """Cooldowns on a store in memory."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = SqliteStore(IN_MEMORY, clock=self.clock)
        self.cooldowns = Cooldowns(self.store, clock=self.clock)

    def note(self, error: GatewayError, credential: Credential = ONE, kind: str = "chat") -> Cooldown | None:
        """Write a failure down."""
        return self.cooldowns.note(credential, kind, error)

    def pause(self, error: GatewayError) -> float:
        """Seconds of the pause that a failure brings."""
        noted = self.note(error)
        assert noted is not None
        assert noted.until == self.clock() + noted.pause
        return noted.pause

    def active(self, credential: Credential = ONE, kind: str = "chat") -> Cooldown | None:
        """The pause in force, as the pool reads it."""
        aside, cool = self.store.get(self.cooldowns.keys(credential, kind))
        return self.cooldowns.active((aside, cool))


def told(error: GatewayError, retry_after: float | None = None, resets_in: float | None = None) -> GatewayError:
    """An error with what Kimi told of the time."""
    error.retry_after = retry_after
    error.resets_at = None if resets_in is None else FakeClock()() + resets_in
    return error


def test_nothing_stands_against_an_account_at_first() -> None:
    """It may be asked."""
    assert House().active() is None


@pytest.mark.parametrize("error", [RateLimitExceeded("spent"), SecondStreamRefused("two"), UpstreamBusy("overloaded")])
def test_a_refusal_for_now_is_a_pause_of_30_seconds(error: GatewayError) -> None:
    """Where Kimi does not tell for how long."""
    house = House()
    house.note(error)
    assert house.active() == Cooldown(house.clock() + 30.0, 30.0, error.code, error.message)
    house.clock.advance(29.9)
    assert house.active() is not None
    house.clock.advance(0.1)
    assert house.active() is None
    assert FIRST == 30.0


@pytest.mark.parametrize("error", [TokenExpired("log in"), AccountRestricted("banned")])
def test_an_account_that_is_set_aside_is_looked_at_again_soon(error: GatewayError) -> None:
    """It may have been a slip, and asking costs little."""
    house = House()
    assert house.pause(error) == FIRST_ASIDE == 15.0
    active = house.active()
    assert active is not None
    assert active.is_aside


@pytest.mark.parametrize(
    "error",
    [
        ClientGone("no"),
        ContentFiltered("no"),
        InternalError("no"),
        InvalidRequest("no"),
        PlanRequired("no"),
        UpstreamProtocolError("no"),
        UpstreamTimeout("no"),
        UpstreamTruncated("no"),
        UpstreamUnavailable("no"),
    ],
)
def test_a_failure_that_is_not_the_account_s_is_not_noted(error: GatewayError) -> None:
    """Neither the request's fault nor Kimi's speaks against it."""
    house = House()
    assert house.note(told(error, retry_after=60.0)) is None
    assert house.active() is None


@pytest.mark.parametrize(
    ("error", "pauses"),
    [
        (UpstreamBusy("no"), [30.0, 60.0, 120.0, 240.0, 480.0, 900.0, 900.0]),
        (TokenExpired("no"), [15.0, 30.0, 60.0, 120.0, 240.0, 480.0, 900.0, 900.0]),
    ],
)
def test_the_pause_doubles_with_each_refusal_in_a_row(error: GatewayError, pauses: list[float]) -> None:
    """Up to a quarter of an hour."""
    house = House()
    found: list[float] = []
    for _ in pauses:
        found.append(house.pause(error))
        house.clock.advance(found[-1] + 1)
    assert found == pauses
    assert LONGEST == 900.0


@pytest.mark.parametrize(("after", "pause"), [(MEMORY - 1, 60.0), (MEMORY + 1, 30.0)])
def test_a_pause_is_forgotten_in_time(after: float, pause: float) -> None:
    """Ten minutes after its end it counts no more."""
    house = House()
    house.pause(UpstreamBusy("no"))
    house.clock.advance(30 + after)
    assert house.pause(UpstreamBusy("no")) == pause


@pytest.mark.parametrize(
    ("retry_after", "resets_in", "pause"),
    [
        (45.0, None, 45.0),
        (None, 3600.0, 3600.0),
        (45.0, 3600.0, 45.0),
        (None, -5.0, 1.0),
        (None, 0.0, 1.0),
        (None, 1e9, LONGEST_TOLD),
        (1e9, None, LONGEST_TOLD),
        (2000.0, None, 2000.0),
    ],
)
def test_kimi_s_own_word_on_the_time_counts(retry_after: float | None, resets_in: float | None, pause: float) -> None:
    """Up to a week: a slip of Kimi's does not cost an account for ever."""
    house = House()
    house.pause(RateLimitExceeded("no"))
    assert house.pause(told(RateLimitExceeded("no"), retry_after, resets_in)) == pause
    assert LONGEST_TOLD == 7 * 86_400


@pytest.mark.parametrize("first", [0.0, 1.0, 5.0])
def test_a_short_pause_that_was_told_does_not_shorten_the_next(first: float) -> None:
    """Where Kimi does not tell, a pause is of 30 s at least, and grows from there."""
    house = House()
    house.note(told(UpstreamBusy("no"), retry_after=first))
    house.clock.advance(first + 1)
    assert house.pause(UpstreamBusy("no")) >= FIRST
    house.clock.advance(2 * FIRST)
    assert house.pause(UpstreamBusy("no")) >= 2 * FIRST


@given(st.lists(st.tuples(st.none() | st.floats(0, LONGEST_TOLD), st.floats(0, 2000)), min_size=1, max_size=8))
def test_a_pause_that_is_not_told_is_of_30_seconds_to_15_minutes(refusals: list[tuple[float | None, float]]) -> None:
    """Whatever went before."""
    house = House()
    for retry_after, wait in refusals:
        pause = house.pause(told(RateLimitExceeded("no"), retry_after=retry_after))
        assert pause == retry_after if retry_after is not None else FIRST <= pause <= LONGEST
        house.clock.advance(wait)


# --- Whom and what a pause concerns ------------------------------------------------------------------------


def test_a_cooldown_concerns_one_kind_of_request() -> None:
    """Research that is used up leaves the chat alone."""
    house = House()
    house.note(RateLimitExceeded("no"), kind="research")
    assert house.active(kind="research") is not None
    assert house.active(kind="chat") is None


def test_a_cooldown_concerns_all_credentials_of_the_account() -> None:
    """They share its quota; another user's do not."""
    house = House()
    house.note(RateLimitExceeded("no"))
    assert house.active(SAME_USER) == house.active(ONE) is not None
    assert house.active(OTHER) is None


@pytest.mark.parametrize("error", [TokenExpired("no"), AccountRestricted("no")])
def test_a_token_is_set_aside_for_every_kind_and_alone(error: GatewayError) -> None:
    """Anybody can write a token with another's user id in it: its refusal does not count against that user."""
    house = House()
    house.note(error)
    assert house.active(kind="research") == house.active(kind="chat") is not None
    assert house.active(SAME_USER) is None


def test_what_sets_a_token_aside_counts_before_a_cooldown() -> None:
    """It is the truer reason."""
    house = House()
    house.note(RateLimitExceeded("spent"))
    house.note(TokenExpired("log in"))
    active = house.active()
    assert active is not None
    assert active.code == "token_expired"
    house.clock.advance(FIRST_ASIDE)
    active = house.active()
    assert active is not None
    assert active.code == "rate_limit_exceeded"


def test_all_workers_keep_to_a_pause() -> None:
    """And count on from each other's."""
    house = House()
    house.note(UpstreamBusy("no"))
    other = Cooldowns(house.store, clock=house.clock)
    aside, cool = house.store.get(other.keys(ONE, "chat"))
    assert other.active((aside, cool)) == house.active() is not None
    again = other.note(ONE, "chat", UpstreamBusy("no"))
    assert again is not None
    assert again.pause == 60.0


# --- What a request is told --------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [RateLimitExceeded("spent"), UpstreamBusy("overloaded")])
def test_a_request_is_told_when_to_come_back(error: GatewayError) -> None:
    """Truthfully: what is left of the pause, and not less than a second."""
    house = House()
    house.note(told(error, retry_after=40.0))
    house.clock.advance(15)
    active = house.active()
    assert active is not None
    again = active.error(house.clock())
    assert [type(again), again.message, again.retry_after, again.retryable] == [type(error), error.message, 25.0, False]
    assert active.error(active.until - 0.01).retry_after == 1.0


@pytest.mark.parametrize("error", [TokenExpired("log in"), AccountRestricted("banned")])
def test_a_request_is_not_told_to_wait_where_waiting_does_not_mend(error: GatewayError) -> None:
    """The person has to do something."""
    house = House()
    house.note(error)
    active = house.active()
    assert active is not None
    again = active.error(house.clock())
    assert [type(again), again.message, again.retry_after] == [type(error), error.message, None]


@pytest.mark.parametrize("code", ["rate_limit_exceeded", "upstream_busy", "token_expired", "account_restricted"])
def test_a_pause_knows_whether_it_sets_aside(code: str) -> None:
    """By its code, which is what is stored."""
    assert Cooldown(math.inf, 1.0, code, "").is_aside is (code in {"token_expired", "account_restricted"})


@pytest.mark.parametrize("note", [b"", b"\xff", b"[]", b"{}", b'{"until": 1e11}', b"1"])
def test_a_note_of_another_version_is_as_none(note: bytes) -> None:
    """Machines that share a Redis are not updated all at once."""
    house = House()
    house.store.put(dict.fromkeys(house.cooldowns.keys(ONE, "chat"), note), 100)
    assert house.active() is None
    assert house.pause(UpstreamBusy("no")) == FIRST
