"""The JSON values in an answer that was to be one and nothing else."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.toolcalls.values import MAX_STARTS, Brackets, values_in
from tests.toolcalls.strange import VALUES


def found(text: str) -> list[object]:
    """The values in a text."""
    values = [*values_in(text)]
    assert [json.loads(value.text) for value in values] == [value.value for value in values]
    return [value.value for value in values]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('{"a": 1}', [{"a": 1}]),
        (" [1, 2] ", [[1, 2]]),
        ("42", [42]),
        ('"a"', ["a"]),
        ("null", [None]),
        ('{"a": [1, 2,]}', [{"a": [1, 2]}]),
        ("", []),
        ("Hello.", []),
        ("So it is 42.", []),
        ('So: {"a": 1}.', [{"a": 1}]),
        ('{"a": 1} or [2]?', [{"a": 1}, [2]]),
        ("Well [1] {} [one]", [[1], {}]),
        ("```\n42\n```", [42]),
        ("So:\n~~~\n42\n~~~", []),
        ('```json\n{"a": 1}\n```', [{"a": 1}, {"a": 1}]),
        ('```json\n{"a": 1}\n``` or ```\n[]\n```', [{"a": 1}, [], {"a": 1}, []]),
    ],
)
def test_values_are_found_in_their_order(text: str, values: list[object]) -> None:
    """All of it, what stands in fences, and what has brackets around it."""
    assert found(text) == values


@pytest.mark.parametrize(
    "text",
    [
        '{"a": {"b": 1}, "c": ',
        '{"a": {"b": 1}, "c": oops}',
        "{'a': {\"b\": 1}}",
        '[one, {"b": 1}]',
        '[{"b": 1}',
        '{{"b": 1}}',
    ],
)
def test_a_part_of_a_broken_value_is_none(text: str) -> None:
    """The rest of it would be lost."""
    assert found(text) == []
    assert found(f"So: {text}") == []


def test_what_follows_a_broken_value_is_one() -> None:
    """The model has begun anew."""
    assert found('{"a": oops} No: {"a": 1}') == [{"a": 1}]


def test_values_are_looked_for_at_some_places_only() -> None:
    """A text full of brackets is read in a moment."""
    assert found(f"{'[x] ' * (MAX_STARTS - 1)}[1]") == [[1]]
    assert found(f"{'[x] ' * MAX_STARTS}[1]") == []


@pytest.mark.parametrize("piece", ["[", "{", "[x] ", '{"a": ', "```\n", "```json\n{\n", '"', "\\"])
def test_a_long_answer_is_looked_through_in_a_moment(piece: str) -> None:
    """Whatever it holds."""
    began = time.process_time()
    found(f"So: {piece * (400_000 // len(piece))}")
    assert time.process_time() - began < 10


@given(VALUES.filter(lambda value: isinstance(value, dict | list)), st.sampled_from(["", "So: ", "\n", "{so} "]))
def test_a_value_is_found_as_it_was_meant(value: object, before: str) -> None:
    """Behind any words, and before any."""
    assert found(f"{before}{json.dumps(value)} So.")[:1] == [value]


@given(st.text(alphabet='{}[]"`\n ,:1ax\\', max_size=40))
def test_any_text_may_be_looked_through(text: str) -> None:
    """What is found is JSON."""
    found(text)


@pytest.mark.parametrize(
    ("pieces", "between"),
    [
        ([""], False),
        (["{so}"], False),
        (["{", "so", "}"], False),
        (["[so"], True),
        (["}", "{", "{"], True),
        (["}"], False),
    ],
)
def test_it_is_known_whether_a_text_ends_between_brackets(pieces: list[str], *, between: bool) -> None:
    """As far as counting them goes."""
    brackets = Brackets()
    for piece in pieces:
        brackets.read(piece)
    assert brackets.any is between
