"""Brings a value to the type that its schema asks for, where there is only one way to understand it; pure.

Models write `"5"` for 5 and 5 for `"5"`. Whatever has a type that is allowed stays as it is.
"""

from __future__ import annotations

import json
import math
import re

from app.toolcalls.subschemas import meant
from app.toolcalls.vocabulary import TYPES, spelled

MAX_TEXT = 1 << 20
"""Characters of a string that may hold an array or an object."""

MAX_EXACT = 1 << 53
"""Up to here every whole number is one of floating point."""

_INTEGER = re.compile(r"-?[0-9]{1,18}")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,30})(?:\.[0-9]{1,30})?(?:[eE][+-]?[0-9]{1,3})?")

Types = frozenset[str]


def types_of(root: object, schema: object) -> Types | None:
    """The types that a schema allows; None if it does not tell simply. `root` is what its references lead into."""
    try:
        return _types(root, schema, {})
    except RecursionError:
        return None


def _types(root: object, schema: object, known: dict[int, Types | None]) -> Types | None:
    if not isinstance(schema, dict):
        return None
    if id(schema) not in known:
        known[id(schema)] = None  # for a schema that leads back to itself
        stated = [types for types in _statements(root, spelled(schema), known) if types is not None]
        known[id(schema)] = frozenset.intersection(*stated) if stated else None
    return known[id(schema)]


def _statements(root: object, schema: dict[str, object], known: dict[int, Types | None]) -> list[Types | None]:
    """What each keyword allows."""
    found = [_named(schema.get("type"))]
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if isinstance(values, list) and values:
        found.append(frozenset().union(*(_own_types(value) for value in values)))
    for keyword in ("anyOf", "oneOf"):
        ways = schema.get(keyword)
        if isinstance(ways, list) and ways:
            found.append(_either([_types(root, way, known) for way in ways]))
    every = schema.get("allOf")
    if isinstance(every, list):
        found += [_types(root, each, known) for each in every]
    if "$ref" in schema:
        found.append(_types(root, meant(root, schema["$ref"]), known))
    return found


def _named(value: object) -> Types | None:
    """The types that `type` names; a number may be an integer."""
    names = value if isinstance(value, list) else [value]
    known = frozenset(name for name in names if isinstance(name, str) and name in TYPES)
    if not known or len(known) < len(names):
        return None
    return known | {"integer"} if "number" in known else known


def _either(ways: list[Types | None]) -> Types | None:
    told = [way for way in ways if way is not None]
    return frozenset().union(*told) if len(told) == len(ways) else None


_NAMES: dict[type, Types] = {
    type(None): frozenset({"null"}),
    bool: frozenset({"boolean"}),
    int: frozenset({"integer", "number"}),
    float: frozenset({"number"}),
    str: frozenset({"string"}),
    list: frozenset({"array"}),
    dict: frozenset({"object"}),
}


def _own_types(value: object) -> Types:
    """The types that a value is of: a whole number is of two."""
    return _NAMES.get(type(value), frozenset())


def coerced(value: object, types: Types | None) -> tuple[object, bool]:
    """The value as one of these types, and whether it was changed for that."""
    if types is None or _own_types(value) & types:
        return value, False
    match value:
        case str():
            return _from_text(value, types)
        case float() if "integer" in types and value.is_integer() and abs(value) <= MAX_EXACT:
            return int(value), True
        case int() | float() if types - {"null"} == {"string"} and math.isfinite(value):
            return json.dumps(value), True
        case _:
            return value, False


def _from_text(text: str, types: Types) -> tuple[object, bool]:
    """What a string says, where it says something of these types."""
    if "integer" in types and _INTEGER.fullmatch(text):
        return int(text), True
    if "number" in types and _NUMBER.fullmatch(text):
        number = json.loads(text)
        return (number, True) if math.isfinite(number) else (text, False)
    if "boolean" in types and text.lower() in {"true", "false"}:
        return text.lower() == "true", True
    if types & {"array", "object"} and len(text) <= MAX_TEXT:
        told = parsed(text)
        if isinstance(told, list | dict) and _own_types(told) & types:
            return told, True
    return text, False


def parsed(text: str) -> object:
    """The value of a JSON text; None also for a text that is none."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None


def _refuse(name: str) -> object:
    raise ValueError(name)
