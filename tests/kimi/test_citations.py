"""Citation markers: taken out of the text and resolved, wherever they are cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.events import Cited, Source, TextDelta
from app.kimi.citations import MAX_MARKER, MarkerScanner, marker_refs
from tests.drip import drip

OPEN: Final = "\ue3a0"
CLOSE: Final = "\ue3a8"
PALETTE: Final = "\U0001f3a8"
SEPARATORS: Final = ("\ue3a3", "\U0001f6e0")
QUOTE: Final = ":~:text="

Outcome = list[str | tuple[str, ...]]
"""Text, and the titles of what is cited after it."""

A: Final = Source(url="https://a.example/", title="A")
B: Final = Source(url="https://b.example/", title="B")
KNOWN: Final[Mapping[str, Source]] = {"web_search:1#0": A, "web_search:1#1": B}


def scan(text: str, known: Mapping[str, Source] = KNOWN) -> Outcome:
    """What becomes of `text`, in whichever pieces it comes."""

    def read(pieces: Sequence[str]) -> Outcome:
        scanner = MarkerScanner()
        for ref, source in known.items():
            scanner.add(source, (ref,))
        events = [event for piece in pieces for event in scanner.feed(piece)]
        return joined(events + scanner.finish())

    return drip(read, text, count=20)


def joined(events: Sequence[TextDelta | Cited]) -> Outcome:
    """The events with adjacent text put together."""
    out: Outcome = []
    for event in events:
        if isinstance(event, Cited):
            out.append(tuple(source.title for source in event.sources))
            continue
        assert event.text
        if out and isinstance(out[-1], str):
            out[-1] += event.text
        else:
            out.append(event.text)
    return out


def marker(*refs: str, separator: str = "\ue3a3", word: str = "cite", quote: str = "", close: str = CLOSE) -> str:
    """A marker as the site writes it."""
    return OPEN + separator.join([word, *refs]) + (QUOTE + quote if quote else "") + close


# --- Markers of the present site ------------------------------------------------------------------


@pytest.mark.parametrize("separator", [*SEPARATORS, "\U0001f6e0\ufe0f"], ids=["June", "August", "variation selector"])
@pytest.mark.parametrize("close", [CLOSE, PALETTE], ids=["E3A8", "1F3A8"])
@pytest.mark.parametrize("word", ["cite", "article"])
def test_marker_becomes_a_citation(separator: str, close: str, word: str) -> None:
    """Every known alphabet of a marker gives its source in its place, and nothing of it shows."""
    text = "one" + marker("web_search:1#0", separator=separator, word=word, close=close) + " two"
    assert scan(text) == ["one", ("A",), " two"]


@pytest.mark.parametrize("separator", SEPARATORS)
def test_several_references(separator: str) -> None:
    """A marker may name several sources, and one that is named twice is cited once."""
    text = marker("web_search:1#1", "web_search:1#0", "web_search:1#1", separator=separator)
    assert scan(text) == [("B", "A")]


@pytest.mark.parametrize("quote", ["some words", "with \U0001f6e0 and \ue3a3web_search:1#1", "名言，“引用”"])
def test_quote_is_dropped(quote: str) -> None:
    """What a marker quotes from its source is no text and no reference."""
    assert scan("x" + marker("web_search:1#0", quote=quote) + "y") == ["x", ("A",), "y"]


@pytest.mark.parametrize("text", [marker("web_search:9#9"), marker(), OPEN + CLOSE, marker("", "")])
def test_marker_of_nothing_known(text: str) -> None:
    """A marker that cannot be resolved goes without a trace."""
    assert scan(f"a{text}b") == ["ab"]


def test_known_and_unknown_references() -> None:
    """Of a marker's references those that are known are cited."""
    assert scan(marker("nowhere", "web_search:1#1")) == [("B",)]


def test_markers_in_a_row() -> None:
    """Two markers side by side are two citations."""
    assert scan(marker("web_search:1#0") + marker("web_search:1#1")) == [("A",), ("B",)]


def test_marker_within_a_marker() -> None:
    """A second opener before the closer belongs to the marker."""
    assert scan("a" + OPEN + "cite" + marker("web_search:1#1") + "b") == ["a", ("B",), "b"]


@pytest.mark.parametrize("separator", SEPARATORS)
@pytest.mark.parametrize(
    ("tail", "rest"),
    [("\nnext", "\nnext"), ("", ""), (" and on", " and on"), ("，然后", "，然后"), ("这是正文", "这是正文")],
    ids=["newline", "end", "text", "Chinese comma", "Chinese text"],
)
def test_marker_without_its_closer(separator: str, tail: str, rest: str) -> None:
    """At the end of the line or of the answer an unclosed marker is cited and goes; the text after it stays."""
    expected: Outcome = ["x", ("A",), rest] if rest else ["x", ("A",)]
    assert expected == scan("x" + marker("web_search:1#0", separator=separator, close="") + tail)


def test_unclosed_quote() -> None:
    """An unclosed quote goes up to the end of its line."""
    assert scan(marker("web_search:1#0", quote="some words", close="") + "\nnext") == [("A",), "\nnext"]


def test_opener_alone() -> None:
    """A lone opener goes, the text after it stays."""
    assert scan(f"a{OPEN} b\nc") == ["a b\nc"]


@pytest.mark.parametrize(
    "held", ["c", "ci", "cit", "cite", "a", "art", "articl", "article", "cite\ue3a3", "cite\ue3a3we"]
)
def test_answer_that_ends_within_a_marker(held: str) -> None:
    """What has come of a marker when the answer ends is not shown."""
    assert scan("x" + OPEN + held) == ["x"]


def test_longest_marker() -> None:
    """A closer at the ceiling closes; one code point later the marker counts as unclosed and its line stays."""
    head = OPEN + "cite\ue3a3web_search:1#0 "
    fits = head + "y" * (MAX_MARKER - len(head))
    assert scan(f"x{fits}{CLOSE}z") == ["xz"]
    over = fits + "y"
    assert scan(f"x{over}{CLOSE}z") == ["x", ("A",), over[len(head) - 1 :] + "z"]


def test_unclosed_at_the_ceiling() -> None:
    """Text is not held back beyond the ceiling while a closer is awaited."""
    scanner = MarkerScanner()
    assert scanner.feed(OPEN + "y" * (MAX_MARKER - 1)) == []
    assert joined(scanner.feed("yy")) == ["y" * (MAX_MARKER + 1)]


def test_text_is_not_held_back() -> None:
    """What cannot be part of a marker comes out at once."""
    scanner = MarkerScanner()
    assert scanner.feed("one " + OPEN + "ci") == [TextDelta("one ")]
    assert scanner.feed("te" + CLOSE + "two") == [TextDelta("two")]


@pytest.mark.parametrize("stray", ["\ue3a3", "\ue3a8"])
def test_stray_marks(stray: str) -> None:
    """A private-use mark outside of a marker is not text; an emoji of the same alphabet is."""
    assert scan(f"a{stray}b") == ["ab"]
    assert scan("paint \U0001f3a8 tool \U0001f6e0") == ["paint \U0001f3a8 tool \U0001f6e0"]


def test_later_name_wins() -> None:
    """A reference that is given again means the newer source."""
    scanner = MarkerScanner()
    scanner.add(A, ("r",))
    scanner.add(B, ("r",))
    assert joined(scanner.feed(marker("r"))) == [("B",)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (marker("a", "b"), ["a", "b"]),
        (marker("a", "b", separator="\U0001f6e0"), ["a", "b"]),
        (marker("a", quote="q"), ["a"]),
        (marker("a", close=PALETTE), ["a"]),
        (OPEN + "cite\ue3a3a", ["a"]),
        (marker(), []),
        ("", []),
    ],
)
def test_references_of_a_marker(text: str, expected: list[str]) -> None:
    """The references are what stands between the separators."""
    assert expected == marker_refs(text)


# --- Numbered markers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "[^{}^]",
        "[search result ({})]",
        "[Search Result ({})]",
        "[search result({})]",
        "[search result （{}）]",
        "[搜索结果 ({})]",
        "[搜索结果（{}）]",
    ],
)
def test_numbered_markers(text: str) -> None:
    """A number counts the sources from 1, in every known wording."""
    assert scan("a" + text.format(1) + "b" + text.format(2)) == ["a", ("A",), "b", ("B",)]


@pytest.mark.parametrize("number", ["0", "3", "9999"])
def test_number_of_no_source(number: str) -> None:
    """A number without a source goes without a trace once a search has found something."""
    assert scan(f"a[^{number}^]b") == ["ab"]


@pytest.mark.parametrize("text", ["a[^1^]b", "a[search result (1)]b", "a[搜索结果（1）]b"])
def test_numbers_without_a_search(text: str) -> None:
    """Without any source a bracketed number is the model's own text."""
    assert scan(text, {}) == [text]


@pytest.mark.parametrize(
    "text",
    ["[^", "[^1", "[^1^", "[", "[s", "[search result", "[搜索", "[^12345^]", "[^a^]", "[1]", "x[search me]", "[^1^ ]"],
)
def test_what_only_looks_like_a_number(text: str) -> None:
    """Brackets that turn out to be no marker stay, also at the end of the answer."""
    assert scan(text) == [text]


def test_number_before_a_marker() -> None:
    """An unfinished number in front of a marker is text."""
    assert scan("[^1" + marker("web_search:1#1") + "^]") == ["[^1", ("B",), "^]"]


def test_sources_without_a_number() -> None:
    """A source that is only named does not count among the numbers."""
    scanner = MarkerScanner()
    scanner.add(A, ("a",), number=False)
    scanner.add(B)
    assert joined(scanner.feed("[^1^]")) == [("B",)]


def test_text_that_may_become_a_number() -> None:
    """At most the beginning of a number is held back."""
    scanner = MarkerScanner()
    scanner.add(A)
    assert scanner.feed("word [^") == [TextDelta("word ")]
    assert scanner.feed("x") == [TextDelta("[^x")]


# --- Anything -----------------------------------------------------------------------------------------------

PIECES: Final = [
    OPEN, CLOSE, PALETTE, *SEPARATORS, "cite", "article", "web_search:1#0", "web_search:1#1", QUOTE, "\n", " ", "x",
    "[", "^", "1", "2", "]", "[^1^]", "[search result (", ")", "[搜索结果", "（", "）", "\ufe0f", "y" * 300,
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=12))
def test_any_mixture_in_any_cut(pieces: list[str]) -> None:
    """Whatever the text is, the cuts do not matter and no opener comes out."""
    assert not any(OPEN in part for part in scan("".join(pieces)) if isinstance(part, str))


@given(st.text(alphabet=st.characters(exclude_characters="\ue3a0\ue3a3\ue3a8["), max_size=200))
def test_text_without_markers(text: str) -> None:
    """Text without marks comes out as it went in."""
    assert "".join(part for part in scan(text) if isinstance(part, str)) == text
