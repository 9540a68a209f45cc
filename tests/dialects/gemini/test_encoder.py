"""Events to Gemini's answers, byte for byte."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import orjson
import pytest
from google.genai import types
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
from app.dialects.gemini.encoder import GeminiEncoder
from app.dialects.gemini.framing import ArrayFraming, EventFraming
from app.errors import RateLimitExceeded

SOURCE = Source("https://a.example/", "A")
TEXTS = st.text(min_size=1)
CALLS: list[Event] = [
    ToolCallStart(0, "call_1", "f"),
    ToolCallDelta(0, '{"a"'),
    ToolCallDelta(0, ":1.0}"),
    ToolCallEnd(0),
    ToolCallStart(1, "call_2", "g"),
    ToolCallDelta(1, "{}"),
    ToolCallEnd(1),
]
CALLED = Finished("tool_calls")
EVENTS: st.SearchStrategy[list[Event]] = st.lists(
    st.builds(TextDelta, TEXTS)
    | st.builds(ThinkingDelta, TEXTS)
    | st.builds(Opened, st.text("abc", min_size=1))
    | st.builds(Annotation, st.just(SOURCE), st.integers(0, 99), st.integers(0, 99))
    | st.sampled_from([SOURCE, Cited((SOURCE,)), Usage(1, 2, 3), Served("account", 0.0), Warned("coerced:limit")]),
)
ANSWERS: st.SearchStrategy[list[Event]] = st.builds(
    lambda before, calls, after, end: [*before, *calls, *after, end],
    EVENTS,
    st.sampled_from([[], CALLS[:4], CALLS, CALLS[:2]]),
    EVENTS,
    st.sampled_from([Finished(), Finished("length"), CALLED, Failed(RateLimitExceeded("later"))]),
)


def encoder(
    *, array: bool = False, use_conversation_id: bool = False, thoughts: bool = True, bare: bool = False
) -> GeminiEncoder:
    """The encoder of an answer by the model `kimi`."""
    return GeminiEncoder(
        ArrayFraming() if array else EventFraming(),
        identity="answer-1",
        model="kimi",
        use_conversation_id=use_conversation_id,
        shows_thoughts=thoughts,
        bare=bare,
    )


def chunks(data: bytes) -> list[dict[str, Any]]:
    """The JSON of each event."""
    events = data.split(b"\n\n")
    assert events.pop() == b""
    assert all(event.startswith(b"data: {") for event in events)
    return [json.loads(event.removeprefix(b"data: ")) for event in events]


def parts_of(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All parts of all chunks."""
    listed = [answer["candidates"][0]["content"]["parts"] for answer in answers if "candidates" in answer]
    return [part for parts in listed for part in parts]


def joined(parts: list[dict[str, Any]], *, thought: bool = False) -> str:
    """The text of some parts, put together."""
    return "".join(part.get("text", "") for part in parts if part.get("thought", False) is thought)


def folded(events: list[Event], **options: bool) -> dict[str, Any]:
    """The whole answer as a client gets it."""
    fold = Fold()
    fold.feed(events)
    return json.loads(orjson.dumps(encoder(**options).whole(fold.completion())))  # type: ignore[no-any-return]


def checked(answer: dict[str, Any]) -> types.GenerateContentResponse:
    """The answer as Google's own types read it, which forbid what they do not know."""
    return types.GenerateContentResponse.model_validate_json(json.dumps(answer), strict=True)


def test_a_small_stream_byte_for_byte() -> None:
    """A part in each chunk; reason and usage in the last, beside a part without text."""
    data = encoder().feed([Opened("chat-1"), ThinkingDelta("hm"), TextDelta('"hi"\n世'), Usage(5, 3, 2), Finished()])
    head = b'data: {"candidates":[{"content":{"parts":['
    middle = b'],"role":"model"},"index":0'
    tail = b',"modelVersion":"kimi","responseId":"answer-1"}\n\n'
    assert data == b"".join(
        [
            head + b'{"text":"hm","thought":true}' + middle + b"}]" + tail,
            head + '{"text":"\\"hi\\"\\n世"}'.encode() + middle + b"}]" + tail,
            head + b'{"text":""}' + middle + b',"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":5,'
            b'"candidatesTokenCount":3,"thoughtsTokenCount":2,"totalTokenCount":10}' + tail,
        ]
    )


def test_the_same_stream_as_an_array() -> None:
    """Without `alt=sse`."""
    events: list[Event] = [TextDelta("a"), Usage(5, 3, 2), Finished()]
    data = encoder(array=True).feed(events)
    assert json.loads(data) == chunks(encoder().feed(events))
    assert data.count(b"\n") == 1


def test_thoughts_are_shown_only_to_who_asks_for_them() -> None:
    """They are counted all the same."""
    events: list[Event] = [ThinkingDelta("hm"), TextDelta("a"), Usage(5, 3, 2), Finished()]
    streamed = chunks(encoder(thoughts=False).feed(events))
    whole = folded(events, thoughts=False)
    assert [joined(parts_of(answers), thought=True) for answers in (streamed, [whole])] == ["", ""]
    assert [answer["usageMetadata"]["thoughtsTokenCount"] for answer in (streamed[-1], whole)] == [2, 2]


def test_a_call_goes_out_when_it_is_whole() -> None:
    """With its arguments as an object, whose numbers stay as they were written."""
    streaming = encoder()
    assert streaming.feed(CALLS[:3]) == b""
    data = streaming.feed(CALLS[3:4])
    assert b'{"functionCall":{"id":"call_1","name":"f","args":{"a":1.0}}}' in data
    assert len(chunks(data)) == 1


def test_a_call_without_its_end_is_never_told() -> None:
    """Nobody must execute it."""
    events: list[Event] = [*CALLS[:3], Finished("length")]
    assert b"functionCall" not in encoder().feed(events)
    assert parts_of([folded(events)]) == [{"text": ""}]


def test_the_stream_of_a_kept_conversation_has_its_id() -> None:
    """So that it can be sent back as `conversation_id`; the same in all chunks."""
    data = encoder(use_conversation_id=True).feed([Opened("chat-1"), TextDelta("a"), Opened("late"), Finished()])
    assert {chunk["responseId"] for chunk in chunks(data)} == {"chat-1"}
    assert folded([Opened("chat-1"), TextDelta("a"), Finished()], use_conversation_id=True)["responseId"] == "chat-1"


def test_the_id_of_a_conversation_told_too_late_does_not_change_the_answer_s() -> None:
    """One answer has one id."""
    data = encoder(use_conversation_id=True).feed([TextDelta("a"), Opened("chat-1"), Finished()])
    assert {chunk["responseId"] for chunk in chunks(data)} == {"answer-1"}


def test_citations_stand_in_the_last_chunk() -> None:
    """With places in all of the text."""
    events: list[Event] = [TextDelta("水 is "), TextDelta("wet"), Annotation(SOURCE, 8, 8), TextDelta("."), Finished()]
    *before, last = chunks(encoder().feed(events))
    segment = {"startIndex": 0, "endIndex": 10, "text": "水 is wet"}
    grounding = {
        "groundingChunks": [{"web": {"uri": "https://a.example/", "title": "A"}}],
        "groundingSupports": [{"segment": segment, "groundingChunkIndices": [0]}],
    }
    assert last["candidates"][0]["groundingMetadata"] == grounding
    assert not any("groundingMetadata" in chunk["candidates"][0] for chunk in before)
    assert folded(events)["candidates"][0]["groundingMetadata"] == grounding


def test_the_part_that_citations_are_in_is_named() -> None:
    """Where thoughts stand before it."""
    whole = folded([ThinkingDelta("hm"), TextDelta("a"), Annotation(SOURCE, 1, 1), Finished()])
    (support,) = whole["candidates"][0]["groundingMetadata"]["groundingSupports"]
    assert support["segment"]["partIndex"] == 1


@pytest.mark.parametrize(
    ("reason", "told"), [("stop", "STOP"), ("tool_calls", "STOP"), ("length", "MAX_TOKENS"), ("other", "STOP")]
)
def test_the_reason_of_the_end_is_told(reason: str, told: str) -> None:
    """Once, in the last chunk: without it Google's clients ask again."""
    events: list[Event] = [TextDelta("a"), *CALLS[:4], Finished(reason, stopped_by="x", cut=True)]
    reasons = [chunk["candidates"][0].get("finishReason") for chunk in chunks(encoder().feed(events))]
    assert reasons == [None, None, told]
    assert folded(events)["candidates"][0]["finishReason"] == told


@pytest.mark.parametrize("before", [[], [TextDelta("a")], CALLS[:3]])
def test_no_mark_of_success_follows_an_error(before: list[Event]) -> None:
    """In neither form of the stream; the array is closed."""
    failure = [*before, Failed(RateLimitExceeded("later", param="model"))]
    data, listed = encoder().feed(failure), encoder(array=True).feed(failure)
    assert b"finishReason" not in data
    assert list(chunks(data)[-1]) == ["error"]
    assert [chunks(data)[-1]["error"][name] for name in ("code", "status", "message")] == [
        429,
        "RESOURCE_EXHAUSTED",
        "later",
    ]
    assert json.loads(listed) == chunks(data)


def test_silence_is_filled_with_nothing() -> None:
    """Whatever fills it breaks one of Google's clients."""
    assert [encoder(array=array).keep_alive() for array in (True, False)] == [b"", b""]


@pytest.mark.parametrize(
    "event", [Served("account", 0.0), Opened("chat-1"), SOURCE, Cited((SOURCE,)), Usage(1, 1, 1), Warned("a")]
)
def test_what_says_nothing_in_this_dialect_writes_nothing(event: Event) -> None:
    """Nor does a read without events."""
    assert [encoder().feed([event]), encoder(array=True).feed([event]), encoder().feed([])] == [b"", b"", b""]


@pytest.mark.parametrize(
    ("said", "told"),
    [(['"a', 'b"'], "ab"), (["ab"], "ab"), (["7"], "7"), (['"\\ud800"'], "\ufffd"), (["[" * 3000], "[" * 3000)],
)  # fmt: skip
def test_a_bare_answer_has_no_quotes(said: list[str], told: str) -> None:
    """It is held until it can be read; what is no JSON string stays as it is."""
    streaming = encoder(bare=True)
    assert streaming.feed(list(map(TextDelta, said))) == b""
    events: list[Event] = [*map(TextDelta, said), Finished()]
    assert [joined(parts_of(chunks(streaming.feed([Finished()])))), joined(parts_of([folded(events, bare=True)]))] == [
        told,
        told,
    ]


def test_a_bare_answer_keeps_its_words_before_a_call() -> None:
    """In the order in which they were said."""
    events: list[Event] = [TextDelta("I see."), *CALLS[:4], CALLED]
    text, call, last = parts_of(chunks(encoder(bare=True).feed(events)))
    assert [text, last, "functionCall" in call] == [{"text": "I see."}, {"text": ""}, True]


def test_a_whole_answer_is_google_s_object() -> None:
    """Every field of it."""
    events: list[Event] = [ThinkingDelta("hm"), TextDelta("a"), *CALLS, Usage(5, 3, 2), CALLED]
    assert folded(events) == {
        "candidates": [
            {
                "content": {
                    "parts": [
                        {"text": "hm", "thought": True},
                        {"text": "a"},
                        {"functionCall": {"id": "call_1", "name": "f", "args": {"a": 1.0}}},
                        {"functionCall": {"id": "call_2", "name": "g", "args": {}}},
                    ],
                    "role": "model",
                },
                "index": 0,
                "finishReason": "STOP",
            }
        ],
        "usageMetadata": {
            "promptTokenCount": 5,
            "candidatesTokenCount": 3,
            "thoughtsTokenCount": 2,
            "totalTokenCount": 10,
        },
        "modelVersion": "kimi",
        "responseId": "answer-1",
    }


def test_an_answer_of_calls_alone_has_no_text() -> None:
    """Google's has none either."""
    assert [list(part) for part in parts_of([folded([*CALLS[:4], CALLED])])] == [["functionCall"]]


def test_a_lone_surrogate_in_arguments_breaks_nothing() -> None:
    """Neither the stream nor the whole answer."""
    events: list[Event] = [CALLS[0], ToolCallDelta(0, '{"a":"\ud800"}'), ToolCallEnd(0), CALLED]
    for answers in (chunks(encoder().feed(events)), [folded(events)]):
        assert parts_of(answers)[0]["functionCall"]["args"] == {"a": "\ufffd"}


@given(ANSWERS, st.booleans(), st.booleans())
def test_google_s_own_types_take_every_answer(events: list[Event], thoughts: bool, bare: bool) -> None:  # noqa: FBT001
    """Strictly, each chunk and the whole."""
    failed = isinstance(events[-1], Failed)
    told = chunks(encoder(thoughts=thoughts, bare=bare).feed(events))
    for chunk in told[:-1] if failed else told:
        assert checked(chunk).candidates
    if not failed:
        assert checked(folded(events, thoughts=thoughts, bare=bare)).candidates


@given(ANSWERS, st.lists(st.integers(0, 40)), st.booleans(), st.booleans())
def test_a_stream_is_the_same_however_it_was_cut(
    events: list[Event],
    cuts: list[int],
    array: bool,  # noqa: FBT001
    bare: bool,  # noqa: FBT001
) -> None:
    """Byte for byte, and each write is whole chunks."""
    at_once = encoder(array=array, bare=bare).feed(events)
    places = sorted({0, len(events), *(cut % len(events) for cut in cuts)})
    streaming = encoder(array=array, bare=bare)
    pieces = [streaming.feed(events[start:end]) for start, end in pairwise(places)]
    assert b"".join(pieces) == at_once
    if array:
        assert isinstance(json.loads(at_once), list)
    else:
        assert all(piece == b"" or piece.endswith(b"\n\n") for piece in pieces)


@given(ANSWERS)
def test_a_stream_says_what_the_whole_answer_says(events: list[Event]) -> None:
    """The same texts, calls, usage and reason."""
    if isinstance(events[-1], Failed):
        events[-1] = Finished()
    streamed = chunks(encoder().feed(events))
    whole, last = folded(events), streamed[-1]["candidates"][0]
    told, parts = parts_of(streamed), parts_of([whole])
    assert [joined(told), joined(told, thought=True)] == [joined(parts), joined(parts, thought=True)]
    assert [part for part in told if "functionCall" in part] == [part for part in parts if "functionCall" in part]
    assert last["finishReason"] == whole["candidates"][0]["finishReason"]
    assert streamed[-1].get("usageMetadata", whole["usageMetadata"]) == whole["usageMetadata"]
