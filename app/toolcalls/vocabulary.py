"""The keywords of JSON Schema and what each may hold: the meta-schema of Draft 2020-12 as a table.

Clients write older drafts and Gemini's dialect too; `spelled` puts a schema into the words of the one draft that is
read here. A table, because the meta-schema itself takes minutes for some garbage; the tests show that both say the
same. All here takes time in proportion to the schema.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeGuard

from app.toolcalls.subschemas import DEFINITIONS, inner, mapped, meant

TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})

MAX_DEPTH = 64
"""How deeply a schema may be nested to be judged by."""

NEVER: dict[str, object] = {"false": True}
"""Instead of the schema `false`, for which the library does not tell the place."""

_NULL: dict[str, object] = {"type": "null"}
_COUNTS = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
_ANCHOR = re.compile(r"[A-Za-z_][-A-Za-z0-9._]*\n?")


def _text(value: object) -> TypeGuard[str]:
    return isinstance(value, str)


def _flag(value: object) -> bool:
    return isinstance(value, bool)


def _listed(value: object) -> bool:
    return isinstance(value, list)


def _anything(value: object) -> bool:
    del value
    return True


def _schema(value: object) -> bool:
    return isinstance(value, dict | bool)


def _schemas(value: object) -> bool:
    return isinstance(value, list) and bool(value)


def _mapping(value: object) -> bool:
    return isinstance(value, dict)


def _number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _positive(value: object) -> bool:
    return _number(value) and value > 0


def _count(value: object) -> bool:
    return _number(value) and value >= 0 and (isinstance(value, int) or value.is_integer())


def _names(value: object) -> bool:
    return isinstance(value, list) and all(map(_text, value)) and len(set(value)) == len(value)


def _needed(value: object) -> bool:
    return isinstance(value, dict) and all(map(_names, value.values()))


def _dependencies(value: object) -> bool:
    return isinstance(value, dict) and all(not _listed(each) or _names(each) for each in value.values())


def _type(value: object) -> bool:
    if _text(value):
        return value in TYPES
    return _names(value) and bool(value) and isinstance(value, list) and set(value) <= TYPES


def _identifier(value: object) -> bool:
    return _text(value) and "#" not in value.removesuffix("\n").removesuffix("#")


def _anchor(value: object) -> bool:
    return _text(value) and _ANCHOR.fullmatch(value) is not None


def _vocabulary(value: object) -> bool:
    return isinstance(value, dict) and all(map(_flag, value.values()))


Check = Callable[[object], bool]

ASSERTIONS: dict[str, Check] = {
    "type": _type,
    "required": _names,
    **dict.fromkeys(("minContains", "maxContains", *_COUNTS), _count),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _number),
    "multipleOf": _positive,
    "enum": _listed,
    "const": _anything,
    "pattern": _text,
    "uniqueItems": _flag,
    "dependentRequired": _needed,
}
"""Keywords that ask something of a value by themselves."""

APPLICATORS: dict[str, Check] = {
    **dict.fromkeys(("additionalProperties", "propertyNames", "items", "contains"), _schema),
    **dict.fromkeys(("properties", "patternProperties", "dependentSchemas"), _mapping),
    **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), _schemas),
    **dict.fromkeys(("not", "if", "then", "else", "unevaluatedProperties", "unevaluatedItems"), _schema),
}
"""Keywords that ask it by other schemas."""

_OTHERS: dict[str, Check] = {
    **dict.fromkeys(("$ref", "$dynamicRef", "$recursiveRef", "$schema", "$comment"), _text),
    **dict.fromkeys(("title", "description", "format", "contentEncoding", "contentMediaType"), _text),
    **dict.fromkeys(("deprecated", "readOnly", "writeOnly"), _flag),
    **dict.fromkeys(("$anchor", "$dynamicAnchor", "$recursiveAnchor"), _anchor),
    **dict.fromkeys(DEFINITIONS, _mapping),
    "$id": _identifier,
    "$vocabulary": _vocabulary,
    "dependencies": _dependencies,
    "contentSchema": _schema,
    "examples": _listed,
}

TAKES: dict[str, Check] = {**ASSERTIONS, **APPLICATORS, **_OTHERS}
"""Every keyword, and whether it may hold a value; what schemas it holds is not looked at."""


def spelled(schema: dict[str, object]) -> dict[str, object]:
    """The same schema in the words of Draft 2020-12, if it is in others; the schemas within stay as they are.

    Gemini writes types in capitals, counts as strings, and `nullable`; older drafts have a list in `items`, and
    `true` in `exclusiveMinimum`.
    """
    own = dict(schema)
    if "type" in own:
        own["type"] = _lowered(own["type"])
    for keyword in _COUNTS:
        count = own.get(keyword)
        if isinstance(count, str) and re.fullmatch("[0-9]{1,18}", count):
            own[keyword] = int(count)
    for exclusive, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(own.get(exclusive), bool):
            own.update({exclusive: own.pop(limit)} if own.pop(exclusive) and limit in own else {})
    if isinstance(own.get("items"), list):
        places, rest = own.pop("items"), own.pop("additionalItems", True)
        own.update({"prefixItems": places, "items": rest} if places else {"items": rest})
    if own.get("nullable") is True:
        _allow_null(own)
    return own


def _lowered(value: object) -> object:
    """A type in small letters."""
    if isinstance(value, list):
        return [_lowered(each) for each in value] if all(map(_text, value)) else value
    return value.lower() if isinstance(value, str) and value.lower() in TYPES else value


def _allow_null(schema: dict[str, object]) -> None:
    """Say `nullable` in other words."""
    if "type" in schema and not _takes_null(schema):
        kind = schema["type"]
        schema["type"] = [*(kind if isinstance(kind, list) else [kind]), "null"]
    values = schema.get("enum")
    if isinstance(values, list) and None not in values:
        schema["enum"] = [*values, None]
    for keyword in ("anyOf", "oneOf"):
        ways = schema.get(keyword)
        if isinstance(ways, list) and not any(map(_takes_null, ways)):
            schema[keyword] = [*ways, _NULL]


def _takes_null(schema: object) -> bool:
    kind = schema.get("type") if isinstance(schema, dict) else None
    return _lowered(kind) == "null" or (isinstance(kind, list) and "null" in map(_lowered, kind))


def fault(root: object) -> str | None:
    """What is wrong with a schema, as what follows "the schema" and quotes nothing of it; None for a sound one.

    All that is referred to is looked at as well, wherever it stands.
    """
    pending: list[tuple[object, int]] = [(root, 0)]
    seen: set[int] = set()
    while pending:
        schema, depth = pending.pop()
        if isinstance(schema, bool) or id(schema) in seen:
            continue
        if not isinstance(schema, dict):
            return "must be an object or a boolean, and so must each schema in it."
        if depth > MAX_DEPTH:
            return f"is nested more than {MAX_DEPTH} levels deep."
        seen.add(id(schema))
        own = spelled(schema)
        for keyword, value in own.items():
            if not TAKES.get(keyword, _anything)(value):
                return f"has a value at the keyword {keyword} that JSON Schema does not allow."
            if keyword in TAKES:
                pending += [(each, depth + 1) for each in inner(keyword, value)]
        referred = [meant(root, own[keyword]) for keyword in _REFERENCES if keyword in own]
        pending += [(found, 0) for found in referred]
        if None in referred:
            return "has a reference that leads out of it, or to nothing in it."
    return None


_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


class Linked:
    """A schema of any kind as one that can be judged by: what is not sound in it is left out.

    `targets` are all schemas that are referred to, by their numbers; the first is the whole. References are `#/$defs/`
    and a number. `patterned` says that there are patterns for names. Raises RecursionError for a schema that is nested
    too deeply.
    """

    def __init__(self, root: object) -> None:
        self.targets: dict[str, object] = {}
        self.patterned = False
        self._root = root
        self._told: dict[int, object] = {}
        self._numbers: dict[int, int] = {}
        self._pending: list[object] = []
        self._number(root)
        for number, schema in enumerate(self._pending):
            self.targets[str(number)] = self._schema(schema, 0)

    def _number(self, schema: object) -> int:
        number = self._numbers.setdefault(id(schema), len(self._pending))
        if number == len(self._pending):
            self._pending.append(schema)
        return number

    def _schema(self, schema: object, depth: int) -> object:
        if depth > MAX_DEPTH:
            raise RecursionError
        if not isinstance(schema, dict):
            return NEVER if schema is False else True
        if id(schema) not in self._told:
            # The order is that in which a value is judged: cheap and shallow keywords first.
            own = spelled(schema)
            told = self._reference(own)
            for keyword in (*ASSERTIONS, *APPLICATORS):
                value = _mended(keyword, own.get(keyword))
                if keyword in own and TAKES[keyword](value):
                    told[keyword] = value is not False and mapped(
                        keyword, value, lambda each: self._schema(each, depth + 1)
                    )
            self.patterned = self.patterned or "patternProperties" in told
            self._told[id(schema)] = told or True
        return self._told[id(schema)]

    def _reference(self, schema: dict[str, object]) -> dict[str, object]:
        found = meant(self._root, schema.get("$ref"))
        return {} if found is None else {"$ref": f"#/$defs/{self._number(found)}"}


def _mended(keyword: str, value: object) -> object:
    """The value, where a list of required names is not quite one."""
    if keyword == "required" and isinstance(value, list):
        return list(dict.fromkeys(filter(_text, value)))
    return value
