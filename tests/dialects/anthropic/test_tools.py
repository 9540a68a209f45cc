"""The tools of a request in Anthropic's words."""

from __future__ import annotations

import json

import pytest

from app.chat.request import Choice, ToolSpec, ToolUse
from app.dialects.anthropic.tools import Offer, offered
from app.errors import InvalidRequest

SCHEMA = {"type": "object", "properties": {"b": {}, "a": {}}}
TOOL = {"name": "f", "description": "Does it.", "input_schema": SCHEMA}
SPEC = ToolSpec("f", "Does it.", json.dumps(SCHEMA))
SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
BASH = {"type": "bash_20250124", "name": "bash"}


def offer(*tools: object, choice: object = None) -> Offer:
    """What these tools and this choice are."""
    return offered({"tools": list(tools), "tool_choice": choice})


def refused(*tools: object, choice: object = None) -> InvalidRequest:
    """The error for these tools and this choice."""
    with pytest.raises(InvalidRequest) as caught:
        offer(*tools, choice=choice)
    return caught.value


@pytest.mark.parametrize("values", [{}, {"tools": None, "tool_choice": None}, {"tools": []}])
def test_there_need_not_be_any(values: dict[str, object]) -> None:
    """Most requests of chats have none."""
    assert offered(values) == Offer(ToolUse(), searches=False)


@pytest.mark.parametrize("kind", [{}, {"type": None}, {"type": "custom"}])
def test_a_client_s_tool_is_offered(kind: dict[str, object]) -> None:
    """With its schema in the order of the client; how it is cached is no concern of ours."""
    tool = {**TOOL, **kind, "cache_control": {"type": "ephemeral"}, "defer_loading": True, "strict": True}
    assert offer(tool).use == ToolUse((SPEC,))


@pytest.mark.parametrize(("value", "eager"), [(True, True), (False, False), (None, False), ("yes", False)])
def test_input_is_passed_on_as_it_is_written_where_the_client_asks(*, value: object, eager: bool) -> None:
    """Character by character."""
    (spec,) = offer({**TOOL, "eager_input_streaming": value}).use.tools
    assert spec.eager is eager


def test_a_tool_without_a_schema_takes_anything() -> None:
    """Kimi is told of it all the same."""
    assert offer({"name": "f"}).use.tools == (ToolSpec("f"),)


def test_a_tool_of_any_type_with_a_schema_is_the_client_s() -> None:
    """Only the client can run it."""
    assert offer({**TOOL, "type": "bash_20250124"}).use == ToolUse((SPEC,))


def test_a_tool_of_the_vendor_s_that_the_client_runs_is_offered() -> None:
    """With what its documentation says, under the name that the client gives it."""
    bash, editor = offer(BASH, {"type": "text_editor_20250728", "name": "edit", "max_characters": 9}).use.tools
    assert [bash.name, editor.name] == ["bash", "edit"]
    assert bash.description
    assert json.loads(bash.parameters)["properties"].keys() == {"command", "restart"}
    assert offer({"type": "memory_20250818"}).use.tools[0].name == "memory"


@pytest.mark.parametrize("kind", ["web_search_20250305", "web_search_20260318", "web_search_29991231"])
def test_a_search_is_kimi_s_own(kind: str) -> None:
    """It is no tool of the client's."""
    assert offer({"type": kind, "name": "web_search"}, TOOL) == Offer(ToolUse((SPEC,)), searches=True)


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "web_fetch_20250910", "name": "web_fetch"},
        {"type": "code_execution_20250825", "name": "code_execution"},
        {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"},
        {"type": "computer_20251124", "name": "computer", "display_width_px": 1, "display_height_px": 1},
        {"type": "browser_toolset_20260801"},
        {"type": "mcp_toolset", "mcp_server_name": "a"},
        {"type": "new_tool_20300101", "name": "new"},
    ],
)
def test_what_cannot_be_served_is_ignored(tool: dict[str, object]) -> None:
    """The answer is one without it."""
    assert offer(tool, TOOL) == Offer(ToolUse((SPEC,)), searches=False)


@pytest.mark.parametrize(
    ("tools", "param"),
    [
        ([{}], "tools[0].name"),
        ([TOOL, {"name": "a b"}], "tools[1].name"),
        ([{"name": 7, "input_schema": {}}], "tools[0].name"),
        ([TOOL, TOOL], "tools[1].name"),
        ([BASH, {"name": "bash"}], "tools[1].name"),
        ([{"type": "function", "function": {"name": "f"}}], "tools[0].type"),
        ([{"type": 7, "name": "f"}], "tools[0].type"),
        ([{"type": [], "name": "f"}], "tools[0].type"),
        ([{**BASH, "name": "a b"}], "tools[0].name"),
    ],
)
def test_what_is_wrong_is_named(tools: list[object], param: str) -> None:
    """A tool that is lost in silence would never be called."""
    error = refused(*tools)
    assert error.param == param
    assert error.message.startswith(param)


@pytest.mark.parametrize(
    ("choice", "use"),
    [
        ({"type": "auto"}, ToolUse((SPEC,))),
        ({"type": "auto", "disable_parallel_tool_use": False}, ToolUse((SPEC,))),
        ({"type": "auto", "disable_parallel_tool_use": True}, ToolUse((SPEC,), parallel=False)),
        ({"type": "any"}, ToolUse((SPEC,), Choice.REQUIRED)),
        ({"type": "any", "disable_parallel_tool_use": True}, ToolUse((SPEC,), Choice.REQUIRED, parallel=False)),
        ({"type": "tool", "name": "f"}, ToolUse((SPEC,), Choice.REQUIRED, ("f",))),
        ({"type": "none"}, ToolUse((SPEC,), Choice.NONE)),
    ],
)
def test_how_tools_are_to_be_used(choice: object, use: ToolUse) -> None:
    """Each choice of the vendor's."""
    assert offer(TOOL, choice=choice).use == use


@pytest.mark.parametrize("choice", ["auto", "any", [], 7, {}, {"type": "required"}, {"type": []}, {"name": "f"}])
def test_a_choice_that_is_not_understood_is_refused(choice: object) -> None:
    """It decides what the answer is."""
    assert refused(TOOL, choice=choice).param == "tool_choice"


@pytest.mark.parametrize(
    ("tools", "choice"),
    [
        ([], {"type": "any"}),
        ([], {"type": "tool", "name": "f"}),
        ([TOOL], {"type": "tool", "name": "g"}),
        ([TOOL], {"type": "tool"}),
        ([TOOL], {"type": "tool", "name": ["f"]}),
        ([TOOL, SEARCH], {"type": "tool", "name": "g"}),
        ([{"type": "code_execution_20250825", "name": "code_execution"}], {"type": "any"}),
    ],
)
def test_a_call_that_cannot_come_is_refused(tools: list[object], choice: object) -> None:
    """Rather than answered in prose."""
    assert refused(*tools, choice=choice).param == "tool_choice"


@pytest.mark.parametrize(
    ("tools", "choice"),
    [
        ([SEARCH], {"type": "tool", "name": "web_search"}),
        ([SEARCH], {"type": "any"}),
        ([TOOL, SEARCH], {"type": "tool", "name": "web_search"}),
    ],
)
def test_a_search_that_is_demanded_is_on(tools: list[object], choice: object) -> None:
    """Claude Code demands one for its tool that searches; more cannot be done to have Kimi search."""
    found = offer(*tools, choice=choice)
    assert [found.searches, found.use.choice, found.use.allowed] == [True, Choice.AUTO, None]


def test_a_call_can_be_demanded_beside_a_search() -> None:
    """Of the client's tools."""
    assert offer(TOOL, SEARCH, choice={"type": "any"}).use.choice is Choice.REQUIRED


def test_no_tool_is_no_search() -> None:
    """It is a tool like the others."""
    assert offer(SEARCH, choice={"type": "none"}) == Offer(ToolUse(choice=Choice.NONE), searches=False)
