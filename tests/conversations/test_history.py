"""Histories as digests: what is recognised again, and what never is."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.request import ChatRequest, Effort, Message, Role, TextPart
from app.conversations.history import after, known, last_answer
from tests.conversations.trees import turns

ANSWER = "First line.\n\n    code\nLast line."
ASKED = ChatRequest("kimi", turns("hi"))
NAMED = replace(ASKED, session="session-1")


def goes_on(request: ChatRequest, *, answer: str, more: str = "and?") -> ChatRequest:
    """The next request of a client that keeps this for the answer."""
    return replace(request, messages=(*request.messages, *turns("", answer, more)[1:]))


def is_recognised(before: ChatRequest, then: ChatRequest, *, kind: str = "kimi", answer: str = ANSWER) -> list[str]:
    """By which digests a request is seen to go on where an answer to another one ended."""
    told, found = after(before, "kimi", answer), known(then, kind)
    if found is None:
        return []
    pairs = {"strict": (told.strict, found.strict), "lenient": (told.lenient, found.lenient)}
    return [name for name, (one, other) in pairs.items() if one is not None and one == other]


# --- What is there to go on from ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("messages", "place"),
    [((), None), (turns("a"), None), (turns("a", "b"), 1), (turns("a", "b", "c"), 1), (turns("a", "b", "c", "d"), 3)],
)
def test_the_last_answer_is_the_last_assistant_message(messages: tuple[Message, ...], place: int | None) -> None:
    """Wherever it stands."""
    assert last_answer(messages) == place


@pytest.mark.parametrize("messages", [turns("a"), turns("a", "b"), turns("a", "b", "c", "d")])
def test_without_an_answer_or_anything_after_it_nothing_is_known(messages: tuple[Message, ...]) -> None:
    """A first request, and one whose answer the client has begun."""
    assert known(ChatRequest("kimi", messages), "kimi") is None


@pytest.mark.parametrize("role", [Role.USER, Role.TOOL, Role.SYSTEM])
def test_whatever_comes_after_the_answer_is_new(role: Role) -> None:
    """It is no part of what is recognised."""
    then = replace(ASKED, messages=(*turns("hi", ANSWER), Message.of(role, "new")))
    assert is_recognised(ASKED, then) == ["strict"]


# --- What is recognised ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kept", "by"),
    [
        (ANSWER, ["strict", "lenient"]),
        (f"\n {ANSWER} \n", ["strict", "lenient"]),
        (ANSWER.replace("\n", "\r\n"), ["strict", "lenient"]),
        (f"<think>\nwell, well\n</think>\n\n{ANSWER}", ["strict", "lenient"]),
        (f"<thinking>well</thinking>{ANSWER}", ["strict", "lenient"]),
        (f"<reasoning>well</reasoning>{ANSWER}", ["strict", "lenient"]),
        (f'<details open type="reasoning" done="true">\n> well\n</details>\n{ANSWER}', ["strict", "lenient"]),
        (" ".join(ANSWER.split()), ["lenient"]),
        (ANSWER.replace("\n", "\n\n"), ["lenient"]),
        (ANSWER.replace("Last", "First"), []),
        (ANSWER + "!", []),
        (ANSWER[:-1], []),
        (ANSWER.lower(), []),
        (f"{ANSWER}<think>well</think>", []),
        ("", []),
    ],
)
def test_an_answer_is_recognised_in_what_clients_make_of_it(kept: str, by: list[str]) -> None:
    """Thinking and the edges never matter, the layout not where the client names the conversation; a letter does."""
    assert is_recognised(NAMED, goes_on(NAMED, answer=kept)) == by


@pytest.mark.parametrize("session", [None, "session-1"])
def test_the_user_s_own_words_are_taken_as_they_are(session: str | None) -> None:
    """A space may matter to the person."""
    asked = replace(ASKED, session=session)
    then = goes_on(replace(asked, messages=turns("hi ")), answer=ANSWER)
    assert is_recognised(asked, then) == []


@pytest.mark.parametrize("changes", [{"use_search": True}, {"effort": Effort.HIGH}, {"model": "gpt-4o"}])
def test_settings_of_a_turn_do_not_matter(changes: dict[str, object]) -> None:
    """A conversation can go on with another of these."""
    then = replace(goes_on(ASKED, answer=ANSWER), **changes)  # type: ignore[arg-type] # fields by their names
    assert is_recognised(ASKED, then) == ["strict"]


def test_tools_are_the_same_in_any_order() -> None:
    """Clients keep them in sets."""
    asked = replace(ASKED, tools=("a", "b"))
    assert is_recognised(asked, replace(goes_on(asked, answer=ANSWER), tools=("b", "a"))) == ["strict"]


@pytest.mark.parametrize(
    "changes",
    [
        {"tools": ("another",)},
        {"tools": ("a", "b")},
        {"tools": ()},
        {"messages": (Message.of(Role.SYSTEM, "Be brief."), *turns("hi", ANSWER, "and?"))},
        {"messages": turns("hello", ANSWER, "and?")},
        {"messages": turns("hi", ANSWER, "and?", "more", "and?")},
        {"messages": (*turns("hi"), *turns("hi", ANSWER, "and?"))},
        {"messages": (Message.of(Role.TOOL, "hi"), *turns("hi", ANSWER, "and?")[1:])},
    ],
)
def test_another_history_is_never_recognised(changes: dict[str, object]) -> None:
    """Tools, system text, a turn more, another speaker."""
    asked = replace(NAMED, tools=("a",))
    then = replace(goes_on(asked, answer=ANSWER), **changes)  # type: ignore[arg-type] # fields by their names
    assert is_recognised(asked, then) == []


def test_another_kind_of_request_is_never_recognised() -> None:
    """No conversation serves two models."""
    assert is_recognised(NAMED, goes_on(NAMED, answer=ANSWER), kind="kimi-k3") == []


def test_another_session_is_recognised_by_the_history_alone() -> None:
    """As is one that has lost its name."""
    for session in ("session-2", None):
        assert is_recognised(NAMED, replace(goes_on(NAMED, answer=ANSWER), session=session)) == ["strict"]


def test_parts_are_as_good_as_lines() -> None:
    """The text that is sent is the same."""
    parts = Message(Role.USER, (TextPart("a"), TextPart("b")))
    asked = replace(ASKED, messages=(parts,))
    assert is_recognised(asked, goes_on(replace(ASKED, messages=turns("a\nb")), answer=ANSWER)) == ["strict"]


# --- Properties --------------------------------------------------------------------------------------------

TEXT = st.text("ab <\n", max_size=6)
HISTORY = st.lists(TEXT, min_size=3, max_size=7).filter(lambda texts: len(texts) % 2)
SESSION = st.sampled_from([None, "a", "ab"])
TOOLS = st.lists(st.sampled_from(["a", "b", "ab"]), max_size=3).map(tuple)


@given(HISTORY, SESSION, TOOLS)
def test_an_unchanged_history_is_always_recognised(
    texts: list[str], session: str | None, tools: tuple[str, ...]
) -> None:
    """Whatever it says."""
    asked = ChatRequest("kimi", turns(*texts[:-2]), tools=tools, session=session)
    assert "strict" in is_recognised(asked, goes_on(asked, answer=texts[-2]), answer=texts[-2])


FEW = st.lists(st.sampled_from(["", "a", "b", "ab", " a"]), min_size=3, max_size=5).filter(lambda texts: len(texts) % 2)
LIKELY = st.builds(lambda texts, session, tools: (texts, session, tools), FEW, SESSION, TOOLS)


@given(LIKELY, LIKELY)
def test_what_is_recognised_says_the_same(
    one: tuple[list[str], str | None, tuple[str, ...]], other: tuple[list[str], str | None, tuple[str, ...]]
) -> None:
    """No piece of a history passes for another piece."""
    (told, session, tools), (found, its_session, its_tools) = one, other
    asked = ChatRequest("kimi", turns(*told[:-2]), tools=tools, session=session)
    then = ChatRequest("kimi", turns(*found), tools=its_tools, session=its_session)
    if is_recognised(asked, then, answer=told[-2]):
        assert told[:-1:2] == found[:-1:2]
        assert ["".join(text.split()) for text in told[1::2]] == ["".join(text.split()) for text in found[1::2]]
        assert sorted(tools) == sorted(its_tools)


@pytest.mark.parametrize("tag", ["<think>", "<details ", '<details type="reasoning">', " "])
def test_a_history_full_of_opening_tags_is_read_in_one_pass(tag: str) -> None:
    """Anybody can send one; read from each tag anew, it would take minutes."""
    began = time.monotonic()
    assert after(NAMED, "kimi", tag * 100_000).strict
    assert time.monotonic() - began < 5.0
