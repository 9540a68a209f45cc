"""The items of an answer, made of its events."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.events import (
    Annotation,
    Cited,
    Event,
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
from app.dialects.openai_responses.output import Output, answer_of, item_id
from app.dialects.openai_responses.tools import Names

HEX = "0123456789abcdef" * 2
ANSWER = f"resp_{HEX}"
SOURCE = Source("https://a.example/", "A")
CALL: list[Event] = [ToolCallStart(0, "call_1", "f"), ToolCallDelta(0, '{"a":1}'), ToolCallEnd(0)]
OTHER: list[Event] = [ToolCallStart(1, "call_2", "g"), ToolCallDelta(1, "{}"), ToolCallEnd(1)]


def output(*events: Event, whole: bool = True) -> tuple[list[str], Output]:
    """The types of the events that these mean, and the items."""
    made = Output(ANSWER, Names())
    kinds = [kind for event in events for kind, _ in made.feed(event)]
    kinds += [kind for kind, _ in made.finish(whole=whole)]
    return [kind.removeprefix("response.") for kind in kinds], made


def items(*events: Event, whole: bool = True) -> list[dict[str, Any]]:
    """The items of these events."""
    return output(*events, whole=whole)[1].items


def kinds(*events: Event) -> list[str]:
    """The types of the items of these events."""
    return [item["type"] for item in items(*events)]


REASONING = [
    "output_item.added",
    "reasoning_summary_part.added",
    "reasoning_summary_text.delta",
    "reasoning_summary_text.done",
    "reasoning_summary_part.done",
    "output_item.done",
]
WORDS = [
    "output_item.added",
    "content_part.added",
    "output_text.delta",
    "output_text.delta",
    "output_text.done",
    "content_part.done",
    "output_item.done",
]
CALLED = [
    "output_item.added",
    "function_call_arguments.delta",
    "function_call_arguments.done",
    "output_item.done",
]


def test_the_events_come_in_the_vendor_s_order() -> None:
    """Thinking, words, calls: each item is over before the next begins."""
    told, _ = output(ThinkingDelta("hm"), TextDelta("a"), TextDelta("b"), *CALL, *OTHER)
    assert told == [*REASONING, *WORDS, *CALLED, *CALLED]


def test_a_call_ends_when_its_arguments_are_whole() -> None:
    """Not only with the answer: clients begin to run it."""
    made = Output(ANSWER, Names())
    told = [[kind for kind, _ in made.feed(event)] for event in [TextDelta("a"), *CALL]]
    assert told[1][-2:] == ["response.output_item.done", "response.output_item.added"]
    assert told[3] == ["response.function_call_arguments.done", "response.output_item.done"]


def test_every_event_names_its_item() -> None:
    """By its id and its place."""
    made = Output(ANSWER, Names())
    for event in (ThinkingDelta("hm"), TextDelta("a"), *CALL):
        for _, members in made.feed(event):
            item = members.get("item")
            index = members["output_index"]
            identity = item["id"] if isinstance(item, dict) else members["item_id"]
            assert str(identity) == f"{['rs', 'msg', 'fc'][int(str(index))]}_{HEX}{index}"


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([], []),
        ([TextDelta("a")], ["message"]),
        ([ThinkingDelta("a"), ThinkingDelta("b")], ["reasoning"]),
        ([TextDelta("a"), ThinkingDelta("b"), TextDelta("c")], ["message", "reasoning", "message"]),
        ([*CALL, TextDelta("a"), *OTHER], ["function_call", "message", "function_call"]),
        ([ThinkingDelta("a"), *CALL], ["reasoning", "function_call"]),
        ([Opened("chat-1"), Served("x", 0.0), SOURCE, Cited((SOURCE,)), Usage(1, 1, 1), Warned("a")], []),
    ],
)
def test_an_item_is_what_comes_in_one_piece(events: list[Event], expected: list[str]) -> None:
    """What says nothing to a client begins none."""
    assert kinds(*events) == expected


def test_a_call_that_did_not_end_is_left_out() -> None:
    """It must not be executed; what came before it stands."""
    told, made = output(TextDelta("a"), *CALL[:2], whole=False)
    assert [item["type"] for item in made.items] == ["message"]
    assert told[-1] == "function_call_arguments.delta"


def test_words_in_the_middle_of_a_call_break_nothing() -> None:
    """The call ends with its own mark."""
    assert [item["type"] for item in items(*CALL[:1], TextDelta("a"), *CALL[1:])] == ["function_call", "message"]


@pytest.mark.parametrize(("whole", "status"), [(True, "completed"), (False, "incomplete")])
def test_the_last_words_are_incomplete_where_the_answer_is(status: str, *, whole: bool) -> None:
    """Those before something else are not."""
    first, _, last = items(TextDelta("a"), *CALL, TextDelta("b"), whole=whole)
    assert [first["status"], last["status"]] == ["completed", status]


# --- Citations ---------------------------------------------------------------------------------------------


def citations(item: dict[str, Any]) -> list[tuple[int, int]]:
    """The places of the citations in a message."""
    (part,) = item["content"]
    return [(each["start_index"], each["end_index"]) for each in part["annotations"]]


def test_a_citation_counts_from_the_beginning_of_its_message() -> None:
    """Whatever stands in the messages before."""
    first, _, second = items(
        TextDelta("abc"),
        Annotation(SOURCE, 1, 3),
        ThinkingDelta("hm"),
        TextDelta("def"),
        Annotation(SOURCE, 4, 6),
    )
    assert [citations(first), citations(second)] == [[(1, 3)], [(1, 3)]]


def test_a_citation_behind_its_message_stands_in_the_answer_s_end() -> None:
    """What is over is not told again."""
    told, made = output(TextDelta("abc"), *CALL, Annotation(SOURCE, 3, 3))
    assert "output_text.annotation.added" not in told
    assert citations(made.items[0]) == [(3, 3)]


def test_a_citation_before_the_first_word_waits_for_it() -> None:
    """Without words it has no place."""
    told, made = output(Annotation(SOURCE, 0, 0), TextDelta("abc"))
    assert told[:4] == [
        "output_item.added",
        "content_part.added",
        "output_text.annotation.added",
        "output_text.delta",
    ]
    assert citations(made.items[0]) == [(0, 0)]
    assert items(Annotation(SOURCE, 0, 0), *CALL)[0]["type"] == "function_call"


# --- Ids ---------------------------------------------------------------------------------------------------


@given(st.sampled_from(["msg", "rs", "fc", "fco", "ctc", "item"]), st.integers(0, 999) | st.just("in7"))
def test_an_item_s_id_tells_its_answer(prefix: str, number: int | str) -> None:
    """A client that only refers to the item is understood by it."""
    assert answer_of(item_id(prefix, ANSWER, number)) == ANSWER


@pytest.mark.parametrize(
    "name", ["", "msg_", "msg_1", f"msg_{HEX[1:]}", f"{HEX}", f"MSG_{HEX}", f"msg_{HEX}\n", "rs-1"]
)
def test_another_id_tells_none(name: str) -> None:
    """Other vendors' are longer or shorter."""
    assert answer_of(name) is None


def test_no_two_items_have_one_id() -> None:
    """Clients keep items by them."""
    made = items(ThinkingDelta("a"), TextDelta("b"), *CALL, ThinkingDelta("c"), TextDelta("d"), *OTHER)
    assert len({item["id"] for item in made}) == 6
