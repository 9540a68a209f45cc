"""The steps between upstream and dialect."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.events import (
    Annotation,
    Cited,
    Event,
    Failed,
    Finished,
    Opened,
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
from app.chat.stages import MAX_UNCITED, CallEnds, Citations, UsageCount, ended, numbered_list
from app.chat.tokens import estimate
from app.errors import UpstreamBusy

A, B = Source("https://a.example/", "A"), Source("https://b.example/", "B")
TEXTS = st.text(min_size=1)
CALL: list[Event] = [
    ToolCallStart(0, "call-1", "look"),
    ToolCallDelta(0, '{"a": '),
    ToolCallDelta(0, "1}"),
    ToolCallEnd(0),
]
EVENTS: st.SearchStrategy[list[Event]] = st.lists(
    st.builds(TextDelta, TEXTS)
    | st.builds(ThinkingDelta, TEXTS)
    | st.sampled_from([A, B, Cited((A,)), Cited((B, A)), Opened("chat-1"), Served("account", 0.0), Warned("w"), *CALL]),
)


def cited(*events: Event, written: bool = False) -> list[Event]:
    """One list of events through the stage."""
    return Citations(written=written)([*events])


def text_of(events: list[Event]) -> str:
    """What a client reads."""
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def places(events: list[Event]) -> list[Annotation]:
    """The places that are told."""
    return [event for event in events if isinstance(event, Annotation)]


def test_a_citation_has_its_place_in_the_text() -> None:
    """Where the text before it ends; it has no width of its own."""
    events = cited(TextDelta("世界"), Cited((A, B)), TextDelta("!"), Finished())
    assert events == [
        TextDelta("世界"),
        Annotation(A, 2, 2),
        Annotation(B, 2, 2),
        TextDelta("!"),
        Finished(),
    ]


def test_written_citations_stand_in_the_text() -> None:
    """Each source has one number; the list at the end explains them."""
    events = cited(TextDelta("a"), Cited((B,)), TextDelta("b"), Cited((A, B)), Finished(), written=True)
    assert text_of(events) == ("a[1]b[2][1]\n\nSources:\n1. [B](https://b.example/)\n2. [A](https://a.example/)")
    assert places(events) == [Annotation(B, 1, 4), Annotation(A, 5, 8), Annotation(B, 8, 11)]


def test_the_title_of_a_source_is_that_of_the_search() -> None:
    """A citation may name the address only."""
    events = cited(A, Cited((Source(A.url, ""),)), Finished(), written=True)
    assert "[A](https://a.example/)" in text_of(events)


def test_a_search_that_is_not_cited_is_annotated_at_the_end() -> None:
    """With its first sources: a search returns up to fifty."""
    found = [Source(f"https://{number}.example/", str(number)) for number in range(MAX_UNCITED + 5)]
    events = cited(*found, TextDelta("hello"), Finished())
    assert places(events) == [Annotation(source, 5, 5) for source in found[:MAX_UNCITED]]
    assert isinstance(events[-1], Finished)


def test_a_page_found_twice_is_one_source() -> None:
    """The first title counts."""
    assert len(places(cited(A, Source(A.url, "again"), Finished()))) == 1


def test_an_answer_without_sources_has_no_list() -> None:
    """Nothing is added to it."""
    assert text_of(cited(TextDelta("a"), Finished(), written=True)) == "a"


def test_a_failed_answer_has_no_list() -> None:
    """It is not at its end."""
    assert text_of(cited(A, TextDelta("a"), Failed(UpstreamBusy("no")), written=True)) == "a"


def test_sources_and_citations_end_here() -> None:
    """Dialects know annotations only."""
    events = cited(A, Cited((A,)), Opened("c"), ThinkingDelta("t"), Finished())
    assert [type(event) for event in events] == [Annotation, Opened, ThinkingDelta, Finished]


@pytest.mark.parametrize("written", [True, False])
def test_calls_are_no_text(*, written: bool) -> None:
    """They pass as they are, and a place in the text is where it was."""
    out = cited(TextDelta("a"), *CALL, Warned("w"), Cited((A,)), Finished("tool_calls"), written=written)
    assert out[:6] == [TextDelta("a"), *CALL, Warned("w")]
    assert [annotation.start for annotation in places(out)] == [1]
    assert out[-1] == Finished("tool_calls")


@pytest.mark.parametrize(
    ("title", "line"),
    [
        ("A [b] c", "1. [A (b) c](https://a.example/)"),
        (" two\n lines ", "1. [two lines](https://a.example/)"),
        ("", "1. [https://a.example/](https://a.example/)"),
    ],
)
def test_a_title_cannot_break_its_line(title: str, line: str) -> None:
    """It is whatever a page calls itself."""
    assert numbered_list([Source("https://a.example/", title)]) == f"\n\nSources:\n{line}"


@given(st.lists(EVENTS), st.booleans())
def test_annotations_fit_the_text(reads: list[list[Event]], written: bool) -> None:  # noqa: FBT001
    """Wherever the network cut it, and what is written there is the citation's number."""
    stage = Citations(written=written)
    out = [event for read in reads for event in stage(read)] + stage([Finished()])
    text = text_of(out)
    for annotation in places(out):
        assert 0 <= annotation.start <= annotation.end <= len(text)
        if annotation.end > annotation.start:
            assert text[annotation.start : annotation.end].strip("[]").isdigit()


@given(EVENTS)
def test_silent_citations_leave_the_text_alone(events: list[Event]) -> None:
    """They are annotations only."""
    assert text_of(cited(*events, Finished())) == text_of(events)


def test_usage_comes_just_before_the_end() -> None:
    """Counted from what has passed."""
    stage = UsageCount(7)
    assert stage([ThinkingDelta("hm"), TextDelta("hello ")]) == [ThinkingDelta("hm"), TextDelta("hello ")]
    assert stage([TextDelta("world"), Finished()]) == [
        TextDelta("world"),
        Usage(7, estimate("hello world"), estimate("hm")),
        Finished(),
    ]


def test_arguments_are_part_of_the_completion() -> None:
    """Counted by themselves; the names of tools are not, and the end stays what it is."""
    end = Finished("length", cut=True)
    usage = Usage(7, estimate("hello") + estimate('{"a": 1}'), 0)
    assert UsageCount(7)([TextDelta("hello"), *CALL, Warned("w"), end]) == [
        TextDelta("hello"),
        *CALL,
        Warned("w"),
        usage,
        end,
    ]


@given(EVENTS)
def test_counting_changes_nothing(events: list[Event]) -> None:
    """All passes at once, in its order."""
    assert UsageCount(7)([*events]) == events


def test_a_failed_answer_has_no_usage() -> None:
    """Nobody is told the price of half an answer."""
    failed = Failed(UpstreamBusy("no"))
    assert UsageCount(7)([TextDelta("a"), failed]) == [TextDelta("a"), failed]


@pytest.mark.parametrize(
    ("events", "over"),
    [
        ([], False),
        ([TextDelta("a")], False),
        ([TextDelta("a"), Finished()], True),
        ([Failed(UpstreamBusy("no"))], True),
    ],
)
def test_an_answer_is_over_at_its_end_mark(events: list[Event], *, over: bool) -> None:
    """Finished or Failed, and nothing else."""
    assert ended(events) is over


def passed(*lists: list[Event]) -> list[Event]:
    """What comes of these lists of events."""
    stage = CallEnds()
    return [event for events in lists for event in stage(events)]


def test_a_call_ends_with_what_follows_it() -> None:
    """In the same list or in the next one."""
    rest: list[Event] = [TextDelta("more"), Usage(1, 2, 3), Finished("tool_calls")]
    assert passed([*CALL, *rest]) == [*CALL, *rest]
    stage = CallEnds()
    assert stage([*CALL]) == CALL[:-1]
    assert stage([]) == []
    assert stage(rest) == [CALL[-1], *rest]


def test_an_answer_that_fails_behind_a_call_has_not_made_it() -> None:
    """Agents run a call as soon as it has ended."""
    failed = Failed(UpstreamBusy("no"))
    assert passed([*CALL], [failed]) == [*CALL[:-1], failed]
    assert passed([*CALL, failed]) == [*CALL[:-1], failed]


def test_a_call_that_another_follows_was_made() -> None:
    """Only the last one is in doubt."""
    second: list[Event] = [ToolCallStart(1, "call-2", "look"), ToolCallEnd(1)]
    failed = Failed(UpstreamBusy("no"))
    assert passed([*CALL, *second], [failed]) == [*CALL, second[0], failed]


@given(EVENTS, st.integers(0, 5))
def test_where_the_lists_are_cut_changes_nothing(events: list[Event], size: int) -> None:
    """Nor is anything lost or put elsewhere."""
    whole = [*events, Finished()]
    pieces = [whole[place : place + size + 1] for place in range(0, len(whole), size + 1)]
    assert passed(*pieces) == whole
