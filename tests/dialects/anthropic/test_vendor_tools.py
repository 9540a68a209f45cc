"""Tools that the vendor has defined and the client runs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import beta
from pydantic import TypeAdapter

from app.dialects.anthropic.vendor_tools import vendor_tool
from app.toolcalls.schema import Parameters, check


def parameters_of(kind: str) -> dict[str, Any]:
    """The schema of a tool's input."""
    tool = vendor_tool(kind)
    assert tool is not None
    return dict(tool.parameters)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("bash_20241022", "bash"),
        ("bash_20250124", "bash"),
        ("text_editor_20241022", "str_replace_editor"),
        ("text_editor_20250124", "str_replace_editor"),
        ("text_editor_20250429", "str_replace_based_edit_tool"),
        ("text_editor_20250728", "str_replace_based_edit_tool"),
        ("memory_20250818", "memory"),
    ],
)
def test_a_tool_is_known_by_its_type(kind: str, name: str) -> None:
    """Whatever its date; its schema is one that calls can be judged by."""
    tool = vendor_tool(kind)
    assert tool is not None
    assert [tool.name, bool(tool.description)] == [name, True]
    assert check(json.dumps(tool.parameters)) is None
    Parameters(json.dumps(tool.parameters))


@pytest.mark.parametrize(
    "kind",
    [
        "computer_20251124",
        "computer_toolset_20260801",
        "browser_toolset_20260801",
        "code_execution_20250825",
        "web_search_20250305",
        "web_fetch_20250910",
        "tool_search_tool_bm25_20251119",
        "mcp_toolset",
        "advisor_20260301",
        "custom",
        "",
    ],
)
def test_what_is_not_known_well_enough_is_none(kind: str) -> None:
    """Or is run by the vendor."""
    assert vendor_tool(kind) is None


@pytest.mark.parametrize(
    ("kind", "member", "commands"),
    [
        ("text_editor_20250124", "new_str", {"view", "create", "str_replace", "insert", "undo_edit"}),
        ("text_editor_20250728", "insert_text", {"view", "create", "str_replace", "insert"}),
    ],
)
def test_the_editor_inserts_as_its_version_does(kind: str, member: str, commands: set[str]) -> None:
    """Programs that run it look for the one or the other."""
    properties = parameters_of(kind)["properties"]
    assert ("insert_text" in properties) is (member == "insert_text")
    assert "insert: the text to insert" in properties[member]["description"]
    assert set(properties["command"]["enum"]) == commands


@pytest.mark.parametrize(
    "command",
    [
        beta.BetaMemoryTool20250818ViewCommand,
        beta.BetaMemoryTool20250818CreateCommand,
        beta.BetaMemoryTool20250818StrReplaceCommand,
        beta.BetaMemoryTool20250818InsertCommand,
        beta.BetaMemoryTool20250818DeleteCommand,
        beta.BetaMemoryTool20250818RenameCommand,
    ],
)
def test_the_memory_has_the_commands_of_the_vendor_s_sdk(command: type[Any]) -> None:
    """With all their members, in the same types."""
    ours = parameters_of("memory_20250818")["properties"]
    theirs = TypeAdapter(command).json_schema()["properties"]
    assert theirs.keys() <= ours.keys()
    assert theirs["command"]["const"] in ours["command"]["enum"]
    for name in theirs.keys() - {"command", "view_range"}:
        assert theirs[name]["type"] == ours[name]["type"]
