"""What the keywords say that were written anew."""

from __future__ import annotations

import time

import pytest

from app.toolcalls.keywords import KEYWORDS, MAX_MESSAGE, MAX_STEPS, MAX_UNEVALUATED, Run, SpentError
from app.toolcalls.validation import Judge
from app.toolcalls.vocabulary import APPLICATORS, ASSERTIONS, NEVER, Linked

READ_BY_OTHERS = {"then", "else", "minContains", "maxContains"}
EVIL = "^(a|aa)+$"
LONG = "a" * 60 + "!"


def found(schema: object, value: object) -> list[tuple[str, tuple[str | int, ...]]]:
    """Keywords and places of what is wrong."""
    return [(violation.keyword, violation.path) for violation in Judge(schema).violations(value)]


def test_every_keyword_of_the_table_is_judged_by() -> None:
    """By itself, or as a part of another."""
    assert {*KEYWORDS} == {"$ref", *NEVER, *ASSERTIONS, *APPLICATORS} - READ_BY_OTHERS


@pytest.mark.parametrize(
    ("schema", "value", "wrong"),
    [
        ({"required": ["a", "b"]}, {"a": 1}, [("required", ())]),
        ({"required": ["a"]}, [], []),
        ({"properties": {"a": False}}, {"a": 1}, [("false", ("a",))]),
        ({"prefixItems": [False]}, [1], [("false", (0,))]),
        ({"items": False}, [1], [("items", ())]),
        ({"contains": False}, [1], [("contains", ())]),
        ({"not": False}, 1, []),
        ({"pattern": "^a"}, "b", [("pattern", ())]),
        ({"pattern": "^a"}, 5, []),
        ({"pattern": "("}, "b", []),
        ({"pattern": EVIL}, LONG, []),
        ({"patternProperties": {"^a": {"type": "string"}}}, {"a": 1, "b": 1}, [("type", ("a",))]),
        ({"patternProperties": {"(": False, EVIL: False}}, {LONG: 1}, []),
        ({"additionalProperties": False}, {"a": 1}, [("additionalProperties", ())]),
        ({"additionalProperties": False, "properties": {"a": True}}, {"a": 1}, []),
        ({"additionalProperties": False, "patternProperties": {"^a": True}}, {"ab": 1}, []),
        ({"additionalProperties": False, "patternProperties": {"^a": True}}, {"b": 1}, [("additionalProperties", ())]),
        ({"additionalProperties": False, "patternProperties": {EVIL: True}}, {LONG: 1}, []),
        ({"additionalProperties": {"type": "null"}, "properties": {"a": True}}, {"a": 1, "b": 1}, [("type", ("b",))]),
        ({"additionalProperties": True}, {"a": 1}, []),
        ({"additionalProperties": False}, [1], []),
        ({"multipleOf": 0.01}, 19.99, []),
        ({"multipleOf": 0.01}, 19.999, [("multipleOf", ())]),
        ({"multipleOf": 3}, 4, [("multipleOf", ())]),
        ({"multipleOf": 3}, True, []),
        ({"multipleOf": 1e-300}, 1e300, []),
        ({"uniqueItems": True}, [1, 1.0], [("uniqueItems", ())]),
        ({"uniqueItems": True}, [{"a": [1], "b": 2}, {"b": 2.0, "a": [1]}], [("uniqueItems", ())]),
        ({"uniqueItems": True}, [1, True, "1", None, [1], {"1": 1}], []),
        ({"uniqueItems": False}, [1, 1], []),
        ({"unevaluatedProperties": False, "allOf": [{"properties": {"a": True}}]}, {"a": 1}, []),
        ({"unevaluatedProperties": False}, {"a": 1}, [("unevaluatedProperties", ())]),
        ({"unevaluatedProperties": False, "patternProperties": {"^(a|aa)+$": True}}, {LONG: 1}, []),
        ({"unevaluatedItems": False, "prefixItems": [True]}, [1, 2], [("unevaluatedItems", ())]),
        ({"unevaluatedItems": False}, [1] * (MAX_UNEVALUATED + 1), []),
    ],
)
def test_what_a_keyword_allows(schema: object, value: object, wrong: list[tuple[str, tuple[str | int, ...]]]) -> None:
    """What cannot be told is allowed."""
    assert found(schema, value) == wrong


@pytest.mark.parametrize(
    ("schema", "value", "wrong"),
    [
        ({"$ref": "#"}, 5, []),
        ({"$ref": "#", "type": "string"}, 5, [("type", ())]),
        ({"anyOf": [{"$ref": "#"}, {"type": "string"}], "type": "string"}, 5, [("type", ())]),
        ({"properties": {"a": {"$ref": "#"}}, "type": "object"}, {"a": {"a": 5}}, [("type", ("a", "a"))]),
        ({"items": {"$ref": "#"}, "maxItems": 1}, [[[], [1, 2]]], [("maxItems", (0,)), ("maxItems", (0, 1))]),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}, 5, []),
    ],
)
def test_a_reference_that_leads_back_ends(
    schema: object, value: object, wrong: list[tuple[str, tuple[str | int, ...]]]
) -> None:
    """It says the same of the same value; of what is within it goes on."""
    assert found(schema, value) == wrong


def test_a_message_is_short() -> None:
    """Also where it quotes much."""
    (violation,) = Judge({"const": "b" * 1000}).violations("a" * 100_000)
    assert len(violation.message) == MAX_MESSAGE


def test_a_judgement_has_so_many_steps() -> None:
    """One more ends it."""
    run = Run(Linked(True))  # noqa: FBT003 # the shortest schema
    for _ in range(MAX_STEPS):
        run.step()
    with pytest.raises(SpentError):
        run.step()


def test_a_judgement_has_so_much_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """One pause is forgiven, several slow steps are not."""
    clock = iter([0.0, 60.0, 60.1, 60.3, 60.5, 60.7, 60.9])
    monkeypatch.setattr(time, "thread_time", lambda: next(clock))
    run = Run(Linked(True))  # noqa: FBT003 # the shortest schema
    for _ in range(4):
        run.step()
    with pytest.raises(SpentError):
        run.step()


def test_an_explosion_ends() -> None:
    """Each step of it doubles what there is to do."""
    names = {str(number): {"anyOf": [{"$ref": f"#/$defs/{number + 1}"}] * 2} for number in range(40)}
    begin = time.monotonic()
    assert found({"$ref": "#/$defs/0", "$defs": {**names, "40": {"type": "string"}}}, {}) == []
    assert time.monotonic() - begin < 5
