"""A schema as the model reads it: without what only programs need, and with references replaced by what they mean.

A model follows a reference badly, so each is replaced where it stands. What refers to itself cannot be: the second time
the reference stays, and what it means is kept beside it. A schema that would grow over its limit keeps all references.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator

from app.toolcalls.subschemas import DEFINITIONS, NAMED, mapped, meant, unescaped

GROWTH = 4
"""How many times its size a schema may have when its references are replaced."""

_FOR_PROGRAMS = frozenset({"$schema", "$id", "$comment", "title"})

_ANNOTATIONS = frozenset({"description", "default", "examples", "deprecated", "readOnly", "writeOnly", "format"})
"""Keywords beside a reference that may replace those of what it means: they allow and forbid nothing."""

_INTERPLAY = frozenset(
    {
        *("properties", "patternProperties", "additionalProperties", "unevaluatedProperties"),
        *("items", "prefixItems", "additionalItems", "unevaluatedItems"),
        *("contains", "minContains", "maxContains", "if", "then", "else"),
    }
)
"""Keywords that mean something else when they are put beside others of their kind."""


class _TooLargeError(Exception):
    """The schema outgrows its limit."""


def compact(schema: object) -> object:
    """What is shown of a schema: a copy of the same meaning but for `additionalProperties: false`; never raises.

    `$schema`, `$id`, `$comment` and `title` are left out as well. What is no object comes back as it is.
    """
    if not isinstance(schema, dict):
        return schema
    limit = GROWTH * _size(schema)
    try:
        told = _Replacing(schema, limit).whole()
        if _size(told) <= limit:
            return told
    except (_TooLargeError, RecursionError):
        pass
    try:
        return _bare(schema)
    except RecursionError:
        return schema


def _size(value: object) -> int:
    """Characters of the value as JSON; 0 for what is nested too deeply to be written."""
    try:
        return len(json.dumps(value, ensure_ascii=False, default=str))
    except (RecursionError, ValueError):
        return 0


def _shown(schema: dict[str, object]) -> Iterator[tuple[str, object]]:
    """The keywords that are of use to a model."""
    for keyword, value in schema.items():
        programs = keyword in _FOR_PROGRAMS and isinstance(value, str)
        if not programs and not (keyword == "additionalProperties" and value is False):
            yield keyword, value


def _bare(schema: object) -> object:
    """A copy with all references, and all that they may mean."""
    if not isinstance(schema, dict):
        return copy.deepcopy(schema)
    return {keyword: mapped(keyword, value, _bare, copy.deepcopy) for keyword, value in _shown(schema)}


class _Replacing:
    """One schema on the way to be told without references."""

    def __init__(self, root: dict[str, object], limit: int) -> None:
        self._root = root
        self._left = limit
        self._open = ["#"]
        self._kept: dict[str, tuple[str, str]] = {}
        own = root.get("$defs")
        self._taken = set(own) if isinstance(own, dict) else set()

    def whole(self) -> object:
        """The schema, with the definitions that it cannot do without."""
        told = self._schema(self._root)
        definitions: dict[str, dict[str, object]] = {}
        done: set[str] = set()
        while missing := self._kept.keys() - done:
            for reference in sorted(missing):
                place, name = self._kept[reference]
                self._open = ["#", reference]
                definitions.setdefault(place, {})[name] = self._schema(meant(self._root, reference))
            done |= missing
        return {**told, **definitions} if isinstance(told, dict) else told

    def _schema(self, schema: object) -> object:
        if not isinstance(schema, dict):
            return self._copied(schema)
        told: dict[str, object] = {}
        for keyword, value in _shown(schema):
            if keyword in DEFINITIONS:
                continue
            self._spend(len(keyword))
            if keyword in NAMED and isinstance(value, dict):
                self._spend(sum(map(len, value)))
            if keyword != "$ref":
                told[keyword] = mapped(keyword, value, self._schema, self._copied)
        return self._replaced(schema["$ref"], told) if "$ref" in schema else told

    def _replaced(self, reference: object, beside: dict[str, object]) -> object:
        """What a reference means, with the keywords beside it."""
        found = meant(self._root, reference)
        if found is None:
            return {"$ref": self._copied(reference), **beside}
        reference = str(reference)
        if reference in self._open:
            return {"$ref": self._keep(reference), **beside}
        self._open.append(reference)
        told = self._schema(found)
        self._open.pop()
        return _merged(told, beside)

    def _keep(self, reference: str) -> str:
        """The reference to a definition that stays, in the document as it is told."""
        if reference == "#":
            return reference
        match reference.split("/"):
            case ["#", "$defs" | "definitions" as place, token]:
                self._kept.setdefault(reference, (place, unescaped(token)))
                return reference
        if reference not in self._kept:
            self._kept[reference] = ("$defs", self._free_name(reference))
        return f"#/$defs/{self._kept[reference][1]}"

    def _free_name(self, reference: str) -> str:
        """A name for a definition that stood elsewhere."""
        name = re.sub(r"\W", "_", reference.rpartition("/")[2], flags=re.ASCII)
        while name in self._taken:
            name += f"_{len(self._kept)}"
        self._taken.add(name)
        return name

    def _copied(self, value: object) -> object:
        self._spend(_size(value))
        return copy.deepcopy(value)

    def _spend(self, size: int) -> None:
        self._left -= size + 1
        if self._left < 0:
            raise _TooLargeError


def _merged(told: object, beside: dict[str, object]) -> object:
    """What a reference means and what stands beside it as one schema, to which a value has to fit in both."""
    if not beside:
        return told
    if told is True:
        return beside
    if isinstance(told, dict) and not any(_clash(keyword, value, told) for keyword, value in beside.items()):
        return {**told, **beside}
    also = beside.get("allOf")
    return {**beside, "allOf": [told, *(also if isinstance(also, list) else ())]}


def _clash(keyword: str, value: object, told: dict[str, object]) -> bool:
    """Whether a keyword beside a reference cannot be put among those of what it means."""
    if keyword in _ANNOTATIONS:
        return False
    return keyword in _INTERPLAY or (keyword in told and told[keyword] != value)
