"""Fields that the vendors' schemas share."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from marshmallow import Schema, fields

from app.dialects.fields import MAX_MODEL_NAME, ModelName, StrictBoolean, StrictNumber, loaded
from app.errors import InvalidRequest


class Inner(Schema):
    """An object within the object."""

    flag = StrictBoolean()


class Sample(Schema):
    """One field of each kind."""

    flag = StrictBoolean(allow_none=True)
    number = StrictNumber(minimum=-1, maximum=2)
    whole = StrictNumber(minimum=1, maximum=10, whole=True)
    inner = fields.Nested(Inner)
    items = fields.List(fields.Nested(Inner))


class Named(Schema):
    """A model's name."""

    model = ModelName()


def refusal(body: Mapping[str, object], schema: Schema | None = None) -> tuple[str, str | None]:
    """The message and the field that are told."""
    with pytest.raises(InvalidRequest) as caught:
        loaded(schema or Sample(), body)
    assert caught.value.__cause__ is None
    return caught.value.message, caught.value.param


@pytest.mark.parametrize(
    "body",
    [
        {"flag": True},
        {"flag": None},
        {"number": -1},
        {"number": 2.0},
        {"number": 0.5},
        {"number": None},
        {"whole": 1},
        {"whole": 10},
        {"inner": {"flag": False}},
    ],
)
def test_a_right_value_comes_back_as_it_is(body: dict[str, object]) -> None:
    """Nothing is converted."""
    assert loaded(Sample(), body) == body


@pytest.mark.parametrize(
    ("body", "message", "param"),
    [
        ({"flag": 1}, "flag must be true or false", "flag"),
        ({"flag": "true"}, "flag must be true or false", "flag"),
        ({"number": "1"}, "number must be a number", "number"),
        ({"number": True}, "number must be a number", "number"),
        ({"number": [1]}, "number must be a number", "number"),
        ({"number": 2.01}, "number must be a number from -1 to 2", "number"),
        ({"number": -(10**300)}, "number must be a number from -1 to 2", "number"),
        ({"whole": 1.0}, "whole must be an integer", "whole"),
        ({"whole": 0}, "whole must be an integer from 1 to 10", "whole"),
        ({"inner": {"flag": 1}}, "inner.flag must be true or false", "inner.flag"),
        ({"items": [{}, {"flag": 1}]}, "items[1].flag must be true or false", "items[1].flag"),
    ],
)
def test_a_wrong_value_is_told_with_its_path(body: dict[str, object], message: str, param: str) -> None:
    """A client finds it at once."""
    assert refusal(body) == (message, param)


def test_the_message_does_not_repeat_the_value() -> None:
    """It may be what a person wrote."""
    assert "secret" not in refusal({"flag": "secret"})[0]


@pytest.mark.parametrize(
    "name",
    [
        "kimi",
        "gpt-4o",
        "claude-sonnet-4-5",
        "moonshotai/Kimi-K2",
        "a:b@c",
        "模型",
        "kimi (new), [x]",
        "k" * MAX_MODEL_NAME,
    ],
)
def test_any_name_that_looks_like_one_is_taken(name: str) -> None:
    """It is repeated in the answer as it came."""
    assert loaded(Named(), {"model": name}) == {"model": name}


@pytest.mark.parametrize(
    "name", ["", 7, [], " kimi", "-kimi", "a\nb", "<b>", 'a"b', "a\\b", "k" * (MAX_MODEL_NAME + 1), "a\u202eb"]
)
def test_another_name_is_refused(name: object) -> None:
    """It ends up in logs and pages."""
    assert refusal({"model": name}, Named())[1] == "model"


@pytest.mark.parametrize(("body", "message"), [({}, "model is missing"), ({"model": None}, "model must be a string")])
def test_a_name_is_needed(body: dict[str, object], message: str) -> None:
    """There is no default in the vendor's API."""
    assert refusal(body, Named()) == (message, "model")
