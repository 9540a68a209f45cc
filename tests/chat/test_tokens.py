"""The token estimate."""

from __future__ import annotations

import time
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.tokens import PER_MESSAGE, Estimator, estimate

# Cuts between characters of one kind matter most, so they are drawn more often than by st.text() alone.
_TEXT: Final = st.lists(
    st.sampled_from(
        ["a", "Word", " ", "  ", "\t", "\n", "\r\n", "7", "1234", ".", '"},', "世", "界", "。", "あ", "한", "é", "😀"]
    )
    | st.text(),
).map("".join)


def pieces(text: str, size: int) -> Estimator:
    """Feed `text` in pieces of `size` characters."""
    estimator = Estimator()
    for begin in range(0, len(text), size):
        estimator.feed(text[begin : begin + size])
    return estimator


@pytest.mark.parametrize(
    ("text", "tokens", "because"),
    [
        ("", 0, "nothing"),
        (" ", 1, "at least one"),
        ("hello", 1, "0.923"),
        ("hello world", 2, "2 * 0.923"),
        ("internationalization", 4, "0.923 + 15 * 0.171 = 3.488"),
        ("世界", 2, "0.635 + 2 * 0.536 = 1.707"),
        ("世" * 100, 55, "0.635 + 53.6 = 54.235"),
        ("7", 2, "1.665"),
        ("123", 2, "1.665"),
        ("1234", 4, "2 * 1.665"),
        ("\n\n\n\n", 3, "4 * 0.663 = 2.652"),
        ("        ", 1, "0.782"),
        (".", 1, "0.553"),
        ("....", 2, "0.553 * (2 + 0.4 * 2) = 1.5484"),
        ("。。", 3, "2 * 1.26"),
        ("😀", 2, "1.26"),
        ("ありがとう", 5, "5 * 0.9 = 4.5"),
        ("한국어", 3, "3 * 0.9 = 2.7"),
        ("привет", 3, "6 * 0.4 = 2.4"),
        ("\udfff\x00", 3, "2 * 1.26: any code point counts"),
        ('{"a": 1}', 6, '3 kinds of marks: {" 2, ": 2, } 1 = 5 * 0.553; a 0.923; 1 1.665 = 5.353'),
    ],
)
def test_hand_computed_values(text: str, tokens: int, because: str) -> None:
    """Coefficients times runs, rounded up."""
    assert estimate(text) == tokens, because


def test_english_is_about_four_characters_per_token() -> None:
    """A sanity check against the rule of thumb."""
    text = "The quick brown fox jumps over the lazy dog, and nobody was surprised by it. " * 100
    assert 3.5 < len(text) / estimate(text) < 5.5


def test_a_message_costs_something_itself() -> None:
    """The figure of the design."""
    assert PER_MESSAGE == 4


@given(_TEXT, st.integers(1, 4))
def test_pieces_count_like_the_whole(text: str, size: int) -> None:
    """Answers arrive in pieces of one to four characters."""
    assert pieces(text, size).total == estimate(text)


@given(st.lists(_TEXT))
def test_any_cut_counts_like_the_whole(parts: list[str]) -> None:
    """Empty pieces included."""
    estimator = Estimator()
    for part in parts:
        estimator.feed(part)
    assert estimator.total == estimate("".join(parts))


@given(_TEXT)
def test_bounds(text: str) -> None:
    """Nothing is 0, something at least 1; no character costs more than a lone digit does."""
    count = estimate(text)
    assert (count == 0) == (text == "")
    assert count <= 1 + 1.665 * len(text)


@given(_TEXT, _TEXT)
def test_more_text_never_counts_less(text: str, more: str) -> None:
    """A running total never falls."""
    estimator = Estimator()
    estimator.feed(text)
    before = estimator.total
    estimator.feed(more)
    assert estimator.total >= before


@given(_TEXT, _TEXT, _TEXT)
def test_a_fork_counts_by_itself(text: str, one: str, other: str) -> None:
    """Both go on from what was fed before."""
    estimator = Estimator()
    estimator.feed(text)
    fork = estimator.fork()
    estimator.feed(one)
    fork.feed(other)
    assert (estimator.total, fork.total) == (estimate(text + one), estimate(text + other))


def test_reading_the_total_changes_nothing() -> None:
    """It may be asked for at any time."""
    estimator = Estimator()
    for letter in "international":
        estimator.feed(letter)
        assert estimator.total == estimator.total
    assert estimator.total == estimate("international")


@pytest.mark.parametrize("unit", ["a", " ", "\n", "0", ".", "世", "あ", "한", "é", "😀", "\0", "a1", "a "])
def test_a_megabyte_of_anything_is_quick(unit: str) -> None:
    """No class of characters makes the pattern go back; the bound is generous for slow machines."""
    begin = time.process_time()
    estimate(unit * (1_000_000 // len(unit)))
    assert time.process_time() - begin < 10
