"""Calls of tools in OpenAI's words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.events import ToolCallDelta, ToolCallEnd, ToolCallStart
from app.chat.request import ToolCallPart
from app.dialects.openai_chat.calls import CallDeltas, CallEvent, call_members

CALL = (ToolCallStart(0, "call_1", "f"), ToolCallDelta(0, '{"a"'), ToolCallDelta(0, ":1}"), ToolCallEnd(0))
PATCH = (ToolCallStart(1, "call_2", "patch", freeform=True), ToolCallDelta(1, '{"in'), ToolCallDelta(1, 'put":"a"}'))


def deltas(*events: CallEvent, legacy: bool = False) -> list[dict[str, Any]]:
    """What the events of an answer say."""
    calls = CallDeltas(legacy=legacy)
    return [json.loads(delta) for delta in map(calls.feed, events) if delta]


def arguments(*pieces: str, legacy: bool = False) -> str:
    """The arguments of a call that come in these pieces, put together again."""
    events: list[CallEvent] = [CALL[0], *(ToolCallDelta(0, piece) for piece in pieces), ToolCallEnd(0)]
    if legacy:
        return "".join(delta["function_call"]["arguments"] for delta in deltas(*events, legacy=True))
    return "".join(delta["tool_calls"][0]["function"]["arguments"] for delta in deltas(*events))


def test_a_call_begins_with_its_name() -> None:
    """Id, type and name once, the index each time; its end says nothing."""
    head = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}
    assert deltas(*CALL) == [
        {"tool_calls": [head]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a"'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]},
    ]


def test_calls_are_told_apart_by_their_index() -> None:
    """Also where one is freeform."""
    told = deltas(*CALL, *PATCH, ToolCallEnd(1), ToolCallStart(2, "call_3", "f"), ToolCallDelta(2, "{}"))
    assert [delta["tool_calls"][0]["index"] for delta in told] == [0, 0, 0, 1, 2, 2]


def test_a_freeform_call_goes_out_when_it_is_whole() -> None:
    """As the text that the tool takes."""
    assert deltas(*PATCH) == []
    call = {"index": 1, "id": "call_2", "type": "custom", "custom": {"name": "patch", "input": "a"}}
    assert deltas(*PATCH, ToolCallEnd(1)) == [{"tool_calls": [call]}]


@given(st.text(), st.booleans())
def test_the_text_of_a_freeform_call_is_taken_out_of_its_json(text: str, ascii_: bool) -> None:  # noqa: FBT001
    """Whatever it holds, and however it is escaped."""
    written = json.dumps({"input": text}, ensure_ascii=ascii_)
    (delta,) = deltas(PATCH[0], ToolCallDelta(1, written), ToolCallEnd(1))
    assert delta["tool_calls"][0]["custom"]["input"] == text


@pytest.mark.parametrize("written", ["", "a", "[1]", '"a"', '{"input":1}', '{"other":"a"}', "[" * 100_000])
def test_a_freeform_call_without_its_text_is_given_as_it_is(written: str) -> None:
    """Nothing is lost."""
    (delta,) = deltas(PATCH[0], ToolCallDelta(1, written), ToolCallEnd(1))
    assert delta["tool_calls"][0]["custom"]["input"] == written


def test_a_call_in_old_words_is_a_function_call() -> None:
    """It has neither id nor index."""
    assert deltas(*CALL, legacy=True) == [
        {"function_call": {"name": "f", "arguments": ""}},
        {"function_call": {"arguments": '{"a"'}},
        {"function_call": {"arguments": ":1}"}},
    ]


def test_the_old_words_know_one_call() -> None:
    """The first."""
    more = (ToolCallStart(1, "call_2", "g"), ToolCallDelta(1, "{}"), ToolCallEnd(1))
    assert deltas(*CALL, *more, legacy=True) == deltas(*CALL, legacy=True)


@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ("\ud800", "\ufffd"),
        ("a\udfffb", "a\ufffdb"),
        ("\udfff\ud800é", "\ufffd\ufffdé"),
        ("\ud83d\ude00", "😀"),
        ('{"a":"\\ud800"}', '{"a":"\\ud800"}'),
        ("\ufeff\u2028\x00", "\ufeff\u2028\x00"),
    ],
)
def test_a_lone_surrogate_is_replaced(raw: str, told: str, *, legacy: bool) -> None:
    """It cannot be written in UTF-8; its escape can."""
    assert arguments(raw, legacy=legacy) == told
    members = json.loads(json.dumps(call_members([ToolCallPart("1", "f", raw)], legacy=legacy)))
    call = members["function_call"] if legacy else members["tool_calls"][0]["function"]
    assert call["arguments"] == told


def test_a_lone_surrogate_in_a_freeform_text_is_replaced() -> None:
    """Its escape is undone with the others."""
    (delta,) = deltas(PATCH[0], ToolCallDelta(1, '{"input":"a\\ud800"}'), ToolCallEnd(1))
    assert delta["tool_calls"][0]["custom"]["input"] == "a\ufffd"
    members = call_members([ToolCallPart("1", "f", '{"input":"a\\ud800"}', freeform=True)], legacy=False)
    assert members == {"tool_calls": [{"id": "1", "type": "custom", "custom": {"name": "f", "input": "a\ufffd"}}]}


@given(st.lists(st.text()), st.booleans())
def test_any_arguments_are_told_in_any_pieces(pieces: list[str], legacy: bool) -> None:  # noqa: FBT001
    """None is lost, and none is told twice."""
    assert arguments(*pieces, legacy=legacy) == "".join(pieces)


def test_a_message_without_calls_has_no_field_for_them() -> None:
    """The vendor's own has none."""
    assert [call_members([], legacy=False), call_members([], legacy=True)] == [{}, {}]


def test_the_calls_of_a_message_are_told_whole() -> None:
    """In their order."""
    calls = [ToolCallPart("call_1", "f", '{"a":1}'), ToolCallPart("call_2", "patch", '{"input":"a"}', freeform=True)]
    assert call_members(calls, legacy=False) == {
        "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
            {"id": "call_2", "type": "custom", "custom": {"name": "patch", "input": "a"}},
        ]
    }


def test_the_call_of_a_message_in_old_words_is_the_first() -> None:
    """There is no room for another."""
    calls = [ToolCallPart("call_1", "f", '{"a":1}'), ToolCallPart("call_2", "g", "{}")]
    assert call_members(calls, legacy=True) == {"function_call": {"name": "f", "arguments": '{"a":1}'}}
