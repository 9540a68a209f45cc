"""Events to Anthropic's messages, byte for byte, and as the vendor's own SDK reads them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from anthropic import APIStatusError
from hypothesis import given
from hypothesis import strategies as st

from app.chat.completion import Fold
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
from app.dialects.anthropic.encoder import MessagesEncoder
from app.errors import InvalidRequest, RateLimitExceeded, UpstreamBusy
from tests.dialects.anthropic.sdk import Sdk

SDK = Sdk()
SOURCE = Source("https://a.example/", "A")
CITED = Annotation(SOURCE, 1, 1)
CITATION = {
    "type": "web_search_result_location",
    "url": "https://a.example/",
    "title": "A",
    "cited_text": "",
    "encrypted_index": "",
}
CALLS: list[Event] = [
    ToolCallStart(0, "call_1", "f"),
    ToolCallDelta(0, '{"a"'),
    ToolCallDelta(0, ":1}"),
    ToolCallEnd(0),
    ToolCallStart(1, "call_2", "g"),
    ToolCallDelta(1, "{}"),
    ToolCallEnd(1),
]
CALLED = Finished("tool_calls")
SILENT: list[Event] = [
    Served("account", 0.0),
    Opened("chat-1"),
    PromptMoved(),
    SOURCE,
    Cited((SOURCE,)),
    Usage(1, 2, 3),
    Warned("a"),
]


def encoder(*, use_conversation_id: bool = False, shows_thinking: bool = True) -> MessagesEncoder:
    """The encoder of an answer by the model `kimi` to a request of seven tokens."""
    return MessagesEncoder(
        identity="msg_1",
        model="kimi",
        request_id="request-1",
        input_tokens=7,
        use_conversation_id=use_conversation_id,
        shows_thinking=shows_thinking,
    )


def told(data: bytes) -> list[dict[str, Any]]:
    """The JSON of each event, whose name stands on a line of its own."""
    *events, end = data.split(b"\n\n")
    assert end == b""
    values = []
    for event in events:
        name, line = event.decode().split("\n")
        values.append(json.loads(line.removeprefix("data: ")))
        assert name == f"event: {values[-1]['type']}"
    return values


def kinds(data: bytes) -> list[str]:
    """The kinds of the events, in short."""
    return [event["type"].removeprefix("content_") for event in told(data)]


def folded(events: Sequence[Event], **options: bool) -> dict[str, Any]:
    """The whole answer as the SDK reads it."""
    fold = Fold()
    fold.feed(events)
    return SDK.whole(orjson.dumps(encoder(**options).whole(fold.completion())))


USAGE = (
    b'"usage":{"input_tokens":7,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":%d,'
    b'"output_tokens_details":{"thinking_tokens":%d}}'
)
START = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant",'
    b'"model":"kimi",' + USAGE % (0, 0) + b',"content":[],"stop_reason":null,"stop_sequence":null}}\n\n'
)
STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


def block_start(index: int, block: bytes) -> bytes:
    """The event that a block begins with."""
    head = b'event: content_block_start\ndata: {"type":"content_block_start","index":%d,"content_block":'
    return head % index + block + b"}\n\n"


def delta(index: int, value: bytes) -> bytes:
    """The event that goes on with a block."""
    head = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":'
    return head % index + value + b"}\n\n"


def block_stop(index: int) -> bytes:
    """The event that a block ends with."""
    return b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n' % index


def ended(reason: bytes, output: int, thinking: int, sequence: bytes = b"null") -> bytes:
    """The last two events."""
    why = b'{"stop_reason":"%b","stop_sequence":%b}' % (reason, sequence)
    head = b'event: message_delta\ndata: {"type":"message_delta","delta":'
    return head + why + b"," + USAGE % (output, thinking) + b"}\n\n" + STOP


def test_a_small_stream_byte_for_byte() -> None:
    """Thinking with its signature, text, the reason of the end with all tokens."""
    data = encoder().feed(
        [Opened("chat-1"), ThinkingDelta("hm"), TextDelta('say "hi"\n'), TextDelta("世"), Usage(7, 3, 2), Finished()]
    )
    assert data == b"".join(
        [
            START,
            block_start(0, b'{"type":"thinking","thinking":"","signature":""}'),
            delta(0, b'{"type":"thinking_delta","thinking":"hm"}'),
            delta(0, b'{"type":"signature_delta","signature":"a2ltaS1nYXRld2F5"}'),
            block_stop(0),
            block_start(1, b'{"type":"text","text":""}'),
            delta(1, b'{"type":"text_delta","text":"say \\"hi\\"\\n"}'),
            delta(1, '{"type":"text_delta","text":"世"}'.encode()),
            block_stop(1),
            ended(b"end_turn", 5, 2),
        ]
    )


def test_a_stream_of_calls_byte_for_byte() -> None:
    """A block for each, whose input begins empty."""
    data = encoder().feed([TextDelta("I see."), *CALLS, Usage(7, 3, 0), CALLED])
    assert data == b"".join(
        [
            START,
            block_start(0, b'{"type":"text","text":""}'),
            delta(0, b'{"type":"text_delta","text":"I see."}'),
            block_stop(0),
            block_start(1, b'{"type":"tool_use","id":"call_1","name":"f","input":{}}'),
            delta(1, b'{"type":"input_json_delta","partial_json":"{\\"a\\""}'),
            delta(1, b'{"type":"input_json_delta","partial_json":":1}"}'),
            block_stop(1),
            block_start(2, b'{"type":"tool_use","id":"call_2","name":"g","input":{}}'),
            delta(2, b'{"type":"input_json_delta","partial_json":"{}"}'),
            block_stop(2),
            ended(b"tool_use", 3, 0),
        ]
    )


def test_a_citation_stands_in_its_text() -> None:
    """In the block that is open; its text is the page's, which nobody told."""
    data = encoder().feed([TextDelta("a"), CITED, TextDelta("b"), Finished()])
    assert [event["delta"] for event in told(data) if event["type"] == "content_block_delta"] == [
        {"type": "text_delta", "text": "a"},
        {"type": "citations_delta", "citation": CITATION},
        {"type": "text_delta", "text": "b"},
    ]
    assert SDK.streamed(data)["content"] == [{"type": "text", "text": "ab", "citations": [CITATION]}]


@pytest.mark.parametrize("before", [[], [ThinkingDelta("hm")], [TextDelta("a"), *CALLS]])
def test_a_citation_without_a_text_is_left_out(before: list[Event]) -> None:
    """No other block has citations."""
    assert "citations_delta" not in encoder().feed([*before, CITED, Finished()]).decode()


@pytest.mark.parametrize("event", SILENT)
def test_what_says_nothing_in_this_dialect_writes_nothing(event: Event) -> None:
    """Not even the message's begin: what comes before the first word still has a true status."""
    assert encoder().feed([event]) == b""


def test_silence_is_filled_with_pings() -> None:
    """The message begins before the first, because clients know no event before it."""
    streaming = encoder()
    ping = b'event: ping\ndata: {"type":"ping"}\n\n'
    assert [streaming.keep_alive(), streaming.keep_alive()] == [START + ping, ping]
    assert not streaming.feed([TextDelta("a")]).startswith(START)
    data = START + ping + encoder().feed([TextDelta("a"), Finished()]).removeprefix(START)
    assert SDK.streamed(data)["content"] == [{"type": "text", "text": "a"}]


def test_an_answer_without_a_word_is_a_message_all_the_same() -> None:
    """Of no blocks."""
    assert encoder().feed([Finished()]) == START + ended(b"end_turn", 0, 0)
    assert folded([Finished()])["content"] == []


def test_the_stream_of_a_kept_conversation_has_its_id() -> None:
    """So that it can be sent back as `conversation_id`."""
    events: list[Event] = [Opened("chat-1"), TextDelta("a"), Opened("late"), Finished()]
    assert told(encoder(use_conversation_id=True).feed(events))[0]["message"]["id"] == "chat-1"
    assert folded([Opened("chat-1"), TextDelta("a"), Finished()], use_conversation_id=True)["id"] == "chat-1"


def test_the_id_of_a_conversation_told_too_late_is_not_the_message_s() -> None:
    """The message has begun with the first ping."""
    streaming = encoder(use_conversation_id=True)
    assert b'"msg_1"' in streaming.keep_alive()
    assert b"chat-1" not in streaming.feed([Opened("chat-1"), TextDelta("a"), Finished()])


@pytest.mark.parametrize(
    ("finished", "reason", "sequence"),
    [
        (Finished(), "end_turn", None),
        (Finished("stop", stopped_by="END", cut=True), "stop_sequence", "END"),
        (Finished("length", cut=True), "max_tokens", None),
        (Finished("tool_calls"), "tool_use", None),
        (Finished("tool_calls", stopped_by="END"), "tool_use", None),
    ],
)
def test_the_reason_of_the_end_is_told(finished: Finished, reason: str, sequence: str | None) -> None:
    """In the stream as in the whole answer; calls have to be made, whatever stands behind them."""
    events: list[Event] = [TextDelta("a"), finished]
    ending = {"stop_reason": reason, "stop_sequence": sequence}
    assert told(encoder().feed(events))[-2]["delta"] == ending
    fold = Fold()
    fold.feed(events)
    assert ending.items() <= encoder().whole(fold.completion()).items()


@pytest.mark.parametrize(
    ("before", "closed"), [([], 0), ([TextDelta("a")], 1), ([ThinkingDelta("hm")], 1), (CALLS[:2], 0)]
)
def test_nothing_follows_an_error(before: list[Event], closed: int) -> None:
    """Words are closed before it, or Claude Code asks once more; a call is not, or agents run it."""
    data = encoder().feed([*before, Failed(RateLimitExceeded("later", param="model"))])
    assert told(data)[-1] == {
        "type": "error",
        "error": {"type": "rate_limit_error", "message": "later", "code": "rate_limit_exceeded", "param": "model"},
        "request_id": "request-1",
    }
    assert kinds(data).count("block_stop") == closed
    assert not {"message_delta", "message_stop"} & set(kinds(data))


def test_the_sdk_raises_an_error_of_the_stream() -> None:
    """With the kind and the words of it."""
    data = encoder().feed([TextDelta("a"), Failed(UpstreamBusy("Kimi is busy."))])
    with pytest.raises(APIStatusError) as caught:
        SDK.streamed(data)
    assert [caught.value.type, caught.value.api_message] == ["overloaded_error", "Kimi is busy."]


def test_an_error_is_one_event() -> None:
    """Whatever its message holds."""
    assert encoder().feed([Failed(InvalidRequest("a\n\nb"))]).count(b"\n\n") == 1


@pytest.mark.parametrize("cut", [[], CALLS[2:3]])
def test_a_call_that_a_limit_ended_is_closed_as_the_vendor_closes_it(cut: list[Event]) -> None:
    """The reason tells that it must not be made; a whole answer does not hold it."""
    events: list[Event] = [*CALLS[:2], *cut, Finished("length", cut=True)]
    assert kinds(encoder().feed(events))[-3:] == ["block_stop", "message_delta", "message_stop"]
    assert [folded(events)["content"], folded(events)["stop_reason"]] == [[], "max_tokens"]


def test_what_is_said_within_a_call_comes_behind_it() -> None:
    """Clients take blocks one after the other."""
    events: list[Event] = [*CALLS[:2], ThinkingDelta("hm"), TextDelta("a"), CITED, *CALLS[2:4], CALLED]
    content = SDK.streamed(encoder().feed(events))["content"]
    assert [block["type"] for block in content] == ["tool_use", "thinking", "text"]
    assert [content[0]["input"], content[2]["citations"]] == [{"a": 1}, [CITATION]]
    cut: list[Event] = [*CALLS[:2], TextDelta("a"), Finished("length")]
    assert kinds(encoder().feed(cut))[-6:-2] == ["block_stop", "block_start", "block_delta", "block_stop"]


def test_thinking_that_goes_on_is_a_block_of_its_own() -> None:
    """The text before it stays where it is."""
    events: list[Event] = [ThinkingDelta("a"), TextDelta("b"), ThinkingDelta("c"), TextDelta("d"), Finished()]
    content = SDK.streamed(encoder().feed(events))["content"]
    assert [(block["type"], block.get("thinking", block.get("text"))) for block in content] == [
        ("thinking", "a"),
        ("text", "b"),
        ("thinking", "c"),
        ("text", "d"),
    ]


def test_a_client_that_wants_no_thinking_sees_none() -> None:
    """Many read the first block as the answer; the tokens are counted all the same."""
    events: list[Event] = [ThinkingDelta("hm"), TextDelta("a"), Usage(7, 1, 2), Finished()]
    streaming = encoder(shows_thinking=False)
    assert streaming.feed(events[:1]) == b""
    message = SDK.streamed(streaming.feed(events[1:]))
    assert message["content"] == folded(events, shows_thinking=False)["content"] == [{"type": "text", "text": "a"}]
    assert message["usage"]["output_tokens"] == 3


def test_a_lone_surrogate_in_arguments_breaks_nothing() -> None:
    """Neither the stream nor the whole answer."""
    events: list[Event] = [CALLS[0], ToolCallDelta(0, '{"a":"\ud800"}'), ToolCallEnd(0), CALLED]
    assert SDK.streamed(encoder().feed(events))["content"][0]["input"] == {"a": "\ufffd"}
    assert folded(events)["content"][0]["input"] == {"a": "\ufffd"}


def test_a_large_number_in_arguments_stays_whole() -> None:
    """It is the client's id of something."""
    number = 12345678901234567890123
    events: list[Event] = [CALLS[0], ToolCallDelta(0, f'{{"a":{number}}}'), ToolCallEnd(0), CALLED]
    fold = Fold()
    fold.feed(events)
    assert str(number) in orjson.dumps(encoder().whole(fold.completion())).decode()


# --- Any answer --------------------------------------------------------------------------------------------

TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=5)
SAID = st.builds(TextDelta, TEXTS) | st.builds(ThinkingDelta, TEXTS)
LOOSE = SAID | st.sampled_from([CITED, *SILENT])


@st.composite
def answers(draw: st.DrawFn) -> list[Event]:
    """The events of an answer; what is said may fall into a call."""
    events: list[Event] = list(draw(st.lists(LOOSE, max_size=5)))
    for index in range(draw(st.integers(0, 3))):
        arguments = json.dumps(draw(st.dictionaries(TEXTS, TEXTS, max_size=2)))
        place = draw(st.integers(0, len(arguments)))
        events.append(ToolCallStart(index, f"call_{index}", "f"))
        events += [ToolCallDelta(index, piece) for piece in (arguments[:place], arguments[place:]) if piece]
        if draw(st.booleans()):
            events.insert(len(events) - 1, draw(SAID))
        events.append(ToolCallEnd(index))
        events += draw(st.lists(LOOSE, max_size=2))
    usage = Usage(7, draw(st.integers(0, 99)), draw(st.integers(0, 99)))
    reason = "tool_calls" if any(isinstance(event, ToolCallStart) for event in events) else "stop"
    return [*events, usage, Finished(draw(st.sampled_from([reason, "length"])))]


def joined(message: dict[str, Any]) -> dict[str, Any]:
    """A message without the order of its blocks."""
    content = message.pop("content")
    texts = {kind: "".join(block.get(kind, "") for block in content) for kind in ("text", "thinking")}
    return {**message, **texts, "calls": [block for block in content if block["type"] == "tool_use"]}


@given(answers(), st.booleans())
def test_the_sdk_puts_a_stream_together_to_the_whole_answer(events: list[Event], shows: bool) -> None:  # noqa: FBT001
    """But for the order of its blocks, which a whole answer does not have."""
    streamed = SDK.streamed(encoder(shows_thinking=shows).feed(events))
    assert joined(streamed) == joined(folded(events, shows_thinking=shows))


@given(st.lists(st.builds(ThinkingDelta, TEXTS), max_size=3), st.lists(st.builds(TextDelta, TEXTS), max_size=3))
def test_an_answer_in_the_usual_order_is_the_same_in_every_way(
    thinking: list[ThinkingDelta], text: list[TextDelta]
) -> None:
    """Thinking, then text with its citations, then calls."""
    cited: list[Event] = [CITED] if text else []
    events = [Opened("chat-1"), *thinking, *text, *cited, *CALLS, Usage(7, 3, 2), CALLED]
    assert SDK.streamed(encoder().feed(events)) == folded(events)


@given(answers(), st.data())
def test_where_events_are_cut_into_lists_changes_nothing(events: list[Event], data: st.DataObject) -> None:
    """Drip: one by one, and at any places."""
    whole = encoder().feed(events)
    streaming = encoder()
    assert b"".join(streaming.feed([event]) for event in events) == whole
    places = sorted(data.draw(st.lists(st.integers(0, len(events)), max_size=4)))
    streaming = encoder()
    cuts = zip([0, *places], [*places, len(events)], strict=True)
    assert b"".join(streaming.feed(events[start:end]) for start, end in cuts) == whole


@given(answers())
def test_blocks_follow_one_another(events: list[Event]) -> None:
    """Each is closed before the next begins, and their indices rise from 0."""
    opened: list[int] = []
    is_open = False
    for event in told(encoder().feed(events))[1:-2]:
        if event["type"] == "content_block_start":
            opened.append(event["index"])
            assert not is_open
        assert event["index"] == opened[-1]
        is_open = event["type"] != "content_block_stop"
    assert not is_open
    assert opened == list(range(len(opened)))
