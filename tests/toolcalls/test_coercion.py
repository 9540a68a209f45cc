"""Values brought to the type that is asked for."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.toolcalls.coercion import coerced, parsed, types_of
from app.toolcalls.vocabulary import TYPES
from tests.toolcalls.strange import SCHEMAS, VALUES

NUMBERS = {"integer", "number"}


@pytest.mark.parametrize(
    ("schema", "types"),
    [
        ({"type": "string"}, {"string"}),
        ({"type": "NUMBER"}, NUMBERS),
        ({"type": ["integer", "null"]}, {"integer", "null"}),
        ({"type": "INTEGER", "nullable": True}, {"integer", "null"}),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, {"integer", "null"}),
        ({"oneOf": [{"$ref": "#/$defs/a"}, {"type": "boolean"}]}, {"array", "boolean"}),
        ({"allOf": [{"$ref": "#/$defs/a"}], "description": "d"}, {"array"}),
        ({"$ref": "#/$defs/a", "type": ["array", "object"]}, {"array"}),
        ({"enum": ["a", None]}, {"string", "null"}),
        ({"const": 5}, NUMBERS),
        ({"type": "integer", "enum": ["1", "2"]}, set()),
        ({"type": "any"}, None),
        ({"type": ["string", "any"]}, None),
        ({"anyOf": [{"type": "integer"}, {}]}, None),
        ({"$ref": "#/$defs/loop"}, None),
        ({"$ref": "nowhere"}, None),
        ({}, None),
        (True, None),
        (5, None),
    ],
)
def test_a_schema_tells_its_types(schema: object, types: set[str] | None) -> None:
    """Through references and alternatives, or not at all."""
    root = {"$defs": {"a": {"type": "array"}, "loop": {"anyOf": [{"$ref": "#/$defs/loop"}]}}}
    assert types_of(root, schema) == types


@given(SCHEMAS)
def test_any_schema_may_be_asked(schema: object) -> None:
    """It tells types or does not."""
    assert (types_of(schema, schema) or frozenset()) <= TYPES


def test_a_schema_that_is_nested_too_deeply_tells_nothing() -> None:
    """Nor does it raise."""
    schema: object = {"type": "string"}
    for _ in range(5000):
        schema = {"allOf": [schema]}
    assert types_of(schema, schema) is None


@pytest.mark.parametrize(
    ("value", "types", "brought"),
    [
        ("5", {"integer"}, 5),
        ("-0012", {"integer"}, -12),
        ("5", NUMBERS, 5),
        ("5", {"integer", "null"}, 5),
        ("1.5", NUMBERS, 1.5),
        ("-1e3", NUMBERS, -1000.0),
        ("True", {"boolean"}, True),
        ("false", {"boolean", "integer"}, False),
        ("[1]", {"array"}, [1]),
        (' {"a": 1} ', {"object", "array"}, {"a": 1}),
        (5.0, {"integer"}, 5),
        (5, {"string"}, "5"),
        (1.5, {"string", "null"}, "1.5"),
        (True, {"string"}, "true"),
    ],
)
def test_a_value_is_brought_to_its_type(value: object, types: set[str], brought: object) -> None:
    """Where there is one way to understand it."""
    found, changed = coerced(value, frozenset(types))
    assert (found, type(found)) == (brought, type(brought))
    assert changed


@pytest.mark.parametrize(
    ("value", "types"),
    [
        ("5", {"integer", "string"}),
        ("5", None),
        ("5", set()),
        ("5.0", {"integer"}),
        ("1_000", {"integer"}),
        ("٣", {"integer"}),
        ("1" * 19, {"integer"}),
        ("1e999", NUMBERS),
        (".5", NUMBERS),
        ("NaN", NUMBERS),
        (" 5", {"integer"}),
        ("yes", {"boolean"}),
        ("1", {"boolean"}),
        ("{}", {"array"}),
        ("[NaN]", {"array"}),
        ("[" * 5000, {"array"}),
        ("null", {"null"}),
        ("null", {"integer", "null"}),
        (None, {"string"}),
        (True, {"integer"}),
        (1, {"boolean"}),
        (1.5, {"integer"}),
        (1e300, {"integer"}),
        (5, {"string", "boolean"}),
        ({"a": 1}, {"string"}),
        ([1], {"object"}),
        (math.inf, {"string"}),
    ],
)
def test_a_value_in_doubt_stays(value: object, types: set[str] | None) -> None:
    """Its type may be allowed, or what it means is not sure."""
    assert coerced(value, None if types is None else frozenset(types)) == (value, False)


@given(VALUES, st.frozensets(st.sampled_from(sorted(TYPES))))
def test_a_value_is_brought_no_further(value: object, types: frozenset[str]) -> None:
    """What was changed fits, and is JSON."""
    found, changed = coerced(value, types)
    assert coerced(found, types) == (found, False)
    assert changed is not (found is value)
    assert json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("text", ["", "{", "NaN", "[" * 100_000, "1" * 5000])
def test_what_is_no_json_is_none(text: str) -> None:
    """Also what is nested too deeply, or too long a number."""
    assert parsed(text) is None
