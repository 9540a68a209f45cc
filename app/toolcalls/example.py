"""Arguments that could be meant by a schema, for a worked example in the prompt; pure."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator

from app.toolcalls.subschemas import meant, members
from app.toolcalls.vocabulary import spelled

MAX_DEPTH = 3
MAX_VALUES = 100
"""Values in an example; objects that would come later are left empty."""

MAX_SIZE = 200
"""Characters of JSON; a larger default is no example."""

MAX_STEPS = 8
"""How many references and alternatives are followed to find out what a value is."""

_TELLING = ("type", "properties", "items", "const", "enum")


def example(schema: object) -> dict[str, object]:
    """Arguments that could be meant: a value for each required property, or for the first one; never raises."""
    try:
        return _Example(schema).arguments()
    except RecursionError:
        return {}


class _Example:
    """Arguments for one schema, on the way."""

    def __init__(self, root: object) -> None:
        self._root = root
        self._left = MAX_VALUES

    def arguments(self) -> dict[str, object]:
        """A value for each required property, or for the first one if none is required."""
        plain = self._plain(self._root)
        properties, required = members(self._root, plain)
        return self._members(properties, required or list(properties)[:1], MAX_DEPTH)

    def _members(self, properties: dict[str, object], names: list[str], depth: int) -> dict[str, object]:
        return {name: self._value(properties.get(name), depth) for name in names[: max(0, self._left)]}

    def _value(self, schema: object, depth: int) -> object:
        self._left -= 1
        own = self._plain(schema)
        for given in _given(own):
            return copy.deepcopy(given)
        match _kind(own):
            case "object":
                properties, required = members(self._root, own)
                return self._members(properties, required, depth - 1) if depth > 1 else {}
            case "array":
                items = own.get("items")
                return [self._value(items, depth - 1)] if isinstance(items, dict) and depth > 1 else []
            case kind:
                return {"integer": 1, "number": 1.5, "boolean": True, "null": None}.get(kind, "...")

    def _plain(self, schema: object) -> dict[str, object]:
        """A schema without a reference at its head, and with the first alternative that it has."""
        own = spelled(schema) if isinstance(schema, dict) else {}
        for _ in range(MAX_STEPS):
            if "$ref" in own:
                beyond: object = meant(self._root, own.pop("$ref"))
            elif not own.keys().isdisjoint(_TELLING):
                break
            else:
                beyond = _alternative(own)
            if isinstance(beyond, dict):
                own = {**spelled(beyond), **own}
        return own


def _alternative(schema: dict[str, object]) -> object:
    """The first schema of those that the keywords offer which is not for null alone."""
    ways = schema.get("allOf") or schema.pop("anyOf", None) or schema.pop("oneOf", None)
    told = [way for way in ways if isinstance(way, dict)] if isinstance(ways, list) else []
    return next((way for way in told if _kind(spelled(way)) != "null"), None)


def _given(schema: dict[str, object]) -> Iterator[object]:
    """Values that the schema names itself, the most telling first."""
    if "const" in schema:
        yield schema["const"]
    values = schema.get("enum")
    if isinstance(values, list) and values:
        yield next((value for value in values if value is not None), None)
    examples = schema.get("examples")
    for value in (schema.get("default"), *(examples[:1] if isinstance(examples, list) else ())):
        if value is not None and len(json.dumps(value, default=str)) <= MAX_SIZE:
            yield value


def _kind(schema: dict[str, object]) -> str:
    """The type of the example."""
    kind = schema.get("type")
    kinds = [each for each in (kind if isinstance(kind, list) else [kind]) if isinstance(each, str)]
    if kinds:
        return next((each for each in kinds if each != "null"), "null")
    return "object" if "properties" in schema else "array" if "items" in schema else "string"
