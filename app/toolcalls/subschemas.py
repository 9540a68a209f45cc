"""Where a JSON Schema holds schemas, and what its references mean; pure.

A property may be called `title` or `$ref`, and an enum may hold what looks like a schema: only its place tells what a
member is. So whoever goes through a schema goes by these tables.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from urllib.parse import unquote

DEFINITIONS = frozenset({"$defs", "definitions"})

NAMED = DEFINITIONS | {"properties", "patternProperties", "dependentSchemas", "dependencies"}
"""Keywords that map names to schemas; `dependencies` also to lists of names."""

LISTED = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
"""Keywords that hold a list of schemas."""

SINGLE = frozenset(
    {
        *("items", "additionalItems", "contains", "unevaluatedItems"),
        *("additionalProperties", "propertyNames", "unevaluatedProperties"),
        *("not", "if", "then", "else", "contentSchema"),
    }
)
"""Keywords that hold one schema; `items` of the older drafts also a list of them."""


def unchanged(value: object) -> object:
    """The value itself."""
    return value


def mapped(
    keyword: str,
    value: object,
    schema: Callable[[object], object],
    other: Callable[[object], object] = unchanged,
) -> object:
    """A keyword's value in which each schema is replaced by what `schema` gives for it, all else by `other`."""
    if keyword in NAMED and isinstance(value, dict):
        return {name: (other if _names(keyword, each) else schema)(each) for name, each in value.items()}
    if isinstance(value, list) and (keyword in LISTED or keyword == "items"):
        return [schema(each) for each in value]
    return schema(value) if keyword in SINGLE else other(value)


def inner(keyword: str, value: object) -> Iterator[object]:
    """The schemas that a keyword's value holds."""
    if keyword in NAMED and isinstance(value, dict):
        yield from (each for each in value.values() if not _names(keyword, each))
    elif isinstance(value, list) and (keyword in LISTED or keyword == "items"):
        yield from value
    elif keyword in SINGLE:
        yield value


def _names(keyword: str, value: object) -> bool:
    """Whether this is a list of names among schemas."""
    return keyword == "dependencies" and isinstance(value, list)


def meant(root: object, reference: object) -> dict[str, object] | bool | None:
    """The schema that a reference into the same document means; None for any other reference."""
    if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
        return None
    found = root
    for token in reference.split("/")[1:]:
        found = _member(found, unescaped(token))
    return found if isinstance(found, dict | bool) else None


def unescaped(token: str) -> str:
    """The name that stands in a reference, where some characters are written otherwise."""
    return unquote(token).replace("~1", "/").replace("~0", "~")


def _member(value: object, name: str) -> object:
    """The member of an object or a list; None if there is none."""
    if isinstance(value, dict):
        return value.get(name)
    if isinstance(value, list) and re.fullmatch("[0-9]{1,9}", name) and int(name) < len(value):
        return value[int(name)]
    return None


def members(root: object, schema: object) -> tuple[dict[str, object], list[str]]:
    """The properties of an object and the names of the required ones, also through `$ref` and `allOf`."""
    properties: dict[str, object] = {}
    required: dict[str, None] = {}
    pending = [schema]
    seen: set[int] = set()
    for node in pending:
        if not isinstance(node, dict) or id(node) in seen:
            continue
        seen.add(id(node))
        named, names, every = node.get("properties"), node.get("required"), node.get("allOf")
        if isinstance(named, dict):
            for name, each in named.items():
                properties.setdefault(name, each)
        if isinstance(names, list):
            required.update(dict.fromkeys(name for name in names if isinstance(name, str)))
        if isinstance(every, list):
            pending += every
        if "$ref" in node:
            pending.append(meant(root, node["$ref"]))
    return properties, list(required)
