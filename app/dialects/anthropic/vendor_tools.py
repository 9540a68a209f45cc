"""Tools that the vendor has defined and the client runs: it sends only their type, because Claude knows them by heart.

Kimi does not, so it is given what the vendor's documentation says of their input. The computer and the browser are not
among them: they work by pictures of the screen, in coordinates that the vendor scales.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_STRING = {"type": "string"}
_INTEGER = {"type": "integer"}
_RANGE = {
    "type": "array",
    "items": _INTEGER,
    "minItems": 2,
    "maxItems": 2,
    "description": "view: the first and the last line to show, counted from 1; -1 for the end of the file",
}


@dataclass(frozen=True, slots=True)
class VendorTool:
    """What a model has to know of such a tool; `parameters` is the JSON Schema of its input."""

    name: str
    description: str
    parameters: Mapping[str, object]


def _described(text: str, kind: Mapping[str, object] = _STRING) -> dict[str, object]:
    return {**kind, "description": text}


def _commands(*names: str, **members: Mapping[str, object]) -> dict[str, object]:
    """The input of a tool of several commands, each of which has members of its own."""
    properties = {"command": {"type": "string", "enum": [*names]}, **members}
    return {"type": "object", "properties": properties, "required": ["command"]}


_BASH = VendorTool(
    "bash",
    "Run a command in a bash session that is kept from call to call.",
    {
        "type": "object",
        "properties": {
            "command": _described("the command to run; needed unless the session is restarted"),
            "restart": _described("true begins a new session", {"type": "boolean"}),
        },
    },
)


def _editor(name: str, *commands: str, insert: str) -> VendorTool:
    """The text editor; `insert` is the member that has the text to insert."""
    replaced = {"new_str": _described("str_replace: what stands in its place")}
    if insert == "new_str":
        replaced = {"new_str": _described("str_replace: what stands in its place; insert: the text to insert")}
    else:
        replaced[insert] = _described("insert: the text to insert")
    parameters = _commands(
        "view",
        "create",
        "str_replace",
        "insert",
        *commands,
        path=_described("the file, or with view a directory"),
        view_range=_RANGE,
        file_text=_described("create: the content of the new file"),
        old_str=_described("str_replace: the text to replace, exactly as it stands in the file, where it stands once"),
        insert_line=_described("insert: the line behind which the text goes; 0 for the beginning", _INTEGER),
        **replaced,
    )
    return VendorTool(name, "View, create and edit text files.", {**parameters, "required": ["command", "path"]})


_MEMORY = VendorTool(
    "memory",
    "Keep notes in files below /memories, which outlast the conversation. Look into them before you begin a task.",
    _commands(
        "view",
        "create",
        "str_replace",
        "insert",
        "delete",
        "rename",
        path=_described("the file or directory; of all commands but rename"),
        view_range=_RANGE,
        file_text=_described("create: the content of the file"),
        old_str=_described("str_replace: the text to replace"),
        new_str=_described("str_replace: what stands in its place"),
        insert_line=_described("insert: the line behind which the text goes", _INTEGER),
        insert_text=_described("insert: the text to insert"),
        old_path=_described("rename: the path as it is"),
        new_path=_described("rename: the path as it is to be"),
    ),
)
_OLD_EDITOR = _editor("str_replace_editor", "undo_edit", insert="new_str")
_EDITOR = _editor("str_replace_based_edit_tool", insert="insert_text")

_TOOLS = (
    ("bash_", _BASH),
    ("text_editor_2024", _OLD_EDITOR),
    ("text_editor_20250124", _OLD_EDITOR),
    ("text_editor_", _EDITOR),
    ("memory_", _MEMORY),
)
"""By the beginning of their type, behind which stands a date. The editor's input has changed with its name: since then
the vendor's models write `insert_text` (github.com/anthropics/anthropic-sdk-python, issue 1155)."""


def vendor_tool(kind: str) -> VendorTool | None:
    """The tool of a type; None for one that the client does not run, or that is not known well enough."""
    return next((tool for beginning, tool in _TOOLS if kind.startswith(beginning)), None)
