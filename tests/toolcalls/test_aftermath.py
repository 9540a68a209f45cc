"""What follows a call and belongs to it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.toolcalls.aftermath import MAX_CLOSERS, Aftermath
from app.toolcalls.flow import Input
from app.toolcalls.prose import MAX_PADDING
from tests.drip import drip
from tests.toolcalls.answers import MARKS, MAX_HELD

END = MARKS.call_end
LEFTOVERS = st.sampled_from(
    [
        *(" ", "\n", "}", "]", "```", "```\n", "~~~~\n", "<", ">", "/", "a", f"{END}>", END, "</call>", "</tool_call"),
        MARKS.call,
    ]
)


def left(chunks: Sequence[str], *fences: str) -> tuple[str, list[str]]:
    """What does not belong to the call, and the fences that are still open."""
    aftermath, source, over = Aftermath(MARKS, [*fences]), Input(), False
    for chunk in chunks:
        source.add(chunk)
        over = over or aftermath.read(source)
        assert over or source.left <= MAX_HELD
    source.ended = True
    assert over or aftermath.read(source)
    return source.take(), aftermath.fences


@pytest.mark.parametrize(
    "leftover",
    [
        "",
        " \n\t",
        "\n" * MAX_PADDING,
        f"{END}>",
        f"\n{END}",
        f"{END}   >",
        f"{END}>\n{END}>",
        "</call>",
        "</call:ZZZZ>",
        "</tool_call>",
        "</function_call >",
        "</invoke>\n</tool_calls>",
        f"}}\n{END}>",
        "}]\n}</call>",
        "}}",
        f"{END}>" * MAX_CLOSERS,
    ],
)
def test_leftovers_belong_to_the_call(leftover: str) -> None:
    """Its closing tag in any spelling, brackets too many, white space."""
    assert drip(left, leftover) == ("", [])


@pytest.mark.parametrize(
    ("leftover", "rest"),
    [
        (f"{END}>\n\nDone.", "Done."),
        (f"{END} Done.", "Done."),
        (f"{END}: Done.", ": Done."),
        (f"{END}>\n{MARKS.call}", MARKS.call),
        (f"}}}}\n{MARKS.call}", MARKS.call),
        (f"}}\n{MARKS.result}", MARKS.result),
        ("} Done.", "} Done."),
        ("} <b>", "} <b>"),
        ("}" * (MAX_CLOSERS + 1), "}" * (MAX_CLOSERS + 1)),
        (" " * (MAX_PADDING + 1), " "),
        ("</div>", "</div>"),
        ("</calls>", "</calls>"),
        ("<call>", "<call>"),
        ("<tool_call>", "<tool_call>"),
        (MARKS.result_end, MARKS.result_end),
        (f"</call:{'x' * 13}>", f"</call:{'x' * 13}>"),
        (f"{END}>" * (MAX_CLOSERS + 1), f"{END}>"),
        ("```", "```"),
    ],
)
def test_all_else_is_something_new(leftover: str, rest: str) -> None:
    """Text, another call, a tag of others."""
    assert drip(left, leftover) == (rest, [])


@pytest.mark.parametrize(
    ("opened", "leftover", "rest", "open_still"),
    [
        (["```"], "\n```\nDone.", "Done.", []),
        (["```"], f"{END}>\n```", "", []),
        (["```"], f"\n```\n{END}>", "", []),
        (["~~~", "```"], f"\n```\n{END}>\n~~~\n", "", []),
        (["~~~", "```"], "\n~~~\n", "~~~\n", ["~~~", "```"]),
        (["```"], f"``` \t{' ' * 28}\nDone.", "Done.", []),
        (["```"], "`````\n", "", []),
        (["````"], "```\n", "```\n", ["````"]),
        (["```"], "```python\n", "```python\n", ["```"]),
        (["```"], "``` a", "``` a", ["```"]),
        (["```"], "Done.\n```", "Done.\n```", ["```"]),
        (["```"], f"```{' ' * 1000}", f"```{' ' * 1000}", ["```"]),
        (["```"], "```\n```\n", "```\n", []),
    ],
)
def test_a_fence_is_closed_with_the_call(opened: list[str], leftover: str, rest: str, open_still: list[str]) -> None:
    """The innermost one first."""
    assert drip(lambda chunks: left(chunks, *opened), leftover) == (rest, open_still)


@given(st.lists(LEFTOVERS, max_size=12).map("".join), st.lists(st.sampled_from(["```", "~~~~"]), max_size=2))
def test_what_belongs_to_a_call_is_no_matter_of_chunks(text: str, fences: list[str]) -> None:
    """What does not stays as it is."""
    rest, _ = drip(lambda chunks: left(chunks, *fences), text, count=10)
    assert text.endswith(rest)
