"""The tools that a request of Responses offers, and how they are to be used.

They are written flat here, and some stand in a namespace, which Kimi's models know nothing of: each is told by its own
name where no other tool has it, else with the namespace before it. In an answer it has both names again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from app.chat.request import Choice, ToolSpec, ToolUse
from app.dialects.openai.tools import chosen, is_search, tool_specs
from app.errors import InvalidRequest

_PARAM = "tool_choice"
_NAMESPACE = "namespace"
_NAMED = ("function", "custom", "tool")  # tuples, because what is looked for in them may be any JSON value
_MODES = ("auto", "required")


@dataclass(frozen=True, slots=True)
class Names:
    """By which names the model knows the tools; `known` are those in a namespace, each with both of its own names."""

    known: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def told(self, name: str, namespace: object = None) -> str:
        """The name that the model knows of a tool."""
        own = (namespace, name)
        return next((told for told, names in self.known.items() if names == own), name)

    def own(self, told: str) -> dict[str, str]:
        """What tells a client which of its tools is called: `name`, and its `namespace` if it stands in one."""
        if told not in self.known:
            return {"name": told}
        namespace, name = self.known[told]
        return {"name": name, "namespace": namespace}

    def all_of(self, name: str) -> tuple[str, ...]:
        """The names by which the model knows the tools of this name in any namespace."""
        return tuple(told for told, (_, own) in self.known.items() if own == name)

    def within(self, namespace: object) -> tuple[str, ...]:
        """The names by which the model knows the tools of a namespace."""
        return tuple(told for told, (space, _) in self.known.items() if space == namespace)


@dataclass(frozen=True, slots=True)
class Offer:
    """The tools of a request; `searches` says that Kimi's search may be used."""

    use: ToolUse
    searches: bool
    names: Names


@dataclass(frozen=True, slots=True)
class _Entry:
    """A tool, with its place and the namespace that it stands in; `about` is what its namespace tells of itself."""

    tool: Mapping[str, object]
    place: str
    namespace: str | None = None
    about: str = ""


def offered(values: Mapping[str, object]) -> Offer:
    """What the fields of a request say of tools; `tools` is a list of objects already. Raises InvalidRequest."""
    listed = values.get("tools")
    tools = [tool for tool in listed if isinstance(tool, dict)] if isinstance(listed, list) else []
    entries = list(_entries(tools))
    names = _names(entries)
    specs = tool_specs((_told(entry, names), entry.place) for entry in entries)
    able = any(map(is_search, tools))
    choice, allowed, searches = _choice(values.get(_PARAM), specs, names, able=able)
    use = ToolUse(tuple(specs.values()), choice, allowed, parallel=values.get("parallel_tool_calls") is not False)
    return Offer(use, searches, names)


def _entries(tools: Iterable[Mapping[str, object]]) -> Iterator[_Entry]:
    """The tools, those of a namespace by themselves. Raises InvalidRequest."""
    for index, tool in enumerate(tools):
        place = f"tools[{index}]"
        if tool.get("type") != _NAMESPACE:
            yield _Entry(tool, place)
            continue
        name, inner, about = tool.get("name"), tool.get("tools"), tool.get("description")
        if not isinstance(name, str) or not name:
            raise InvalidRequest(f"{place}.name must be a string.", param=f"{place}.name")
        if not isinstance(inner, list) or not all(isinstance(each, dict) for each in inner):
            raise InvalidRequest(f"{place}.tools must be a list of objects.", param=f"{place}.tools")
        for number, each in enumerate(inner):
            first = about if isinstance(about, str) and number == 0 else ""
            yield _Entry(each, f"{place}.tools[{number}]", name, first)


def _names(entries: Iterable[_Entry]) -> Names:
    """The names by which the model is told of tools in a namespace."""
    named = [(entry, name) for entry in entries if isinstance(name := entry.tool.get("name"), str)]
    count = Counter(name for _, name in named)
    return Names({
        name if count[name] == 1 else f"{entry.namespace}__{name}": (entry.namespace, name)
        for entry, name in named
        if entry.namespace is not None
    })  # fmt: skip


def _told(entry: _Entry, names: Names) -> Mapping[str, object]:
    """A tool as the model is told of it; what a namespace says of itself stands with the first of its tools."""
    name, description = entry.tool.get("name"), entry.tool.get("description")
    if entry.namespace is None or not isinstance(name, str):
        return entry.tool
    about = f"About this tool and all of {entry.namespace}: {entry.about}" if entry.about else ""
    texts = [description if isinstance(description, str) else "", about]
    return {**entry.tool, "name": names.told(name, entry.namespace), "description": "\n\n".join(filter(None, texts))}


def _choice(
    value: object, specs: Mapping[str, ToolSpec], names: Names, *, able: bool
) -> tuple[Choice, tuple[str, ...] | None, bool]:
    """The choice, the names that it is confined to, and whether Kimi may search; `able` says that a search is offered.

    A search cannot be forced on Kimi, only allowed. Raises InvalidRequest.
    """
    if isinstance(value, dict):
        kind = value.get("type")
        if kind == "allowed_tools":
            return _allowed(value, specs, names, able=able)
        if kind in _NAMED:
            return Choice.REQUIRED, _called(value, specs, names), able
        if is_search(value) and able:
            return Choice.AUTO, None, True
        raise InvalidRequest(f"{_PARAM} asks for a tool that is not among those that can be used here.", param=_PARAM)
    if value == "required" and not specs and able:
        return Choice.AUTO, None, True
    choice, allowed = chosen(value, _PARAM, specs)
    return choice, allowed, able and choice is not Choice.NONE


def _allowed(
    value: Mapping[str, object], specs: Mapping[str, ToolSpec], names: Names, *, able: bool
) -> tuple[Choice, tuple[str, ...], bool]:
    """A choice among some tools. Those of the vendor's that are not served are passed over, as they are in `tools`."""
    mode, tools = value.get("mode"), value.get("tools")
    if mode not in _MODES or not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise InvalidRequest(f"{_PARAM} must have a mode, auto or required, and a list of tools.", param=_PARAM)
    searches = able and any(map(is_search, tools))
    allowed: dict[str, None] = {}
    for tool in tools:
        if tool.get("type") == _NAMESPACE:
            allowed |= dict.fromkeys(names.within(tool.get("name")))
        elif tool.get("type") in _NAMED and not is_search(tool):
            allowed |= dict.fromkeys(_called(tool, specs, names))
    if mode == "required" and not allowed and not searches:
        raise InvalidRequest(f"{_PARAM} allows no tool that can be used here.", param=_PARAM)
    return (Choice.REQUIRED if mode == "required" and allowed else Choice.AUTO), tuple(allowed), searches


def _called(value: Mapping[str, object], specs: Mapping[str, ToolSpec], names: Names) -> tuple[str, ...]:
    """The names that a reference to a tool means: without its namespace, those of all namespaces."""
    inner = next((inner for kind in _NAMED if isinstance(inner := value.get(kind), dict)), value)
    name, namespace = inner.get("name"), inner.get("namespace")
    if isinstance(name, str):
        told = names.told(name, namespace)
        found = (told,) if namespace is not None or told in specs else names.all_of(name)
        if usable := tuple(name for name in found if name in specs):
            return usable
    raise InvalidRequest(f"{_PARAM} names a tool that is not among those given.", param=_PARAM)
