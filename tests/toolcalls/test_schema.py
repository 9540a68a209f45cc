"""What a client's schema says."""

from __future__ import annotations

import json
import socket
import time

import pytest
from hypothesis import given

from app.toolcalls import schema as module
from app.toolcalls.schema import MAX_PROBLEM, MAX_PROBLEMS, MAX_SCHEMA, MAX_WORDS, Parameters, check, problems
from tests.toolcalls.strange import NAMES, POINT, SCHEMAS, VALUES


def parameters(schema: object) -> Parameters:
    """Of a schema that has not been written down yet."""
    return Parameters(json.dumps(schema))


@given(SCHEMAS, VALUES, NAMES)
def test_no_schema_and_no_value_raises(schema: object, value: object, name: str) -> None:
    """Anywhere: both are any JSON."""
    text = json.dumps(schema)
    own = Parameters(text)
    assert isinstance(own.names, tuple)
    for each in (name, *own.names):
        found, changed = own.coerced(each, value)
        assert changed is not (found is value)
    assert len(own.mismatches(value if isinstance(value, dict) else {name: value})) <= MAX_WORDS
    assert isinstance(check(text), str | None)
    assert len(problems(text, value)) <= MAX_PROBLEMS
    assert json.dumps(module.compact(schema))
    assert json.dumps(module.example(schema))


@pytest.mark.parametrize("text", ["", "{", "null", "5", "[]", '"object"', "NaN", "[" * 100_000, '{"not":' * 900 + "1"])
def test_no_text_raises(text: str) -> None:
    """Also one that is no JSON: it says nothing."""
    own = Parameters(text)
    assert (own.names, own.coerced("a", "5"), own.mismatches({"a": 1})) == ((), ("5", False), ())
    assert check(text) is not None
    assert problems(text, {"a": 1}) == ()


def test_the_names_are_those_of_the_schema() -> None:
    """In its order, also where they stand behind a reference."""
    assert parameters(POINT).names == ("limit", "place", "tree", "tags")
    assert parameters({"$ref": "#/$defs/Node", "$defs": POINT["$defs"]}).names == ("value", "children")
    assert parameters({"allOf": [{"properties": {"a": 1}}, {"properties": {"b": 1}}]}).names == ("a", "b")


@pytest.mark.parametrize(
    ("name", "value", "brought"),
    [
        ("limit", "5", (5, True)),
        ("limit", None, (None, False)),
        ("limit", "null", ("null", False)),
        ("place", '{"title": "here"}', ({"title": "here"}, True)),
        ("place", "here", ("here", False)),
        ("tags", '["a"]', (["a"], True)),
        ("other", "5", ("5", False)),
    ],
)
def test_a_value_is_brought_to_the_type_of_its_property(name: str, value: object, brought: tuple[object, bool]) -> None:
    """Through references and alternatives; the second time it is the same."""
    own = parameters(POINT)
    assert own.coerced(name, value) == brought
    assert own.coerced(name, value) == brought


def test_a_mismatch_is_a_word() -> None:
    """Sorted, and each but once."""
    arguments = {"limit": "x", "tags": [1, 2, 3], "tree": {"children": [{}]}, "more": 1}
    assert parameters(POINT).mismatches(arguments) == (
        "schema:additionalProperties:$",
        "schema:maxItems:tags",
        "schema:missing:place",
        "schema:missing:tree.value",
        "schema:type:limit",
        "schema:type:tags.0",
        "schema:type:tags.1",
        "schema:type:tags.2",
    )
    assert parameters(POINT).mismatches({"place": {"title": "here"}, "limit": 5}) == ()


def test_of_many_mismatches_the_outermost_are_told() -> None:
    """No more than fit into a header."""
    words = parameters({"required": list("abcdefghij"), "properties": {"x": False}}).mismatches({"x": 1})
    assert words == tuple(f"schema:missing:{name}" for name in "abcdefgh")


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        (POINT, None),
        (True, None),
        ({"type": "OBJECT", "properties": {"a": {"type": "STRING", "nullable": True}}}, None),
        ({"type": "secret"}, "has a value at the keyword type that JSON Schema does not allow."),
        (
            {"$ref": "https://secret.invalid/"},
            "has a reference that leads out of it, or to nothing in it.",
        ),
        ([], "must be an object or a boolean, and so must each schema in it."),
        ({"const": "a" * MAX_SCHEMA}, "is larger than 256 KiB."),
    ],
)
def test_a_schema_can_serve_or_it_is_told_why_not(schema: object, why: str | None) -> None:
    """The words follow "the schema"."""
    assert check(json.dumps(schema)) == why


def test_problems_are_lines() -> None:
    """The outermost, each of one length at most."""
    value = {"limit": "x" * 1000, "place": 5, "tags": ["a", "b", "c", 4], "more": "b\nc"}
    found = problems(json.dumps(POINT), value)
    assert found[0] == "$: additional properties are not allowed: 'more'"
    assert found[1] == "limit: '" + "x" * (MAX_PROBLEM - len("limit: '"))
    assert found[2:] == ("place: 5 is not of type 'object'",)
    assert problems(json.dumps(POINT), {"place": {"title": "here"}}) == ()


def test_a_schema_of_gemini_is_judged_by() -> None:
    """Its types are in capitals, and null is said otherwise."""
    text = json.dumps({"type": "OBJECT", "properties": {"a": {"type": "STRING", "nullable": True, "maxLength": "2"}}})
    assert problems(text, {"a": None}) == ()
    assert problems(text, {"a": "abc"}) == ("a: 'abc' is too long",)


def test_a_schema_that_is_too_large_is_not_judged_by() -> None:
    """Its names are known all the same."""
    own = parameters({"properties": {"a": False}, "x": "a" * MAX_SCHEMA})
    assert (own.names, own.mismatches({"a": 1})) == (("a",), ())


def test_a_pattern_cannot_stop_the_process() -> None:
    """Not as a pattern for values, nor as one for names."""
    schema = {"properties": {"a": {"pattern": "(a+)+$"}, "b": {"patternProperties": {"^(a|aa)+$": False}}}}
    begin = time.monotonic()
    parameters(schema).mismatches({"a": "a" * 40 + "!", "b": {"a" * 60 + "!": 1}})
    assert time.monotonic() - begin < 5


def test_nothing_is_fetched() -> None:
    """Wherever a schema refers to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/schema.json"
        schema = {"$schema": url, "$ref": url, "properties": {"a": {"$ref": f"{url}#/a", "$schema": url}}}
        own, text = parameters(schema), json.dumps(schema)
        assert (own.names, own.coerced("a", "5"), own.mismatches({"a": 1})) == (("a",), ("5", False), ())
        assert (problems(text, {"a": 1}), module.compact(schema), module.example(schema)) == (
            (),
            {"$ref": url, "properties": {"a": {"$ref": f"{url}#/a"}}},
            {"a": "..."},
        )
        assert check(text) is not None
        server.settimeout(0.1)
        with pytest.raises(TimeoutError):
            server.accept()
