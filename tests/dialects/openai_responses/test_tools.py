"""The tools that a request of Responses offers, and how they are to be used."""

from __future__ import annotations

import pytest

from app.chat.request import Choice, ToolSpec, ToolUse
from app.dialects.openai_responses.tools import Names, Offer, offered
from app.errors import InvalidRequest

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
TEXT = '{"type": "object", "properties": {"a": {"type": "string"}}}'
F = {"type": "function", "name": "f"}
G = {"type": "function", "name": "g"}
SEARCH = {"type": "web_search"}


def space(name: str, *tools: object, **members: object) -> dict[str, object]:
    """A namespace with these tools."""
    return {"type": "namespace", "name": name, "description": "", "tools": list(tools), **members}


def offer(*tools: object, **members: object) -> Offer:
    """What these tools are."""
    return offered({"tools": list(tools), **members})


def refused(*tools: object, **members: object) -> InvalidRequest:
    """The error for these."""
    with pytest.raises(InvalidRequest) as caught:
        offer(*tools, **members)
    return caught.value


# --- What is offered ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("values", [{}, {"tools": None}, {"tools": []}, {"tools": None, "tool_choice": None}])
def test_a_request_without_tools_offers_none(values: dict[str, object]) -> None:
    """All is as by default."""
    assert offered(values) == Offer(ToolUse(), searches=False, names=Names())


def test_a_function_is_written_flat() -> None:
    """Clients that know the other form are understood, too."""
    flat = {"type": "function", "name": "f", "description": "Does.", "parameters": SCHEMA, "strict": True}
    nested = {"type": "function", "function": {"name": "f", "description": "Does.", "parameters": SCHEMA}}
    assert offer(flat).use.tools == offer(nested).use.tools == (ToolSpec("f", "Does.", TEXT),)


def test_a_custom_tool_takes_text() -> None:
    """Its grammar is described."""
    form = {"type": "grammar", "syntax": "lark", "definition": "start: /x/"}
    (tool,) = offer({"type": "custom", "name": "f", "description": "Does.", "format": form}).use.tools
    assert tool == ToolSpec("f", "Does.\n\nThe input must match this lark grammar:\nstart: /x/", freeform=True)


@pytest.mark.parametrize("kind", ["web_search", "web_search_preview", "web_search_2025_08_26"])
def test_a_search_is_kimi_s(kind: str) -> None:
    """Under any of its names; it is no tool of the client's."""
    assert offer(F, {"type": kind, "external_web_access": True}) == Offer(
        ToolUse((ToolSpec("f"),)), searches=True, names=Names()
    )


@pytest.mark.parametrize(
    "kind",
    [
        "mcp",
        "file_search",
        "code_interpreter",
        "computer",
        "computer_use_preview",
        "image_generation",
        "tool_search",
        "local_shell",
        "shell",
        "apply_patch",
        "programmatic_tool_calling",
        "hologram",
    ],
)
def test_another_tool_of_the_vendor_s_is_ignored(kind: str) -> None:
    """Codex offers some without asking; none of them can be called here."""
    assert offer({"type": kind, "name": "x"}, F).use.tools == (ToolSpec("f"),)


@pytest.mark.parametrize(
    ("tools", "param"),
    [
        ([{"name": "f"}], "tools[0]"),
        ([F, {"type": "function"}], "tools[1].function"),
        ([{"type": "function", "name": "two words"}], "tools[0].name"),
        ([F, F], "tools[1].name"),
        ([{"type": "namespace", "tools": []}], "tools[0].name"),
        ([space("", F)], "tools[0].name"),
        ([{"type": "namespace", "name": "a"}], "tools[0].tools"),
        ([space("a", "f")], "tools[0].tools"),
        ([F, space("a", {"type": "function", "name": ""})], "tools[1].tools[0].name"),
        ([space("a", F, F)], "tools[0].tools[1].name"),
    ],
)
def test_what_is_no_tool_is_named(tools: list[object], param: str) -> None:
    """By its place."""
    assert refused(*tools).param == param


@pytest.mark.parametrize(("value", "parallel"), [(None, True), (True, True), (False, False)])
def test_several_calls_at_once_can_be_forbidden(*, value: bool | None, parallel: bool) -> None:
    """Only by false."""
    assert offer(F, parallel_tool_calls=value).use.parallel is parallel


# --- Namespaces --------------------------------------------------------------------------------------------


def test_a_tool_in_a_namespace_is_told_by_its_own_name() -> None:
    """It is called by it, and the client hears of both names."""
    asked = offer(F, space("crm", G, {"type": "custom", "name": "h"}))
    assert asked.use.tools == (ToolSpec("f"), ToolSpec("g"), ToolSpec("h", freeform=True))
    assert [asked.names.own(name) for name in ("f", "g", "h")] == [
        {"name": "f"},
        {"name": "g", "namespace": "crm"},
        {"name": "h", "namespace": "crm"},
    ]


def test_a_name_that_two_tools_have_is_told_with_its_namespace() -> None:
    """The model must be able to tell them apart."""
    asked = offer(F, space("a", F, G), space("b", F))
    assert [tool.name for tool in asked.use.tools] == ["f", "a__f", "g", "b__f"]
    assert asked.names.own("f") == {"name": "f"}
    assert asked.names.own("a__f") == {"name": "f", "namespace": "a"}
    assert asked.names.own("b__f") == {"name": "f", "namespace": "b"}


def test_a_name_of_the_history_is_the_one_that_the_model_knows() -> None:
    """Also where the client leaves the namespace out, or the tool is offered no more."""
    names = offer(F, space("a", F, G)).names
    assert [names.told("f"), names.told("f", "a"), names.told("g", "a"), names.told("g")] == ["f", "a__f", "g", "g"]
    assert [names.told("x", "a"), names.told("f", "gone"), names.told("f", 7)] == ["x", "f", "f"]


def test_a_namespace_is_described_once() -> None:
    """With the first of its tools."""
    described = {**F, "description": "Does."}
    tools = offer(space("crm", described, G, description="Customers.")).use.tools
    assert [tool.description for tool in tools] == ["Does.\n\nAbout this tool and all of crm: Customers.", ""]
    (tool,) = offer(space("crm", F, description=None)).use.tools
    assert tool.description == ""


# --- The choice --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "meaning"),
    [
        (None, (Choice.AUTO, None, True)),
        ("auto", (Choice.AUTO, None, True)),
        ("none", (Choice.NONE, None, False)),
        ("required", (Choice.REQUIRED, None, True)),
        ({"type": "function", "name": "f"}, (Choice.REQUIRED, ("f",), True)),
        ({"type": "custom", "name": "g"}, (Choice.REQUIRED, ("g",), True)),
        ({"type": "function", "function": {"name": "f"}}, (Choice.REQUIRED, ("f",), True)),
        ({"type": "function", "name": "h"}, (Choice.REQUIRED, ("h",), True)),
        ({"type": "function", "name": "h", "namespace": "crm"}, (Choice.REQUIRED, ("h",), True)),
        ({"type": "web_search"}, (Choice.AUTO, None, True)),
        ({"type": "web_search_preview"}, (Choice.AUTO, None, True)),
        ({"type": "allowed_tools", "mode": "auto", "tools": [F]}, (Choice.AUTO, ("f",), False)),
        ({"type": "allowed_tools", "mode": "required", "tools": [F, SEARCH, F]}, (Choice.REQUIRED, ("f",), True)),
        ({"type": "allowed_tools", "mode": "auto", "tools": [SEARCH]}, (Choice.AUTO, (), True)),
        ({"type": "allowed_tools", "mode": "required", "tools": [SEARCH]}, (Choice.AUTO, (), True)),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "mcp"}]}, (Choice.AUTO, (), False)),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "mcp"}, G]}, (Choice.AUTO, ("g",), False)),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "namespace", "name": "crm"}]},
            (Choice.REQUIRED, ("h", "i"), False),
        ),
    ],
)
def test_a_choice_is_understood(choice: object, meaning: object) -> None:
    """In all the forms that the vendor has; Kimi cannot be made to search, only allowed to."""
    inner = [{"type": "function", "name": name} for name in "hi"]
    asked = offer(F, {"type": "custom", "name": "g"}, space("crm", *inner), SEARCH, tool_choice=choice)
    assert (asked.use.choice, asked.use.allowed, asked.searches) == meaning


def test_a_choice_without_a_namespace_means_all_of_that_name() -> None:
    """Where one stands in no namespace, it is that one."""
    choice = {"type": "function", "name": "f"}
    assert offer(space("a", F), space("b", F), tool_choice=choice).use.allowed == ("a__f", "b__f")
    assert offer(F, space("a", F), tool_choice=choice).use.allowed == ("f",)
    assert offer(F, space("a", F), tool_choice={**choice, "namespace": "a"}).use.allowed == ("a__f",)


@pytest.mark.parametrize("tools", [[], [{"type": "mcp"}]])
def test_a_search_that_is_required_is_allowed(tools: list[object]) -> None:
    """Nothing else could be called."""
    asked = offer(SEARCH, *tools, tool_choice="required")
    assert (asked.use.choice, asked.searches) == (Choice.AUTO, True)


@pytest.mark.parametrize(
    ("tools", "choice"),
    [
        ([], "required"),
        ([{"type": "mcp"}], "required"),
        ([F], "maybe"),
        ([F], 7),
        ([F], []),
        ([F], {}),
        ([F], {"type": []}),
        ([F], {"type": "web_search"}),
        ([F, {"type": "file_search"}], {"type": "file_search"}),
        ([F, {"type": "mcp", "server_label": "x"}], {"type": "mcp", "server_label": "x"}),
        ([F, {"type": "shell"}], {"type": "shell"}),
        ([F, {"type": "image_generation"}], {"type": "image_generation"}),
        ([F], {"type": "function"}),
        ([F], {"type": "function", "name": "g"}),
        ([F], {"type": "function", "name": "f", "namespace": "a"} | {"name": "g"}),
        ([F], {"type": "function", "name": 7}),
        ([F], {"type": "allowed_tools"}),
        ([F], {"type": "allowed_tools", "mode": "never", "tools": [F]}),
        ([F], {"type": "allowed_tools", "mode": "auto", "tools": "f"}),
        ([F], {"type": "allowed_tools", "mode": "auto", "tools": ["f"]}),
        ([F], {"type": "allowed_tools", "mode": "auto", "tools": [G]}),
        ([F], {"type": "allowed_tools", "mode": "required", "tools": []}),
        ([F, {"type": "mcp"}], {"type": "allowed_tools", "mode": "required", "tools": [{"type": "mcp"}]}),
        ([F], {"type": "allowed_tools", "mode": "required", "tools": [SEARCH]}),
    ],
)
def test_a_choice_that_cannot_be_met_is_refused(tools: list[object], choice: object) -> None:
    """A client must not take words for what it demands."""
    error = refused(*tools, tool_choice=choice)
    assert error.param == "tool_choice"
    assert error.message.startswith("tool_choice ")
