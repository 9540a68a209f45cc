"""Where an answer shows code."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.toolcalls.code import Code

LINES = st.sampled_from(["```", "````", "~~~", "```python", "~~~ `a`", "a `b` c", "``a` b``", "`a", "", "a"])


def code_after(text: str) -> Code:
    """The code of a text, told line by line."""
    code = Code()
    for line in text.splitlines(keepends=True):
        found = re.match(r"`{3,}|~{3,}", line)
        if found:
            code.fence(found[0], line[found.end() :])
        else:
            for run in re.findall(r"`+", line):
                code.backticks(len(run))
        if line.endswith("\n"):
            code.line()
    return code


@pytest.mark.parametrize(
    ("text", "fenced"),
    [
        ("", False),
        ("```\n", True),
        ("```python\n", True),
        ("~~~\n", True),
        ("```\na\n```\n", False),
        ("```\na\n``` \t\r\n", False),
        ("```\na\n`````\n", False),
        ("````\na\n```\n", True),
        ("```\na\n~~~\n", True),
        ("```\na\n```python\n", True),
        ("~~~\n```\n~~~\n", False),
        ("~~~\na\n~~~~\n~~~\n", True),
    ],
)
def test_a_fence_is_closed_by_one_of_its_kind_and_length(text: str, *, fenced: bool) -> None:
    """With nothing behind it in its line."""
    code = code_after(text)
    assert (code.fenced, code.inside) == (fenced, fenced)


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("`a", True),
        ("`a`", False),
        ("``a`", True),
        ("``a`b``", False),
        ("`a` b `", True),
        ("`a\n", False),
        ("`a\nb", False),
    ],
)
def test_backticks_are_closed_by_as_many_in_the_same_line(text: str, *, inside: bool) -> None:
    """A single one concerns no other line."""
    code = code_after(text)
    assert (code.fenced, code.inside) == (False, inside)


def test_backticks_say_nothing_between_fences() -> None:
    """Nor does one before a fence go on behind it."""
    assert not code_after("```\n`\n```\n").inside
    assert not code_after("`\n```\n```\n").inside
    code = Code()
    code.backticks(1)
    code.fence("```", "\n")
    code.fence("```", "\n")
    assert not code.inside


@given(st.lists(LINES, max_size=8))
def test_what_is_fenced_is_code(lines: list[str]) -> None:
    """And at the beginning of a line nothing else is."""
    code = code_after("".join(f"{line}\n" for line in lines))
    assert code.inside == code.fenced
