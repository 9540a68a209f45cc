"""Where a schema holds schemas."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from app.toolcalls.subschemas import inner, mapped, meant, members
from tests.toolcalls.strange import NAMES, REFERENCES, SCHEMAS, VALUES

DOCUMENT = {
    "$defs": {"a": {"type": "string"}, "a/b": True, "c~d": {}, "e f": {}},
    "allOf": [{"type": "object"}, 5],
    "properties": {"x": {"items": {"type": "null"}}},
}


@pytest.mark.parametrize(
    ("keyword", "value", "held"),
    [
        ("properties", {"title": {}, "b": 1}, [{}, 1]),
        ("anyOf", [{}, True], [{}, True]),
        ("items", {}, [{}]),
        ("items", [{}, True], [{}, True]),
        ("not", {"const": 1}, [{"const": 1}]),
        ("dependencies", {"a": {}, "b": ["a"]}, [{}]),
        ("enum", [{}], []),
        ("const", {"properties": {}}, []),
        ("properties", 5, []),
        ("anyOf", {}, []),
    ],
)
def test_only_some_keywords_hold_schemas(keyword: str, value: object, held: list[object]) -> None:
    """What looks like a schema elsewhere is a value."""
    assert list(inner(keyword, value)) == held


@given(NAMES, VALUES)
def test_a_value_is_the_same_when_nothing_is_replaced(keyword: str, value: object) -> None:
    """Schemas and all else are put back where they were."""
    assert mapped(keyword, value, lambda each: each) == value


def test_schemas_and_values_are_replaced_apart() -> None:
    """Lists of names among schemas are values."""
    told = mapped("dependencies", {"a": {}, "b": ["a"]}, lambda _: "schema", lambda _: "other")
    assert told == {"a": "schema", "b": "other"}
    assert mapped("enum", [{}], lambda _: "schema", lambda _: "other") == "other"


@pytest.mark.parametrize(
    ("reference", "schema"),
    [
        ("#", DOCUMENT),
        ("#/$defs/a", {"type": "string"}),
        ("#/%24defs/a", {"type": "string"}),
        ("#/$defs/a~1b", True),
        ("#/$defs/c~0d", {}),
        ("#/$defs/e%20f", {}),
        ("#/allOf/0", {"type": "object"}),
        ("#/properties/x/items", {"type": "null"}),
        ("#/allOf/1", None),
        ("#/allOf/2", None),
        ("#/allOf/-1", None),
        ("#/allOf/99999999999999999999", None),
        ("#/$defs/missing", None),
        ("#/$defs/a/type", None),
        ("#a", None),
        ("", None),
        ("https://elsewhere.invalid/#/$defs/a", None),
        (5, None),
        (None, None),
    ],
)
def test_a_reference_means_a_schema_of_the_same_document(reference: object, schema: object) -> None:
    """Whatever else it may be means nothing."""
    assert meant(DOCUMENT, reference) == schema


@given(SCHEMAS, REFERENCES)
def test_a_reference_never_raises(root: object, reference: str) -> None:
    """It may lead through anything."""
    assert isinstance(meant(root, reference), dict | bool | None)


def test_the_members_of_an_object_may_stand_elsewhere() -> None:
    """Behind a reference, or in parts; the outermost counts."""
    root = {
        "$ref": "#/$defs/base",
        "$defs": {"base": {"properties": {"a": 1, "b": 2}, "required": ["a"], "allOf": [{"$ref": "#"}]}},
        "allOf": [{"properties": {"c": 3}, "required": ["c", 5, "a"]}, 7],
        "properties": {"b": 0},
    }
    assert members(root, root) == ({"b": 0, "c": 3, "a": 1}, ["c", "a"])


@given(SCHEMAS)
def test_there_are_members_in_everything(schema: object) -> None:
    """In most things none."""
    properties, required = members(schema, schema)
    assert json.dumps([properties, required])
