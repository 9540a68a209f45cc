"""What a model thinks, with the calls that it writes there taken out."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.events import ThinkingDelta, ToolCallDelta, ToolCallEnd, ToolCallStart, Warned
from app.toolcalls.arguments import Mode
from app.toolcalls.calls import Rules
from app.toolcalls.thoughts import Thoughts
from tests.drip import drip
from tests.toolcalls.answers import MARKS, NONCE, Outcome, call, rules, think

PIECES = st.sampled_from(
    [
        *("a", "\n", "`", "```\n", "<", "好", "{}", " "),
        call(),
        call("Fly"),
        *MARKS.all,
        MARKS.call[:-2],
        NONCE,
        "<tool_call>{",
    ]
)


def come_of(text: str, told: Rules | None = None) -> Outcome:
    """What comes of thoughts, however they arrive."""
    return drip(lambda chunks: think(chunks, told), text)


def new_thoughts(told: Rules | None = None) -> Thoughts:
    """Thoughts whose calls all have the same id."""
    return Thoughts(MARKS, told or rules(), new_id=lambda: "id")


def shown(thoughts: Thoughts, *pieces: str) -> str:
    """What is shown of these pieces, and of what was held back when the answer goes on."""
    events = [event for piece in pieces for event in thoughts.feed(piece)] + thoughts.pause()
    assert all(isinstance(event, ThinkingDelta) for event in events)
    return "".join(event.text for event in events if isinstance(event, ThinkingDelta))


def test_thoughts_are_shown() -> None:
    """As they arrive."""
    thoughts = new_thoughts()
    assert thoughts.feed("I think") == [ThinkingDelta("I think")]
    assert thoughts.feed(" so.<") == [ThinkingDelta(" so.")]
    assert thoughts.pause() == [ThinkingDelta("<")]
    assert thoughts.pause() == []


def test_a_call_is_taken_out() -> None:
    """It may be promoted, with the indexes that are free."""
    thoughts = new_thoughts()
    assert shown(
        thoughts, f"I call\n{call()}", f"\nthen\n{call('Read', json.dumps({'file_path': '/b', 'limit': '5'}))}"
    ) == ("I call\nthen")
    events = thoughts.promoted(2)
    begins = [event for event in events if isinstance(event, ToolCallStart)]
    assert begins == [ToolCallStart(2, "id", "Read"), ToolCallStart(3, "id", "Read")]
    arguments = "".join(event.arguments for event in events if isinstance(event, ToolCallDelta) and event.index == 3)
    assert json.loads(arguments) == {"file_path": "/b", "limit": 5}
    assert events[-2:] == [Warned("coerced:limit"), ToolCallEnd(3)]
    assert thoughts.promoted(0)[-1] == ToolCallEnd(1)


@pytest.mark.parametrize(
    "text",
    [
        call("Fly"),
        call(body="=="),
        call()[:-30],
        f'{MARKS.call} name="Read">{{"file_path": "/a", "limit": 5',
    ],
)
def test_what_is_no_whole_call_cannot_be_promoted(text: str) -> None:
    """Nor is it shown, nor does it hide another one."""
    for mode in Mode:
        assert come_of(f"a\n{text}", rules(mode)).calls == []
        outcome = come_of(f"a\n{call()}\n{text}", rules(mode))
        assert (outcome.text, outcome.values) == ("a", [("Read", {"file_path": "/a"})])


def test_a_call_that_has_failed_half_way_cannot_be_promoted() -> None:
    """It has no end."""
    text = f'{MARKS.call} name="Bash">{{"command": "echo 5" disk"}}\n{MARKS.call_end}>\n{call()}'
    assert come_of(text, rules(Mode.EAGER)).values == [("Read", {"file_path": "/a"})]
    assert len(come_of(text, rules(Mode.VALUE)).values) == 2


def test_only_one_call_is_promoted_where_there_may_be_one() -> None:
    """The first."""
    told = rules(parallel=False)
    outcome = come_of(call() + call("Bash", '{"command": "ls"}') + "a", told)
    assert (outcome.text, outcome.values) == ("a", [("Read", {"file_path": "/a"})])


def test_only_our_own_marks_count() -> None:
    """Those of others are words there, and so is a result."""
    text = f'a <tool_call>{{"name": "Read", "arguments": {{}}}}</tool_call> {MARKS.result} id="1">b{MARKS.result_end}>c'
    outcome = come_of(text)
    assert outcome.calls == []
    assert outcome.text == text.replace(f":{NONCE}", "").replace("</result>", "")


def test_what_is_not_over_is_not_carried_on() -> None:
    """A call that begins in one thought does not end in the next; whole ones are kept."""
    thoughts = new_thoughts()
    assert shown(thoughts, call(), "a ", call()[:30]) == "a"
    assert shown(thoughts, call()[30:], "`b") == call()[30:].replace(f"{MARKS.call_end}>", "").rstrip("\n") + "\n`b"
    assert shown(thoughts, call(), "c") == "c"
    assert [event.index for event in thoughts.promoted(0) if isinstance(event, ToolCallStart)] == [0, 1]


@given(st.lists(PIECES, max_size=12))
def test_no_mark_is_ever_shown(pieces: Sequence[str]) -> None:
    """However thoughts are made up, and however they arrive."""
    outcome = drip(think, "".join(pieces), count=10)
    assert not MARKS.pattern.search(outcome.text)
    assert not MARKS.pattern.search(shown(new_thoughts(), *pieces))
