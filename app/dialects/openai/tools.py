"""The tools that a request offers, and how they are to be used, in OpenAI's words.

What describes a tool may be of any oddity: only its name has to be one, because calls are recognised by it. A tool
that the vendor runs itself is not one of the client's: a search is Kimi's own search, any other is ignored as unknown
fields are. `functions` and `function_call` are the same things in the words of 2023.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from app.chat.request import Choice, ToolSpec, ToolUse
from app.dialects.wishes import add_tool, allowed_names, tool_spec
from app.errors import InvalidRequest

_KINDS = ("function", "custom")  # a tuple, because what is looked for in it may be any JSON value
_NAMED = (*_KINDS, "tool")
_SEARCHES = "web_search"  # web_search_preview and those with a date, too
_KIMI_SEARCH = "$web_search"  # as the official platform calls its own

_CHOICES = {"none": Choice.NONE, "auto": Choice.AUTO, "required": Choice.REQUIRED, "any": Choice.REQUIRED}
_MODES = {"auto": Choice.AUTO, "required": Choice.REQUIRED}


@dataclass(frozen=True, slots=True)
class Offer:
    """The tools of a request.

    `searches` says that a search of the vendor's is among them, `legacy` that they came as `functions`, and that the
    answer is to tell of a call as it was told of then.
    """

    use: ToolUse
    searches: bool
    legacy: bool


def offered(values: Mapping[str, object]) -> Offer:
    """What the fields of a request say of tools; `tools` and `functions` are lists of objects already.

    Raises InvalidRequest.
    """
    legacy = not values.get("tools") and bool(values.get("functions"))
    field = "functions" if legacy else "tools"
    listed = values.get(field)
    tools = [tool for tool in listed if isinstance(tool, dict)] if isinstance(listed, list) else []
    entries = [(tool, f"{field}[{index}]") for index, tool in enumerate(tools)]
    specs = _functions(entries) if legacy else tool_specs(entries)
    choice, allowed = _chosen(values, specs)
    use = ToolUse(
        tools=tuple(specs.values()),
        choice=choice,
        allowed=allowed,
        parallel=values.get("parallel_tool_calls") is not False and not legacy,
    )
    return Offer(use, searches=choice is not Choice.NONE and any(map(is_search, tools)), legacy=legacy)


def is_search(tool: Mapping[str, object]) -> bool:
    """Whether a tool is a search of the vendor's, by its type or as the official platform calls its own."""
    kind, function = tool.get("type"), tool.get("function")
    name = function.get("name") if isinstance(function, dict) else tool.get("name")
    return name == _KIMI_SEARCH or (isinstance(kind, str) and kind.startswith(_SEARCHES))


def tool_specs(entries: Iterable[tuple[Mapping[str, object], str]]) -> dict[str, ToolSpec]:
    """The tools that the client runs, by their names; with each entry goes its place. Raises InvalidRequest."""
    specs: dict[str, ToolSpec] = {}
    for tool, place in entries:
        definition = _definition(tool, place)
        if definition is None or is_search(tool):
            continue
        eager = any(known.get("eager_input_streaming") is True for known in (tool, definition[0]))
        add_tool(specs, _spec(*definition, freeform=tool.get("type") == "custom", eager=eager), definition[1])
    return specs


def _functions(entries: Iterable[tuple[Mapping[str, object], str]]) -> dict[str, ToolSpec]:
    """The same of `functions`, each of which is the description itself."""
    specs: dict[str, ToolSpec] = {}
    for function, place in entries:
        if not is_search(function):
            eager = function.get("eager_input_streaming") is True
            add_tool(specs, _spec(function, place, freeform=False, eager=eager), place)
    return specs


def _definition(tool: Mapping[str, object], place: str) -> tuple[Mapping[str, object], str] | None:
    """The object that describes a tool, with its place; None for a tool that the client does not run.

    It stands beside the type where clients write tools as for Responses.
    """
    kind = tool.get("type")
    if kind is None and tool.get("function") is not None:
        kind = "function"
    if not isinstance(kind, str):
        raise InvalidRequest(f"{place} must have a type.", param=place)
    if kind not in _KINDS:
        return None
    inner = tool.get(kind)
    if inner is None and "name" in tool:
        return tool, place
    if not isinstance(inner, dict):
        raise InvalidRequest(f"{place}.{kind} must be an object.", param=f"{place}.{kind}")
    return inner, f"{place}.{kind}"


def _spec(definition: Mapping[str, object], place: str, *, freeform: bool, eager: bool) -> ToolSpec:
    if not freeform:
        return tool_spec(definition, place, definition.get("parameters"), eager=eager)
    spec = tool_spec(definition, place, None, freeform=True, eager=eager)
    paragraphs = [spec.description, _grammar(definition.get("format"))]
    return replace(spec, description="\n\n".join(filter(None, paragraphs)))


def _grammar(form: object) -> str:
    """What the format of a custom tool adds to its description; it has no other place where a model reads it."""
    if not isinstance(form, dict) or form.get("type") != "grammar":
        return ""
    inner = form.get("grammar", form)
    definition = inner.get("definition") if isinstance(inner, dict) else None
    if not isinstance(inner, dict) or not isinstance(definition, str):
        return ""
    syntax = inner.get("syntax")
    kind = f"{syntax} grammar" if isinstance(syntax, str) else "grammar"
    return f"The input must match this {kind}:\n{definition}"


def _chosen(values: Mapping[str, object], specs: Mapping[str, ToolSpec]) -> tuple[Choice, tuple[str, ...] | None]:
    """The choice, and the names that it is confined to."""
    value = values.get("tool_choice")
    if value is not None:
        return chosen(value, "tool_choice", specs)
    old = values.get("function_call")
    return chosen({"type": "tool", "name": old.get("name")} if isinstance(old, dict) else old, "function_call", specs)


def chosen(value: object, param: str, specs: Mapping[str, ToolSpec]) -> tuple[Choice, tuple[str, ...] | None]:
    """What a choice among these tools means, and the names that it is confined to. Raises InvalidRequest."""
    choice, allowed = _read(value, param)
    if choice is Choice.REQUIRED and not specs:
        raise InvalidRequest(f"{param} asks for a call, but no tools are given that could be called.", param=param)
    if allowed is None:
        return choice, None
    return choice, allowed_names(allowed, specs, param)


def _read(value: object, param: str) -> tuple[Choice, list[object] | None]:
    if value is None:
        return Choice.AUTO, None
    if isinstance(value, str) and value in _CHOICES:
        return _CHOICES[value], None
    if isinstance(value, dict) and value.get("type") in _NAMED:
        return Choice.REQUIRED, [_named(value)]
    if isinstance(value, dict) and value.get("type") == "allowed_tools":
        return _read_allowed(value.get("allowed_tools", value), param)
    raise InvalidRequest(f"{param} must be none, auto, required or one of the tools.", param=param)


def _read_allowed(value: object, param: str) -> tuple[Choice, list[object]]:
    mode = value.get("mode") if isinstance(value, dict) else None
    tools = value.get("tools") if isinstance(value, dict) else None
    if not isinstance(mode, str) or mode not in _MODES or not isinstance(tools, list) or not tools:
        raise InvalidRequest(f"{param}.allowed_tools must have a mode, auto or required, and tools.", param=param)
    return _MODES[mode], [_named(tool) for tool in tools]


def _named(value: object) -> object:
    """The name in an object that points to a tool; it stands in an object of its kind, or beside the kind."""
    if not isinstance(value, dict):
        return None
    inner = next((value[kind] for kind in _KINDS if isinstance(value.get(kind), dict)), value)
    return inner.get("name")
