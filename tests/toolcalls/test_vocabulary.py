"""What the keywords of a schema may hold."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from app.toolcalls.subschemas import inner
from app.toolcalls.vocabulary import MAX_DEPTH, TAKES, Linked, fault, spelled
from tests.toolcalls.strange import POINT, SCHEMAS

ODD: list[object] = [
    *(None, True, 0, 1, -1, 1.0, 1.5, "", "a", "#a", "https://x.invalid/#", "a#b", "string", "string\n"),
    *([], ["a"], ["a", "a"], ["string"], ["string", "x"], [{}], [1], [None], {}, {"a": {}}, {"a": 1}),
    *({"a": ["a"]}, {"a": ["a", "a"]}, {"a": True}, {"a": []}),
]
"""Values that some keywords may hold and others may not."""


def accepted(schema: object) -> bool:
    """Whether the meta-schema itself takes it."""
    try:
        Draft202012Validator.check_schema(schema, format_checker=None)  # type: ignore[arg-type]
    except SchemaError:
        return False
    return True


def in_the_words_of_the_draft(schema: object) -> bool:
    """Whether nothing in it is of another dialect, and nothing refers to anything."""
    if not isinstance(schema, dict):
        return True
    within = [held for keyword, value in schema.items() for held in inner(keyword, value)]
    plain = (
        spelled(schema) == schema and not {"$ref", "$dynamicRef", "$recursiveRef", "additionalItems"} & schema.keys()
    )
    return plain and all(map(in_the_words_of_the_draft, within))


@given(SCHEMAS)
def test_the_table_says_what_the_meta_schema_says(schema: object) -> None:
    """Of every schema in which nothing needs other words."""
    if in_the_words_of_the_draft(schema):
        assert (fault(schema) is None) is accepted(schema)


@pytest.mark.parametrize("keyword", sorted(TAKES))
def test_each_keyword_takes_what_the_meta_schema_lets_it(keyword: str) -> None:
    """References and lists in `items` are of their own kind."""
    for value in ODD:
        schema = {keyword: value}
        if in_the_words_of_the_draft(schema):
            assert (fault(schema) is None) is accepted(schema), value


@pytest.mark.parametrize(
    ("schema", "same"),
    [
        ({"type": "OBJECT"}, {"type": "object"}),
        ({"type": ["STRING", "Null"]}, {"type": ["string", "null"]}),
        ({"type": "any"}, {"type": "any"}),
        ({"type": 5}, {"type": 5}),
        ({"minItems": "3", "maxLength": "x"}, {"minItems": 3, "maxLength": "x"}),
        ({"type": "STRING", "nullable": True}, {"type": ["string", "null"], "nullable": True}),
        ({"type": ["null"], "nullable": True}, {"type": ["null"], "nullable": True}),
        ({"enum": ["a"], "nullable": True}, {"enum": ["a", None], "nullable": True}),
        ({"anyOf": [{}], "nullable": True}, {"anyOf": [{}, {"type": "null"}], "nullable": True}),
        ({"oneOf": [{"type": ["NULL"]}], "nullable": True}, {"oneOf": [{"type": ["NULL"]}], "nullable": True}),
        ({"type": "string", "nullable": False}, {"type": "string", "nullable": False}),
        ({"items": [{}], "additionalItems": False}, {"prefixItems": [{}], "items": False}),
        ({"items": []}, {"items": True}),
        ({"minimum": 1, "exclusiveMinimum": True}, {"exclusiveMinimum": 1}),
        ({"maximum": 1, "exclusiveMaximum": False}, {"maximum": 1}),
        ({"exclusiveMinimum": True}, {}),
    ],
)
def test_other_dialects_are_understood(schema: dict[str, object], same: dict[str, object]) -> None:
    """Gemini's and the older drafts'."""
    before = json.dumps(schema)
    assert spelled(schema) == same
    assert json.dumps(schema) == before


@pytest.mark.parametrize(
    ("schema", "word"),
    [
        (None, "object"),
        ([], "object"),
        ({"properties": {"a": "string"}}, "object"),
        ({"type": "secret"}, "type"),
        ({"required": True}, "required"),
        ({"items": [{"minLength": -1}]}, "minLength"),
        ({"$ref": "https://x.invalid/secret"}, "reference"),
        ({"$ref": "#/$defs/secret"}, "reference"),
        ({"$dynamicRef": "#secret"}, "reference"),
        ({"$ref": "#/secret/a", "secret": {"a": {"type": 5}}}, "type"),
    ],
)
def test_a_fault_is_told_without_the_schema(schema: object, word: str) -> None:
    """In words that follow "the schema"."""
    told = fault(schema)
    assert told is not None
    assert word in told
    assert "secret" not in told
    assert told.endswith(".")


@pytest.mark.parametrize(
    "schema",
    [
        *(True, {}, POINT, {"$ref": "#"}, {"$ref": "#/x/a", "x": {"a": {"$ref": "#/x/a"}}}),
        {"type": "OBJECT", "properties": {"a": {"type": "STRING", "nullable": True}}},
        {"const": {"$ref": "nowhere", "type": 5}},
    ],
)
def test_a_sound_schema_has_no_fault(schema: object) -> None:
    """Also one that leads back to itself."""
    assert fault(schema) is None


def test_a_schema_may_be_nested_so_deeply() -> None:
    """And no deeper."""
    schema: object = True
    for _ in range(MAX_DEPTH):
        schema = {"not": schema}
    assert fault(schema) is None
    assert Linked(schema).targets
    deeper = {"not": {"not": schema}}
    assert fault(deeper) == f"is nested more than {MAX_DEPTH} levels deep."
    with pytest.raises(RecursionError):
        Linked(deeper)


def test_what_is_not_sound_is_left_out() -> None:
    """All else is kept, references by number."""
    schema = {
        "type": "any",
        "minimum": "5",
        "required": ["a", 5, "a"],
        "properties": {"a": "string", "b": {"$ref": "#/x"}, "c": {"$ref": "nowhere"}, "d": {"title": "D"}},
        "x": {"$schema": "https://x.invalid/", "$ref": "#/x", "format": "date"},
    }
    assert Linked(schema).targets == {
        "0": {"required": ["a"], "properties": {"a": True, "b": {"$ref": "#/$defs/1"}, "c": True, "d": True}},
        "1": {"$ref": "#/$defs/1"},
    }


@given(SCHEMAS)
def test_what_is_left_of_any_schema_is_sound(schema: object) -> None:
    """Every part of it passes the meta-schema."""
    assert all(accepted(target) for target in Linked(schema).targets.values())
