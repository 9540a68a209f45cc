"""The tools that a request offers, and how they are to be used, in Google's words.

A tool that Google runs itself is not one of the client's: a search is Kimi's own search, any other is ignored as
unknown fields are.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.chat.request import Choice, ToolSpec, ToolUse
from app.dialects.gemini.openapi import json_schema
from app.dialects.gemini.spelling import Members, listed
from app.dialects.wishes import MAX_TOOLS, add_tool, allowed_names, tool_spec
from app.errors import InvalidRequest

_SEARCHES = ("googleSearch", "googleSearchRetrieval", "enterpriseWebSearch")

_MODES = {"AUTO": Choice.AUTO, "VALIDATED": Choice.AUTO, "ANY": Choice.REQUIRED, "NONE": Choice.NONE}


@dataclass(frozen=True, slots=True)
class Offer:
    """The tools of a request; `searches` says that a search of Google's is among them."""

    use: ToolUse
    searches: bool


def offered(body: Members) -> Offer:
    """What `tools` and `toolConfig` say. Raises InvalidRequest."""
    tools = body.objects("tools")
    specs: dict[str, ToolSpec] = {}
    for tool in tools:
        for declaration in tool.objects("functionDeclarations"):
            add_tool(specs, _spec(declaration), declaration.place)
    if len(specs) > MAX_TOOLS:
        at = body.at("tools")
        raise InvalidRequest(f"{at} must hold at most {MAX_TOOLS} functions.", param=at)
    choice, allowed = _chosen(body, specs)
    return Offer(
        ToolUse(tools=tuple(specs.values()), choice=choice, allowed=allowed),
        searches=any(name in tool for tool in tools for name in _SEARCHES),
    )


def _spec(declaration: Members) -> ToolSpec:
    parameters = declaration.get("parametersJsonSchema")
    if parameters is None:
        parameters = json_schema(declaration.get("parameters"))
    definition = {name: declaration.get(name) for name in ("name", "description")}
    return tool_spec(definition, declaration.place, parameters)


def _chosen(body: Members, specs: dict[str, ToolSpec]) -> tuple[Choice, tuple[str, ...] | None]:
    """The choice, and the names that it is confined to."""
    config = body.object("toolConfig")
    calling = None if config is None else config.object("functionCallingConfig")
    if calling is None:
        return Choice.AUTO, None
    mode = calling.word("mode") or "AUTO"
    if mode not in _MODES:
        at = calling.at("mode")
        raise InvalidRequest(f"{at} must be one of {', '.join(_MODES)}.", param=at)
    choice = _MODES[mode]
    if choice is Choice.REQUIRED and not specs:
        at = calling.at("mode")
        raise InvalidRequest(f"{at} asks for a call, but no functions are given that could be called.", param=at)
    names = calling.get("allowedFunctionNames")
    if names is None or names == [] or choice is Choice.NONE:
        return choice, None
    return choice, allowed_names(listed(names), specs, calling.at("allowedFunctionNames"))
