"""Events to OpenAI's chat completions, byte for byte."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from app.chat.completion import Fold
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
from app.dialects.openai_chat.encoder import DONE, ChatEncoder
from app.errors import InvalidRequest, RateLimitExceeded

SOURCE = Source("https://a.example/", "A")
TEXTS = st.text(min_size=1)
EVENTS: st.SearchStrategy[list[Event]] = st.lists(
    st.builds(TextDelta, TEXTS)
    | st.builds(ThinkingDelta, TEXTS)
    | st.builds(Opened, st.text("abc", min_size=1))
    | st.builds(Annotation, st.just(SOURCE), st.integers(0, 99), st.integers(0, 99))
    | st.sampled_from([SOURCE, Cited((SOURCE,)), Usage(1, 2, 3), Served("account", 0.0), Warned("coerced:limit")]),
)
CALLS: list[Event] = [
    ToolCallStart(0, "call_1", "f"),
    ToolCallDelta(0, '{"a"'),
    ToolCallDelta(0, ":1}"),
    ToolCallEnd(0),
    ToolCallStart(1, "call_2", "g"),
    ToolCallDelta(1, "{}"),
    ToolCallEnd(1),
]
PATCH: list[Event] = [
    ToolCallStart(0, "call_1", "patch", freeform=True),
    ToolCallDelta(0, '{"input":'),
    ToolCallDelta(0, '"a\\n"}'),
    ToolCallEnd(0),
]
CALLED = Finished("tool_calls")


def encoder(
    *, use_conversation_id: bool = False, include_usage: bool = False, legacy_functions: bool = False
) -> ChatEncoder:
    """The encoder of an answer by the model `kimi`."""
    return ChatEncoder(
        identity="chatcmpl-1",
        model="kimi",
        created=1_700_000_000,
        use_conversation_id=use_conversation_id,
        include_usage=include_usage,
        legacy_functions=legacy_functions,
    )


def chunks(data: bytes) -> list[dict[str, Any]]:
    """The JSON of each event, without the end mark."""
    events = data.removesuffix(DONE).split(b"\n\n")
    assert events.pop() == b""
    return [json.loads(event.removeprefix(b"data: ")) for event in events]


def joined(data: bytes, field: str) -> str:
    """One field of all deltas, put together."""
    return "".join(choice["delta"].get(field) or "" for chunk in chunks(data) for choice in chunk["choices"])


def test_a_small_stream_byte_for_byte() -> None:
    """Role first, one finish reason, the usage asked for, the end mark."""
    data = encoder(include_usage=True).feed(
        [Opened("chat-1"), ThinkingDelta("hm"), TextDelta('say "hi"\n世'), Usage(5, 3, 2), Finished()]
    )
    head = b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"kimi","choices":['
    delta = head + b'{"index":0,"delta":'
    unfinished = b',"logprobs":null,"finish_reason":null}],"usage":null}\n\n'
    assert data == b"".join(
        [
            delta + b'{"role":"assistant","content":""}' + unfinished,
            delta + b'{"reasoning_content":"hm"}' + unfinished,
            delta + '{"content":"say \\"hi\\"\\n世"}'.encode() + unfinished,
            delta + b'{},"logprobs":null,"finish_reason":"stop"}],"usage":null}\n\n',
            head + b'],"usage":{"prompt_tokens":5,"completion_tokens":5,"total_tokens":10,'
            b'"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":2}}}\n\n',
            b"data: [DONE]\n\n",
        ]
    )


def test_usage_is_sent_only_where_it_was_asked_for() -> None:
    """A chunk without choices surprises clients that did not."""
    data = encoder().feed([TextDelta("a"), Usage(1, 1, 1), Finished()])
    assert b"usage" not in data
    assert [len(chunk["choices"]) for chunk in chunks(data)] == [1, 1, 1]


def test_the_stream_of_a_kept_conversation_has_its_id() -> None:
    """So that it can be sent back as `conversation_id`; the same in all chunks."""
    data = encoder(use_conversation_id=True).feed([Opened("chat-1"), TextDelta("a"), Opened("late"), Finished()])
    assert {chunk["id"] for chunk in chunks(data)} == {"chat-1"}


def test_the_id_of_a_conversation_told_too_late_does_not_change_the_answer_s() -> None:
    """One answer has one id."""
    data = encoder(use_conversation_id=True).feed([TextDelta("a"), Opened("chat-1"), Finished()])
    assert {chunk["id"] for chunk in chunks(data)} == {"chatcmpl-1"}


def test_an_annotation_is_a_url_citation() -> None:
    """In OpenAI's words."""
    data = encoder().feed([TextDelta("a"), Annotation(SOURCE, 0, 1)])
    citation = {"start_index": 0, "end_index": 1, "title": "A", "url": "https://a.example/"}
    assert chunks(data)[-1]["choices"][0]["delta"] == {
        "annotations": [{"type": "url_citation", "url_citation": citation}]
    }


@pytest.mark.parametrize(
    "event",
    [Served("account", 0.0), Opened("chat-1"), SOURCE, Cited((SOURCE,)), Usage(1, 1, 1), Warned("a"), *PATCH[:-1]],
)
def test_what_says_nothing_in_this_dialect_writes_nothing(event: Event) -> None:
    """Not even the role."""
    streaming = encoder()
    streaming.feed([PATCH[0]])
    assert streaming.feed([event]) == b""


@pytest.mark.parametrize("before", [[], [TextDelta("a")]])
def test_no_mark_of_success_follows_an_error(before: list[Event]) -> None:
    """Nobody takes the answer for whole."""
    data = encoder().feed([*before, Failed(RateLimitExceeded("later", param="model"))])
    assert DONE not in data
    assert chunks(data)[-1] == {
        "error": {"message": "later", "type": "rate_limit_error", "param": "model", "code": "rate_limit_exceeded"}
    }
    assert b'"finish_reason":"' not in data


def test_an_error_is_one_event() -> None:
    """Whatever its message holds."""
    assert encoder().fail(InvalidRequest("a\n\nb")).count(b"\n\n") == 1


def test_silence_is_filled_with_a_comment() -> None:
    """Every reader skips it."""
    assert encoder().keep_alive() == b": keep-alive\n\n"


def folded(events: list[Event], *, legacy: bool = False) -> dict[str, Any]:
    """The whole answer as a client gets it."""
    fold = Fold()
    fold.feed(events)
    whole = encoder(legacy_functions=legacy).whole(fold.completion())
    return json.loads(json.dumps(whole))  # type: ignore[no-any-return] # it is an object


def test_a_whole_answer_is_openai_s_object() -> None:
    """Every field of it."""
    whole = folded([ThinkingDelta("hm"), TextDelta("a"), Annotation(SOURCE, 0, 1), Usage(5, 3, 2), Finished()])
    citation = {"start_index": 0, "end_index": 1, "title": "A", "url": "https://a.example/"}
    assert whole == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "kimi",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "a",
                    "refusal": None,
                    "reasoning_content": "hm",
                    "annotations": [{"type": "url_citation", "url_citation": citation}],
                },
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 5,
            "completion_tokens": 5,
            "total_tokens": 10,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 2},
        },
    }


def test_a_whole_answer_without_thinking_has_no_field_for_it() -> None:
    """OpenAI's own has none."""
    assert "reasoning_content" not in folded([TextDelta("a"), Finished()])["choices"][0]["message"]


def test_the_whole_answer_of_a_kept_conversation_has_its_id() -> None:
    """As its stream has."""
    fold = Fold()
    fold.feed([Opened("chat-1"), TextDelta("a"), Finished()])
    assert encoder(use_conversation_id=True).whole(fold.completion())["id"] == "chat-1"


def test_a_stream_of_calls_byte_for_byte() -> None:
    """Usage never stands beside a call: clients take it for the end."""
    data = encoder(include_usage=True).feed([TextDelta("I see."), *CALLS[:4], Usage(5, 3, 2), CALLED])
    head = b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"kimi","choices":['
    delta = head + b'{"index":0,"delta":'
    unfinished = b',"logprobs":null,"finish_reason":null}],"usage":null}\n\n'
    call = b'{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":""}}'
    assert data == b"".join(
        [
            delta + b'{"role":"assistant","content":""}' + unfinished,
            delta + b'{"content":"I see."}' + unfinished,
            delta + b'{"tool_calls":[' + call + b"]}" + unfinished,
            delta + b'{"tool_calls":[{"index":0,"function":{"arguments":"{\\"a\\""}}]}' + unfinished,
            delta + b'{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]}' + unfinished,
            delta + b'{},"logprobs":null,"finish_reason":"tool_calls"}],"usage":null}\n\n',
            head + b'],"usage":{"prompt_tokens":5,"completion_tokens":5,"total_tokens":10,'
            b'"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":2}}}\n\n',
            b"data: [DONE]\n\n",
        ]
    )


@pytest.mark.parametrize("reason", ["stop", "length", "tool_calls"])
def test_the_reason_of_the_end_is_told(reason: str) -> None:
    """Once, as it is, in the stream as in the whole answer."""
    events: list[Event] = [TextDelta("a"), *CALLS[:4], Finished(reason, stopped_by="x", cut=True)]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks(encoder().feed(events))][-2:] == [None, reason]
    assert folded(events)["choices"][0]["finish_reason"] == reason


def test_a_call_that_a_limit_ended_is_told_as_far_as_it_came() -> None:
    """A whole answer holds none that must not be executed."""
    events: list[Event] = [*CALLS[:2], Finished("length")]
    assert b'"arguments":"{\\"a\\""' in encoder().feed(events)
    (choice,) = folded(events)["choices"]
    assert ["tool_calls" in choice["message"], choice["message"]["content"]] == [False, ""]


@pytest.mark.parametrize(("before", "content"), [([], None), ([TextDelta("I see.")], "I see.")])
def test_a_whole_answer_tells_its_calls(before: list[Event], content: str | None) -> None:
    """Without a word its content is null, as the vendor's is."""
    (choice,) = folded([*before, *CALLS, CALLED])["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"] == {
        "role": "assistant",
        "content": content,
        "refusal": None,
        "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
            {"id": "call_2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        ],
        "annotations": [],
    }


def test_an_answer_without_calls_has_no_field_for_them() -> None:
    """An empty list is refused by some clients when it comes back."""
    assert not {"tool_calls", "function_call"} & folded([TextDelta("a"), Finished()])["choices"][0]["message"].keys()


def test_a_freeform_call_is_a_custom_one() -> None:
    """In the stream it is one chunk."""
    call = {"id": "call_1", "type": "custom", "custom": {"name": "patch", "input": "a\n"}}
    told = [chunk["choices"][0]["delta"].get("tool_calls") for chunk in chunks(encoder().feed([*PATCH, CALLED]))]
    assert told == [None, [{"index": 0, **call}], None]
    whole = folded([*PATCH, CALLED])
    assert whole["choices"][0]["message"]["tool_calls"] == [call]
    ChatCompletion.model_validate_json(json.dumps(whole), strict=True)


def test_the_old_words_have_one_call_and_a_reason_of_their_own() -> None:
    """For clients that offered `functions`."""
    data = encoder(legacy_functions=True).feed([*CALLS, CALLED])
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks(data)]
    assert deltas == [
        {"role": "assistant", "content": ""},
        {"function_call": {"name": "f", "arguments": ""}},
        {"function_call": {"arguments": '{"a"'}},
        {"function_call": {"arguments": ":1}"}},
        {},
    ]
    assert chunks(data)[-1]["choices"][0]["finish_reason"] == "function_call"
    (choice,) = folded([*CALLS, CALLED], legacy=True)["choices"]
    assert choice["finish_reason"] == "function_call"
    assert choice["message"] == {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "function_call": {"name": "f", "arguments": '{"a":1}'},
        "annotations": [],
    }


def test_the_old_words_change_nothing_else() -> None:
    """An answer without a call is as any other."""
    events: list[Event] = [ThinkingDelta("hm"), TextDelta("a"), Finished()]
    assert encoder(legacy_functions=True).feed(events) == encoder().feed(events)
    assert folded(events, legacy=True) == folded(events)


def test_a_lone_surrogate_in_arguments_breaks_nothing() -> None:
    """Neither the stream nor the whole answer."""
    events: list[Event] = [CALLS[0], ToolCallDelta(0, '{"a":"\ud800"}'), ToolCallEnd(0), CALLED]
    assert "\ufffd" in encoder().feed(events).decode()
    assert folded(events)["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] == '{"a":"\ufffd"}'


@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize("before", [[], [ThinkingDelta("hm"), TextDelta("I see.")]])
def test_openai_s_own_client_puts_the_calls_together(before: list[Event], *, legacy: bool) -> None:
    """To what the whole answer holds."""
    events = [*before, *CALLS, CALLED]
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for chunk in chunks(encoder(legacy_functions=legacy).feed(events)):
        state.handle_chunk(ChatCompletionChunk.model_validate_json(json.dumps(chunk), strict=True))
    streamed = state.get_final_completion().choices[0]
    whole = ChatCompletion.model_validate_json(json.dumps(folded(events, legacy=legacy)), strict=True).choices[0]
    assert streamed.finish_reason == whole.finish_reason
    assert streamed.message.content == (whole.message.content or "")
    assert streamed.message.function_call == whole.message.function_call
    told = [call.function.model_dump() for call in streamed.message.tool_calls or []]
    assert [(call["name"], call["arguments"]) for call in told] == [
        (call.function.name, call.function.arguments)
        for call in whole.message.tool_calls or []
        if call.type == "function"
    ]


@given(
    EVENTS,
    st.sampled_from([[], CALLS[:4], CALLS]),
    st.sampled_from(["stop", "length", "tool_calls"]),
    st.booleans(),
    st.booleans(),
)
def test_openai_s_own_types_take_every_answer(
    events: list[Event],
    calls: list[Event],
    reason: str,
    usage: bool,  # noqa: FBT001
    legacy: bool,  # noqa: FBT001
) -> None:
    """Strictly: no value of a wrong type."""
    whole = [*events, *calls, Finished(reason)]
    for chunk in chunks(encoder(include_usage=usage, legacy_functions=legacy).feed(whole)):
        ChatCompletionChunk.model_validate_json(json.dumps(chunk), strict=True)
    ChatCompletion.model_validate_json(json.dumps(folded(whole, legacy=legacy)), strict=True)


@given(st.lists(EVENTS))
def test_a_stream_says_what_the_whole_answer_says(reads: list[list[Event]]) -> None:
    """Wherever the network cut it."""
    streaming = encoder()
    data = b"".join(streaming.feed(events) for events in reads) + streaming.feed([Finished()])
    message = folded([*(event for events in reads for event in events), Finished()])["choices"][0]["message"]
    assert joined(data, "content") == message["content"]
    assert joined(data, "reasoning_content") == message.get("reasoning_content", "")
    assert data.endswith(DONE)
    assert chunks(data)[0]["choices"][0]["delta"]["role"] == "assistant"
    assert len({chunk["id"] for chunk in chunks(data)}) == 1
