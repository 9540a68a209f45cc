"""The tools that a request offers, and how they are to be used, in Anthropic's words.

A tool with an `input_schema` is the client's own. Of those without one, which the vendor has defined, some are run by
the client and offered all the same (vendor_tools.py); a search is Kimi's own search; what else the vendor would run
itself is ignored, as unknown fields are.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from app.chat.request import Choice, ToolSpec, ToolUse
from app.dialects.anthropic.vendor_tools import vendor_tool
from app.dialects.wishes import add_tool, allowed_names, tool_spec
from app.errors import InvalidRequest

_SEARCHES = "web_search_"
_VENDORS = re.compile(r"\w+_\d{8}|mcp_toolset", re.ASCII)
"""How the vendor names its own kinds of tools; another, as `function`, is a tool of the client's in other words."""
_CHOICES = {"auto": Choice.AUTO, "any": Choice.REQUIRED, "tool": Choice.REQUIRED, "none": Choice.NONE}


@dataclass(frozen=True, slots=True)
class Offer:
    """The tools of a request; `searches` says that a search of the vendor's is among them."""

    use: ToolUse
    searches: bool


def offered(values: Mapping[str, object]) -> Offer:
    """What the fields of a request say of tools; `tools` is a list of objects already. Raises InvalidRequest."""
    listed = values.get("tools")
    tools = [tool for tool in listed if isinstance(tool, dict)] if isinstance(listed, list) else []
    specs: dict[str, ToolSpec] = {}
    searches: list[object] = []
    for index, tool in enumerate(tools):
        place = f"tools[{index}]"
        spec = _spec(tool, place)
        if spec is not None:
            add_tool(specs, spec, place)
        elif str(tool.get("type")).startswith(_SEARCHES):
            searches.append(tool.get("name"))
    choice, allowed, parallel = _chosen(values.get("tool_choice"), specs, searches)
    use = ToolUse(tools=tuple(specs.values()), choice=choice, allowed=allowed, parallel=parallel)
    return Offer(use, searches=bool(searches) and choice is not Choice.NONE)


def _spec(tool: Mapping[str, object], place: str) -> ToolSpec | None:
    """A tool that the client runs; None for another."""
    kind, eager = tool.get("type"), tool.get("eager_input_streaming") is True
    if kind is None or kind == "custom" or isinstance(tool.get("input_schema"), dict):
        return tool_spec(tool, place, tool.get("input_schema"), eager=eager)
    if not isinstance(kind, str) or not _VENDORS.fullmatch(kind):
        raise InvalidRequest(f"{place}.type must be custom or a tool of the vendor's.", param=f"{place}.type")
    known = vendor_tool(kind)
    if known is None:
        return None
    definition = {"name": tool.get("name") or known.name, "description": known.description}
    return tool_spec(definition, place, known.parameters, eager=eager)


def _chosen(
    value: object, specs: Mapping[str, ToolSpec], searches: Collection[object]
) -> tuple[Choice, tuple[str, ...] | None, bool]:
    """The choice, the names that it is confined to, and whether there may be several calls.

    A search cannot be demanded of Kimi: where it is, it is on, as Claude Code's tool for it wants.
    """
    if value is None:
        return Choice.AUTO, None, True
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(kind, str) or kind not in _CHOICES:
        raise InvalidRequest(
            "tool_choice must be an object whose type is auto, any, tool or none.", param="tool_choice"
        )
    choice, name, parallel = _CHOICES[kind], value.get("name"), value.get("disable_parallel_tool_use") is not True
    if choice is Choice.REQUIRED and searches and (name in searches if kind == "tool" else not specs):
        return Choice.AUTO, None, parallel
    if choice is Choice.REQUIRED and not specs:
        raise InvalidRequest(
            "tool_choice asks for a call, but no tools are given that could be called.", param="tool_choice"
        )
    allowed = allowed_names([name], specs, "tool_choice") if kind == "tool" else None
    return choice, allowed, parallel
