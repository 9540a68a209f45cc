"""Patterns that somebody wrote."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.toolcalls.patterns import MAX_SLOW, Search, searchable

EVIL = "^(a|aa)+$"
PIECES = st.sampled_from(
    [
        *(
            "a",
            "b",
            ".",
            "[ab]",
            "[^a]",
            "\\d",
            "\\w",
            "\\b",
            "^",
            "$",
            "(?:",
            "(",
            "(?=",
            "(?!",
            "(?<=",
            "(?<n>",
            ")",
            "|",
        ),
        *(
            "*",
            "+",
            "?",
            "*?",
            "{2}",
            "{0,3}",
            "{3,}",
            "{500}",
            "{99999}",
            "\\1",
            "\\p{L}",
            "(?R)",
            "(?i)",
            "\\Z",
            "[",
            "]",
        ),
    ]
)


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("^[a-z]+$", "abc", True),
        ("^[a-z]+$", "ABC", False),
        ("b", "abc", True),
        ("^\\p{L}+$", "äß漢", True),
        ("^\\(?\\d{3}\\)?$", "(123)", True),
        ("^(?<year>\\d{4})-\\d\\d$", "2024-05", True),
        ("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", "123e4567-e89b-12d3-a456-426614174000", True),
        ("^.{1,2000}$", "x", True),
        ("(", "(", None),
        ("[z-a]", "z", None),
        ("(?R)", "a", None),
        ("\\\\(?R)", "\\a", None),
        ("a{e<=1}", "b", None),
        ("(?x)a {2}", "aa", None),
        ("(?:a{1000}){1000}", "a", None),
        ("a{4294967294}", "a", None),
        ("a" * 4000, "b" * 20_000, None),
        ("[ab]*c", "a" * 30_000, None),
    ],
)
def test_a_pattern_is_found_or_not_or_that_cannot_be_told(pattern: str, text: str, *, found: bool | None) -> None:
    """It cannot where a pattern is broken, too heavy, or not one of JavaScript's."""
    assert Search().found(pattern, text) is found


def test_a_pattern_that_takes_too_long_is_given_up() -> None:
    """It is not tried again, and after some of them none is."""
    search, text = Search(), "a" * 60 + "!"
    begin = time.monotonic()
    for _ in range(100):
        assert search.found(EVIL, text) is None
    assert search.found("a", text) is True
    for number in range(MAX_SLOW):
        assert search.found(f"^(a|aa|{number})+$", text) is None
    assert search.found("a", text) is None
    assert time.monotonic() - begin < 5


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [("(?:a{10}){10}", True), ("(?:(?:a{100}){100}){100}", False), ("\\{99999999}", True), ("a{9}{9}{9}{9}{9}", False)],
)
def test_repetitions_are_weighed(pattern: str, *, fits: bool) -> None:
    """Those within others count as often as the others repeat them."""
    assert searchable(pattern, "") is fits


@given(st.lists(PIECES, max_size=12).map("".join), st.sampled_from(["", "ab", "a" * 40 + "!", "ab" * 5000]))
def test_no_pattern_raises_or_takes_long(pattern: str, text: str) -> None:
    """Whatever it is made of."""
    begin = time.monotonic()
    assert Search().found(pattern, text) in {True, False, None}
    assert time.monotonic() - begin < 5
