"""Values judged by schemas that somebody wrote."""

from __future__ import annotations

import socket
import time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from app.toolcalls.subschemas import inner
from app.toolcalls.validation import MAX_FOUND, MAX_VALUE, Judge, Violation, dotted
from app.toolcalls.vocabulary import fault, spelled
from tests.toolcalls.strange import POINT, SCHEMAS, VALUES


def plain(schema: object) -> bool:
    """Whether the library judges by it safely, and as it is meant here."""
    if not isinstance(schema, dict):
        return True
    within = [held for keyword, value in schema.items() for held in inner(keyword, value)]
    unsafe = {"$ref", "$dynamicRef", "$schema", "$id", "pattern", "patternProperties", "multipleOf", "additionalItems"}
    return spelled(schema) == schema and not unsafe & schema.keys() and all(map(plain, within))


@given(SCHEMAS, VALUES)
def test_a_sound_schema_is_judged_by_as_the_library_does(schema: object, value: object) -> None:
    """Where nothing of it was written anew for safety's sake."""
    assume(isinstance(schema, dict | bool) and fault(schema) is None and plain(schema))
    assert isinstance(schema, dict | bool)
    assert (Judge(schema).violations(value) == ()) is Draft202012Validator(schema).is_valid(value)


@given(SCHEMAS, VALUES)
def test_judging_never_raises(schema: object, value: object) -> None:
    """Whatever the schema is, and the same is found each time."""
    found = Judge(schema).violations(value)
    assert found == Judge(schema).violations(value)
    assert all("\n" not in violation.line for violation in found)
    assert all(violation.word.isascii() and violation.word.isprintable() for violation in found)


def test_the_outermost_comes_first() -> None:
    """In the order of names and numbers, whatever the order of the schema."""
    value = {"tags": ["a", 1, 2], "tree": {"value": "x", "children": [{}]}, "limit": "5"}
    assert [(each.keyword, each.path) for each in Judge(POINT).violations(value)] == [
        ("required", ()),
        ("type", ("limit",)),
        ("maxItems", ("tags",)),
        ("type", ("tags", 1)),
        ("type", ("tags", 2)),
        ("type", ("tree", "value")),
        ("required", ("tree", "children", 0)),
    ]


@pytest.mark.parametrize(
    ("schema", "value", "word", "line"),
    [
        ({"required": ["b"]}, {}, "schema:missing:b", "$: 'b' is a required property"),
        (
            {"properties": {"a": {"required": ["b"]}}},
            {"a": {}},
            "schema:missing:a.b",
            "a: 'b' is a required property",
        ),
        ({"items": {"enum": ["x"]}}, ["x", "y"], "schema:enum:1", "1: 'y' is not one of ['x']"),
        ({"properties": {"a": False}}, {"a": 1}, "schema:false:a", "a: 1 is not allowed here"),
        (False, 1, "schema:false:$", "$: 1 is not allowed here"),
        (
            {"properties": {"a b,é\n": {"type": "null"}}},
            {"a b,é\n": 1},
            "schema:type:a?b???",
            "a b,é?: 1 is not of type 'null'",
        ),
        (
            {"anyOf": [{"type": "integer"}, {"type": ["null", "array"]}]},
            "x",
            "schema:type:$",
            "$: 'x' is not of type 'array', 'integer', 'null'",
        ),
        (
            {"anyOf": [{"type": "object", "required": ["a"]}, {"type": "null"}]},
            {},
            "schema:missing:a",
            "$: 'a' is a required property",
        ),
        (
            {"oneOf": [True, True]},
            1,
            "schema:oneOf:$",
            "$: 1 is valid under each of True, True",
        ),
    ],
)
def test_a_violation_is_told(schema: object, value: object, word: str, line: str) -> None:
    """To programs and to models; of alternatives the one that was meant."""
    (violation,) = Judge(schema).violations(value)
    assert (violation.word, violation.line) == (word, line)


def test_a_word_has_its_limit() -> None:
    """It goes into a header."""
    assert Violation("type", ("a" * 200,), "").word == "schema:type:" + "a" * 68


@given(st.lists(st.text(max_size=5) | st.integers(0, 9), max_size=4), st.text(max_size=10))
def test_a_word_is_fit_for_a_header(path: list[str | int], name: str) -> None:
    """Whatever the names are."""
    word = Violation("required", tuple(path), "", name).word
    assert all("!" <= character <= "~" and character != "," for character in word)
    assert len(word) <= 80


def test_the_value_itself_has_a_name() -> None:
    """Of a place within it the steps are told."""
    assert dotted(()) == "$"
    assert dotted(("a", 0, "b")) == "a.0.b"


@pytest.mark.parametrize("schema", [None, 5, "string", [], {}, {"type": "any"}, {"type": 5}, {"enum": 5}, True])
def test_a_schema_that_says_nothing_allows_everything(schema: object) -> None:
    """What is not sound says nothing."""
    assert Judge(schema).violations({"a": 1}) == ()


def test_a_value_that_is_too_large_or_too_deep_is_not_judged() -> None:
    """Nor one that is no JSON."""
    judge = Judge({"type": "null", "items": {"$ref": "#"}})
    deep: list[object] = []
    for _ in range(5000):
        deep = [deep]
    assert [*map(judge.violations, ("a" * MAX_VALUE, deep, {1, 2}))] == [(), (), ()]
    assert len(judge.violations("a" * (MAX_VALUE - 2))) == 1


def test_not_all_of_very_many_are_found() -> None:
    """Those that are serve as well."""
    assert len(Judge({"items": {"type": "null"}}).violations([1] * 1000)) == MAX_FOUND


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"pattern": "(a+)+$"}, "a" * 40 + "!"),
        ({"pattern": "^(a|aa)+$"}, "a" * 60 + "!"),
        (
            {"patternProperties": {f"^(a|aa)+{n}$": False for n in range(2000)}},
            {"a" * 60 + str(n): 1 for n in range(50)},
        ),
        ({"uniqueItems": True}, [{"a": number} for number in range(60_000)]),
        ({"items": {"enum": list(range(20_000))}}, ["x"] * 200_000),
        ({"unevaluatedProperties": False, "additionalProperties": True}, {str(number): 1 for number in range(60_000)}),
    ],
)
def test_a_judgement_ends_soon(schema: object, value: object) -> None:
    """Also where somebody means it not to."""
    judge, begin = Judge(schema), time.monotonic()
    judge.violations(value)
    assert time.monotonic() - begin < 5


def test_nothing_is_fetched() -> None:
    """A reference to elsewhere says nothing, and neither does a schema that is declared to be of elsewhere."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/schema.json"
        schema = {
            "$schema": url,
            "$id": url,
            "$ref": url,
            "$dynamicRef": f"{url}#a",
            "properties": {"a": {"$ref": f"{url}#/$defs/a"}, "b": {"$schema": url, "$ref": "#/x"}},
            "required": ["c"],
        }
        assert [each.word for each in Judge(schema).violations({"a": 1, "b": 2})] == ["schema:missing:c"]
        server.settimeout(0.1)
        with pytest.raises(TimeoutError):
            server.accept()
