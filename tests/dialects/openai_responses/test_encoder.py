"""Events to a Response: its stream, and one object."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import Omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response

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
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
    Warned,
)
from app.dialects.openai_responses.encoder import ResponsesEncoder
from app.dialects.openai_responses.output import Output
from app.dialects.openai_responses.resource import Resource
from app.dialects.openai_responses.tools import Names
from app.errors import InvalidRequest, RateLimitExceeded, UpstreamTruncated
from tests.dialects.openai_responses.vendor import EVENT

ID = "resp_" + "0" * 32
CREATED = 1_700_000_000
SOURCE = Source("https://a.example/", "A")
USAGE = Usage(5, 3, 2)
CALL: list[Event] = [ToolCallStart(0, "call_1", "f"), ToolCallDelta(0, '{"a"'), ToolCallDelta(0, ":1}"), ToolCallEnd(0)]
OTHER: list[Event] = [ToolCallStart(1, "call_2", "g"), ToolCallDelta(1, "{}"), ToolCallEnd(1)]
PATCH: list[Event] = [
    ToolCallStart(0, "call_1", "patch", freeform=True),
    ToolCallDelta(0, '{"input":"a\\n"}'),
    ToolCallEnd(0),
]
ANSWER: list[Event] = [ThinkingDelta("hm"), TextDelta('say "hi"\n世'), Annotation(SOURCE, 1, 3), *CALL, *OTHER]
"""One of each, in the order in which a whole answer has them."""


def encoder(
    *, tells_conversation: bool = False, keep: Callable[[bytes], object] = lambda _: None, **values: object
) -> ResponsesEncoder:
    """The encoder of an answer by the model `kimi`."""
    return ResponsesEncoder(
        resource=Resource(ID, CREATED, {"model": "kimi", **values}),
        output=Output(ID, Names({"g": ("crm", "g")})),
        tells_conversation=tells_conversation,
        keep=keep,
        clock=lambda: CREATED + 1.5,
    )


def read(data: bytes) -> list[dict[str, Any]]:
    """The events of a stream, each of which has to be one of the vendor's, under its name."""
    events = data.split(b"\n\n")
    assert events.pop() == b""
    out = []
    for number, event in enumerate(events):
        name, body = event.split(b"\n")
        value = orjson.loads(body.removeprefix(b"data: "))
        assert name.decode() == f"event: {value['type']}"
        assert value["sequence_number"] == number
        EVENT.validate_json(body.removeprefix(b"data: "), strict=True)
        out.append(value)
    return out


def kinds(data: bytes) -> list[str]:
    """The types of the events of a stream."""
    return [event["type"].removeprefix("response.") for event in read(data)]


def completion(events: list[Event]) -> Completion:
    """The whole answer of these events."""
    fold = Fold()
    fold.feed(events)
    return fold.completion()


def whole(events: list[Event], **values: object) -> dict[str, Any]:
    """The whole answer as a client gets it."""
    told = encoder(**values).whole(completion(events))  # type: ignore[arg-type] # fields of a request
    data = orjson.dumps(told)
    Response.model_validate_json(data, strict=True)
    value: dict[str, Any] = orjson.loads(data)
    return value


# --- The stream --------------------------------------------------------------------------------------------


def test_a_small_stream_byte_for_byte() -> None:
    """Its name, its number and its data: nothing else stands in an event."""
    streaming = encoder()
    begun = read(streaming.feed([TextDelta("a")]))
    assert begun[0] == {"type": "response.created", "sequence_number": 0, "response": begun[1]["response"]}
    item = b'"item_id":"msg_' + b"0" * 33 + b'","output_index":0,"content_index":0,'
    assert streaming.feed([TextDelta('say "世"\n')]) == (
        b"event: response.output_text.delta\n"
        b'data: {"type":"response.output_text.delta","sequence_number":5,'
        + item
        + '"delta":"say \\"世\\"\\n","logprobs":[]}\n\n'.encode()
    )


def test_a_stream_has_the_vendor_s_order() -> None:
    """From its beginning to its end."""
    assert kinds(encoder().feed([Opened("chat-1"), *ANSWER, USAGE, Finished("tool_calls")])) == [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.annotation.added",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]


def test_the_last_event_holds_the_whole_answer() -> None:
    """With its usage; the first ones hold nothing of it."""
    first, second, *_, last = read(encoder(store=False).feed([*ANSWER, USAGE, Finished("tool_calls")]))
    for event in (first, second):
        assert [event["response"]["status"], event["response"]["output"]] == ["in_progress", []]
    response = last["response"]
    assert [response["status"], response["completed_at"], response["store"]] == ["completed", CREATED + 1, False]
    assert response["usage"]["output_tokens_details"] == {"reasoning_tokens": 2}
    assert [item["type"] for item in response["output"]] == ["reasoning", "message", "function_call", "function_call"]
    assert response["output"][3] | {"id": ""} == {
        "id": "",
        "type": "function_call",
        "status": "completed",
        "call_id": "call_2",
        "name": "g",
        "namespace": "crm",
        "arguments": "{}",
    }


@pytest.mark.parametrize(
    "event",
    [Served("account", 0.0), Opened("chat-1"), SOURCE, Cited((SOURCE,)), Usage(1, 1, 1), Warned("a"), PromptMoved()],
)
def test_what_says_nothing_in_this_dialect_writes_nothing(event: Event) -> None:
    """Once the answer has begun."""
    streaming = encoder()
    streaming.feed([TextDelta("a")])
    assert streaming.feed([event]) == b""


def test_the_answer_begins_with_the_first_write() -> None:
    """Also where only the time of grace has passed; from then on silence is filled with comments."""
    streaming = encoder()
    assert streaming.feed([]) == streaming.feed([Served("account", 0.0), Opened("chat-1")]) == b""
    data = streaming.keep_alive()
    assert kinds(data) == ["created", "in_progress"]
    assert streaming.keep_alive() == b": keep-alive\n\n"
    data += streaming.feed([TextDelta("a"), Finished()])
    assert kinds(data).count("created") == 1


@pytest.mark.parametrize("early", [True, False])
def test_a_conversation_is_told_where_it_is_kept(*, early: bool) -> None:
    """In the last event in any case, and in the first if it is known by then."""
    events: list[Event] = [TextDelta("a"), Finished()]
    events.insert(0 if early else 1, Opened("chat-1"))
    first, *_, last = read(encoder(tells_conversation=True).feed(events))
    assert first["response"]["conversation"] == ({"id": "chat-1"} if early else None)
    assert last["response"]["conversation"] == {"id": "chat-1"}
    assert read(encoder().feed(events))[-1]["response"]["conversation"] is None
    assert whole(events)["conversation"] is None


@pytest.mark.parametrize("finished", [Finished("length"), Finished("length", cut=True)])
def test_a_limit_leaves_the_answer_incomplete(finished: Finished) -> None:
    """A call that it cut off is in no list of what to execute."""
    *_, done, last = read(encoder().feed([TextDelta("a"), *CALL, TextDelta("b"), USAGE, finished]))
    assert last["type"] == "response.incomplete"
    assert last["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    assert done["item"]["status"] == "incomplete"
    cut = read(encoder().feed([TextDelta("a"), *CALL[:2], finished]))
    assert [item["type"] for item in cut[-1]["response"]["output"]] == ["message"]
    assert cut[-2]["type"] == "response.function_call_arguments.delta"


# --- Failures ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [[], [TextDelta("a")], ANSWER])
def test_no_mark_of_success_follows_an_error(before: list[Event]) -> None:
    """It is told twice, and then nothing more."""
    data = encoder().feed([*before, Failed(RateLimitExceeded("later", param="model"))])
    *_, error, failed = read(data)
    assert b"response.completed" not in data
    assert b"response.incomplete" not in data
    told = {"message": "later", "type": "rate_limit_error", "param": "model", "code": "rate_limit_exceeded"}
    assert [error["type"], error["error"]] == ["error", told]
    assert [failed["type"], failed["response"]["status"]] == ["response.failed", "failed"]
    assert failed["response"]["error"] == {
        "code": "rate_limit_exceeded",
        "message": "later (rate_limit_exceeded) Please try again in 30s.",
    }
    assert failed["response"]["usage"] is None


def test_a_failed_answer_holds_what_came_to_its_end() -> None:
    """What was cut off is not in it."""
    failed = read(encoder().feed([*ANSWER[:-1], Failed(UpstreamTruncated("cut"))]))[-1]["response"]
    assert [item["type"] for item in failed["output"]] == ["reasoning", "message", "function_call"]


def test_an_error_is_one_event() -> None:
    """Whatever its message holds."""
    assert encoder().feed([Failed(InvalidRequest("a\n\nb"))]).count(b"\n\n") == 4


# --- Kept --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("finished", [Finished(), Finished("tool_calls"), Finished("length")])
def test_an_answer_is_kept_before_its_end_is_told(finished: Finished) -> None:
    """As it is told."""
    kept: list[bytes] = []
    streaming = encoder(keep=kept.append)
    data = streaming.feed(ANSWER)
    assert kept == []
    data += streaming.feed([finished])
    assert [orjson.loads(text) for text in kept] == [read(data)[-1]["response"]]


def test_a_whole_answer_is_kept_as_it_is_told() -> None:
    """Before it is sent."""
    kept: list[bytes] = []
    told = encoder(keep=kept.append).whole(completion([*ANSWER, USAGE, Finished()]))
    assert kept == [orjson.dumps(told)]


def test_an_answer_that_failed_is_not_kept() -> None:
    """Nobody goes on from half of one."""
    kept: list[bytes] = []
    encoder(keep=kept.append).feed([*ANSWER, Failed(UpstreamTruncated("cut"))])
    assert kept == []


# --- Stream and whole --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "events",
    [
        [TextDelta("a"), Finished()],
        [ThinkingDelta("h"), ThinkingDelta("m"), TextDelta("a"), TextDelta("b"), Finished()],
        [*ANSWER, USAGE, Finished("tool_calls")],
        [TextDelta("a"), USAGE, Finished("length")],
        [*PATCH, USAGE, Finished("tool_calls")],
        [TextDelta("a"), Annotation(SOURCE, 1, 1), *CALL, Finished("tool_calls")],
        [TextDelta("a"), *CALL, Annotation(SOURCE, 1, 1), Finished("tool_calls")],
        [*CALL[:2], Finished("length")],
        [Finished()],
    ],
)
def test_a_stream_ends_with_the_whole_answer(events: list[Event]) -> None:
    """The same object, byte for byte."""
    streamed = read(encoder().feed(events))[-1]["response"]
    assert streamed == whole(events)


def joined(response: dict[str, Any]) -> tuple[str, str, list[tuple[str, str]]]:
    """What a response says: its words, its thoughts, its calls."""
    items = response["output"]
    words = "".join(part["text"] for item in items if item["type"] == "message" for part in item["content"])
    thoughts = "".join(part["text"] for item in items if item["type"] == "reasoning" for part in item["summary"])
    calls = [(item["name"], item["arguments"]) for item in items if item["type"] == "function_call"]
    return words, thoughts, calls


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
SAYING: st.SearchStrategy[Event] = (
    st.builds(TextDelta, TEXTS)
    | st.builds(ThinkingDelta, TEXTS)
    | st.builds(Opened, st.text("abc", min_size=1))
    | st.builds(Annotation, st.just(SOURCE), st.integers(0, 99), st.integers(0, 99))
    | st.sampled_from([SOURCE, Cited((SOURCE,)), Usage(1, 2, 3), Served("account", 0.0), Warned("coerced:limit")])
)


@given(
    st.lists(SAYING),
    st.sampled_from([[], CALL, PATCH]),
    st.lists(SAYING, max_size=4),
    st.sampled_from(["stop", "length", "tool_calls"]),
)
def test_a_stream_says_what_the_whole_answer_says(
    before: list[Event], calls: list[Event], behind: list[Event], reason: str
) -> None:
    """Whatever came in which order; every event and object is of the vendor's types."""
    events = [*before, *calls, *behind, Finished(reason)]
    streamed = read(encoder().feed(events))
    assert joined(streamed[-1]["response"]) == joined(whole(events))
    deltas = [event["delta"] for event in streamed if event["type"] == "response.output_text.delta"]
    assert "".join(deltas) == joined(whole(events))[0]


@given(st.lists(st.lists(SAYING)), st.sampled_from([[Finished()], [Failed(UpstreamTruncated("cut"))]]))
def test_a_stream_is_the_same_however_it_was_cut(reads: list[list[Event]], end: list[Event]) -> None:
    """Event by event, or all at once."""
    one, other = encoder(), encoder()
    events = [event for events in reads for event in events]
    data = b"".join(one.feed(events) for events in reads) + one.feed(end)
    assert data == b"".join(other.feed([event]) for event in [*events, *end])
    assert data == encoder().feed([*events, *end])


@pytest.mark.parametrize("events", [ANSWER, [*PATCH], [TextDelta("a"), ThinkingDelta("b"), TextDelta("c"), *CALL]])
def test_openai_s_own_client_puts_the_answer_together(events: list[Event]) -> None:
    """From its events alone."""
    state: ResponseStreamState[None] = ResponseStreamState(input_tools=Omit(), text_format=Omit())
    data = encoder().feed([*events, USAGE, Finished("tool_calls")])
    last = None
    for event in read(data):
        for told in state.handle_event(EVENT.validate_json(json.dumps(event), strict=True)):
            last = told
    assert last is not None
    assert last.type == "response.completed"
    output = [item.to_dict() for item in last.response.output]
    wanted = read(data)[-1]["response"]["output"]
    assert [item["type"] for item in output] == [item["type"] for item in wanted]
    assert last.response.output_text == joined(read(data)[-1]["response"])[0]
