"""What a client asks."""

from __future__ import annotations

import pytest

from app.chat.request import (
    ChatRequest,
    Continuation,
    FilePart,
    Inline,
    Message,
    Remote,
    Role,
    Stored,
    TextPart,
    latest,
    unheard,
)

URL = "https://example.com/a.png?signature=secret"


def test_a_message_of_one_text_has_one_part() -> None:
    """The usual kind."""
    assert Message.of(Role.USER, "hi") == Message(Role.USER, (TextPart("hi"),))


def test_parts_are_paragraphs() -> None:
    """One to a line."""
    assert Message(Role.USER, (TextPart("a"), TextPart("b\nc"))).text == "a\nb\nc"


def test_a_message_may_be_empty() -> None:
    """An assistant's turn of tool calls is."""
    assert Message(Role.ASSISTANT, ()).text == ""


def test_a_request_leaves_to_the_model_what_is_not_asked() -> None:
    """And keeps nothing, offers no tools, names no conversation."""
    request = ChatRequest("kimi", (Message.of(Role.USER, "hi"),))
    assert [request.use_search, request.effort, request.conversation_id, request.keep] == [None, None, None, False]
    assert [request.tools.told, request.session] == [(), None]


def test_a_turn_goes_on_at_the_newest_message_unless_it_is_told_another() -> None:
    """Who names a conversation only means its end."""
    assert Continuation("chat-1") == Continuation("chat-1", None)


@pytest.mark.parametrize(
    ("source", "identity"),
    [
        (Inline(b"bytes", "d1"), "inline:d1"),
        (Inline(b"bytes", "d1", "image/png"), "inline:d1"),
        (Remote(URL), f"remote:{URL}"),
        (Stored("file-1"), "stored:file-1"),
        (Stored("d1"), "stored:d1"),
    ],
)
def test_an_attachment_is_told_apart_by_where_its_bytes_are(source: Inline | Remote | Stored, identity: str) -> None:
    """Not by its name, its place, or what it is taken for."""
    parts = [FilePart(source, "messages[0]"), FilePart(source, "messages[1]", name="a.png", image=True)]
    assert [part.identity for part in parts] == [identity, identity]


def test_bytes_and_signatures_stay_out_of_what_is_printed() -> None:
    """A log may hold it."""
    shown = [repr(FilePart(source, "messages[0]")) for source in (Inline(b"secret", "d1"), Remote(URL))]
    assert ["secret" in text for text in shown] == [False, False]


ONE = FilePart(Stored("file-1"), "messages[0].content[0]")
TWO = FilePart(Remote(URL), "messages[0].content[2]", image=True)


def test_a_message_has_text_and_files() -> None:
    """Each in the order in which the client gave them; a file is no paragraph."""
    message = Message(Role.USER, (ONE, TextPart("a"), TWO, TextPart("b")))
    assert (message.text, message.files) == ("a\nb", (ONE, TWO))


def test_a_message_may_be_files_alone() -> None:
    """Or have none."""
    assert (Message(Role.USER, (TWO,)).text, Message(Role.USER, (TWO,)).files) == ("", (TWO,))
    assert Message.of(Role.USER, "a").files == ()


S, U, A, T = Role.SYSTEM, Role.USER, Role.ASSISTANT, Role.TOOL


@pytest.mark.parametrize(
    ("roles", "first"),
    [
        ([U], 0),
        ([S, U], 0),
        ([S, U, U], 0),
        ([U, A, U], 2),
        ([U, A, U, A, S, U], 4),
        ([U, A, T, T], 2),
        ([A, A, U], 2),
        ([U, A], 1),
        ([A], 0),
    ],
)
def test_a_conversation_has_heard_all_up_to_its_last_answer(roles: list[Role], first: int) -> None:
    """What ends with an answer is continued with that answer, for a turn says something."""
    messages = [Message.of(role, str(number)) for number, role in enumerate(roles)]
    assert list(unheard(messages)) == messages[first:]


def test_no_messages_say_nothing() -> None:
    """Nothing is raised for them."""
    assert list(unheard([])) == []


@pytest.mark.parametrize(
    ("roles", "place"),
    [
        ([Role.USER], 0),
        ([Role.USER, Role.SYSTEM], 0),
        ([Role.USER, Role.ASSISTANT, Role.TOOL, Role.SYSTEM, Role.SYSTEM], 2),
        ([Role.SYSTEM, Role.USER, Role.ASSISTANT], 2),
        ([Role.SYSTEM, Role.SYSTEM], 1),
    ],
)
def test_what_is_answered_is_no_instruction(roles: list[Role], place: int) -> None:
    """Wherever clients put those."""
    messages = [Message.of(role, str(number)) for number, role in enumerate(roles)]
    assert latest(messages) is messages[place]
