"""Histories as digests: what is recognised again, and what never is."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.request import ChatRequest, Effort, FilePart, Inline, Message, Remote, Role, Stored, TextPart
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


# --- Attachments -------------------------------------------------------------------------------------------


def picture(name: str = "a", *, place: str = "messages.0.content.0", called: str | None = None) -> FilePart:
    """A picture by its digest."""
    return FilePart(Inline(b"", name * 64), place, called, image=True)


def linked(url: str = "https://a.example/") -> FilePart:
    """A picture by its address."""
    return FilePart(Remote(url), "messages.0.content.0", image=True)


def on_shelf(file_id: str = "file-1") -> FilePart:
    """A picture by its id."""
    return FilePart(Stored(file_id), "messages.0.content.0")


def showing(*parts: str | FilePart, role: Role = Role.USER) -> Message:
    """A message of these parts."""
    return Message(role, tuple(TextPart(part) if isinstance(part, str) else part for part in parts))


def recognised(before: Message, then: Message) -> list[str]:
    """By which digests a history that begins so is recognised where it began with the other."""
    asked = replace(NAMED, messages=(before,))
    return is_recognised(asked, replace(NAMED, messages=(then, *turns("", ANSWER, "and?")[1:])))


BOTH = ["strict", "lenient"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (picture(), picture()),
        (picture(), picture(place="input.3.content.7")),
        (picture(called="a.png"), picture(called="b.png")),
        (linked(), linked()),
        (on_shelf(), on_shelf()),
    ],
    ids=["bytes", "another place", "another name", "address", "id"],
)
def test_the_same_attachment_is_recognised(one: FilePart, other: FilePart) -> None:
    """By what it is, not by where it stands or what it is called."""
    assert recognised(showing("hi", one), showing("hi", other)) == BOTH


@pytest.mark.parametrize(
    "other",
    [
        showing("hi", picture("b")),
        showing("hi", linked()),
        showing("hi", on_shelf()),
        showing("hi", picture(), picture("b")),
        showing("hi", picture(), picture()),
        showing("hi"),
        showing("ho", picture()),
        showing(picture()),
        showing("hi", picture(), role=Role.SYSTEM),
        showing("hi", "inline:" + "a" * 64),
        showing("hi\ninline:" + "a" * 64),
    ],
)
def test_another_attachment_is_another_history(other: Message) -> None:
    """Kimi has not seen that one."""
    assert recognised(showing("hi", picture()), other) == []
    assert recognised(other, showing("hi", picture())) == []


@pytest.mark.parametrize(("one", "other"), [(linked(), linked("https://b.example/")), (on_shelf(), on_shelf("file-2"))])
def test_another_address_or_id_is_another_history(one: FilePart, other: FilePart) -> None:
    """What stands behind it is not looked at."""
    assert recognised(showing("hi", one), showing("hi", other)) == []


def test_the_order_of_attachments_matters() -> None:
    """The text may speak of the first and the second."""
    one = showing("hi", picture("a"), picture("b"))
    assert recognised(one, showing("hi", picture("b"), picture("a"))) == []
    assert recognised(one, showing(picture("a"), "hi", picture("b"))) == BOTH


def test_an_attachment_belongs_to_its_message() -> None:
    """A picture of the second turn is none of the first."""
    asked = replace(ASKED, messages=(showing("a", picture()), *turns("", "b", "c")[1:]))
    moved = replace(ASKED, messages=(*turns("a", "b"), showing("c", picture()), *turns("", ANSWER, "and?")[1:]))
    assert is_recognised(asked, moved) == []


def test_an_attachment_of_the_new_turn_does_not_matter() -> None:
    """It is no part of what is recognised."""
    then = replace(ASKED, messages=(*turns("hi", ANSWER), showing("and?", picture())))
    assert is_recognised(ASKED, then) == ["strict"]


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("text", ["", "c"])
def test_an_attachment_cannot_pass_for_a_message(role: Role, text: str) -> None:
    """Whatever a client takes for its address or id."""
    real = replace(ASKED, messages=(user("a"), Message.of(role, text), user("d")))
    for kind in (Remote, Stored):
        forged = [FilePart(kind(word), "place") for word in (role.value, text)]
        asked = replace(ASKED, messages=(showing("a", *forged), user("d")))
        assert is_recognised(asked, goes_on(real, answer=ANSWER)) == []


def user(text: str) -> Message:
    """What a person says."""
    return Message.of(Role.USER, text)


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


FILES = st.sampled_from(
    [
        picture("a"),
        picture("b"),
        *(FilePart(kind(word), "place") for kind in (Remote, Stored) for word in ("", "user", "assistant", "a")),
    ]
)
MESSAGES = st.lists(
    st.builds(
        lambda text, files, role: showing(text, *files, role=role),
        st.sampled_from(["", "a", "user"]),
        st.lists(FILES, max_size=2),
        st.sampled_from([Role.USER, Role.SYSTEM, Role.ASSISTANT]),
    ),
    min_size=1,
    max_size=3,
)


@given(MESSAGES, MESSAGES)
def test_histories_with_attachments_are_told_apart(one: list[Message], other: list[Message]) -> None:
    """What is recognised says the same and shows the same, in the same messages."""

    def shown(messages: list[Message]) -> list[tuple[Role, str, list[str]]]:
        return [(message.role, message.text, [file.identity for file in message.files]) for message in messages]

    asked = replace(ASKED, messages=tuple(one))
    then = replace(ASKED, messages=(*other, *turns("", ANSWER, "and?")[1:]))
    assert (is_recognised(asked, then) == ["strict"]) == (shown(one) == shown(other))


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
