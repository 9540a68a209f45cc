"""Requests that have just failed, and are sent again by a program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from app.accounts.credentials import Credential
from app.chat.events import Event, TextDelta
from app.chat.request import ChatRequest
from app.errors import (
    GatewayError,
    InvalidRequest,
    RateLimitExceeded,
    StructuredOutputFailed,
    TokenExpired,
    UpstreamBlocked,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamTruncated,
    UpstreamUnavailable,
)
from app.gateway.repeats import LONGEST, Repeats
from app.state.sqlite import MEMORY, SqliteStore
from app.state.store import StateUnavailable
from tests.fakes import FakeClock, FakeExchange, FakeKimi
from tests.gateway.houses import ANN, BOB, House, answering, ask, error_of, failing, said, text_of, user

PAUSE = 5.0
CUT = UpstreamTruncated("cut off")


def house(*exchanges: FakeExchange) -> House:
    """A house that refuses repetitions, over a Kimi that answers so."""
    return House(FakeKimi(*exchanges), pause=PAUSE)


def again(home: House, *accounts: Credential, request: ChatRequest | None = None) -> list[Event]:
    """What a program is answered that sends failed requests again."""
    return home.answer(*accounts, request=request, insistent=True)


class Away(SqliteStore):
    """A store that does not answer."""

    def __init__(self) -> None:
        super().__init__(MEMORY, clock=FakeClock())

    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        raise StateUnavailable

    def put(self, items: object, ttl: float) -> None:
        raise StateUnavailable


@pytest.mark.parametrize(
    "kind",
    [
        UpstreamProtocolError,
        UpstreamBlocked,
        UpstreamTruncated,
        UpstreamUnavailable,
        UpstreamTimeout,
        StructuredOutputFailed,
    ],
)
def test_a_request_that_failed_is_not_sent_again_at_once(kind: type[GatewayError]) -> None:
    """Its client is told the same once more, and Kimi hears nothing of it."""
    home = house(failing(kind("it failed")), answering())
    assert type(error_of(again(home))) is kind
    second = error_of(again(home))
    assert [type(second), second.message, second.retryable] == [kind, "it failed", False]
    assert len(home.kimi.asked) == 1  # type: ignore[attr-defined] # FakeKimi's


def test_an_answer_that_broke_off_is_a_failure_as_well() -> None:
    """Claude Code asks once more for it."""
    home = house(failing(CUT, TextDelta("half an ans")), answering())
    again(home)
    assert isinstance(error_of(again(home)), UpstreamTruncated)


def test_each_repetition_begins_the_pause_anew() -> None:
    """Those of a program come in pairs, seconds apart; a person takes longer."""
    home = house(failing(CUT), answering())
    again(home)
    for _ in range(4):
        home.clock.advance(PAUSE * 0.8)
        assert isinstance(error_of(again(home)), UpstreamTruncated)
    home.clock.advance(PAUSE * 1.2)
    assert text_of(again(home)) == "hello"


def test_no_request_is_refused_for_ever() -> None:
    """However stubborn its program is."""
    home = house(failing(CUT), answering())
    again(home)
    for _ in range(int(LONGEST / PAUSE * 1.5)):
        home.clock.advance(PAUSE * 0.9)
        events = again(home)
        if text_of(events):
            break
    assert text_of(events) == "hello"


def test_another_request_goes_its_way() -> None:
    """So does that of another account."""
    home = house(failing(CUT), answering("one"), answering("two"), answering("three"))
    again(home)
    longer = replace(ask(), messages=(*ask().messages, said("half"), user("go on")))
    assert text_of(again(home, request=longer)) == "one"
    assert text_of(again(home, request=ask(model="kimi-k2"))) == "two"
    assert text_of(again(home, BOB)) == "three"


@pytest.mark.parametrize(
    "error",
    [InvalidRequest("x"), RateLimitExceeded("x"), TokenExpired("x"), UpstreamUnavailable("x", retryable=True)],
)
def test_what_is_no_failure_of_kimi_s_is_not_kept(error: GatewayError) -> None:
    """A refused account is left alone by the pool, and what may be tried again may be tried again."""
    home = house(failing(error), answering())
    again(home)
    repeats = Repeats(home.shared, pause=PAUSE, clock=home.clock)
    assert repeats.refusal(ask(), "kimi", ANN) is None


def test_who_heeds_what_it_is_told_is_served() -> None:
    """A person who tries again, or an SDK that was told to."""
    home = house(failing(CUT), failing(CUT), answering())
    home.answer()
    again(home)
    assert text_of(home.answer()) == "hello"


def test_a_pause_of_nothing_is_none() -> None:
    """`REPEAT_SECONDS=0`."""
    home = House(FakeKimi(failing(CUT), answering()), pause=0.0)
    again(home)
    assert text_of(again(home)) == "hello"


@pytest.mark.parametrize("value", [b"", b"{}", b"[]", b"null", b'{"name": 1}', b"\xff", b"[" * 100_000])
def test_what_another_version_wrote_is_passed_over(value: bytes) -> None:
    """It says nothing of this request."""
    home = house(answering())
    home.shared.put({f"failed:{ANN.account}": value}, PAUSE)
    assert text_of(again(home)) == "hello"


def test_a_store_that_is_away_hinders_nothing() -> None:
    """Kimi is asked again."""
    repeats = Repeats(Away(), pause=PAUSE, clock=FakeClock())
    repeats.note(ask(), "kimi", ANN, CUT)
    assert repeats.refusal(ask(), "kimi", ANN) is None


def test_the_store_learns_nothing() -> None:
    """Neither words nor what could be guessed from a digest."""
    home = house(failing(CUT))
    again(home)
    (value,) = home.shared.get([f"failed:{ANN.account}"])
    assert value is not None
    assert b"hi" not in value
    other = Repeats(home.shared, pause=PAUSE, clock=home.clock)
    other.note(ask(), "kimi", BOB, CUT)
    (second,) = home.shared.get([f"failed:{BOB.account}"])
    assert second is not None
    assert value.split(b'"kind"')[0] != second.split(b'"kind"')[0]
