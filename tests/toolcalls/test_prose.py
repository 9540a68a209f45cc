"""The text of an answer, up to the next call."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.events import TextDelta
from app.toolcalls.flow import Fault, Input, Output
from app.toolcalls.foreign import LITERALS, Block
from app.toolcalls.prose import MAX_FOREIGN, MAX_PADDING, Found, Header, Prose, ResultMark
from tests.drip import drip
from tests.toolcalls.answers import MARKS, NONCE

CALL = MARKS.call
READ = Header(' name="Read"', closed=False)
PARTS = st.sampled_from(
    [*("<", "`", "```", "~~~", "\n", "\n    ", "\t", " " * 40, "\r\n", "\x1c", "a", "好"), CALL[:-1], LITERALS[0][:-1]]
)
TEXTS = st.lists(PARTS | st.text(max_size=4), max_size=12).map("".join)

Read = tuple[str, list[str], Found | None, str, str]


def new_prose(*, foreign: bool = True, results_end: bool = True) -> tuple[Prose, Output]:
    """Prose with what it says."""
    output = Output(new_id=str, index=0, spoken=False)
    return Prose(MARKS, output, foreign=foreign, results_end=results_end), output


def read(chunks: Sequence[str], *, foreign: bool = True, results_end: bool = True) -> Read:
    """Give the text, the faults, what was found first, what is left behind it, and the fence that is owed."""
    prose, output = new_prose(foreign=foreign, results_end=results_end)
    source, found = Input(), None
    for chunk in chunks:
        source.add(chunk)
        found = found or prose.read(source)
    source.ended = True
    found = found or prose.read(source)
    if isinstance(found, Block):
        prose.take_along()
    prose.finish()
    pieces = output.taken()
    text = "".join(piece.text for piece in pieces if isinstance(piece, TextDelta))
    return text, [piece.code for piece in pieces if isinstance(piece, Fault)], found, source.take(), prose.owed


def text_of(text: str) -> str:
    """What is said of a text in which no call is found."""
    said, faults, found, left, owed = drip(read, text)
    assert (faults, found, left, owed) == ([], None, "", "")
    return said


def unmarked(text: str) -> bool:
    """Whether a text holds no mark of anybody's."""
    return not any(literal in text for literal in (*MARKS.all, *LITERALS))


@given(TEXTS.filter(unmarked))
def test_text_without_marks_stays_as_it_is(text: str) -> None:
    """Byte for byte."""
    assert text_of(text) == text


@pytest.mark.parametrize(
    ("opening", "header"),
    [
        (' name="Read">', READ),
        (" name='Read'>", Header(" name='Read'", closed=False)),
        (" name=Read>", Header(" name=Read", closed=False)),
        (' name="Read"/>', Header(' name="Read"', closed=True)),
        (' name="Read" />', Header(' name="Read" ', closed=True)),
        (' name="a>b/>">', Header(' name="a>b/>"', closed=False)),
        (" name=a/b>", Header(" name=a/b", closed=False)),
        (' id="1" name="Read">', Header(' id="1" name="Read"', closed=False)),
        (">", Header("", closed=False)),
        ("/>", Header("", closed=True)),
        (f' name="{"x" * 191}">', Header(f' name="{"x" * 191}"', closed=False)),
    ],
)
def test_a_header_ends_with_its_bracket(opening: str, header: Header) -> None:
    """Not with one in quotes."""
    assert drip(read, f"a\n{CALL}{opening}{{}}") == ("a", [], header, "{}", "")


@pytest.mark.parametrize(
    "opening",
    [
        ' name="Read"\n{}',
        ' name="Read>\n{}',
        ' name="Read"<b>',
        f' name="{"x" * 192}">',
        f" {'x' * 250}",
        ' name="Read"',
        "",
    ],
)
def test_what_is_no_header_is_text_without_its_letters(opening: str) -> None:
    """A line that ends, another tag, or nothing at all: the model has written something else."""
    assert drip(read, f"a {CALL}{opening}") == (f"a <call{opening}", ["bad_header"], None, "", "")


@pytest.mark.parametrize(
    ("before", "text"),
    [
        ("a\n", "a"),
        ("a \t\r\n\n", "a"),
        (" " * MAX_PADDING, ""),
        ("a" + " " * (MAX_PADDING + 3), "a   "),
        ("a\n```\n```\n", "a\n```\n```\n"),
        ("`a` ", "`a`"),
        ("`a\n", "`a"),
        ("a ```b``` ", "a ```b```"),
        ("    ```\n", "    ```"),
        ("a ```\n", "a ```"),
    ],
)
def test_white_space_before_a_call_is_part_of_it(before: str, text: str) -> None:
    """Some of it; all else stays."""
    assert drip(read, f'{before}{CALL} name="Read">') == (text, [], READ, "", "")


@pytest.mark.parametrize(
    ("before", "text", "owed"),
    [
        ("```\n", "", "```"),
        ("Sure:\n\n```xml\n", "Sure:", "```"),
        ("a\n  ~~~~ tool call\n \n", "a", "~~~~"),
        ("```\n```\n~~~\n", "```\n```\n", "~~~"),
        (f"```{'x' * 24}\n", "", "```"),
    ],
)
def test_a_fence_that_opens_before_a_call_is_part_of_it(before: str, text: str, owed: str) -> None:
    """It has to be closed behind it."""
    assert drip(read, f'{before}{CALL} name="Read">') == (text, [], READ, "", owed)


@pytest.mark.parametrize(
    "before",
    [
        "```\na\n",
        f"```{'x' * 25}\n",
        "```\n" + "\n" * (MAX_PADDING + 1),
        "```\n    ```\n",
        "~~~\n```\n",
        "`",
        "a ``b` ",
        "`a``b ",
    ],
)
def test_a_call_in_code_is_shown_without_its_letters(before: str) -> None:
    """So is all that belongs to it, of results and in the marks of others as well."""
    shown = f'{MARKS.call} name="Read">{MARKS.call_end}>{MARKS.result}>{MARKS.result_end}><tool_call><|sep|>'
    said = shown.replace(f":{NONCE}", "")
    assert text_of(before + shown) == before + said


@pytest.mark.parametrize("closing", ["", ">", " \t>", " " * 8 + ">"])
def test_a_closing_tag_that_closes_nothing_is_left_out(closing: str) -> None:
    """Of a call or of a result; its bracket may be missing."""
    assert text_of(f"a {MARKS.call_end}{closing}") == "a "
    assert text_of(f"a{MARKS.result_end}{closing}b") == "ab"


def test_a_result_that_the_model_writes_is_found() -> None:
    """Where it does not end the answer it is text."""
    text = f'a\n{MARKS.result} id="1">b'
    assert drip(read, text) == ("a", [], ResultMark(), text[2:], "")
    assert read([text], results_end=False) == ('a\n<result id="1">b', [], None, "", "")


@pytest.mark.parametrize(
    ("text", "said", "dialect", "left"),
    [
        ("a\n<tool_call>{", "a", "hermes", "{"),
        ("```\n<tool_call>{", "", "hermes", "{"),
        ("a <|tool_calls_section_begin|>b", "a", "k2", "b"),
        ("<|tool_call_section_begin|>", "", "k2", ""),
        ("<|tool_call_begin|>b", "", "k2", "b"),
        ("<|open|>tools<|sep|>b", "", "k3", "b"),
        ("<|open|>call tool", "", "k3", "tool"),
    ],
)
def test_a_block_of_others_is_found(text: str, said: str, dialect: str, left: str) -> None:
    """What stands before it is treated as before a call."""
    told, faults, found, behind, _ = drip(read, text)
    assert isinstance(found, Block)
    assert (told, faults, found.dialect, behind) == (said, [], dialect, left)


def test_tokens_of_models_are_left_out() -> None:
    """They say nothing to a person; where nobody looks for blocks they are text."""
    text = "a<|sep|>b <|open|>x<|close|><|tool_call_end|>"
    assert text_of(text) == "ab x"
    assert read([text], foreign=False)[0] == text


@pytest.mark.parametrize(("begins", "said"), [("<tool_call>", "<tool_call>"), ("<|tool_call_begin|>", "")])
def test_a_block_that_is_none_is_text(begins: str, said: str) -> None:
    """Without its tokens; after some of them none is looked for."""
    prose, output = new_prose()
    source = Input()
    source.add(f"{begins}." * (MAX_FOREIGN + 1) + "?")
    for _ in range(MAX_FOREIGN):
        found = prose.read(source)
        assert isinstance(found, Block)
        prose.give_up(found)
    assert prose.read(source) is None
    assert output.taken() == [TextDelta(f"{said}." * MAX_FOREIGN + f"{begins}.?")]


def test_the_fence_that_is_owed_is_closed_behind_text() -> None:
    """It belongs to the call, wherever it stands; another one does not."""
    for closing, left in (
        ("```\n", ""),
        ("````", ""),
        (f"```{' ' * 30}", " " * 6),
        ("```x\n", "```x\n"),
        ("~~~", "~~~"),
    ):
        prose, output = new_prose()
        prose.owed = "```"
        source = Input()
        source.add(f"a\n{closing}")
        source.ended = True
        assert prose.read(source) is None
        prose.finish()
        assert output.taken() == [TextDelta("a" + (f"\n{left}" if left else ""))]
        assert prose.owed == ("```" if left.strip() else "")


@pytest.mark.parametrize("held", ["<call:K7", "a\n", "``", "```py", "```\n \n", "<tool", f"{CALL} name="])
def test_nothing_is_held_back_before_something_that_is_no_text(held: str) -> None:
    """It has its place behind all that was said."""
    prose, output = new_prose()
    source = Input()
    source.add(held)
    assert prose.read(source) is None
    assert source.left + prose.held > 0
    prose.interrupt(source)
    assert output.taken() == [TextDelta(held)]
    assert source.left + prose.held == 0


@pytest.mark.parametrize(
    ("before", "found"),
    [("```\na\n```", READ), ("`a`", READ), ("```", None), ("`", None), ("a\n```py", None), ("a ``", None)],
)
def test_code_ends_also_before_something_that_is_no_text(before: str, found: Header | None) -> None:
    """And begins."""
    prose, _ = new_prose()
    source = Input()
    source.add(before)
    prose.read(source)
    prose.interrupt(source)
    source.add(f'{CALL} name="Read">')
    assert prose.read(source) == found
