"""Google's schemas as JSON Schema."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from google.genai import types
from hypothesis import given
from hypothesis import strategies as st

from app.dialects.gemini.openapi import json_schema
from app.toolcalls.schema import check


@pytest.mark.parametrize(
    ("google", "ours"),
    [
        ({"type": "STRING"}, {"type": "string"}),
        ({"type": "TYPE_UNSPECIFIED", "description": "any"}, {"description": "any"}),
        ({"type": "INTEGER", "nullable": True}, {"type": ["integer", "null"]}),
        ({"type": "INTEGER", "nullable": False}, {"type": "integer"}),
        ({"type": "STRING", "enum": ["a"], "nullable": True}, {"type": ["string", "null"], "enum": ["a", None]}),
        ({"type": "INTEGER", "format": "enum", "enum": ["101", "-2"]},
         {"type": "integer", "format": "enum", "enum": [101, -2]}),
        ({"type": "NUMBER", "enum": ["1.5", "x"]}, {"type": "number", "enum": [1.5, "x"]}),
        ({"type": "STRING", "enum": ["101"]}, {"type": "string", "enum": ["101"]}),
        ({"type": "ARRAY", "minItems": "1", "max_items": 3, "items": {"type": "BOOLEAN"}},
         {"type": "array", "minItems": 1, "maxItems": 3, "items": {"type": "boolean"}}),
        ({"any_of": [{"type": "STRING"}, {"type": "NULL"}]}, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        ({"anyOf": [{"type": "STRING"}], "nullable": True}, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        ({"ref": "#/defs/Pet", "defs": {"Pet": {"type": "OBJECT"}}},
         {"$ref": "#/$defs/Pet", "$defs": {"Pet": {"type": "object"}}}),
        ({"ref": "#/defs/Pet", "nullable": True, "title": "t"},
         {"anyOf": [{"$ref": "#/$defs/Pet"}, {"type": "null"}], "title": "t"}),
        ({"type": "OBJECT", "additional_properties": {"type": "STRING"}},
         {"type": "object", "additionalProperties": {"type": "string"}}),
        ({"type": "STRING", "title": None, "default": None, "example": "TYPE"},
         {"type": "string", "default": None, "example": "TYPE"}),
    ],
)  # fmt: skip
def test_google_s_words_become_those_of_json_schema(google: dict[str, Any], ours: dict[str, Any]) -> None:
    """In either spelling, at any depth."""
    nested = {"type": "OBJECT", "properties": {"max_items": google, "type": {"type": "ARRAY", "items": google}}}
    properties = {"max_items": ours, "type": {"type": "array", "items": ours}}
    assert json_schema(google) == ours
    assert json_schema(nested) == {"type": "object", "properties": properties}


@pytest.mark.parametrize("name", ["propertyOrdering", "property_ordering"])
def test_the_order_of_properties_is_that_which_is_asked_for(name: str) -> None:
    """Models write members in the order of the schema; what is not named stands behind, what is not there is left."""
    schema = {"properties": {"a": {}, "b": {}, "c": {}}, name: ["c", "x", 7, "a"]}
    assert json.dumps(json_schema(schema)) == '{"properties": {"c": {}, "a": {}, "b": {}}}'


def test_the_names_of_properties_stay() -> None:
    """Whatever they look like; so do the values of an enum and a default."""
    properties = {name: {"type": "string"} for name in ("max_items", "nullable", "type", "ref", "$ref", "any_of")}
    schema = {"type": "object", "properties": properties, "required": ["max_items"], "default": {"any_of": "STRING"}}
    assert json_schema(schema) == schema


@pytest.mark.parametrize("value", [None, True, 7, "STRING", [{"type": "STRING"}]])
def test_what_is_no_object_comes_back(value: object) -> None:
    """It is judged elsewhere."""
    assert json_schema(value) == value


@pytest.mark.parametrize(
    ("google", "fit", "unfit"),
    [
        (types.Schema(type=types.Type.INTEGER, nullable=True), [1, None], ["1", 1.5]),
        (types.Schema(type=types.Type.STRING, format="enum", enum=["a", "b"]), ["a"], ["c", None]),
        (
            types.Schema(
                type=types.Type.OBJECT,
                properties={
                    "name": types.Schema(type=types.Type.STRING, max_length=3),
                    "tags": types.Schema(type=types.Type.ARRAY, items=types.Schema(type=types.Type.NUMBER)),
                },
                required=["name"],
            ),
            [{"name": "abc"}, {"name": "a", "tags": [1, 2.5]}],
            [{}, {"name": "abcd"}, {"name": "a", "tags": ["1"]}],
        ),
        (
            types.Schema(any_of=[types.Schema(type=types.Type.STRING), types.Schema(type=types.Type.BOOLEAN)]),
            ["a", True],
            [1, None],
        ),
    ],
)  # fmt: skip
def test_a_schema_of_google_s_own_types_judges_as_it_means(
    google: types.Schema, fit: list[object], unfit: list[object]
) -> None:
    """In both spellings in which their clients write it."""
    for camel_case in (True, False):
        schema = json_schema(google.model_dump(mode="json", exclude_none=True, by_alias=camel_case))
        judge = jsonschema.Draft202012Validator(schema)  # type: ignore[arg-type] # an object
        assert [judge.is_valid(value) for value in (*fit, *unfit)] == [True] * len(fit) + [False] * len(unfit)
        assert check(json.dumps(schema)) is None


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: (
    st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["type", "nullable", "enum", "anyOf", "any_of", "properties", "items", "ref",
                                       "propertyOrdering", "required", "maxItems", "defs"]) | st.text(), inner,
                      max_size=4)
), max_leaves=12)  # fmt: skip


@given(JSON)
def test_no_schema_is_too_odd(schema: object) -> None:
    """Whoever judges by it says what is wrong with it; here nothing is raised, and it stays JSON."""
    check(json.dumps(json_schema(schema)))
