"""The tools that a request offers, in Google's words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.genai import types

from app.chat.request import Choice, ToolSpec, ToolUse
from app.dialects.gemini.spelling import Members
from app.dialects.gemini.tools import Offer, offered
from app.dialects.wishes import MAX_TOOLS
from app.errors import InvalidRequest

GOOGLE = {"type": "OBJECT", "properties": {"b": {"type": "STRING", "nullable": True}, "a": {"type": "INTEGER"}}}
OURS = {"type": "object", "properties": {"b": {"type": ["string", "null"]}, "a": {"type": "integer"}}}
F_AND_G = {"functionDeclarations": [{"name": "f"}, {"name": "g"}]}


def read(**members: object) -> Offer:
    """What these fields of a body offer."""
    return offered(Members(members))


def refused(**members: object) -> InvalidRequest:
    """The error for these fields of a body."""
    with pytest.raises(InvalidRequest) as caught:
        read(**members)
    assert caught.value.message.startswith(str(caught.value.param))
    return caught.value


def choosing(**config: object) -> tuple[Choice, tuple[str, ...] | None]:
    """What a choice among f and g means."""
    use = read(tools=[F_AND_G], toolConfig={"functionCallingConfig": config}).use
    return use.choice, use.allowed


@pytest.mark.parametrize("members", [{}, {"tools": None}, {"tools": []}, {"tools": [{}]}, {"tools": {}}])
def test_a_request_without_tools_offers_none(members: dict[str, Any]) -> None:
    """All is as by default."""
    assert read(**members) == Offer(ToolUse(), searches=False)


@pytest.mark.parametrize(
    "tools",
    [
        [{"functionDeclarations": [{"name": "f", "description": "Does.", "parameters": GOOGLE}]}],
        [{"function_declarations": [{"name": "f", "description": "Does.", "parameters": OURS}]}],
        [{"functionDeclarations": [{"name": "f", "description": "Does.", "parametersJsonSchema": OURS}]}],
        [{"functionDeclarations": [{"name": "f", "description": "Does.", "parameters_json_schema": OURS}]}],
        {"functionDeclarations": {"name": "f", "description": "Does.", "parameters": GOOGLE, "response": GOOGLE}},
    ],
    ids=["Google's", "JSON Schema in its place", "JSON Schema", "snake case", "no list"],
)
def test_a_function_is_a_tool(tools: object) -> None:
    """In all the forms in which clients write it; the order of its parameters stays."""
    assert read(tools=tools).use.tools == (ToolSpec("f", "Does.", json.dumps(OURS)),)


def test_json_schema_is_taken_as_it_is() -> None:
    """Also what would mean something else in Google's own words."""
    schema = {"properties": {"any_of": {"type": ["string"]}}, "any_of": 1, "nullable": True}
    (tool,) = read(tools=[{"functionDeclarations": [{"name": "f", "parametersJsonSchema": schema}]}]).use.tools
    assert json.loads(tool.parameters) == schema


@pytest.mark.parametrize("members", [{}, {"description": None, "parameters": None}, {"description": 7}])
def test_what_a_function_does_not_tell_is_empty(members: dict[str, Any]) -> None:
    """A name is enough."""
    assert read(tools=[{"functionDeclarations": [{"name": "f", **members}]}]).use.tools == (ToolSpec("f"),)


def test_the_functions_of_all_tools_are_offered() -> None:
    """Google's clients put each of them into a tool of its own, or all into one."""
    tools = [F_AND_G, {"codeExecution": {}}, {"functionDeclarations": [{"name": "h"}]}]
    assert [tool.name for tool in read(tools=tools).use.tools] == ["f", "g", "h"]


@pytest.mark.parametrize("name", ["googleSearch", "google_search", "googleSearchRetrieval", "google_search_retrieval"])
def test_google_s_search_is_kimi_s(name: str) -> None:
    """Also beside functions, and when none of them may be called."""
    config = {"functionCallingConfig": {"mode": "NONE"}}
    assert [read(tools=[{name: {}}]).searches, read(tools=[F_AND_G, {name: {}}], toolConfig=config).searches] == [
        True,
        True,
    ]


@pytest.mark.parametrize("name", ["codeExecution", "urlContext", "url_context", "googleMaps", "computerUse", "x"])
def test_what_else_google_runs_is_ignored(name: str) -> None:
    """Kimi has nothing of the kind that could be asked for."""
    assert read(tools=[{name: {}}]) == Offer(ToolUse(), searches=False)


@pytest.mark.parametrize(
    ("config", "choice", "allowed"),
    [
        ({}, Choice.AUTO, None),
        ({"mode": "AUTO"}, Choice.AUTO, None),
        ({"mode": "auto"}, Choice.AUTO, None),
        ({"mode": "MODE_UNSPECIFIED"}, Choice.AUTO, None),
        ({"mode": "NONE", "allowedFunctionNames": ["x"]}, Choice.NONE, None),
        ({"mode": "ANY"}, Choice.REQUIRED, None),
        ({"mode": "ANY", "allowedFunctionNames": []}, Choice.REQUIRED, None),
        ({"mode": "ANY", "allowedFunctionNames": ["g", "g"]}, Choice.REQUIRED, ("g",)),
        ({"mode": "ANY", "allowed_function_names": "g"}, Choice.REQUIRED, ("g",)),
        ({"mode": "VALIDATED", "allowed_function_names": ["f", "g"]}, Choice.AUTO, ("f", "g")),
    ],
)
def test_a_choice_is_read(config: dict[str, Any], choice: Choice, allowed: tuple[str, ...] | None) -> None:
    """In Google's words."""
    assert choosing(**config) == (choice, allowed)


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"tools": 7}, "tools"),
        ({"tools": [7]}, "tools[0]"),
        ({"tools": [{"functionDeclarations": [7]}]}, "tools[0].functionDeclarations[0]"),
        ({"tools": [{"function_declarations": [{}]}]}, "tools[0].function_declarations[0].name"),
        ({"tools": {"functionDeclarations": {"name": "a b"}}}, "tools.functionDeclarations.name"),
        ({"tools": [F_AND_G, F_AND_G]}, "tools[1].functionDeclarations[0].name"),
        ({"toolConfig": 7}, "toolConfig"),
        ({"tool_config": {"function_calling_config": 7}}, "tool_config.function_calling_config"),
        ({"toolConfig": {"functionCallingConfig": {"mode": "SOME"}}}, "toolConfig.functionCallingConfig.mode"),
        ({"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}}, "toolConfig.functionCallingConfig.mode"),
        ({"tools": [F_AND_G], "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["h"]}}},
         "toolConfig.functionCallingConfig.allowedFunctionNames"),
        ({"tools": [{"functionDeclarations": [{"name": f"f{number}"} for number in range(MAX_TOOLS + 1)]}]}, "tools"),
    ],
)  # fmt: skip
def test_what_cannot_be_understood_is_refused(members: dict[str, Any], param: str) -> None:
    """A client must not take prose for a call."""
    assert refused(**members).param == param


def test_as_many_functions_as_may_be() -> None:
    """In whatever number of tools."""
    tools = [{"functionDeclarations": [{"name": f"f{number}"}]} for number in range(MAX_TOOLS)]
    assert len(read(tools=tools).use.tools) == MAX_TOOLS


@pytest.mark.parametrize("by_alias", [True, False])
def test_the_tools_of_google_s_sdk_are_read(*, by_alias: bool) -> None:
    """In both spellings."""
    schema = types.Schema(type=types.Type.OBJECT, properties={"a": types.Schema(type=types.Type.STRING)})
    tools = [
        types.Tool(function_declarations=[types.FunctionDeclaration(name="f", description="Does.", parameters=schema)]),
        types.Tool(google_search=types.GoogleSearch()),
    ]
    mode = types.FunctionCallingConfigMode.ANY
    calling = types.FunctionCallingConfig(mode=mode, allowed_function_names=["f"])
    config = types.ToolConfig(function_calling_config=calling)
    written = [tool.model_dump(mode="json", exclude_none=True, by_alias=by_alias) for tool in tools]
    names = ("tools", "toolConfig") if by_alias else ("tools", "tool_config")
    dumped = config.model_dump(mode="json", exclude_none=True, by_alias=by_alias)
    parameters = json.dumps({"properties": {"a": {"type": "string"}}, "type": "object"})
    use = ToolUse((ToolSpec("f", "Does.", parameters),), Choice.REQUIRED, ("f",))
    assert read(**dict(zip(names, (written, dumped), strict=True))) == Offer(use, searches=True)
