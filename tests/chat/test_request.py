"""What a client asks."""

from __future__ import annotations

from app.chat.request import ChatRequest, Continuation, Message, Role, TextPart


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
    assert [request.tools, request.session] == [(), None]


def test_a_turn_goes_on_at_the_newest_message_unless_it_is_told_another() -> None:
    """Who names a conversation only means its end."""
    assert Continuation("chat-1") == Continuation("chat-1", None)
