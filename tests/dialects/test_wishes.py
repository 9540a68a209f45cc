"""What may be asked in every dialect."""

from __future__ import annotations

import pytest
from marshmallow import ValidationError

from app.chat.request import Effort, JsonFormat, Message, Role, ToolCallPart, ToolResultPart, ToolSpec
from app.dialects.fields import loaded
from app.dialects.wishes import (
    MAX_MESSAGES,
    MAX_STOP_LENGTH,
    MAX_STOPS,
    MAX_TOOLS,
    Wishes,
    Wishing,
    add_tool,
    allowed_names,
    check_said,
    json_format,
    some_messages,
    some_tools,
    stop_sequences,
    tool_spec,
    wishes,
)
from app.errors import InvalidRequest

NOTHING = Wishes(use_search=None, effort=None, conversation_id=None, keep=False)


def wished(**fields: object) -> Wishes:
    """What a body with these fields asks for."""
    return wishes(loaded(Wishing(), fields))


@pytest.mark.parametrize(
    ("fields", "asked"),
    [
        ({}, NOTHING),
        ({"use_search": None, "conversation_id": None, "reasoning_effort": None, "x": 1}, NOTHING),
        ({"use_search": False}, Wishes(use_search=False, effort=None, conversation_id=None, keep=False)),
        ({"reasoning_effort": "xhigh"}, Wishes(use_search=None, effort=Effort.MAX, conversation_id=None, keep=False)),
        ({"conversation_id": "none"}, Wishes(use_search=None, effort=None, conversation_id=None, keep=True)),
        ({"conversation_id": "c-1"}, Wishes(use_search=None, effort=None, conversation_id="c-1", keep=True)),
    ],
)
def test_the_gateway_s_own_fields_are_read(fields: dict[str, object], asked: Wishes) -> None:
    """In every dialect alike."""
    assert wished(**fields) == asked


@pytest.mark.parametrize(
    "fields",
    [
        {"use_search": "yes"},
        {"use_search": 1},
        {"reasoning_effort": "much"},
        {"reasoning_effort": 3},
        {"conversation_id": "a/b"},
        {"conversation_id": ""},
        {"conversation_id": 7},
    ],
)
def test_what_they_cannot_be_is_refused(fields: dict[str, object]) -> None:
    """By its name."""
    with pytest.raises(InvalidRequest) as caught:
        wished(**fields)
    assert caught.value.param in fields


@pytest.mark.parametrize(("own", "searches"), [(None, True), (True, True), (False, False)])
def test_the_gateway_s_own_field_comes_before_the_vendor_s(*, own: bool | None, searches: bool) -> None:
    """Who sends it means it."""
    found = wishes({"use_search": own, "reasoning_effort": None}, searches=True, effort=Effort.LOW)
    assert [found.use_search, found.effort] == [searches, Effort.LOW]
    assert wishes({"reasoning_effort": "none"}, effort=Effort.LOW).effort is Effort.NONE


@pytest.mark.parametrize("value", [None, [], {}, "x", [1] * (MAX_MESSAGES + 1)])
def test_what_is_no_history_is_refused(value: object) -> None:
    """None or too many are no messages."""
    with pytest.raises(ValidationError):
        some_messages(value)
    some_messages([1] * MAX_MESSAGES)


@pytest.mark.parametrize("value", ["x", {}, [1], [{}] * (MAX_TOOLS + 1)])
def test_what_is_no_list_of_tools_is_refused(value: object) -> None:
    """There may be none."""
    with pytest.raises(ValidationError):
        some_tools(value)
    some_tools(None)
    some_tools([{}] * MAX_TOOLS)


@pytest.mark.parametrize("messages", [[], [Message.of(Role.USER, " \n")], [Message(Role.SYSTEM, ())]])
def test_a_history_must_say_something(messages: list[Message]) -> None:
    """Kimi is asked nothing otherwise."""
    with pytest.raises(InvalidRequest) as caught:
        check_said(messages, "contents")
    assert caught.value.param == "contents"


@pytest.mark.parametrize(
    "message",
    [
        Message.of(Role.USER, "a"),
        Message(Role.ASSISTANT, (ToolCallPart("c", "f", "{}"),)),
        Message(Role.TOOL, (ToolResultPart("c"),)),
    ],
)
def test_calls_and_results_say_something(message: Message) -> None:
    """A result may be empty."""
    check_said([message], "messages")


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        (None, ()),
        ("a", ("a",)),
        (["a", "b", "a"], ("a", "b")),
        ([], ()),
        ("x" * MAX_STOP_LENGTH, ("x" * MAX_STOP_LENGTH,)),
    ],
)
def test_stop_sequences_are_read(value: object, texts: tuple[str, ...]) -> None:
    """Each once."""
    assert stop_sequences(value, "stop") == texts


@pytest.mark.parametrize("value", ["", 7, {}, ["a", 7], [""], ["a"] * (MAX_STOPS + 1), "x" * (MAX_STOP_LENGTH + 1)])
def test_what_cannot_stop_an_answer_is_refused(value: object) -> None:
    """By the name that its dialect has for it."""
    with pytest.raises(InvalidRequest) as caught:
        stop_sequences(value, "stop_sequences")
    assert (caught.value.param or "").startswith("stop_sequences")


def test_a_form_keeps_its_schema_s_order() -> None:
    """Models write members in it."""
    schema = {"type": "object", "properties": {"z": {"type": "string"}, "a": {"type": "string"}}}
    form = json_format(schema, "schema", strict=True)
    assert form == JsonFormat('{"type": "object", "properties": {"z": {"type": "string"}, "a": {"type": "string"}}}')
    assert not json_format({}, "schema", strict=False).strict


@pytest.mark.parametrize("schema", [7, "x", {"type": "nonsense"}])
def test_what_is_no_schema_is_refused(schema: object) -> None:
    """Nothing could be judged by it."""
    with pytest.raises(InvalidRequest) as caught:
        json_format(schema, "text.format.schema", strict=True)
    assert caught.value.param == "text.format.schema"


def test_a_tool_needs_a_name_alone() -> None:
    """All else may be odd."""
    assert tool_spec({"name": "f", "description": 7}, "tools[0]", None) == ToolSpec("f")
    assert tool_spec({"name": "f", "description": "d"}, "tools[0]", {"type": "object"}, eager=True) == ToolSpec(
        "f", "d", '{"type": "object"}', eager=True
    )
    assert tool_spec({"name": "f"}, "tools[0]", {"a": 1}, freeform=True) == ToolSpec("f", freeform=True)


@pytest.mark.parametrize("name", [None, "", "two words", "ü", "x" * 129, 7, ["f"]])
def test_a_name_that_is_none_is_refused(name: object) -> None:
    """Calls are recognised by it."""
    with pytest.raises(InvalidRequest) as caught:
        tool_spec({"name": name}, "tools[3]", None)
    assert caught.value.param == "tools[3].name"


def test_two_tools_have_two_names() -> None:
    """A call must mean one of them."""
    specs: dict[str, ToolSpec] = {}
    add_tool(specs, ToolSpec("f"), "tools[0]")
    with pytest.raises(InvalidRequest) as caught:
        add_tool(specs, ToolSpec("f"), "tools[1]")
    assert caught.value.param == "tools[1].name"


def test_a_choice_is_confined_to_tools_that_are_there() -> None:
    """Each is named once."""
    specs = {"a": ToolSpec("a"), "b": ToolSpec("b")}
    assert allowed_names(["b", "a", "b"], specs, "tool_choice") == ("b", "a")
    for names in (["a", "c"], [None], [["a"]]):
        with pytest.raises(InvalidRequest) as caught:
            allowed_names(names, specs, "tool_choice")
        assert caught.value.param == "tool_choice"
