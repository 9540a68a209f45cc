"""How far an answer has come: what a client has seen, and how it ended."""

from __future__ import annotations

import pytest

from app.chat.events import (
    Event,
    Failed,
    Finished,
    Opened,
    PromptMoved,
    Served,
    Source,
    TextDelta,
    ThinkingDelta,
    Usage,
)
from app.chat.progress import begun, failure, opening
from app.errors import UpstreamBusy

FAILED = Failed(UpstreamBusy("no"))
PREAMBLE: list[Event] = [Served("a", 0.0), PromptMoved(), Opened("chat-1"), Source("https://a.example/", "A")]


@pytest.mark.parametrize("event", [TextDelta("a"), ThinkingDelta("a"), Usage(1, 1, 0), Finished()])
def test_what_a_client_sees_begins_an_answer(event: Event) -> None:
    """Also behind what it does not see."""
    assert begun([*PREAMBLE, event])


@pytest.mark.parametrize("events", [[], PREAMBLE, [FAILED], [*PREAMBLE, FAILED]])
def test_nothing_that_a_client_sees_has_begun(events: list[Event]) -> None:
    """An account may still be changed."""
    assert not begun(events)


def test_a_failure_is_the_last_event() -> None:
    """Nothing follows it."""
    assert failure([TextDelta("a"), FAILED]) is FAILED
    assert failure([TextDelta("a")]) is None
    assert failure([]) is None


def test_the_opening_ends_with_the_list_that_holds_the_first_word() -> None:
    """The rest is left for who reads on."""
    lists: list[list[Event]] = [[Opened("chat-1")], [Source("u", "t"), TextDelta("a")], [TextDelta("b")]]
    rest = iter(lists)
    assert opening(rest) == [Opened("chat-1"), Source("u", "t"), TextDelta("a")]
    assert list(rest) == [[TextDelta("b")]]


def test_the_opening_ends_with_a_failure() -> None:
    """And with the stream, if nothing came at all."""
    assert opening(iter([[Opened("chat-1")], [FAILED], [TextDelta("never")]])) == [Opened("chat-1"), FAILED]
    assert opening(iter([])) == []
