"""The tools that a request offers, in OpenAI's words."""

from __future__ import annotations

import json

import pytest

from app.chat.request import Choice, ToolSpec, ToolUse
from app.dialects.openai.tools import Offer, offered
from app.errors import InvalidRequest

SCHEMA = {"type": "object", "properties": {"b": {"type": "string"}, "a": {}}}
TEXT = json.dumps(SCHEMA, ensure_ascii=False)
F = {"type": "function", "function": {"name": "f"}}
G = {"type": "function", "function": {"name": "g"}}


def use(*tools: object, **members: object) -> ToolUse:
    """How these tools are to be used."""
    return offered({"tools": list(tools), **members}).use


def refused(**members: object) -> InvalidRequest:
    """The error for these fields of a request."""
    with pytest.raises(InvalidRequest) as caught:
        offered(members)
    assert caught.value.message.startswith(str(caught.value.param).partition("[")[0])
    return caught.value


def choosing(choice: object) -> tuple[Choice, tuple[str, ...] | None]:
    """What a choice among f and g means."""
    asked = use(F, G, tool_choice=choice)
    return asked.choice, asked.allowed


# --- What is offered ---------------------------------------------------------------------------------------


def test_a_request_without_tools_offers_none() -> None:
    """All is as by default."""
    nothing = Offer(ToolUse(), searches=False, legacy=False)
    assert [offered({}), offered({"tools": None, "functions": None}), offered({"tools": []})] == [nothing] * 3


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "function", "function": {"name": "f", "description": "Does.", "parameters": SCHEMA, "strict": True}},
        {"function": {"name": "f", "description": "Does.", "parameters": SCHEMA}},
        {"type": None, "function": {"name": "f", "description": "Does.", "parameters": SCHEMA}},
        {"type": "function", "name": "f", "description": "Does.", "parameters": SCHEMA, "strict": False},
        {"type": "function", "function": None, "name": "f", "description": "Does.", "parameters": SCHEMA},
    ],
    ids=["nested", "without a type", "type null", "flat", "flat beside null"],
)
def test_a_function_is_a_tool(tool: dict[str, object]) -> None:
    """In all the shapes in which clients write it."""
    assert use(tool).tools == (ToolSpec("f", "Does.", TEXT),)


@pytest.mark.parametrize("members", [{}, {"description": None, "parameters": None}, {"description": 7}])
def test_what_a_tool_does_not_tell_is_empty(members: dict[str, object]) -> None:
    """A name is enough."""
    assert use({"type": "function", "function": {"name": "f", **members}}).tools == (ToolSpec("f"),)


@pytest.mark.parametrize(
    "parameters",
    [
        True,
        False,
        0,
        "x",
        [],
        [1, None],
        {},
        {"type": "nonsense"},
        {"required": 7},
        {"a": "é\u2028"},
        {"maximum": 2**70},
    ],
)
def test_parameters_may_be_anything(parameters: object) -> None:
    """Schemas of any oddity are taken, and numbers beyond 64 bits."""
    (tool,) = use({"type": "function", "function": {"name": "f", "parameters": parameters}}).tools
    assert json.loads(tool.parameters) == parameters
    assert "\\u" not in tool.parameters


def test_parameters_keep_their_order() -> None:
    """Models write arguments in the order in which they read of them."""
    (tool,) = use({"type": "function", "function": {"name": "f", "parameters": {"b": 1, "a": {"d": 2, "c": 3}}}}).tools
    assert tool.parameters == '{"b": 1, "a": {"d": 2, "c": 3}}'


@pytest.mark.parametrize(
    "other",
    [
        G,
        {"type": "function", "function": {"name": "F"}},
        {"type": "function", "function": {"name": "f", "description": "x"}},
        {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}},
        {"type": "custom", "custom": {"name": "f"}},
    ],
)
def test_another_tool_is_another(other: dict[str, object]) -> None:
    """A model that is offered it may answer otherwise."""
    assert use(F) != use(other)


def test_tools_keep_their_order() -> None:
    """The client's first may be its most important."""
    assert [tool.name for tool in use(G, F).tools] == ["g", "f"]


@pytest.mark.parametrize("name", ["f", "get_weather", "a-b", "mcp__a.b:c/d", "9", "x" * 128])
def test_a_name_is_taken_as_other_vendors_take_it(name: str) -> None:
    """Their clients have dots and colons in it."""
    assert use({"type": "function", "function": {"name": name}}).tools == (ToolSpec(name),)


@pytest.mark.parametrize("name", [None, 7, [], "", "a b", "é", "a\n", 'a"', "<a>", "x" * 129, "$a"])
def test_another_name_is_refused(name: object) -> None:
    """Wherever it stands."""
    tool = {"name": name}
    place = "tools[1]"
    assert refused(tools=[F, {"type": "function", "function": tool}]).param == f"{place}.function.name"
    assert refused(tools=[F, {"type": "custom", "custom": tool}]).param == f"{place}.custom.name"
    assert refused(tools=[F, {"type": "function", **tool}]).param == f"{place}.name"
    assert refused(functions=[{"name": "f"}, tool]).param == "functions[1].name"


@pytest.mark.parametrize(
    ("tool", "place"),
    [
        ({}, ""),
        ({"type": None}, ""),
        ({"type": 7}, ""),
        ({"type": []}, ""),
        ({"name": "f"}, ""),
        ({"function": None}, ""),
        ({"function": "f"}, ".function"),
        ({"type": "function"}, ".function"),
        ({"type": "function", "function": []}, ".function"),
        ({"type": "function", "function": {}}, ".function.name"),
        ({"type": "custom"}, ".custom"),
        ({"type": "custom", "custom": {}}, ".custom.name"),
    ],
)
def test_what_is_no_tool_is_named(tool: object, place: str) -> None:
    """By its place."""
    assert refused(tools=[tool]).param == f"tools[0]{place}"
    assert refused(tools=[F, G, tool]).param == f"tools[2]{place}"


@pytest.mark.parametrize(
    ("second", "param"),
    [
        (F, "tools[2].function.name"),
        ({"type": "function", "name": "f"}, "tools[2].name"),
        ({"type": "custom", "custom": {"name": "f"}}, "tools[2].custom.name"),
    ],
)
def test_two_tools_have_two_names(second: object, param: str) -> None:
    """A call could be of either."""
    assert refused(tools=[F, G, second]).param == param


def test_a_custom_tool_takes_text() -> None:
    """It has no parameters."""
    wanted = (ToolSpec("patch", "Edits.", freeform=True),)
    named = {"name": "patch", "description": "Edits.", "format": {"type": "text"}, "parameters": {"a": 1}}
    assert use({"type": "custom", "custom": named}).tools == wanted
    assert use({"type": "custom", **named}).tools == wanted


GRAMMAR = {"syntax": "lark", "definition": 'start: "a"'}


@pytest.mark.parametrize("form", [{"type": "grammar", "grammar": GRAMMAR}, {"type": "grammar", **GRAMMAR}])
@pytest.mark.parametrize("description", ["Edits.", None])
def test_the_grammar_of_a_custom_tool_is_described(form: object, description: str | None) -> None:
    """The model reads it nowhere else."""
    (tool,) = use({"type": "custom", "custom": {"name": "patch", "description": description, "format": form}}).tools
    grammar = 'The input must match this lark grammar:\nstart: "a"'
    assert tool.description == (grammar if description is None else f"Edits.\n\n{grammar}")


@pytest.mark.parametrize(
    "form",
    [None, 7, [], {}, {"type": "grammar"}, {"type": "grammar", "grammar": []}, {"type": "grammar", "definition": 7}],
)
def test_a_format_that_tells_nothing_is_left_alone(form: object) -> None:
    """As schemas are."""
    assert use({"type": "custom", "custom": {"name": "f", "format": form}}).tools == (ToolSpec("f", freeform=True),)


def test_a_grammar_without_a_known_syntax_is_a_grammar() -> None:
    """Its definition may tell by itself."""
    form = {"type": "grammar", "grammar": {"definition": "a", "syntax": []}}
    (tool,) = use({"type": "custom", "custom": {"name": "f", "format": form}}).tools
    assert tool.description == "The input must match this grammar:\na"


@pytest.mark.parametrize(("value", "eager"), [(True, True), (False, False), (1, False), (None, False)])
def test_arguments_may_be_asked_for_at_once(value: object, *, eager: bool) -> None:
    """On the tool or in its function."""
    member = {"eager_input_streaming": value}
    outer, inner = {**F, **member}, {"type": "function", "function": {"name": "g", **member}}
    assert [tool.eager for tool in use(outer, inner).tools] == [eager, eager]


# --- What the vendor runs itself ---------------------------------------------------------------------------

SEARCHES = [
    {"type": "web_search"},
    {"type": "web_search_preview", "search_context_size": "low"},
    {"type": "web_search_20250305", "name": "web_search"},
    {"type": "builtin_function", "function": {"name": "$web_search"}},
    {"type": "function", "function": {"name": "$web_search"}},
    {"function": {"name": "$web_search"}},
]


@pytest.mark.parametrize("tool", SEARCHES)
def test_a_search_of_the_vendor_s_is_kimi_s(tool: object) -> None:
    """It is no tool of the client's."""
    assert offered({"tools": [F, tool, tool]}) == Offer(ToolUse((ToolSpec("f"),)), searches=True, legacy=False)


def test_who_wants_no_call_wants_no_search() -> None:
    """It would be one."""
    assert offered({"tools": [{"type": "web_search"}], "tool_choice": "none"}).searches is False


@pytest.mark.parametrize(
    "kind", ["code_interpreter", "mcp", "file_search", "image_generation", "namespace", "builtin_function", ""]
)
def test_another_tool_of_the_vendor_s_is_ignored(kind: str) -> None:
    """As unknown fields are; it needs no name, and may have any."""
    for tool in ({"type": kind}, {"type": kind, "name": "f"}, {"type": kind, "function": {"name": "a b"}}):
        assert offered({"tools": [tool, F]}) == Offer(ToolUse((ToolSpec("f"),)), searches=False, legacy=False)


# --- How they are to be used -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "meaning"),
    [
        (None, (Choice.AUTO, None)),
        ("auto", (Choice.AUTO, None)),
        ("none", (Choice.NONE, None)),
        ("required", (Choice.REQUIRED, None)),
        ("any", (Choice.REQUIRED, None)),
        ({"type": "function", "function": {"name": "f"}}, (Choice.REQUIRED, ("f",))),
        ({"type": "function", "name": "f"}, (Choice.REQUIRED, ("f",))),
        ({"type": "custom", "custom": {"name": "g"}}, (Choice.REQUIRED, ("g",))),
        ({"type": "tool", "name": "g"}, (Choice.REQUIRED, ("g",))),
    ],
)
def test_a_choice_is_understood(choice: object, meaning: object) -> None:
    """In the words of several vendors."""
    assert choosing(choice) == meaning


@pytest.mark.parametrize(("mode", "choice"), [("auto", Choice.AUTO), ("required", Choice.REQUIRED)])
def test_a_choice_may_be_confined_to_some_tools(mode: str, choice: Choice) -> None:
    """The others are kept for later turns."""
    inner = {
        "mode": mode,
        "tools": [G, {"type": "function", "name": "f"}, {"type": "function", "function": {"name": "g"}}],
    }
    assert choosing({"type": "allowed_tools", "allowed_tools": inner}) == (choice, ("g", "f"))
    assert choosing({"type": "allowed_tools", **inner}) == (choice, ("g", "f"))
    assert [tool.name for tool in use(F, G, tool_choice={"type": "allowed_tools", **inner, "tools": [G]}).told] == ["g"]


@pytest.mark.parametrize(
    "choice",
    [
        "",
        "f",
        "NONE",
        7,
        True,
        [],
        ["auto"],
        {},
        {"type": "auto"},
        {"type": []},
        {"name": "f"},
        {"type": "function"},
        {"type": "function", "function": "f"},
        {"type": "function", "function": {"name": "h"}},
        {"type": "function", "function": {"name": ["f"]}},
        {"type": "tool", "name": None},
        {"type": "web_search"},
        {"type": "allowed_tools"},
        {"type": "allowed_tools", "allowed_tools": []},
        {"type": "allowed_tools", "allowed_tools": {"mode": "auto"}},
        {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}},
        {"type": "allowed_tools", "allowed_tools": {"mode": "none", "tools": [F]}},
        {"type": "allowed_tools", "allowed_tools": {"mode": [], "tools": [F]}},
        {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": ["f"]}},
        {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [F, {"type": "web_search"}]}},
    ],
)
def test_another_choice_is_refused(choice: object) -> None:
    """A client must not take prose for a call."""
    assert refused(tools=[F, G], tool_choice=choice).param == "tool_choice"


@pytest.mark.parametrize("tools", [None, [], [{"type": "code_interpreter"}], [{"type": "web_search"}]])
def test_a_call_that_nothing_could_answer_is_refused(tools: object) -> None:
    """There is no tool to call."""
    choices: list[object] = ["required", "any", F, {"type": "allowed_tools", "mode": "auto", "tools": [F]}]
    for choice in choices:
        assert refused(tools=tools, tool_choice=choice).param == "tool_choice"
    assert refused(tools=tools, function_call={"name": "f"}).param == "function_call"


@pytest.mark.parametrize(("choice", "ours"), [("none", Choice.NONE), ("auto", Choice.AUTO)])
def test_no_call_needs_no_tools(choice: str, ours: Choice) -> None:
    """Clients send it with every request."""
    assert offered({"tool_choice": choice}).use == ToolUse(choice=ours)


@pytest.mark.parametrize(("value", "parallel"), [(True, True), (None, True), (False, False)])
def test_several_calls_at_once_can_be_forbidden(value: object, *, parallel: bool) -> None:
    """They are allowed by default."""
    assert use(F, parallel_tool_calls=value).parallel is parallel


# --- The old words -----------------------------------------------------------------------------------------


def test_functions_are_tools_in_old_words() -> None:
    """The answer to them holds one call at most."""
    functions = [{"name": "f", "description": "Does.", "parameters": SCHEMA}, {"name": "g"}]
    tools = (ToolSpec("f", "Does.", TEXT), ToolSpec("g"))
    wanted = Offer(ToolUse(tools, parallel=False), searches=False, legacy=True)
    values = {"functions": functions}
    for request in (
        values,
        {**values, "tools": None},
        {**values, "tools": []},
        {**values, "parallel_tool_calls": True},
    ):
        assert offered(request) == wanted


def test_functions_beside_tools_are_not_looked_at() -> None:
    """Who knows the new words is answered in them."""
    assert offered({"tools": [F], "functions": [{}]}) == Offer(ToolUse((ToolSpec("f"),)), searches=False, legacy=False)
    assert offered({"functions": []}).legacy is False


def test_a_function_has_no_type() -> None:
    """What stands there means nothing."""
    assert offered({"functions": [{"name": "f", "type": "custom"}]}).use.tools == (ToolSpec("f"),)


@pytest.mark.parametrize(
    ("choice", "meaning"),
    [
        (None, (Choice.AUTO, None)),
        ("auto", (Choice.AUTO, None)),
        ("none", (Choice.NONE, None)),
        ({"name": "f"}, (Choice.REQUIRED, ("f",))),
    ],
)
def test_the_old_choice_is_understood(choice: object, meaning: object) -> None:
    """Of functions and of tools, unless there is a new one."""
    for offer in ({"functions": [{"name": "f"}]}, {"tools": [F]}):
        asked = offered({**offer, "function_call": choice}).use
        assert (asked.choice, asked.allowed) == meaning
        assert offered({**offer, "function_call": choice, "tool_choice": "auto"}).use.choice is Choice.AUTO


@pytest.mark.parametrize("choice", ["f", 7, [], {}, {"name": "h"}, {"name": []}, {"name": None}])
def test_another_old_choice_is_refused(choice: object) -> None:
    """Under its own name."""
    assert refused(functions=[{"name": "f"}], function_call=choice).param == "function_call"
