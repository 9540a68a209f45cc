"""The answer stream of the Connect protocol to events."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Sequence
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.chat.events import Cited, Finished, Opened, Source, TextDelta, ThinkingDelta, Warned
from app.errors import (
    AccountRestricted,
    InvalidRequest,
    NothingSaid,
    PlanRequired,
    RateLimitExceeded,
    TokenExpired,
    UpstreamBusy,
    UpstreamProtocolError,
    UpstreamTruncated,
)
from app.kimi.connect_decoder import ConnectDecoder
from tests.drip import drip, random_chunks
from tests.kimi.streams import (
    CHAT_ID,
    COMPLETED,
    DONE,
    END,
    MODEL_ID,
    OPENING,
    USER_ID,
    Failure,
    Seen,
    answered,
    block,
    body,
    capture,
    captured_frames,
    decode,
    ends,
    frame,
    message,
    refused,
    run,
    said,
    text_of,
    thinking_of,
    thought,
    turn,
)

HELLO: Final[list[Seen]] = [TextDelta("Hello")]
TRUNCATED: Final = Failure(UpstreamTruncated)
MARKER: Final = "\ue3a0cite\ue3a3web_search:1#{}\ue3a8"


def source(number: int) -> Source:
    """The page that `found` makes."""
    return Source(url=f"https://example.com/{number}", title=f"Page {number}")


def found(number: int, ref: str | None = None, **more: object) -> dict[str, object]:
    """A search item as the site has it."""
    base = {"title": f"Page {number}", "url": f"https://example.com/{number}", "siteName": "Example"}
    item: dict[str, object] = {"id": "0", "base": base, **more}
    if ref is not None:
        item["refIndex"] = ref
    return item


def chunks_found(*items: dict[str, object]) -> dict[str, object]:
    """The frame that says what a search found."""
    return message("append", "message.refs.searchChunks", id=MODEL_ID, refs={"searchChunks": list(items)})


def contents(*items: dict[str, object], **more: object) -> dict[str, object]:
    """The frame that gives a search tool's results; as captured, it does not name its call."""
    tool = {"contents": [{"searchResult": item} for item in items], "status": "STATUS_DONE", **more}
    return block("set", "block.tool.contents,block.tool.status", id="4", tool=tool)


CALLED: Final = block("set", None, id="4", tool={"toolCallId": "web_search_0", "name": "web_search"})
RUNNING: Final = block(
    "set",
    "block.tool.args,block.tool.status,block.tool.toolCallId",
    id="4",
    tool={"toolCallId": "web_search:1", "args": '{"query":"x"}', "status": "STATUS_RUNNING"},
)


# --- Captures ---------------------------------------------------------------------------------------

CAPTURED_ID: Final = "00000000-0000-8000-8000-000000000001"
CAPTURED_THINKING: Final = (
    "The user wants me to reply with ONLY the specified JSON inside a ```json code block, and nothing else at all. "
    "I should comply exactly as requested."
)
CAPTURED_TEXT: Final = """\
```json
{"id":"probe_net","calls":[{"tool":"list","path":"C:/temp"}]}
```"""


@pytest.fixture(scope="module")
def frames() -> list[bytes]:
    """The envelopes of capture 01: a complete turn, as live bytes."""
    return captured_frames("01")


def test_captured_turn(frames: list[bytes]) -> None:
    """A whole live turn gives its chat, its thinking, its text and its end, and nothing else."""
    events = decode(frames)
    assert events[0] == Opened(CAPTURED_ID)
    assert thinking_of(events) == CAPTURED_THINKING
    assert text_of(events) == CAPTURED_TEXT
    assert events[-1] == Finished()
    assert len(events) == 1 + 31 + 23 + 1


def test_captured_turn_in_every_cut(frames: list[bytes]) -> None:
    """A thousand random cuts of a live turn, single bytes, and anything after its trailer change no event."""
    drip(decode, b"".join(frames), trailing=frame(said("more")) + b"\x00\x00", count=1000)


def test_captured_turn_cut_at_every_frame(frames: list[bytes]) -> None:
    """A live turn that stops before COMPLETED is always flagged; after it, it is always whole."""
    completed = next(place for place, one in enumerate(frames) if b"MESSAGE_STATUS_COMPLETED" in one and place > 10)
    for place in range(len(frames)):
        last = decode(frames[:place])[-1]
        assert last == (Finished() if place > completed else TRUNCATED), place


def test_captured_turn_cut_at_any_byte(frames: list[bytes]) -> None:
    """A live turn that stops anywhere before COMPLETED is flagged once, and whatever came before it stays."""
    whole = b"".join(frames)
    before = len(b"".join(frames[:-3]))
    expected = decode([whole])
    chance = random.Random(2)  # noqa: S311 # it cuts test data
    for place in [chance.randrange(before) for _ in range(300)]:
        events = decode([whole[:place]])
        assert events[-1] == TRUNCATED
        assert ends(events) == [len(events) - 1]
        assert events[:-1] == expected[: len(events) - 1]


def test_captured_native_tool() -> None:
    """Kimi's own tools never come out, only the text after them, and that they were used."""
    assert decode(captured_frames("03")) == [Warned("builtin_tool:ipython"), TextDelta("17\u00d723=391"), Finished()]


def test_captured_instant_answer() -> None:
    """An answer without thinking has its text; the capture has no end, which is flagged."""
    events: list[Seen] = [Opened("c1"), TextDelta("I will "), TextDelta("check the code.")]
    stream = captured_frames("07")
    assert decode(stream) == [*events, TRUNCATED]
    assert decode([*stream, frame(DONE), frame({}, END)]) == [*events, Finished()]


def test_captured_errors() -> None:
    """The captured errors are what they mean, and the captured notice is none."""
    overloaded, _, exception, invalid, _, _, notice = capture("05")
    assert refused(end=overloaded["payload"]) is UpstreamBusy
    assert refused(exception["payload"]) is UpstreamBusy
    assert refused(end=invalid["payload"]) is InvalidRequest
    assert answered(said("Hello"), notice["payload"]) == HELLO


# --- Operations and masks ---------------------------------------------------------------------------------


def test_first_set_carries_text() -> None:
    """The first set of a block is text already."""
    assert answered(said("Hel"), said("lo", op="append")) == [TextDelta("Hel"), TextDelta("lo")]


def test_set_replaces() -> None:
    """A set that repeats what came and goes on gives only what is new."""
    assert answered(said("Hel"), said("Hello"), said(" you", op="append"), said("Hello you!")) == [
        TextDelta("Hel"),
        TextDelta("lo"),
        TextDelta(" you"),
        TextDelta("!"),
    ]


def test_set_that_repeats() -> None:
    """A set that changes nothing gives nothing."""
    assert answered(said("Hello"), said("Hello")) == HELLO


@pytest.mark.parametrize("text", ["Good bye", "Hell", ""])
def test_set_that_takes_text_back(text: str) -> None:
    """Text that went out cannot be replaced: the answer ends with an error."""
    assert refused(said("Hello"), said(text)) is UpstreamProtocolError


def test_set_of_thinking_that_differs() -> None:
    """Thinking that is written anew is no error."""
    assert answered(thought("Hm"), thought("Well"), said("Hello")) == [ThinkingDelta("Hm"), *HELLO]


@pytest.mark.parametrize(
    "mask",
    ["block.text", "block.text.content", "block", None, "", "block.text.content,block.status", " block.text , x"],
)
def test_masks_that_cover_text(mask: str | None) -> None:
    """Text comes under its own mask, one around it, several with commas, or none."""
    assert answered(block("set", mask, id="9", text={"content": "Hello"})) == HELLO


@pytest.mark.parametrize("mask", ["block.text.hologram", "block.tex", "block.think", "message", "x", "x,y", "."])
def test_masks_that_do_not_cover_text(mask: str) -> None:
    """What a mask does not name is not taken, known or not."""
    assert answered(said("Hello"), block("append", mask, id="9", text={"content": "never"})) == HELLO


def test_mask_chooses_among_what_a_frame_holds() -> None:
    """Of thinking and text in one frame the masked one counts."""
    both: dict[str, Any] = {"id": "9", "think": {"content": "Hm"}, "text": {"content": "Hello"}}
    assert answered(block("set", "block.text", **both)) == HELLO
    assert answered(block("set", None, **both)) == [ThinkingDelta("Hm"), *HELLO]
    assert answered(block("set", "block.think,block.text.content", **both)) == [ThinkingDelta("Hm"), *HELLO]


@pytest.mark.parametrize("op", ["merge", "delete", "SET", 1, True, [], {}, ["set"]])
def test_unknown_operations(op: Any) -> None:  # noqa: ANN401
    """A frame with an unknown operation changes nothing."""
    assert answered(said("Hello"), block(op, "block.text", id="9", text={"content": "never"})) == HELLO


@pytest.mark.parametrize("op", [None, ""])
def test_missing_operation(op: str | None) -> None:
    """A frame without an operation sets."""
    assert answered(block(op, "block.text", id="9", text={"content": "Hello"})) == HELLO


@pytest.mark.parametrize(
    "unknown",
    [
        {"op": "set", "mask": "block.hologram", "block": {"id": "7", "hologram": {"content": "never"}}},
        {"op": "set", "hologram": {"content": "never"}},
        {"op": "append", "mask": 7, "chat": {"files": []}},
        {"op": "append", "mask": ["block"], "heartbeat": {}},
        {"block": None},
        {"block": []},
        {"message": "never"},
        {},
        message("append", "message.refs.usedSearchChunks", id=MODEL_ID, refs={"usedSearchChunks": [found(1)]}),
        block("set", "block.agentMessage", id="7", agentMessage={"content": "never"}),
        block("set", "block.artifact", id="7", artifact={"content": "never"}),
        {"op": "set", "mask": "chat.status", "chat": {"id": CHAT_ID, "status": "STATUS_GENERATING"}},
        {"op": "set", "mask": "chat.name", "chat": {"id": CHAT_ID, "name": "A title"}},
        {"heartbeat": {}, "eventOffset": "12"},
        {"op": "set", "notification": {"type": "TYPE_NEW", "message": "never", "paywall": {"x": 1}}},
    ],
    ids=str,
)
def test_frames_that_say_nothing(unknown: dict[str, object]) -> None:
    """Frames of unknown or other kinds pass without a trace."""
    assert answered(unknown, said("Hello"), unknown) == HELLO


def test_unknown_frames_are_counted() -> None:
    """Frames that no known protocol explains are counted, and known ones are not."""
    decoder = ConnectDecoder()
    decoder.feed(turn({"hologram": 1}, {"op": "merge"}, {"heartbeat": {}}, said("Hello")))
    assert decoder.unknown == 2


def test_snake_case() -> None:
    """The same fields in snake case are the same fields."""
    stream = body(
        {"op": "set", "mask": "chat.last_request", "chat": {"id": CHAT_ID}},
        message("set", "message", id=USER_ID, parent_id="x", role="user", blocks=[{"text": {"content": "never"}}]),
        block("set", "block.text", id="1", message_id=USER_ID, text={"content": "never"}),
        message("set", "message", id=MODEL_ID, role="assistant"),
        block("set", None, id="4", tool={"tool_call_id": "web_search:1", "name": "web_search"}),
        message("append", "message.refs.search_chunks", refs={"search_chunks": [{**found(1), "ref_index": "r"}]}),
        said("Hello\ue3a0cite\ue3a3r\ue3a8"),
        COMPLETED,
    )
    assert decode([stream]) == [Opened(CHAT_ID), source(1), *HELLO, Cited((source(1),)), Finished()]


@pytest.mark.parametrize(("user", "model"), [("ROLE_USER", "ROLE_ASSISTANT"), ("User", "Assistant")])
def test_role_names(user: str, model: str) -> None:
    """Roles may come as names of an enumeration."""
    stream = body(
        message("set", "message", id="u", role=user, blocks=[{"text": {"content": "never"}}]),
        message("set", "message", id="m", role=model),
        said("Hello"),
    )
    assert decode([stream]) == [*HELLO, Finished()]


# --- Messages and blocks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["user", "system"])
def test_what_was_asked_never_comes_out(role: str) -> None:
    """User and system messages stay unseen: whole, as blocks that name them, and as blocks that follow them."""
    stream = body(
        message("set", "message", id="asked", role=role, blocks=[{"messageId": "", "text": {"content": "never"}}]),
        block("set", "block.text", id="1", messageId="asked", text={"content": "never"}),
        block("set", "block.text", id="1", text={"content": "never"}),
        block("append", "block.think.content", id="1", think={"content": "never"}),
        message("set", "message", id=MODEL_ID, role="assistant"),
        block("append", "block.text.content", id="1", messageId="asked", text={"content": "never"}),
        said("Hello", identity="1"),
        COMPLETED,
    )
    assert decode([stream]) == [*HELLO, Finished()]


def test_completed_user_message_does_not_complete_the_answer() -> None:
    """The echo of the user's message is COMPLETED from the start, also when its status comes alone."""
    status = message("set", "message.status", id=USER_ID, status="MESSAGE_STATUS_COMPLETED")
    stream = b"".join(map(frame, [*OPENING, status, said("Hello")]))
    assert decode([stream]) == [Opened(CHAT_ID), *HELLO, TRUNCATED]


def test_status_without_a_role() -> None:
    """A message.status without a role belongs to the answer and makes it whole."""
    stream = b"".join(map(frame, [*OPENING, said("Hello"), COMPLETED]))
    assert decode([stream]) == [Opened(CHAT_ID), *HELLO, Finished()]


def test_block_ids_restart_with_each_message() -> None:
    """A block id that an earlier message used is another block."""
    second = message("set", "message", id="model-2", role="assistant", status="MESSAGE_STATUS_GENERATING")
    assert answered(said("One", identity="1"), second, said(" two", identity="1")) == [
        TextDelta("One"),
        TextDelta(" two"),
    ]


def test_blocks_that_name_their_message_sometimes() -> None:
    """A block is the same whether or not a frame repeats its message."""
    first = block("set", "block.text", id="1", messageId=MODEL_ID, text={"content": "Hel"})
    assert answered(first, said("Hello", identity="1")) == [TextDelta("Hel"), TextDelta("lo")]


def test_answer_within_its_message() -> None:
    """Blocks inside the assistant's own message are the answer, and not twice."""
    whole = message("set", "message", id=MODEL_ID, role="assistant", blocks=[{"id": "9", "text": {"content": "Hello"}}])
    assert answered(whole) == HELLO
    assert answered(said("Hel"), whole) == [TextDelta("Hel"), TextDelta("lo")]


def test_chat_opens_once() -> None:
    """A new chat is opened by its first frame; later ones add nothing."""
    chat = {"op": "set", "chat": {"id": "new", "name": "Untitled Chat"}}
    assert decode([body(chat, *OPENING, said("Hello"))])[0] == Opened("new")
    assert answered({"op": "set", "chat": {"id": CHAT_ID}}, said("Hello")) == HELLO


def test_ids_of_a_turn() -> None:
    """The decoder knows the chat and the assistant's message as soon as they are told."""
    decoder = ConnectDecoder()
    decoder.feed(b"".join(map(frame, OPENING)))
    assert (decoder.conversation_id, decoder.message_id) == (CHAT_ID, MODEL_ID)
    assert (decoder.settled, decoder.concluded, decoder.ended) == (False, False, False)


def test_thinking_after_tools() -> None:
    """Thinking goes on in a new block after a tool."""
    assert answered(thought("One."), CALLED, thought(" Two.", identity="5"), said("Hello")) == [
        ThinkingDelta("One."),
        ThinkingDelta(" Two."),
        *HELLO,
    ]


def test_summary_is_not_thinking() -> None:
    """The summary of a thought replaces nothing."""
    summary = block("set", "block.think.summary", id="3", think={"summary": "Thinking", "content": "never"})
    assert answered(thought("Hm"), summary, said("Hello")) == [ThinkingDelta("Hm"), *HELLO]


@pytest.mark.parametrize("between", [CALLED, thought("Hm")], ids=["tool", "thinking"])
def test_text_after_other_work_is_a_new_paragraph(between: dict[str, object]) -> None:
    """Text blocks with other work between them are paragraphs of their own."""
    assert text_of(answered(said("One.", identity="1"), between, said("Two.", identity="6"))) == "One.\n\nTwo."


@pytest.mark.parametrize(("first", "second"), [("One.\n", "Two."), ("One.", "\nTwo."), ("One. ", "Two.")])
def test_text_that_brings_its_own_gap(first: str, second: str) -> None:
    """Where there is white space already, none is added."""
    assert text_of(answered(said(first, identity="1"), CALLED, said(second, identity="6"))) == first + second


def test_text_blocks_side_by_side() -> None:
    """Text blocks without other work between them are one text."""
    assert text_of(answered(said("One", identity="1"), said("Two", identity="2"))) == "OneTwo"


def test_blocks_may_interleave() -> None:
    """Each block is extended on its own."""
    frames = [thought("A"), said("1"), thought("B", op="append"), said("2", op="append")]
    assert answered(*frames) == [ThinkingDelta("A"), TextDelta("1"), ThinkingDelta("B"), TextDelta("2")]


# --- Searches and citations -----------------------------------------------------------------------------------


def test_search_chunks_become_sources() -> None:
    """What a search found comes out once for each address, in the site's order."""
    frames = [chunks_found(found(2, "web_search:1#0"), found(1, "web_search:1#1")), chunks_found(found(2, "other"))]
    assert answered(*frames, said("Hello")) == [source(2), source(1), *HELLO]


def test_marker_by_search_chunks() -> None:
    """A marker means the item that has its reference, not the one at its place."""
    frames = [chunks_found(found(2, "web_search:1#1"), found(1, "web_search:1#0")), said("Hello" + MARKER.format(1))]
    assert answered(*frames) == [source(2), source(1), *HELLO, Cited((source(2),))]


def test_marker_cut_over_frames() -> None:
    """A marker may come in several deltas."""
    pieces = [said("Hello\ue3a0ci"), said("te\ue3a3web_search", op="append"), said(":1#0\ue3a8 you", op="append")]
    assert answered(chunks_found(found(1, "web_search:1#0")), *pieces) == [
        source(1),
        *HELLO,
        Cited((source(1),)),
        TextDelta(" you"),
    ]


def test_marker_that_never_closes() -> None:
    """A marker that is open when the answer ends is cited and not shown."""
    events = answered(chunks_found(found(1, "web_search:1#0")), said("Hello" + MARKER.format(0)[:-1]))
    assert events == [source(1), *HELLO, Cited((source(1),))]


def test_marker_by_tool_contents() -> None:
    """Items of a tool's contents that name themselves are known by that name."""
    frames = [CALLED, RUNNING, contents(found(1, "web_search:1#5")), said("Hello" + MARKER.format(5))]
    assert answered(*frames) == [source(1), *HELLO, Cited((source(1),))]


@pytest.mark.parametrize("more", [{}, {"toolCallId": "web_search:1"}], ids=["as captured", "with the call's id"])
def test_marker_by_place_in_tool_contents(more: dict[str, object]) -> None:
    """Items without a reference are known by their call and place, if nothing better is known."""
    frames = [CALLED, RUNNING, contents(found(1), found(2), **more), said("Hello" + MARKER.format(1))]
    assert answered(*frames) == [source(1), source(2), *HELLO, Cited((source(2),))]


def test_place_in_tool_contents_is_a_guess() -> None:
    """What the search chunks named keeps its name: tool contents are in another order."""
    chunks = chunks_found(found(2, "web_search:1#0"), found(1, "web_search:1#1"))
    frames = [CALLED, RUNNING, chunks, contents(found(1), found(2), toolCallId="web_search:1")]
    assert answered(*frames, said("Hello" + MARKER.format(0)))[-1] == Cited((source(2),))


def test_marker_by_older_search_block() -> None:
    """The search block of early 2026 gives sources too."""
    pages = [{"title": "Page 1", "url": "https://example.com/1"}, {"title": "no address"}]
    old = block("set", "block.search", id="4", search={"keywords": ["x"], "webPages": pages})
    assert answered(old, said("Hello[^1^]")) == [source(1), *HELLO, Cited((source(1),))]


def test_marker_by_reference() -> None:
    """A reference that comes just before its marker resolves it, whatever names its item has."""
    record = {"matchedText": MARKER.format(7), "type": "TYPE_CITE", "items": [{"search": found(1, "else")}]}
    reference = message("append", "message.references", id=MODEL_ID, references=[record])
    assert answered(reference, said("Hello" + MARKER.format(7))) == [source(1), *HELLO, Cited((source(1),))]


def test_reference_with_several_items() -> None:
    """Each name of a marker is the item at its place."""
    record = {
        "matchedText": "\ue3a0cite\U0001f6e0a\U0001f6e0b\ue3a8",
        "items": [{"search": found(1)}, {"search": found(2)}],
    }
    reference = message("append", "message.references", references=[record])
    events = answered(reference, said("\ue3a0cite\U0001f6e0b\ue3a8\ue3a0cite\U0001f6e0a\ue3a8Hello"))
    assert events == [source(1), source(2), Cited((source(2),)), Cited((source(1),)), *HELLO]


@pytest.mark.parametrize("url", ["", "javascript:alert(1)", "file:///etc/passwd", "//example.com", None, 7])
def test_sources_are_web_pages(url: object) -> None:
    """An item without a web address is no source."""
    item: dict[str, object] = {"refIndex": "web_search:1#0", "base": {"title": "x", "url": url}}
    assert answered(chunks_found(item), said("Hello" + MARKER.format(0))) == HELLO


def test_numbers_with_and_without_sources() -> None:
    """`[^N^]` is a citation after a search and the model's text before."""
    assert answered(said("Hello[^1^]")) == [TextDelta("Hello[^1^]")]
    assert answered(chunks_found(found(1)), said("Hello[^1^]")) == [source(1), *HELLO, Cited((source(1),))]
    assert answered(chunks_found(found(1)), said("Hello[^2^]")) == [source(1), *HELLO]


# --- Tools -------------------------------------------------------------------------------------------------


def test_tools_never_come_out() -> None:
    """Neither a tool's arguments nor its output is text; a word tells of it, once."""
    frames = [
        block("set", None, id="4", tool={"toolCallId": "shell_0", "name": "shell", "args": "never"}),
        block("append", "block.tool.args", id="4", tool={"args": "never"}),
        block("set", "block.tool.contents", id="4", tool={"contents": [{"text": "never"}], "isError": False}),
    ]
    assert answered(*frames, *frames, said("Hello")) == [Warned("builtin_tool:shell"), *HELLO]


def test_the_name_of_a_tool_can_stand_in_a_header() -> None:
    """Whatever it is."""
    frames = [block("set", None, id="4", tool={"toolCallId": "a_0", "name": "a, b\n" + "c" * 100})]
    assert answered(*frames, said("Hello")) == [Warned("builtin_tool:" + "a__b_" + "c" * 59), *HELLO]


QUESTION: Final = {
    "questions": [
        {
            "question": "Which colour?",
            "type": "single",
            "options": [{"option": "Blue", "description": "never", "recommended": True}, {"option": "Red"}],
        },
        {"question": "Which size?", "type": "multi", "options": []},
    ]
}
ASKED: Final = "Which colour?\n- Blue\n- Red\nWhich size?"


def asking(args: str) -> list[dict[str, object]]:
    """The frames of a question to the person."""
    return [
        block("set", None, id="4", tool={"toolCallId": "ask_user_0", "name": "ask_user", "status": "STATUS_PENDING"}),
        block("append", "block.tool.args", id="4", tool={"args": args[:9]}),
        block("append", "block.tool.args", id="4", tool={"args": args[9:]}),
        block(
            "set",
            "block.tool.args,block.tool.status,block.tool.toolCallId",
            id="4",
            tool={"toolCallId": "ask_user:1", "args": args, "status": "STATUS_RUNNING"},
        ),
        {"op": "set", "mask": "chat.status", "chat": {"id": CHAT_ID, "status": "STATUS_ASK_USER_QUESTION"}},
    ]


def test_question_comes_out_as_text() -> None:
    """What the model asks the person is the answer, after what it said."""
    assert answered(*asking(json.dumps(QUESTION))) == [TextDelta(ASKED)]
    assert text_of(answered(said("Well."), *asking(json.dumps(QUESTION)))) == "Well.\n\n" + ASKED


def test_question_without_its_last_frame() -> None:
    """A question is known from its pieces alone."""
    assert answered(*asking(json.dumps(QUESTION))[:3]) == [TextDelta(ASKED)]


@pytest.mark.parametrize("args", ["{", "[]", "{}", '{"questions":7}', ""])
def test_question_that_cannot_be_read(args: str) -> None:
    """A question that is no question adds nothing."""
    assert answered(said("Hello"), *asking(args)) == HELLO


# --- Errors -----------------------------------------------------------------------------------------------


def overload(**more: object) -> dict[str, object]:
    """The error of a busy hour."""
    debug = {"reason": "REASON_SERVER_OVERLOADED_FOR_FREE_USER", **more}
    return {"error": {"code": "resource_exhausted", "details": [{"debug": debug}]}}


def test_overload_without_text() -> None:
    """An overload instead of an answer is one."""
    assert decode([frame(overload(), END)]) == [Failure(UpstreamBusy)]


def test_overload_after_text() -> None:
    """An overload after text ends the answer as failed; the text stays."""
    assert decode([body(*OPENING, said("Hel"), end=overload())]) == [
        Opened(CHAT_ID),
        TextDelta("Hel"),
        Failure(UpstreamBusy),
    ]


@pytest.mark.parametrize("before", [(DONE,), (COMPLETED,), (COMPLETED, DONE)], ids=["done", "completed", "both"])
def test_error_trailer_after_the_end(before: tuple[object, ...]) -> None:
    """An error in the trailer counts, also when all seemed well."""
    assert refused(said("Hello"), *before, end={"error": {"code": "unauthenticated"}}) is TokenExpired


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": "unauthenticated"}, TokenExpired),
        ({"code": "permission_denied"}, AccountRestricted),
        ({"code": "resource_exhausted"}, RateLimitExceeded),
        ({"code": "permission_denied", "details": [{"debug": {"paywall": {"plan": "x"}}}]}, PlanRequired),
        ({}, UpstreamProtocolError),
        ("text", UpstreamProtocolError),
    ],
)
def test_error_in_a_data_frame(error: object, kind: type) -> None:
    """An error may stand in a data frame: it ends the answer at once."""
    assert decode([body(*OPENING, {"error": error}, said("never"), DONE)]) == [Opened(CHAT_ID), Failure(kind)]


EXCEPTION: Final = {
    "error": {
        "reason": "REASON_COMPLETION_OVERLOADED",
        "localizedMessage": {"locale": "zh-CN", "message": "never"},
        "severity": "SEVERITY_BLOCK_RETRACT",
    }
}


def test_exception_block_takes_text_back() -> None:
    """A retraction ends the answer as failed, although the trailer is clean."""
    stream = body(*OPENING, said("Hel"), block("set", "block.exception", id="9", exception=EXCEPTION), DONE)
    assert decode([stream]) == [Opened(CHAT_ID), TextDelta("Hel"), Failure(UpstreamBusy)]


@pytest.mark.parametrize("exception", [EXCEPTION, EXCEPTION["error"]], ids=["error inside", "bare"])
@pytest.mark.parametrize("mask", ["block.exception", None])
def test_exception_forms(exception: dict[str, object], mask: str | None) -> None:
    """An exception is known in a block and as a frame of its own."""
    assert refused(block("set", mask, id="1", exception=exception)) is UpstreamBusy
    assert refused({"op": "set", "exception": exception}) is UpstreamBusy


def test_exception_of_what_was_asked() -> None:
    """An exception within the echo is not the answer's."""
    old = block("set", "block.exception", id="1", messageId=USER_ID, exception=EXCEPTION)
    assert answered(old, said("Hello")) == HELLO


@pytest.mark.parametrize("values", [(), ({"heartbeat": {}},), (thought("Hm"),), (CALLED,), (said(""),)])
def test_empty_answer(values: tuple[object, ...]) -> None:
    """An answer that completes without a word is a sign of load, no success."""
    assert decode([turn(*values)])[-1] == Failure(NothingSaid)


def test_answer_in_an_unknown_form() -> None:
    """An answer without a word, but with frames that are not known, is a changed protocol."""
    assert decode([turn({"hologram": {"content": "Hello"}})])[-1] == Failure(UpstreamProtocolError)


@pytest.mark.parametrize("status", ["MESSAGE_STATUS_CANCELLED", "MESSAGE_STATUS_FAILED", "?"])
def test_unknown_status(status: str) -> None:
    """A status that was never seen is not a whole answer, whatever the trailer says."""
    ended = message("set", "message.status", id=MODEL_ID, status=status)
    assert decode([body(*OPENING, said("Hello"), ended, DONE)]) == [Opened(CHAT_ID), *HELLO, TRUNCATED]


@pytest.mark.parametrize("payload", [b"", b"{", b"<html>", b"[]", b"null", b'"x"', b"\xff", b"{}{}"])
def test_frames_that_are_no_json_object(payload: bytes) -> None:
    """A frame that is no JSON object ends the answer as failed."""
    assert decode([frame(OPENING[1]) + frame(payload) + frame(said("never"))]) == [
        Opened(CHAT_ID),
        Failure(UpstreamProtocolError),
    ]


def test_empty_trailer() -> None:
    """A trailer without any payload is a clean one."""
    assert decode([frame(said("Hello")) + frame(b"", END)]) == [*HELLO, Finished()]


@pytest.mark.parametrize("end", [{"metadata": {"x": ["y"]}}, {"error": None}])
def test_trailer_with_more(end: object) -> None:
    """A trailer may hold metadata."""
    assert decode([body(said("Hello"), end=end)]) == [*HELLO, Finished()]


def test_broken_trailer() -> None:
    """A trailer that is no JSON is an error."""
    assert decode([frame(said("Hello")) + frame(b"<html>", END)]) == [*HELLO, Failure(UpstreamProtocolError)]


# --- The end --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("last", [DONE, COMPLETED], ids=["done", "completed"])
def test_missing_trailer(last: dict[str, object]) -> None:
    """After `done` or COMPLETED the trailer may be missing."""
    stream = b"".join(map(frame, [*OPENING, said("Hello"), last]))
    assert drip(decode, stream, small=0) == [Opened(CHAT_ID), *HELLO, Finished()]
    assert decode([stream + frame({}, END)[:-1]])[-1] == Finished()


def test_nothing_at_all() -> None:
    """An empty body is a cut."""
    assert decode([]) == [TRUNCATED]


def test_settled_and_concluded() -> None:
    """An answer is settled by its own end and ended by the trailer."""
    decoder = ConnectDecoder()
    decoder.feed(b"".join(map(frame, [*OPENING, said("Hello"), COMPLETED])))
    assert (decoder.settled, decoder.concluded, decoder.ended) == (True, True, False)
    decoder.feed(frame({}, END))
    assert decoder.ended


def test_cut_is_not_concluded() -> None:
    """A cut answer may still be running on Kimi's side; one that Kimi refused is not."""
    cut, refusal = ConnectDecoder(), ConnectDecoder()
    run(cut, [frame(said("Hello"))])
    run(refusal, [frame(overload())])
    assert (cut.concluded, refusal.concluded) == (False, True)


@pytest.mark.parametrize("trailing", [b"\x00", frame(said("never")), frame(overload(), END), frame({}, END), b"x" * 99])
def test_trailing_bytes(trailing: bytes) -> None:
    """What follows the trailer is not looked at."""
    assert drip(decode, turn(said("Hello")), trailing=trailing, count=10, small=0)[-1] == Finished()


# --- Compression and size -------------------------------------------------------------------------------------


def test_compressed_frames() -> None:
    """Compressed frames are read where gzip was declared, and refused where it was not."""
    stream = frame(gzip.compress(json.dumps(said("Hello")).encode()), 1) + frame({}, END)
    assert decode([stream], encoding="gzip") == [*HELLO, Finished()]
    assert decode([stream]) == [Failure(UpstreamProtocolError)]


def test_frame_over_the_ceiling() -> None:
    """A frame over the ceiling, plain or inflated, ends the answer as failed; what came before it stays."""
    bomb = frame(gzip.compress(bytes(10_000)), 1)
    for large in (frame(b"x" * 1001), frame(b"x" * 1001)[:6], bomb):
        decoder = ConnectDecoder(encoding="gzip", ceiling=1000)
        assert run(decoder, [frame(said("Hello")) + large]) == [*HELLO, Failure(UpstreamProtocolError)]


def test_foreign_frames() -> None:
    """Frames with gRPC-web's flag are passed over."""
    assert decode([frame(said("Hello")) + frame(b"grpc-status: 0", 0x80) + frame({}, END)]) == [*HELLO, Finished()]


# --- Anything -----------------------------------------------------------------------------------------------


@given(st.binary(max_size=400), st.binary(max_size=100))
def test_any_bytes(first: bytes, second: bytes) -> None:
    """Arbitrary bytes give one terminal event, the last."""
    events = decode([first, second], encoding="gzip")
    assert ends(events) == [len(events) - 1]


JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
WORDS: Final = st.sampled_from(
    ["user", "assistant", "1", "ask_user", "MESSAGE_STATUS_COMPLETED", "https://x.y/", "[^1^"]
)
TEXTS: Final = st.text(alphabet="ab\n[^1]\ue3a0\ue3a3\ue3a8#:", max_size=20) | WORDS


def objects(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with some of these members, each as it should be or anything at all."""
    return st.fixed_dictionaries({}, optional={name: value | JSON for name, value in members.items()})


CONTENT: Final = objects(content=TEXTS)
ITEM: Final = objects(refIndex=TEXTS, base=objects(url=TEXTS, title=TEXTS), url=TEXTS)
TOOL: Final = objects(
    toolCallId=TEXTS, name=TEXTS, args=TEXTS, contents=st.lists(objects(searchResult=ITEM), max_size=2)
)
BLOCK: Final = objects(
    id=TEXTS,
    messageId=TEXTS,
    text=CONTENT,
    think=CONTENT,
    tool=TOOL,
    exception=objects(error=JSON),
    search=objects(webPages=st.lists(ITEM, max_size=2)),
)
REFERENCE: Final = objects(matchedText=TEXTS, items=st.lists(objects(search=ITEM), max_size=2))
MESSAGE: Final = objects(
    id=TEXTS,
    role=TEXTS,
    status=TEXTS,
    blocks=st.lists(BLOCK, max_size=2),
    refs=objects(searchChunks=st.lists(ITEM, max_size=2)),
    references=st.lists(REFERENCE, max_size=2),
)
MASKS: Final = st.sampled_from(
    ["block.text", "block.text.content", "block.think", "block.tool.args", "message", "message.references", ",", "x"]
)
FRAME: Final = objects(
    op=st.sampled_from(["set", "append", "merge", ""]),
    mask=MASKS,
    block=BLOCK,
    message=MESSAGE,
    chat=objects(id=TEXTS),
    done=JSON,
    heartbeat=JSON,
)


@given(st.lists(FRAME | JSON, max_size=8), st.booleans(), st.randoms(use_true_random=False))
@settings(max_examples=300)
def test_any_json(values: Sequence[object], trailer: bool, chance: random.Random) -> None:  # noqa: FBT001
    """Arbitrary JSON in frames never raises, gives one terminal event, the last, and is the same in any cut."""
    stream = b"".join(map(frame, values)) + (frame({}, END) if trailer else b"")
    events = decode([stream])
    assert ends(events) == [len(events) - 1]
    assert decode(random_chunks(stream, chance)) == events
    assert all(event.text for event in events if isinstance(event, TextDelta | ThinkingDelta))


def test_a_further_message_unsettles_the_answer() -> None:
    """An agent's answer of several messages is not complete with the first of them."""
    decoder = ConnectDecoder()
    further = message("set", "message", id="model-2", role="assistant", status="MESSAGE_STATUS_GENERATING")
    decoder.feed(b"".join(map(frame, [*OPENING, said("One."), COMPLETED, further, said("Two")])))
    assert (decoder.settled, decoder.concluded) == (False, False)
    assert isinstance(decoder.finish()[-1].error, UpstreamTruncated)  # type: ignore[union-attr]
