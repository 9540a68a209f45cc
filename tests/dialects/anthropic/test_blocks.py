"""Content blocks in Anthropic's words; how a stream is made of them is in test_encoder.py."""

from __future__ import annotations

import json

import orjson
import pytest

from app.chat.completion import Completion
from app.chat.events import Annotation, Source, ToolCallDelta, ToolCallEnd, ToolCallStart, Usage
from app.chat.request import ToolCallPart
from app.dialects.anthropic.blocks import SIGNATURE, Blocks, CallEvent, all_blocks, event_of

CITED = Annotation(Source("https://a.example/", "A"), 1, 1)


def completion(*, text: str = "", thinking: str = "", calls: tuple[ToolCallPart, ...] = ()) -> Completion:
    """A whole answer, in which what is said cites one page."""
    return Completion(None, text, thinking, (CITED,) if text else (), Usage(1, 1, 1), "stop", calls)


def test_an_event_has_its_name_on_a_line_of_its_own() -> None:
    """The vendor's SDK for Python passes over an event without one."""
    assert event_of("ping", {}) == b'event: ping\ndata: {"type":"ping"}\n\n'
    assert event_of("error", {"error": "a\n\nb"}).count(b"\n\n") == 1


def test_the_block_that_is_open_goes_on() -> None:
    """It is begun once, and ended once."""
    blocks = Blocks()
    assert blocks.text("a").count(b"event: ") == 2
    assert blocks.text("b").count(b"event: ") == 1
    assert [blocks.close(), blocks.close()] == [event_of("content_block_stop", {"index": 0}), b""]


def test_thinking_is_signed_before_its_end() -> None:
    """Clients drop thinking without a signature."""
    blocks = Blocks()
    blocks.thinking("hm")
    signed, closed = blocks.close().decode().split("\n\n")[:2]
    assert json.loads(signed.partition("data: ")[2])["delta"] == {"type": "signature_delta", "signature": SIGNATURE}
    assert "content_block_stop" in closed
    assert b"signature" not in blocks.text("a") + blocks.close()


def test_a_call_is_open_until_its_end() -> None:
    """Nothing else may be said in it."""
    blocks = Blocks()
    events: list[CallEvent] = [ToolCallStart(0, "call_1", "f"), ToolCallDelta(0, "{}"), ToolCallEnd(0)]
    states = []
    for event in events:
        assert blocks.call(event)
        states.append(blocks.in_call)
    assert states == [True, True, False]


@pytest.mark.parametrize(
    ("answer", "kinds"),
    [
        (completion(), []),
        (completion(text="a"), ["text"]),
        (completion(thinking="hm", text="a"), ["thinking", "text"]),
        (completion(text="a", calls=(ToolCallPart("1", "f", "{}"),) * 2), ["text", "tool_use", "tool_use"]),
        (completion(calls=(ToolCallPart("1", "f", "{}"),)), ["tool_use"]),
    ],
)
def test_a_whole_answer_has_the_blocks_of_what_it_says(answer: Completion, kinds: list[str]) -> None:
    """None is empty."""
    assert [block["type"] for block in all_blocks(answer, shows_thinking=True)] == kinds


def test_text_that_cites_nothing_has_no_citations() -> None:
    """As the vendor's."""
    answer = Completion(None, "a", "", (), Usage(1, 1, 1), "stop")
    assert all_blocks(answer, shows_thinking=True) == [{"type": "text", "text": "a"}]
    assert "citations" in all_blocks(completion(text="a"), shows_thinking=True)[0]


def test_thinking_that_is_not_to_be_seen_is_left_out() -> None:
    """All else is as it was."""
    answer = completion(thinking="hm", text="a")
    assert all_blocks(answer, shows_thinking=False) == all_blocks(answer, shows_thinking=True)[1:]


@pytest.mark.parametrize(("arguments", "given"), [('{"b":1.50}', '{"b":1.50}'), ("hm", '{"input":"hm"}')])
def test_the_input_of_a_call_is_an_object(arguments: str, given: str) -> None:
    """In its own writing where it is one."""
    (block,) = all_blocks(completion(calls=(ToolCallPart("1", "f", arguments),)), shows_thinking=True)
    written = orjson.dumps(block).decode()
    assert written.replace(" ", "") == f'{{"type":"tool_use","id":"1","name":"f","input":{given}}}'
