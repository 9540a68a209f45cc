"""A schema as the model reads it."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.toolcalls.compaction import GROWTH, compact
from app.toolcalls.subschemas import inner, mapped
from app.toolcalls.validation import Judge
from tests.toolcalls.strange import POINT, SCHEMAS, VALUES

REFERRED = {
    "$defs": {
        "Leaf": {"type": "string", "title": "Leaf", "minLength": 1},
        "Pair": {"properties": {"left": {"$ref": "#/$defs/Leaf"}, "right": {"$ref": "#/$defs/Leaf"}}},
        "List": {"properties": {"next": {"anyOf": [{"$ref": "#/$defs/List"}, {"type": "null"}]}}},
        "Deep": {"additionalProperties": {"type": "integer"}, "properties": {"a": True}},
    },
    "properties": {
        "pair": {"$ref": "#/$defs/Pair", "description": "Two.", "required": ["left"]},
        "list": {"$ref": "#/$defs/List"},
        "deep": {"$ref": "#/$defs/Deep", "properties": {"b": {"type": "string"}}},
        "self": {"items": {"$ref": "#"}, "type": "array"},
    },
}
ARGUMENTS: st.SearchStrategy[object] = st.fixed_dictionaries(
    {},
    optional={
        "limit": st.sampled_from([None, 5, "5", 1.5]),
        "place": st.fixed_dictionaries(
            {}, optional={"title": st.sampled_from(["here", 5]), "mode": st.sampled_from(["walk", "fly"])}
        ),
        "tree": st.recursive(
            st.sampled_from([{"value": 1}, {"value": "1"}, {}, 5]),
            lambda each: st.builds(lambda children: {"value": 1, "children": children}, st.lists(each, max_size=2)),
            max_leaves=4,
        ),
        "tags": st.lists(st.sampled_from(["a", 1]), max_size=3),
        "pair": st.fixed_dictionaries(
            {}, optional={"left": st.sampled_from(["a", "", 1]), "right": st.sampled_from(["", "b"])}
        ),
        "list": st.sampled_from([{}, {"next": None}, {"next": {"next": 5}}, {"next": {"next": {"next": {}}}}]),
        "deep": st.dictionaries(st.sampled_from(["a", "b", "c"]), st.sampled_from(["x", 1])),
        "self": st.lists(st.sampled_from([{}, {"list": 5}, {"pair": {"left": 5}}, {"self": [{"self": 5}]}])),
    },
)


def open_(schema: object) -> object:
    """The schema without `additionalProperties: false`."""
    if not isinstance(schema, dict):
        return schema
    kept = {key: value for key, value in schema.items() if not (key == "additionalProperties" and value is False)}
    return {key: mapped(key, value, open_) for key, value in kept.items()}


def references(schema: object) -> list[object]:
    """All references of a schema."""
    if not isinstance(schema, dict):
        return []
    own = [schema["$ref"]] if "$ref" in schema else []
    return own + [each for key, value in schema.items() for held in inner(key, value) for each in references(held)]


def test_what_only_programs_need_is_left_out() -> None:
    """A property of such a name stays, and so does what is no schema."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://x.invalid/",
        "$comment": "for us",
        "title": "T",
        "description": "Stays, " * 100,
        "additionalProperties": False,
        "properties": {
            "title": {"title": "Title", "type": "string", "default": {"title": "stays"}},
            "$id": {"enum": [{"title": "stays", "additionalProperties": False}]},
            "map": {"additionalProperties": {"title": "X", "additionalProperties": False}},
        },
        "examples": [{"title": "stays"}],
    }
    assert compact(schema) == {
        "description": "Stays, " * 100,
        "properties": {
            "title": {"type": "string", "default": {"title": "stays"}},
            "$id": {"enum": [{"title": "stays", "additionalProperties": False}]},
            "map": {"additionalProperties": {}},
        },
        "examples": [{"title": "stays"}],
    }


def test_a_reference_is_replaced_by_what_it_means() -> None:
    """Keywords beside it are put over it; nobody needs the definitions then."""
    schema = {
        "definitions": {"A": {"type": "string", "description": "of A"}, "unused": {}},
        "$defs": {"B": {"$ref": "#/definitions/A"}},
        "properties": {"a": {"$ref": "#/$defs/B", "description": "of a", "maxLength": 5}},
    }
    told = {"properties": {"a": {"type": "string", "description": "of a", "maxLength": 5}}}
    assert compact(schema) == told


def test_what_cannot_be_put_over_stands_beside() -> None:
    """A value has to fit in both."""
    schema = {"$defs": {"A": {"minLength": 1}, "no": False}, "items": {"$ref": "#/$defs/A", "minLength": 2}}
    assert compact(schema) == {"items": {"minLength": 2, "allOf": [{"minLength": 1}]}}
    assert compact({**schema, "items": {"$ref": "#/$defs/no", "type": "null"}}) == {
        "items": {"type": "null", "allOf": [False]}
    }


def test_a_schema_that_refers_to_itself_keeps_the_reference() -> None:
    """At its second level, with the definition."""
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}
    schema = {
        "$defs": {"Node": {**node, "title": "Node"}, "unused": {}},
        "properties": {"list": {"$ref": "#/$defs/Node"}},
    }
    assert compact(schema) == {"properties": {"list": node}, "$defs": {"Node": node}}


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"items": {"$ref": "#"}, "title": "T"}, {"items": {"$ref": "#"}}),
        (
            {"properties": {"a": {"items": {"$ref": "#/properties/a"}}}},
            {
                "properties": {"a": {"items": {"items": {"$ref": "#/$defs/a"}}}},
                "$defs": {"a": {"items": {"$ref": "#/$defs/a"}}},
            },
        ),
        (
            {"$ref": "#/definitions/A", "definitions": {"A": {"items": {"$ref": "#/definitions/A"}}}},
            {"items": {"$ref": "#/definitions/A"}, "definitions": {"A": {"items": {"$ref": "#/definitions/A"}}}},
        ),
        ({"$ref": "https://x.invalid/a"}, {"$ref": "https://x.invalid/a"}),
        ({"items": {"$ref": "#/$defs/none"}}, {"items": {"$ref": "#/$defs/none"}}),
        ({"$ref": 5, "type": "any"}, {"$ref": 5, "type": "any"}),
        ({"$ref": "#/$defs/a", "$defs": {"a": True}}, True),
    ],
)
def test_references_of_every_kind(schema: object, told: object) -> None:
    """What leads elsewhere or nowhere is left as it is."""
    assert compact(schema) == told


def test_a_schema_does_not_grow_without_bound() -> None:
    """One that would keeps its references and its definitions."""
    names = [str(number) for number in range(30)]
    steps = {name: {"anyOf": [{"$ref": f"#/$defs/{int(name) + 1}"}] * 2, "title": name} for name in names}
    schema = {"$defs": {**steps, "30": {}}, "$ref": "#/$defs/0"}
    told = compact(schema)
    assert told == {"$defs": {**{n: {"anyOf": s["anyOf"]} for n, s in steps.items()}, "30": {}}, "$ref": "#/$defs/0"}


@pytest.mark.parametrize("schema", [None, True, 5, "object", ["type"], {}])
def test_what_is_no_object_comes_back(schema: object) -> None:
    """It says nothing that could be told in fewer words."""
    assert compact(schema) == schema


def test_what_is_nested_too_deeply_comes_back() -> None:
    """Its reader has given up before."""
    schema: dict[str, object] = {}
    for _ in range(5000):
        schema = {"not": schema, "title": "T"}
    assert compact(schema) is schema


@given(SCHEMAS)
def test_any_schema_can_be_told(schema: object) -> None:
    """Within its limit, without a change to it, and without a title."""
    before = copy.deepcopy(schema)
    told = compact(schema)
    assert schema == before
    assert len(json.dumps(told, ensure_ascii=False)) <= GROWTH * len(json.dumps(schema, ensure_ascii=False))
    assert not (isinstance(told, dict) and isinstance(told.get("title"), str))


@given(SCHEMAS, VALUES)
def test_a_schema_that_is_told_means_the_same(schema: object, value: object) -> None:
    """But for properties that it does not name."""
    same = open_(schema)
    assert bool(Judge(compact(schema)).violations(value)) is bool(Judge(same).violations(value))


@given(ARGUMENTS)
def test_a_real_schema_that_is_told_means_the_same(value: object) -> None:
    """As pydantic writes it, and with references of other kinds."""
    for schema in (POINT, REFERRED):
        told = compact(schema)
        assert bool(Judge(told).violations(value)) is bool(Judge(open_(schema)).violations(value))


def test_of_a_real_schema_only_what_refers_to_itself_stays() -> None:
    """All else is said where it is needed."""
    told = compact(POINT)
    assert isinstance(told, dict)
    assert list(told["$defs"]) == ["Node"]
    assert set(references(told)) == {"#/$defs/Node"}
