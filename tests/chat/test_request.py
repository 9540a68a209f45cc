"""What a client asks."""

from __future__ import annotations

from app.chat.request import ChatRequest, Message, Role, TextPart


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
    """And keeps nothing."""
    request = ChatRequest("kimi", (Message.of(Role.USER, "hi"),))
    assert [request.use_search, request.effort, request.conversation_id, request.keep] == [None, None, None, False]
