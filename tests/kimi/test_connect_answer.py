"""The parts of a Connect answer: its text, its sources, its questions."""

from __future__ import annotations

import pytest

from app.chat.events import Cited, Event, Source, TextDelta
from app.kimi.citations import MarkerScanner
from app.kimi.connect_answer import AnswerText, Searches, questions

ONE = Source("https://example.com/1", "One")


def text_of(out: list[Event]) -> str:
    """The text of some events."""
    return "".join(event.text for event in out if isinstance(event, TextDelta))


def item(ref: str | None = None, url: str = ONE.url) -> dict[str, object]:
    """A search item as the site gives it."""
    named = {} if ref is None else {"refIndex": ref}
    return {"id": "0", "base": {"url": url, "title": "One"}, **named}


@pytest.mark.parametrize(
    ("first", "second", "joined"),
    [("Look.", "Done.", "Look.\n\nDone."), ("Look. ", "Done.", "Look. Done."), ("Look.", "\nDone.", "Look.\nDone.")],
)
def test_a_step_between_two_blocks_makes_a_paragraph(first: str, second: str, joined: str) -> None:
    """Unless white space parts them already."""
    answer, out = AnswerText(MarkerScanner()), list[Event]()
    answer.say("1", first, out)
    answer.step()
    answer.say("2", second, out)
    assert text_of(out) == joined


def test_blocks_without_a_step_between_are_one_text() -> None:
    """Nothing is invented between them."""
    answer, out = AnswerText(MarkerScanner()), list[Event]()
    answer.say("1", "Hel", out)
    answer.say("2", "lo", out)
    assert text_of(out) == "Hello"


def test_a_step_within_a_block_changes_nothing() -> None:
    """The block goes on where it was."""
    answer, out = AnswerText(MarkerScanner()), list[Event]()
    answer.say("1", "Hel", out)
    answer.step()
    answer.say("1", "lo", out)
    assert text_of(out) == "Hello"


def test_an_answer_of_markers_alone_has_not_spoken() -> None:
    """What a client would see counts."""
    answer, out = AnswerText(MarkerScanner()), list[Event]()
    answer.say("1", "\ue3a0cite\ue3a3gone:1\ue3a8", out)
    answer.flush(out)
    assert not answer.spoken


def test_a_page_found_twice_is_one_source() -> None:
    """And both names lead to it."""
    searches, out = Searches(), list[Event]()
    searches.found([item("a:1#0"), item("b:1#0")], out)
    assert out == [ONE]
    assert searches.markers.feed("\ue3a0cite\ue3a3b:1#0\ue3a8") == [Cited((ONE,))]


def test_a_guessed_name_yields_to_a_given_one() -> None:
    """An item without a name is called by its place only if nothing else is."""
    searches, out = Searches(), list[Event]()
    searches.found([item("web:1#0")], out)
    searches.found([item(url="https://example.com/2")], out, fallback_ref="web:1#0")
    assert searches.markers.feed("\ue3a0cite\ue3a3web:1#0\ue3a8") == [Cited((ONE,))]


@pytest.mark.parametrize("url", ["javascript:alert(1)", "", "//example.com", "data:text/html,x"])
def test_only_web_pages_are_sources(url: str) -> None:
    """Their addresses become links in clients."""
    out = list[Event]()
    Searches().found([item("a", url)], out)
    assert out == []


def test_a_reference_resolves_the_marker_that_it_matches() -> None:
    """Its items stand in the order of the marker's names."""
    searches, out = Searches(), list[Event]()
    marker = "\ue3a0cite\U0001f6e0web:1#4\ue3a8"
    searches.referred([{"matchedText": marker, "items": [{"search": item()}]}], out)
    assert searches.markers.feed(marker) == [Cited((ONE,))]


def test_a_question_becomes_text_with_its_options() -> None:
    """One line each."""
    args = '{"questions":[{"question":"Which?","type":"single","options":[{"option":"A"},{"option":"B"}]}]}'
    assert questions(args) == "Which?\n- A\n- B"


@pytest.mark.parametrize("args", ["", "{", "[]", '{"questions":5}'])
def test_an_unreadable_question_is_none(args: str) -> None:
    """It must not stop the answer."""
    assert questions(args) == ""
