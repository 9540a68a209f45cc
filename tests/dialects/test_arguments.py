"""The arguments of calls as dialects tell of them."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.dialects.arguments import as_object, freeform_input, sound


@pytest.mark.parametrize(
    "arguments", ["{}", '{"a": [1, {"b": null}]}', '{"n": 123456789012345678901234567890}', '{"x": 1.10, "y": "é"}']
)
def test_an_object_stands_as_it_was_written(arguments: str) -> None:
    """No number is rounded."""
    assert orjson.dumps({"input": as_object(arguments)}).decode() == f'{{"input":{arguments}}}'


@pytest.mark.parametrize("arguments", ["", "null", "[1]", '"x"', '{"a":', "plain", "[" * 100_000])
def test_what_is_no_object_is_put_into_one(arguments: str) -> None:
    """So that nothing is lost, and the answer stays JSON."""
    assert json.loads(orjson.dumps(as_object(arguments))) == {"input": arguments}


@given(st.text(st.characters()))
def test_any_text_can_be_written(text: str) -> None:
    """Surrogates included."""
    sound(text).encode()
    assert isinstance(json.loads(orjson.dumps(as_object(text))), dict)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_good_text_is_left_alone(text: str) -> None:
    """And so is that of a freeform call."""
    assert sound(text) == text
    assert freeform_input(json.dumps({"input": text})) == text


@pytest.mark.parametrize("arguments", ["", "plain", '{"other": 1}', '{"input": 7}', "[]"])
def test_a_freeform_call_without_a_text_is_told_whole(arguments: str) -> None:
    """Rather than nothing."""
    assert freeform_input(arguments) == arguments
