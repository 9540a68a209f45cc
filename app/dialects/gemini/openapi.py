"""Schemas as Google writes them, made JSON Schema.

Google's `Schema` is OpenAPI's: types in capitals, `nullable`, counts and the numbers of an enum as strings, and a list
of its own for the order of properties, in which models write them (ai.google.dev/api/caching#Schema). What is JSON
Schema already, as many clients send it, comes out as it was.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from app.dialects.gemini.spelling import camel
from app.toolcalls.subschemas import mapped
from app.toolcalls.vocabulary import spelled

_KEYWORDS = {"ref": "$ref", "defs": "$defs"}
_VALUES = frozenset({"default", "example", "const"})
"""Keywords whose value may well be null; any other that is null is as absent."""

_NUMBER = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?")
_NULL: dict[str, object] = {"type": "null"}


def json_schema(schema: object) -> object:
    """The JSON Schema that Google's schema means; what is no object comes back as it is."""
    if not isinstance(schema, dict):
        return schema
    own = _own(schema)
    _order(own)
    _number_enum(own)
    own = spelled(own)
    if own.pop("nullable", None) is True and "$ref" in own:
        own = {"anyOf": [{"$ref": own.pop("$ref")}, _NULL], **own}
    return {keyword: mapped(keyword, value, json_schema) for keyword, value in own.items()}


def _own(schema: Mapping[str, object]) -> dict[str, object]:
    """The keywords in the spelling of JSON Schema, without those that say nothing."""
    own = {_keyword(name): value for name, value in schema.items()}
    own = {name: value for name, value in own.items() if value is not None or name in _VALUES}
    if own.get("type") == "TYPE_UNSPECIFIED":
        del own["type"]
    reference = own.get("$ref")
    if isinstance(reference, str):
        own["$ref"] = re.sub(r"\A#/defs/", "#/$defs/", reference)
    return own


def _keyword(name: str) -> str:
    name = camel(name)
    return _KEYWORDS.get(name, name)


def _order(schema: dict[str, object]) -> None:
    """Put the properties in the order that is asked for; those that it does not name stand behind."""
    order, properties = schema.pop("propertyOrdering", None), schema.get("properties")
    if isinstance(order, list) and isinstance(properties, dict):
        named = [name for name in order if isinstance(name, str) and name in properties]
        schema["properties"] = {name: properties[name] for name in (*named, *properties)}


def _number_enum(schema: dict[str, object]) -> None:
    """Make the values of an enum numbers where its type is one: Google's enums hold strings only."""
    kind, values = schema.get("type"), schema.get("enum")
    if isinstance(kind, str) and kind.lower() in {"integer", "number"} and isinstance(values, list):
        schema["enum"] = [_number(value) for value in values]


def _number(value: object) -> object:
    match = _NUMBER.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return value
    return float(match[0]) if match[1] else int(match[0])
