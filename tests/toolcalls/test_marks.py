"""The marks of calls: where they come from, and that nobody else can write one."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.toolcalls.marks import ALPHABET, LENGTH, Marks, Veil, held_back, nonce_of
from tests.drip import drip, rechunkings

MARKS = Marks("K7Q2")
HALVES = (*MARKS.all, ":K7Q2", "K7Q2", "<call", "</call", "<result", "</result", "<", "/", ":K7", "Q2", "K", "\\", '"')
TEXTS = st.lists(st.sampled_from(HALVES) | st.text(max_size=3), max_size=12).map("".join)
"""Texts of what marks are made of, in any order and one in another."""

VALUES: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=10,
)


def veiled(pieces: Sequence[str]) -> str:
    """What a client sees of a text that arrives in these pieces."""
    veil = Veil(MARKS)
    return "".join(veil.feed(piece) for piece in pieces) + veil.finish()


def test_the_letters_of_a_conversation_last_as_long_as_it() -> None:
    """They are drawn from the secret and the beginning, and from nothing else."""
    assert nonce_of(b"secret", ["system", "hello"]) == nonce_of(b"secret", iter(("system", "hello")))


def test_the_letters_are_known_for_a_known_secret() -> None:
    """Another version of the program has to find those of conversations that this one began."""
    assert nonce_of(b"secret", ["hello"]) == "Y9N3"


@pytest.mark.parametrize(
    ("secret", "beginning"),
    [
        (b"other", ["system", "hello"]),
        (b"secret", ["system", "hello!"]),
        (b"secret", ["systemhello"]),
        (b"secret", ["systemh", "ello"]),
        (b"secret", ["hello", "system"]),
        (b"secret", ["system", "hello", ""]),
        (b"secret", []),
    ],
)
def test_other_conversations_have_other_letters(secret: bytes, beginning: list[str]) -> None:
    """Where one text ends and the next begins counts as well."""
    assert nonce_of(secret, beginning) != nonce_of(b"secret", ["system", "hello"])


@given(st.binary(max_size=8), st.lists(st.text(st.characters(exclude_categories=()), max_size=8), max_size=3))
def test_letters_are_never_taken_for_each_other(secret: bytes, beginning: list[str]) -> None:
    """There are four of them, all of the alphabet, also for texts that cannot be written in UTF-8."""
    nonce = nonce_of(secret, beginning)
    assert len(nonce) == LENGTH
    assert set(nonce) <= set(ALPHABET)


def test_all_letters_are_used() -> None:
    """No letter of the alphabet is out of reach, in any place."""
    found = [nonce_of(b"secret", [str(number)]) for number in range(2000)]
    assert all({nonce[place] for nonce in found} == set(ALPHABET) for place in range(LENGTH))


def test_there_are_four_marks() -> None:
    """None is the beginning of another one, and the longest is known."""
    assert MARKS.all == ("<call:K7Q2", "</call:K7Q2", "<result:K7Q2", "</result:K7Q2")
    assert MARKS.longest == max(map(len, MARKS.all))
    assert not any(a.startswith(b) for a in MARKS.all for b in MARKS.all if a != b)


@pytest.mark.parametrize("mark", MARKS.all)
def test_a_mark_is_found_wherever_it_stands(mark: str) -> None:
    """What is left of it without its letters is its group."""
    found = MARKS.pattern.search(f"a<{mark}b")
    assert found is not None
    assert (found.start(), found[0], found[1]) == (2, mark, mark.removesuffix(":K7Q2"))


@pytest.mark.parametrize("text", ["<call:K7QZ", "<call:k7q2", "<call K7Q2", "<calls:K7Q2", "< call:K7Q2", "<tool:K7Q2"])
def test_other_letters_are_no_mark(text: str) -> None:
    """A text that looks like one stays as it is."""
    assert MARKS.guarded(text) == MARKS.guarded_json(text) == MARKS.stripped(text) == veiled([text]) == text


@pytest.mark.parametrize(
    ("text", "guarded", "stripped"),
    [
        ("a <call:K7Q2> b", "a <\\call:K7Q2> b", "a <call> b"),
        ("</result:K7Q2", "<\\/result:K7Q2", "</result"),
        ("<call:<call:K7Q2K7Q2", "<call:<\\call:K7Q2K7Q2", "<call:<callK7Q2"),
        ("<call:K7Q2:K7Q2:K7Q2>", "<\\call:K7Q2:K7Q2:K7Q2>", "<call>"),
        ("<call:K7Q2:K7", "<\\call:K7Q2:K7", "<call:K7"),
        ("<<call:K7Q2call:K7Q2", "<<\\call:K7Q2call:K7Q2", "<<callcall:K7Q2"),
        ("K7Q2", "K7Q2", "K7Q2"),
    ],
)
def test_marks_are_broken_or_lose_their_letters(text: str, guarded: str, stripped: str) -> None:
    """All else stays as it is."""
    assert MARKS.guarded(text) == guarded
    assert MARKS.stripped(text) == veiled([text]) == stripped


@given(TEXTS)
def test_nothing_that_was_guarded_holds_a_mark(text: str) -> None:
    """Not in the way it was guarded, and not once more."""
    for guarded in (MARKS.guarded(text), MARKS.guarded_json(text), MARKS.stripped(text)):
        assert not MARKS.pattern.search(guarded)
        assert not any(mark in guarded for mark in MARKS.all)
    assert MARKS.guarded(text).replace("<\\", "<") == text.replace("<\\", "<")
    assert MARKS.stripped(MARKS.stripped(text)) == MARKS.stripped(text)


@given(st.text())
def test_a_text_without_the_letters_stays_as_it_is(text: str) -> None:
    """Whatever it holds, unless by chance it holds them."""
    if "K7Q2" not in text:
        assert MARKS.guarded(text) == MARKS.guarded_json(text) == MARKS.stripped(text) == text


@given(VALUES, st.booleans())
def test_guarded_json_has_the_same_value(value: object, ascii_only: bool) -> None:  # noqa: FBT001
    """And no mark, in keys and in values."""
    guarded = MARKS.guarded_json(json.dumps(value, ensure_ascii=ascii_only))
    assert json.loads(guarded) == value
    assert not any(mark in guarded for mark in MARKS.all)


def test_letters_that_are_taken_out_many_times_over_take_no_longer() -> None:
    """What a text repeats is looked at once."""
    began = time.process_time()
    assert MARKS.stripped("<call" + ":K7Q2" * 100_000) == "<call"
    assert time.process_time() - began < 5


@given(TEXTS)
def test_no_mark_gets_through_the_veil(text: str) -> None:
    """In all that a client has seen by any time, however the text was cut; and that is the same for every cut."""
    expected = veiled([text])
    assert expected == MARKS.stripped(text)
    for pieces in rechunkings(text, count=5, small=40):
        assert veiled(pieces) == expected
    assert not any(mark in expected for mark in MARKS.all)


@pytest.mark.parametrize("mark", MARKS.all)
@pytest.mark.parametrize(
    "form", ["a {} b", "{0}{0}", "<{}", "{}:K7Q2", "{}:K7", "<call:{}K7Q2", "</{}{}", "<call:K7{}Q2"]
)
def test_how_a_mark_arrives_changes_nothing(mark: str, form: str) -> None:
    """Also one that stands in another one."""
    assert not MARKS.pattern.search(drip(veiled, form.format(mark, mark)))


@given(st.text() | TEXTS.filter(lambda text: "K7Q2" not in text))
def test_the_veil_lets_everything_else_through(text: str) -> None:
    """Not one character is changed."""
    if "K7Q2" not in text:
        for pieces in rechunkings(text, count=3, small=20):
            assert veiled(pieces) == text


@given(TEXTS)
def test_the_veil_holds_back_what_may_become_a_mark_only(text: str) -> None:
    """At most one character less than the longest, which is the beginning of one."""
    veil, given_away = Veil(MARKS), ""
    for place, character in enumerate(text):
        given_away += veil.feed(character)
        held = MARKS.stripped(text[: place + 1]).removeprefix(given_away)
        assert len(held) < MARKS.longest
        assert any(mark.startswith(held) for mark in MARKS.all)
    assert given_away + veil.finish() == MARKS.stripped(text)


def test_what_the_veil_held_back_comes_once() -> None:
    """After the end it holds nothing."""
    veil = Veil(MARKS)
    assert veil.feed("a<ca") == "a"
    assert veil.finish() == "<ca"
    assert veil.finish() == ""
    assert veil.feed("ll:K7Q2") == "ll:K7Q2"


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("", 0),
        ("abc", 0),
        ("<", 1),
        ("a<", 1),
        ("a</resul", 7),
        ("<call:K7Q2", 10),
        ("<call:K7Q2 ", 0),
        ("<x", 0),
        ("<<<", 1),
        ("<call:<ca", 3),
        ("</call:K7Q", 10),
        ("</result:K7Q", 12),
    ],
)
def test_what_may_become_a_literal_is_held_back(text: str, held: int) -> None:
    """It is the longest end of a text with which one begins."""
    assert held_back(text, MARKS.all) == held


def test_only_what_stands_behind_a_place_is_held_back() -> None:
    """What lies before it is decided already."""
    assert held_back("<call", MARKS.all, 1) == 0
    assert held_back("a<ca", MARKS.all, 1) == 3
    assert held_back("<ca<ca", MARKS.all, 1) == 3


@given(
    st.text("<ab", max_size=12), st.sets(st.text("ab<", max_size=4).map("<".__add__), min_size=1), st.integers(0, 12)
)
def test_held_back_is_the_longest_end_that_begins_a_literal(text: str, literals: set[str], start: int) -> None:
    """Compared with every end of the text that is not longer than what can still become more."""
    longest = max(map(len, literals))
    ends = [text[at:] for at in range(max(start, len(text) - longest + 1), len(text))]
    fitting = [len(end) for end in ends if any(literal.startswith(end) for literal in literals)]
    assert held_back(text, literals, start) == max(fitting, default=0)
