"""The fold: a stream of events put together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.completion import Completion, Fold
from app.chat.events import (
    Annotation,
    Cited,
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
from app.errors import UpstreamBusy, UpstreamTruncated

SOURCE = Source("https://a.example/", "A")
DELTAS: st.SearchStrategy[list[Event]] = st.lists(
    st.builds(TextDelta, st.text(min_size=1)) | st.builds(ThinkingDelta, st.text(min_size=1))
)


def folded(*events: Event) -> Completion:
    """The completion of one list of events."""
    fold = Fold()
    fold.feed(events)
    return fold.completion()


def test_events_become_one_answer() -> None:
    """Everything that was said, in its order."""
    annotation = Annotation(SOURCE, 1, 2)
    whole = folded(
        Served("account", 0.5),
        PromptMoved(),
        Opened("chat-1"),
        ThinkingDelta("hm"),
        ThinkingDelta("m"),
        TextDelta("a"),
        annotation,
        TextDelta("b"),
        Usage(1, 2, 3),
        Finished("length"),
    )
    assert whole == Completion("chat-1", "ab", "hmm", (annotation,), Usage(1, 2, 3), "length")


def test_an_answer_may_say_little() -> None:
    """Without a conversation, thinking or usage."""
    assert folded(TextDelta("a"), Finished()) == Completion(None, "a", "", (), Usage(0, 0, 0), "stop")


def test_what_the_stages_have_used_up_says_nothing_here() -> None:
    """Sources and citations have become annotations."""
    assert folded(SOURCE, Cited((SOURCE,)), Finished()).annotations == ()


@pytest.mark.parametrize(
    "events", [[], [Served("account", 0.0)], [PromptMoved()], [Opened("chat-1")], [TextDelta("a"), Usage(1, 1, 1)]]
)
def test_an_answer_without_its_end_mark_is_none(events: list[Event]) -> None:
    """What came is not the whole."""
    with pytest.raises(UpstreamTruncated):
        folded(*events)


def test_a_failure_is_raised() -> None:
    """The very error that the stream holds."""
    error = UpstreamBusy("no")
    with pytest.raises(UpstreamBusy) as caught:
        folded(TextDelta("a"), Failed(error))
    assert caught.value is error


@given(st.lists(DELTAS))
def test_where_the_reads_were_cut_changes_nothing(reads: list[list[Event]]) -> None:
    """A list of events is one network read."""
    fold = Fold()
    for events in reads:
        fold.feed(events)
    fold.feed([Finished()])
    assert fold.completion() == folded(*(event for events in reads for event in events), Finished())
