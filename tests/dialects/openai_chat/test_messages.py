"""One message as OpenAI's clients write it."""

from __future__ import annotations

import json

import pytest

from app.chat.request import (
    FilePart,
    Message,
    Part,
    Role,
    Stored,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from app.dialects.openai_chat.messages import as_message
from app.errors import InvalidRequest

CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}


def refused(**members: object) -> InvalidRequest:
    """The error for a message with these members, the third of its list."""
    with pytest.raises(InvalidRequest) as caught:
        as_message(members, 2)
    return caught.value


@pytest.mark.parametrize(
    ("role", "ours"),
    [
        ("system", Role.SYSTEM),
        ("developer", Role.SYSTEM),
        ("user", Role.USER),
        ("assistant", Role.ASSISTANT),
        ("tool", Role.TOOL),
        ("function", Role.TOOL),
    ],
)
def test_roles_are_told_apart(role: str, ours: Role) -> None:
    """All that the vendor has."""
    message = as_message({"role": role, "content": "a"}, 0)
    assert [message.role, message.text] == [ours, "a"]


@pytest.mark.parametrize("role", ["system", "user", "assistant"])
def test_text_is_all_that_most_messages_hold(role: str) -> None:
    """Whatever else stands in them."""
    message = as_message({"role": role, "content": "a", "name": "n", "tool_call_id": "x", "refusal": "no"}, 0)
    assert message.parts == (TextPart("a"),)


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ("hi", "messages[2]"),
        (None, "messages[2]"),
        ([], "messages[2]"),
        ({"content": "a"}, "messages[2].role"),
        ({"role": "robot", "content": "a"}, "messages[2].role"),
        ({"role": ["user"], "content": "a"}, "messages[2].role"),
        ({"role": "user"}, "messages[2].content"),
        ({"role": "user", "content": None}, "messages[2].content"),
        ({"role": "system", "content": None}, "messages[2].content"),
        ({"role": "user", "content": 7}, "messages[2].content"),
        ({"role": "tool", "content": {"a": 1}}, "messages[2].content"),
        ({"role": "tool", "content": [{"a": 1}]}, "messages[2].content[0].type"),
        ({"role": "user", "content": ["a"]}, "messages[2].content[0].type"),
        ({"role": "user", "content": [{"type": []}]}, "messages[2].content[0].type"),
        ({"role": "user", "content": [{"type": "text"}]}, "messages[2].content[0].text"),
        ({"role": "user", "content": [{"type": "text", "text": 1}]}, "messages[2].content[0].text"),
    ],
)
def test_what_is_wrong_is_named(item: object, param: str) -> None:
    """In `param` and in the message."""
    with pytest.raises(InvalidRequest) as caught:
        as_message(item, 2)
    assert caught.value.param == param
    assert caught.value.message.startswith(param.removesuffix(".type"))


@pytest.mark.parametrize("role", ["system", "user", "assistant", "tool"])
def test_any_message_may_hold_files(role: str) -> None:
    """Tools give pictures, too."""
    message = as_message({"role": role, "content": [{"type": "file", "file": {"file_id": "file-1"}}]}, 0)
    assert message.files == (FilePart(Stored("file-1"), "messages[0].content[0]"),)


# --- Calls -------------------------------------------------------------------------------------------------


def calls_of(*calls: object, **members: object) -> tuple[Part, ...]:
    """The parts of an assistant's message with these calls and no content."""
    return as_message({"role": "assistant", "tool_calls": list(calls), **members}, 2).parts


def test_calls_stand_after_the_text() -> None:
    """In their order."""
    message = as_message({"role": "assistant", "content": "Let me see.", "tool_calls": [CALL, {**CALL, "id": "2"}]}, 0)
    assert message == Message(
        Role.ASSISTANT,
        (TextPart("Let me see."), ToolCallPart("call_1", "f", '{"a": 1}'), ToolCallPart("2", "f", '{"a": 1}')),
    )


@pytest.mark.parametrize("content", [{}, {"content": None}, {"content": []}])
def test_a_turn_of_calls_needs_no_content(content: dict[str, object]) -> None:
    """SDKs send it so; what the model thought is not sent again."""
    thinking = {"reasoning_content": "hm", "refusal": None, "audio": None, "function_call": None}
    assert calls_of(CALL, **content, **thinking) == (ToolCallPart("call_1", "f", '{"a": 1}'),)


@pytest.mark.parametrize("calls", [None, []])
def test_a_turn_may_have_no_calls(calls: object) -> None:
    """Clients that know them write the field all the same."""
    assert as_message({"role": "assistant", "content": "a", "tool_calls": calls}, 0).parts == (TextPart("a"),)


@pytest.mark.parametrize("call_id", [{}, {"id": None}, {"id": 7}, {"id": []}])
@pytest.mark.parametrize("kind", [{}, {"type": None}, {"type": "function"}, {"type": "builtin_function"}])
def test_a_call_needs_neither_id_nor_type(call_id: dict[str, object], kind: dict[str, object]) -> None:
    """The order of calls and results tells enough."""
    assert calls_of({**call_id, **kind, "function": {"name": "$web_search"}}) == (
        ToolCallPart("", "$web_search", "{}"),
    )


@pytest.mark.parametrize(("text", "input_"), [('a\n"é', {"input": 'a\n"é'}), ("", {}), ("", {"input": None})])
def test_a_custom_call_has_its_text_as_input(text: str, input_: dict[str, object]) -> None:
    """As the model was asked to write it."""
    (call,) = calls_of({"id": "1", "type": "custom", "custom": {"name": "patch", **input_}})
    assert isinstance(call, ToolCallPart)
    assert call == ToolCallPart("1", "patch", call.arguments, freeform=True)
    assert json.loads(call.arguments) == {"input": text}
    assert "\\u" not in call.arguments


@pytest.mark.parametrize(
    ("calls", "place"),
    [
        ({}, ""),
        ("f", ""),
        (False, ""),
        ([None], "[0]"),
        (["f"], "[0]"),
        ([CALL, 7], "[1]"),
        ([{}], "[0].function"),
        ([{"function": "f"}], "[0].function"),
        ([{"id": "1", "name": "f", "arguments": "{}"}], "[0].function"),
        ([{"function": {}}], "[0].function.name"),
        ([{"function": {"name": ""}}], "[0].function.name"),
        ([{"function": {"name": 7}}], "[0].function.name"),
        ([{"function": {"name": "f", "arguments": 7}}], "[0].function.arguments"),
        ([{"function": {"name": "f", "arguments": []}}], "[0].function.arguments"),
        ([CALL, {"type": "custom"}], "[1].custom"),
        ([{"type": "custom", "custom": {}}], "[0].custom.name"),
        ([{"type": "custom", "custom": {"name": "f", "input": {}}}], "[0].custom.input"),
    ],
)
def test_what_is_no_call_is_named(calls: object, place: str) -> None:
    """By its place."""
    error = refused(role="assistant", content="a", tool_calls=calls)
    assert error.param == f"messages[2].tool_calls{place}"
    assert error.message.startswith(f"messages[2].tool_calls{place} ")


def test_only_an_assistant_calls() -> None:
    """The field means nothing elsewhere."""
    assert as_message({"role": "user", "content": "a", "tool_calls": 7, "function_call": 7}, 0).calls == ()


def test_the_old_call_is_one_without_an_id() -> None:
    """In the words of 2023."""
    message = {"role": "assistant", "content": None, "function_call": CALL["function"]}
    for item in (message, {**message, "tool_calls": None}, {**message, "tool_calls": []}):
        assert as_message(item, 0).parts == (ToolCallPart("", "f", '{"a": 1}'),)


def test_a_call_in_both_words_is_one_call() -> None:
    """Some clients write both."""
    assert calls_of(CALL, function_call=CALL["function"]) == (ToolCallPart("call_1", "f", '{"a": 1}'),)


@pytest.mark.parametrize(
    ("call", "place"), [("f", ""), ([], ""), ({}, ".name"), ({"name": "f", "arguments": 7}, ".arguments")]
)
def test_what_is_no_old_call_is_named(call: object, place: str) -> None:
    """By its place."""
    assert refused(role="assistant", function_call=call).param == f"messages[2].function_call{place}"


# --- Results -----------------------------------------------------------------------------------------------


def test_a_result_tells_which_call_it_answers() -> None:
    """Before all else that it holds."""
    message = {"role": "tool", "tool_call_id": "call_1", "name": "f", "content": [{"type": "text", "text": "a"}]}
    assert as_message(message, 0) == Message(Role.TOOL, (ToolResultPart("call_1", "f"), TextPart("a")))
    assert as_message({**message, "content": "a"}, 0) == as_message(message, 0)


@pytest.mark.parametrize("value", [None, 7, [], ""])
def test_a_result_may_not_tell_which_call_it_answers(value: object) -> None:
    """It is none the worse."""
    message = as_message({"role": "tool", "tool_call_id": value, "name": value, "content": "a"}, 0)
    assert message == Message(Role.TOOL, (ToolResultPart(), TextPart("a")))
    assert as_message({"role": "tool", "content": "a"}, 0) == message


def test_an_old_result_tells_the_name_only() -> None:
    """It knew no ids."""
    message = {"role": "function", "name": "f", "content": "a", "tool_call_id": "x"}
    assert as_message(message, 0) == Message(Role.TOOL, (ToolResultPart(None, "f"), TextPart("a")))


@pytest.mark.parametrize("role", ["tool", "function"])
@pytest.mark.parametrize("content", [{}, {"content": None}, {"content": []}])
def test_a_result_may_be_empty(role: str, content: dict[str, object]) -> None:
    """A tool that says nothing has run all the same."""
    assert as_message({"role": role, **content}, 0).parts == (ToolResultPart(),)
