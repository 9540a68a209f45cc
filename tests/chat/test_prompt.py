"""How large a request is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.chat.prompt import prompt_tokens
from app.chat.request import ChatRequest, Choice, Message, Role, TextPart, ToolCallPart, ToolSpec, ToolUse
from app.chat.tokens import PER_MESSAGE, estimate

HI = Message.of(Role.USER, "What is the weather in Oslo?")
SPEC = ToolSpec("weather", "Tell the weather.", '{"type": "object"}')
CALL = ToolCallPart("c", "weather", '{"city": "Oslo", "days": 3}')


def test_every_message_counts_with_what_frames_it() -> None:
    """As a chat template has it."""
    request = ChatRequest("kimi", (HI, HI))
    assert prompt_tokens(request) == 2 * (estimate(HI.text) + PER_MESSAGE)


@pytest.mark.parametrize(
    "more",
    [
        {"messages": (HI, Message(Role.ASSISTANT, (TextPart(""), CALL)))},
        {"tools": ToolUse((SPEC,))},
        {"tools": ToolUse((SPEC, replace(SPEC, name="other")), allowed=("other",))},
    ],
)
def test_calls_and_tools_count(more: dict[str, object]) -> None:
    """They are sent as well."""
    request = ChatRequest("kimi", (HI,))
    assert prompt_tokens(replace(request, **more)) > prompt_tokens(request) + PER_MESSAGE  # type: ignore[arg-type]


def test_tools_that_are_not_told_do_not_count() -> None:
    """The model sees nothing of them."""
    request = ChatRequest("kimi", (HI,))
    assert prompt_tokens(replace(request, tools=ToolUse((SPEC,), Choice.NONE))) == prompt_tokens(request)


def test_what_has_been_counted_is_not_counted_again() -> None:
    """A door may know more than the messages tell."""
    assert prompt_tokens(ChatRequest("kimi", (HI,), prompt_tokens=7)) == 7
