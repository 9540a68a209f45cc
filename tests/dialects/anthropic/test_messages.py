"""The messages of a request as Anthropic's clients write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.completion import Spoken
from app.chat.events import Event, TextDelta, ToolCallDelta, ToolCallEnd, ToolCallStart
from app.chat.request import FilePart, Message, Part, Role, Stored, TextPart, ToolCallPart, ToolResultPart
from app.conversations.history import after, known
from app.dialects.anthropic.messages import as_messages, system_message, thoughts_of
from app.dialects.anthropic.schemas import messages_call
from app.errors import InvalidRequest

USE = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"b": 1, "a": "é"}}
CALL = ToolCallPart("toolu_1", "f", '{"b": 1, "a": "é"}')
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "rain"}
HEADER = "x-anthropic-billing-header: cc_version=2.1.153.d02; cc_entrypoint=sdk-cli; cch=1f0a2;"


def text(value: str) -> dict[str, object]:
    """A block of text."""
    return {"type": "text", "text": value}


def thinking(value: str) -> dict[str, object]:
    """A block of thinking."""
    return {"type": "thinking", "thinking": value, "signature": "s"}


def said(*blocks: object) -> tuple[Part, ...]:
    """The parts of an assistant's message of these blocks."""
    (message,) = as_messages({"role": "assistant", "content": [*blocks]}, 0)
    assert message.role is Role.ASSISTANT
    return message.parts


def asked(*blocks: object) -> tuple[Message, ...]:
    """What a user's message of these blocks is."""
    return as_messages({"role": "user", "content": [*blocks]}, 0)


@pytest.mark.parametrize(
    ("name", "role"), [("user", Role.USER), ("assistant", Role.ASSISTANT), ("system", Role.SYSTEM)]
)
def test_a_message_of_text(name: str, role: Role) -> None:
    """A system message is one wherever it stands."""
    assert as_messages({"role": name, "content": "hi"}, 3) == (Message.of(role, "hi"),)
    assert as_messages({"role": name, "content": [text("hi")]}, 3) == (Message.of(role, "hi"),)


@pytest.mark.parametrize("item", [{}, {"role": "tool"}, {"role": "developer"}, {"role": None}, {"role": ["user"]}])
def test_a_message_has_one_of_three_roles(item: dict[str, object]) -> None:
    """The vendor has no other."""
    with pytest.raises(InvalidRequest) as caught:
        as_messages({**item, "content": "hi"}, 2)
    assert caught.value.param == "messages[2].role"


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ("hi", "messages[1]"),
        ({"role": "user"}, "messages[1].content"),
        ({"role": "user", "content": None}, "messages[1].content"),
        ({"role": "assistant", "content": 7}, "messages[1].content"),
        ({"role": "user", "content": [text("a"), 7]}, "messages[1].content[1]"),
        ({"role": "user", "content": [USE]}, "messages[1].content[0].type"),
        ({"role": "system", "content": [RESULT]}, "messages[1].content[0].type"),
        ({"role": "assistant", "content": [RESULT]}, "messages[1].content[0].type"),
        ({"role": "assistant", "content": [{"type": "tool_use"}]}, "messages[1].content[0].name"),
        ({"role": "assistant", "content": [{"type": "tool_use", "name": ""}]}, "messages[1].content[0].name"),
        ({"role": "user", "content": [{**RESULT, "content": 7}]}, "messages[1].content[0].content"),
        ({"role": "user", "content": [{**RESULT, "content": [{}]}]}, "messages[1].content[0].content[0].type"),
    ],
)
def test_what_is_wrong_is_named(item: object, param: str) -> None:
    """As the client wrote it."""
    with pytest.raises(InvalidRequest) as caught:
        as_messages(item, 1)
    assert caught.value.param == param
    assert caught.value.message.startswith(param.removesuffix(".type"))


@pytest.mark.parametrize("role", ["system", "assistant"])
@pytest.mark.parametrize("content", [{}, {"content": None}, {"content": []}])
def test_some_messages_say_nothing(role: str, content: dict[str, object]) -> None:
    """A system message of settings alone is none; an answer of nothing is a turn all the same."""
    messages = as_messages({"role": role, **content}, 0)
    assert messages == (() if role == "system" else (Message(Role.ASSISTANT, ()),))


# --- What the user says ------------------------------------------------------------------------------------


def test_results_are_messages_of_their_own() -> None:
    """In their order, and before what the user says."""
    second = {"type": "tool_result", "tool_use_id": "toolu_2", "is_error": True}
    file = {"type": "image", "source": {"type": "file", "file_id": "file-1"}}
    third = {"type": "tool_result", "tool_use_id": "toolu_3", "content": [text("seen"), file]}
    assert asked(text("So:"), RESULT, second, third, text("And now?")) == (
        Message(Role.TOOL, (ToolResultPart("toolu_1"), TextPart("rain"))),
        Message(Role.TOOL, (ToolResultPart("toolu_2", failed=True),)),
        Message(
            Role.TOOL,
            (
                ToolResultPart("toolu_3"),
                TextPart("seen"),
                FilePart(Stored("file-1"), "messages[0].content[3].content[1]", image=True),
            ),
        ),
        Message(Role.USER, (TextPart("So:"), TextPart("And now?"))),
    )


def test_results_alone_are_no_word_of_the_user_s() -> None:
    """The answer is one to the tools."""
    assert [message.role for message in asked(RESULT, RESULT)] == [Role.TOOL, Role.TOOL]
    assert asked() == (Message(Role.USER, ()),)


@pytest.mark.parametrize(
    ("members", "failed"), [({}, False), ({"is_error": False}, False), ({"is_error": None}, False)]
)
@pytest.mark.parametrize("call_id", [None, "", 7])
def test_a_result_may_be_told_poorly(members: dict[str, object], call_id: object, *, failed: bool) -> None:
    """It answers the call that has none yet."""
    assert asked({"type": "tool_result", "tool_use_id": call_id, "content": "a", **members}) == (
        Message(Role.TOOL, (ToolResultPart(failed=failed), TextPart("a"))),
    )


# --- What the assistant has said ---------------------------------------------------------------------------


def test_calls_stand_where_they_were_made() -> None:
    """With their input in the order of the client."""
    assert said(thinking("hm"), text("Let me see."), USE) == (TextPart("Let me see."), CALL)


@pytest.mark.parametrize(
    ("given", "arguments"),
    [
        ({}, "{}"),
        ({"input": None}, "{}"),
        ({"input": {}}, "{}"),
        ({"input": '{"a":'}, '{"a":'),
        ({"input": [1]}, "[1]"),
    ],
)
def test_the_input_of_a_call_is_its_arguments(given: dict[str, object], arguments: str) -> None:
    """Whatever the client made of it."""
    assert said({"type": "tool_use", "name": "f", **given}) == (ToolCallPart("", "f", arguments),)


def test_text_that_was_cut_is_one_text() -> None:
    """By a citation, or by thinking; what stands on two sides of something else is not."""
    search = {"type": "server_tool_use", "id": "1", "name": "web_search", "input": {}}
    found = {"type": "web_search_tool_result", "tool_use_id": "1", "content": []}
    blocks = [text("Let me see."), search, found, text("It is "), thinking("hm"), text("blue"), text(".")]
    assert said(*blocks) == (TextPart("Let me see."), TextPart("It is blue."))


def test_what_the_assistant_said_in_an_unknown_way_is_passed_over() -> None:
    """It knows."""
    assert said({"type": "new", "data": 7}, text("a")) == (TextPart("a"),)


def test_thoughts_are_told_for_the_count() -> None:
    """Readable or not, of any message."""
    blocks = [thinking("hm"), text("a"), {"type": "redacted_thinking", "data": "x"}, {"type": "thinking"}, 7]
    assert list(thoughts_of({"role": "assistant", "content": blocks})) == ["hm", "x"]


@pytest.mark.parametrize("item", [None, 7, {}, {"content": "hm"}, {"content": None}, {"content": [{"type": []}]}])
def test_most_messages_hold_no_thoughts(item: object) -> None:
    """Nor is anything else an error here."""
    assert list(thoughts_of(item)) == []


PIECES = st.lists(st.text(st.characters(codec="utf-8"), min_size=1), min_size=1, max_size=4)


@given(PIECES, st.booleans())
def test_an_answer_is_recognised_when_it_comes_back(pieces: list[str], calls: bool) -> None:  # noqa: FBT001
    """Also where thinking had cut its text into blocks: the history goes on in its conversation."""
    spoken = Spoken()
    called: list[Event] = [ToolCallStart(0, "toolu_1", "f"), ToolCallDelta(0, '{"b":1,"a":"\\u00e9"}'), ToolCallEnd(0)]
    for event in [*map(TextDelta, pieces), *(called if calls else [])]:
        spoken.feed(event)
    blocks = [block for piece in pieces for block in (thinking("hm"), text(piece))]
    hi = {"role": "user", "content": "hi"}
    answer = {"role": "assistant", "content": [*blocks, USE] if calls else blocks}
    body = {"model": "kimi", "max_tokens": 9, "messages": [hi]}
    first = messages_call(body).request
    second = messages_call({**body, "messages": [hi, answer, {"role": "user", "content": [RESULT]}]}).request
    assert known(second, "kimi") == after(first, "kimi", spoken.message)


# --- The system prompt -------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [None, [], HEADER, [text(HEADER)], [text(HEADER), text(HEADER)]])
def test_there_need_not_be_a_system_prompt(content: object) -> None:
    """What Claude Code sends to account for the request is none."""
    assert system_message(content) is None


@pytest.mark.parametrize(
    ("content", "prompts"),
    [
        ("Be brief.", ["Be brief."]),
        ([text("Be brief."), text("Be kind.")], ["Be brief.", "Be kind."]),
        ([text(HEADER), text("Be brief.")], ["Be brief."]),
        ([text(HEADER), text(HEADER), text("Be brief.")], ["Be brief."]),
        (f"{HEADER}\n\nBe brief.", ["Be brief."]),
        ([text(f"{HEADER}\nBe brief."), text("Be kind.")], ["Be brief.", "Be kind."]),
        ([text("Be brief."), text(HEADER)], ["Be brief.", HEADER]),
        (f"Write {HEADER}", [f"Write {HEADER}"]),
        (f" {HEADER}", [f" {HEADER}"]),
        ([text(HEADER), text("")], [""]),
    ],
)
def test_a_system_prompt_stands_without_the_client_s_accounting(content: object, prompts: list[str]) -> None:
    """It changes with every request; anywhere but at the very beginning it may be meant."""
    message = system_message(content)
    assert message == Message(Role.SYSTEM, tuple(map(TextPart, prompts)))


@pytest.mark.parametrize(
    ("content", "param"), [(7, "system"), ({}, "system"), ([7], "system[0]"), ([{"type": "new"}], "system[0].type")]
)
def test_a_system_prompt_that_is_none_is_refused(content: object, param: str) -> None:
    """It decides what the answer is."""
    with pytest.raises(InvalidRequest) as caught:
        system_message(content)
    assert caught.value.param == param
