"""What a parser reads from and writes to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.events import TextDelta, ToolCallEnd, ToolCallStart, Warned
from app.chat.request import ToolSpec
from app.toolcalls.flow import AT_ONCE, Fault, Input, Output

LITERALS = ("<call", "<|open|>", "<|open|>call ")


def arrived(*texts: str) -> Input:
    """An input to which these texts have come."""
    source = Input()
    for text in texts:
        source.add(text)
    return source


def new_output(*, index: int = 0, spoken: bool = False) -> Output:
    """An output whose calls all have the same id."""
    return Output(new_id=lambda: "id", index=index, spoken=spoken)


def test_what_is_not_decided_stays() -> None:
    """More comes behind it."""
    source = arrived("abc")
    source.at = 1
    source.add("de")
    assert (source.text[source.at :], source.left, source.empty) == ("bcde", 4, False)
    assert source.take() == "bcde"
    assert (source.left, source.empty) == (0, True)


def test_what_is_put_back_comes_first() -> None:
    """Before all that is left."""
    source = arrived("abc")
    source.at = 1
    source.put_back("xy")
    assert source.take() == "xybc"


def test_a_long_text_is_seen_in_parts() -> None:
    """Its end is only known when all of it is seen; so it is with a long text that is put back."""
    text = "".join(map(str, range(AT_ONCE)))
    source = arrived(text)
    source.ended = True
    assert (source.left, source.eof) == (AT_ONCE, False)
    source.at = 10
    while source.see_more():
        assert source.left <= 4 * AT_ONCE
    assert (source.text[source.at :], source.eof) == (text[10:], True)
    source.at = len(source.text)
    source.put_back(text)
    assert (source.left, source.eof) == (AT_ONCE, False)
    source.put_back("ab")
    assert taken(source) == "ab" + text


def taken(source: Input) -> str:
    """All that is left, part by part."""
    text = source.take()
    while source.see_more():
        text += source.take()
    assert source.empty
    return text


@given(st.lists(st.text(max_size=5) | st.integers(AT_ONCE - 2, 3 * AT_ONCE).map("a".__mul__), max_size=6), st.data())
def test_nothing_gets_lost(texts: list[str], data: st.DataObject) -> None:
    """However much is taken, given back and decided in between."""
    source, seen = Input(), ""
    for text in texts:
        source.add(text)
        part = source.take()
        kept = data.draw(st.integers(0, len(part)))
        source.put_back(part[kept:])
        step = data.draw(st.integers(0, source.left))
        seen += part[:kept] + source.text[source.at : source.at + step]
        source.at += step
    assert seen + taken(source) == "".join(texts)


@pytest.mark.parametrize(
    ("text", "may_become"),
    [
        ("<", True),
        ("<c", True),
        ("<call", True),
        ("<calls", False),
        ("<b", False),
        ("<|open|>", True),
        ("<|open|>ca", True),
        ("<|open|>call ", False),
        ("<|open|>cat", False),
        ("<<", False),
    ],
)
def test_what_is_left_may_become_a_literal(text: str, *, may_become: bool) -> None:
    """All of it, and with what is still to come."""
    source = arrived("a" + text)
    source.at = 1
    assert source.ends_in(LITERALS) is may_become
    source.ended = True
    assert not source.ends_in(LITERALS)


def test_text_comes_out_in_one_piece() -> None:
    """Up to what is none."""
    output = new_output()
    for text in ("a", "", "b"):
        output.say(text)
    output.put(Warned("w"), Fault("bad_header"))
    output.say("c")
    assert output.taken() == [TextDelta("ab"), Warned("w"), Fault("bad_header"), TextDelta("c")]
    assert output.taken() == []


def test_calls_are_numbered() -> None:
    """From where the answer stands."""
    output = new_output(index=3)
    assert [output.begin_call(ToolSpec("Read")), output.begin_call(ToolSpec("apply", freeform=True))] == [3, 4]
    output.put(ToolCallEnd(3))
    assert output.index == 5
    assert output.taken() == [
        ToolCallStart(3, "id", "Read"),
        ToolCallStart(4, "id", "apply", freeform=True),
        ToolCallEnd(3),
    ]


@pytest.mark.parametrize(("spoken", "text"), [(True, "\nb"), (False, "b")])
def test_text_goes_on_in_a_line_of_its_own(text: str, *, spoken: bool) -> None:
    """If there was any, and once."""
    output = new_output(spoken=spoken)
    output.resumes = True
    output.say("")
    output.say("b")
    output.say("c")
    assert output.taken() == [TextDelta(text + "c")]
    assert output.spoken


def test_a_fault_does_not_show_the_body() -> None:
    """It holds the words of a person."""
    assert "secret" not in repr(Fault("bad_arguments", "Read", "secret"))
