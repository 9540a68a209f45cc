"""Arguments that could be meant."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from app.toolcalls.example import MAX_VALUES, example
from tests.toolcalls.strange import POINT, SCHEMAS


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "..."),
        ({"type": "INTEGER"}, 1),
        ({"type": "number"}, 1.5),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"type": ["null", "integer"]}, 1),
        ({"type": "array"}, []),
        ({"type": "array", "items": {"type": "integer"}}, [1]),
        ({"items": {"enum": ["x", "y"]}}, ["x"]),
        ({"type": "object"}, {}),
        ({"properties": {"p": {}, "q": {"type": "integer"}}, "required": ["q"]}, {"q": 1}),
        ({"const": "c", "enum": ["e"]}, "c"),
        ({"enum": [None, "e"], "default": "d"}, "e"),
        ({"default": "d", "examples": ["x"], "type": "string"}, "d"),
        ({"default": None, "examples": ["x"], "type": "string"}, "x"),
        ({"default": "long" * 100, "type": "string"}, "..."),
        ({"anyOf": [{"type": "null"}, {"type": "integer"}]}, 1),
        ({"oneOf": [{"$ref": "#/$defs/flag"}]}, True),
        ({"allOf": [{"$ref": "#/$defs/flag"}], "description": "d"}, True),
        ({"$ref": "#/$defs/flag"}, True),
        ({"$ref": "nowhere"}, "..."),
        ({"type": "any"}, "..."),
        (True, "..."),
        (5, "..."),
    ],
)
def test_each_property_has_a_value(schema: object, value: object) -> None:
    """One that it names itself, or one of its type."""
    root = {"$defs": {"flag": {"type": "boolean"}}, "properties": {"a": schema, "b": {}}, "required": ["a"]}
    assert example(root) == {"a": value}


@pytest.mark.parametrize(
    ("schema", "arguments"),
    [
        ({"properties": {"a": {"type": "integer"}, "b": {}}}, {"a": 1}),
        ({"required": ["ghost"]}, {"ghost": "..."}),
        ({"$ref": "#/$defs/o", "$defs": {"o": {"properties": {"a": {}}, "required": ["a"]}}}, {"a": "..."}),
        ({"allOf": [{"properties": {"a": {"type": "null"}}}, {"required": ["a"]}]}, {"a": None}),
        ({"type": "string"}, {}),
        ({}, {}),
        (None, {}),
        (True, {}),
        ([], {}),
    ],
)
def test_required_properties_are_shown(schema: object, arguments: dict[str, object]) -> None:
    """If none is required, the first one; if there is none, nothing."""
    assert example(schema) == arguments


def test_a_real_schema_has_an_example() -> None:
    """With what is required within what is required."""
    assert example(POINT) == {"place": {"title": "..."}}


def test_an_example_is_not_deep() -> None:
    """A schema that requires itself ends."""
    assert example({"properties": {"a": {"$ref": "#"}}, "required": ["a"]}) == {"a": {"a": {"a": {}}}}


def test_an_example_is_not_large() -> None:
    """One that requires a hundred of itself ends as well."""
    names = [str(number) for number in range(200)]
    told = example({"properties": {name: {"$ref": "#"} for name in names}, "required": names})
    assert len(told) == MAX_VALUES
    assert len(json.dumps(told)) < 10_000


def test_an_example_does_not_change_its_schema() -> None:
    """Nor does the schema change with it."""
    schema: dict[str, object] = {"properties": {"a": {"const": {"b": []}}}}
    told = example(schema)
    told["a"] = None
    assert schema == {"properties": {"a": {"const": {"b": []}}}}
    assert example(schema) == {"a": {"b": []}}


@given(SCHEMAS)
def test_any_schema_has_an_example(schema: object) -> None:
    """It is JSON."""
    assert json.dumps(example(schema)).startswith("{")
