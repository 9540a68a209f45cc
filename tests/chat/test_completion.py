"""The fold: a stream of events put together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.completion import Completion, Fold, Spoken
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
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
    Warned,
)
from app.chat.request import Message, Role, TextPart, ToolCallPart
from app.errors import UpstreamBusy, UpstreamTruncated

SOURCE = Source("https://a.example/", "A")
LOOK: list[Event] = [
    ToolCallStart(0, "call-1", "look"),
    ToolCallDelta(0, '{"a": '),
    ToolCallDelta(0, "1}"),
    ToolCallEnd(0),
]
EDIT: list[Event] = [
    ToolCallStart(1, "call-2", "edit", freeform=True),
    ToolCallDelta(1, '{"input": ""}'),
    ToolCallEnd(1),
]
LOOKED = ToolCallPart("call-1", "look", '{"a": 1}')
EDITED = ToolCallPart("call-2", "edit", '{"input": ""}', freeform=True)
DELTAS: st.SearchStrategy[list[Event]] = st.lists(
    st.builds(TextDelta, st.text(min_size=1))
    | st.builds(ThinkingDelta, st.text(min_size=1))
    | st.builds(Warned, st.sampled_from(["one", "two"]))
)


def folded(*events: Event) -> Completion:
    """The completion of one list of events."""
    fold = Fold()
    fold.feed(events)
    return fold.completion()


def spoken(*events: Event) -> Spoken:
    """What these events have said."""
    said = Spoken()
    for event in events:
        said.feed(event)
    return said


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


def test_calls_become_parts() -> None:
    """Each with all its arguments, beside the text."""
    whole = folded(TextDelta("a"), *LOOK, *EDIT, Usage(1, 2, 3), Finished("tool_calls"))
    assert whole == Completion(None, "a", "", (), Usage(1, 2, 3), "tool_calls", (LOOKED, EDITED))


@pytest.mark.parametrize("length", range(len(LOOK)))
def test_a_call_without_its_end_is_none(length: int) -> None:
    """It must not be executed, and the others may be."""
    assert folded(*EDIT, *LOOK[:length], Finished("length", cut=True)).calls == (EDITED,)


def test_each_warning_is_told_once() -> None:
    """In the order of their first time."""
    assert folded(Warned("b"), Warned("a"), TextDelta("t"), Warned("b"), Finished()).warnings == ("b", "a")


def test_an_answer_tells_what_stopped_it() -> None:
    """The stop sequence is not part of its text."""
    whole = folded(TextDelta("a"), Finished("stop", stopped_by="##", cut=True))
    assert (whole.text, whole.finish_reason, whole.stopped_by) == ("a", "stop", "##")


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


@pytest.mark.parametrize(
    ("events", "parts"),
    [
        ([], ()),
        ([Opened("chat-1"), ThinkingDelta("hm"), Warned("w"), Usage(1, 1, 1), Finished()], ()),
        ([TextDelta("a"), ThinkingDelta("hm"), TextDelta("b")], (TextPart("ab"),)),
        (LOOK, (LOOKED,)),
        ([*LOOK, TextDelta("a"), *EDIT], (TextPart("a"), LOOKED, EDITED)),
        ([*EDIT, *LOOK], (LOOKED, EDITED)),
        ([LOOK[0], *EDIT, *LOOK[1:]], (LOOKED, EDITED)),
        ([*LOOK, *EDIT[:-1]], (LOOKED,)),
    ],
)
def test_what_was_said_is_a_message(events: list[Event], parts: tuple[TextPart | ToolCallPart, ...]) -> None:
    """The text and then the calls, as the client will send it back in its history."""
    said = spoken(*events)
    assert said.message == Message(Role.ASSISTANT, parts)
    assert said.text == said.message.text
    assert said.calls == said.message.calls


def test_what_was_said_may_be_asked_at_any_time() -> None:
    """It goes on from there."""
    said = spoken(TextDelta("a"))
    assert said.message == Message.of(Role.ASSISTANT, "a")
    for event in (TextDelta("b"), *LOOK):
        said.feed(event)
    assert said.message == Message(Role.ASSISTANT, (TextPart("ab"), LOOKED))


@given(st.lists(DELTAS))
def test_where_the_reads_were_cut_changes_nothing(reads: list[list[Event]]) -> None:
    """A list of events is one network read."""
    fold = Fold()
    for events in reads:
        fold.feed(events)
    fold.feed([Finished()])
    assert fold.completion() == folded(*(event for events in reads for event in events), Finished())
