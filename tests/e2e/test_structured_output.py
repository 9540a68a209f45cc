"""JSON answers, stop sequences and limits through the real gateway."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai import InternalServerError
from pydantic import BaseModel

from tests.e2e.support import Door

pytestmark = pytest.mark.e2e

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
FORM = {"type": "json_schema", "json_schema": {"name": "forecast", "schema": SCHEMA, "strict": True}}
OBJECT = {"type": "json_object"}
GOOD = {"city": "Oslo", "days": 2}


class Forecast(BaseModel):
    """What the SDK parses."""

    city: str
    days: int


def content_of(door: Door, **fields: object) -> str:
    """The text of a whole answer."""
    text: str = door.whole(**fields).json()["choices"][0]["message"]["content"]
    return text


@pytest.mark.parametrize("form", [FORM, OBJECT], ids=["schema", "object"])
@pytest.mark.parametrize("around", ["{}", "```json\n{}\n```", "Here it is:\n\n{}\n\nAnything else?"])
def test_the_json_comes_alone(door: Door, form: object, around: str) -> None:
    """Whatever the model puts around it."""
    door.guest.plan({"text": around.replace("{}", json.dumps(GOOD))})
    assert json.loads(content_of(door, response_format=form)) == GOOD


def test_the_sdk_parses_its_own_types(door: Door) -> None:
    """`parse` sends a strict schema."""
    door.guest.plan({"text": json.dumps(GOOD)})
    parsed = door.client.chat.completions.parse(
        model="kimi", messages=[{"role": "user", "content": "?"}], response_format=Forecast
    )
    assert parsed.choices[0].message.parsed == Forecast(city="Oslo", days=2)


def test_json_that_does_not_fit_is_asked_for_again(native: Door) -> None:
    """In the same conversation, with what is wrong."""
    native.guest.plan({"text": '{"city": "Oslo"}'}, {"text": json.dumps(GOOD)})
    assert json.loads(content_of(native, response_format=FORM)) == GOOD
    _, question = native.guest.asked_texts()
    assert "days" in question
    assert len(native.guest.chats()) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_json_that_never_fits_is_an_error(door: Door, *, stream: bool) -> None:
    """After three tries; never invalid JSON with status 200."""
    door.guest.plan({"text": '{"city": 1}'}, repeat=True)
    with pytest.raises(InternalServerError) as caught:
        list(door.client.chat.completions.create(**asking(FORM, stream=stream)))
    assert caught.value.code == "structured_output_failed"
    assert len(door.guest.completions()) == 3
    assert door.guest.all_deleted()


def asking(form: object, **fields: object) -> dict[str, Any]:
    """The arguments of the SDK's call."""
    return {"model": "kimi", "messages": [{"role": "user", "content": "?"}], "response_format": form, **fields}


def test_an_object_is_streamed_as_it_is_written(connect: Door) -> None:
    """It does not wait for its end."""
    value = {"text": "word " * 200, "list": [1, 2]}
    connect.guest.plan({"text": f"Sure!\n```json\n{json.dumps(value, indent=1)}\n```", "delay": 0.001})
    with connect.client.chat.completions.create(**asking(OBJECT, stream=True)) as chunks:
        pieces = [choice.delta.content for chunk in chunks for choice in chunk.choices if choice.delta.content]
    assert len(pieces) > 10
    assert json.loads("".join(pieces)) == value


def test_a_schema_that_is_none_is_refused(door: Door) -> None:
    """Before anything is sent."""
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "nonsense"}}}
    reply = door.whole(response_format=form)
    assert [reply.status, reply.json()["error"]["param"]] == [400, "response_format.json_schema.schema"]
    assert door.guest.completions() == []


@pytest.mark.parametrize("stream", [False, True])
def test_a_stop_sequence_ends_the_answer_before_it(connect: Door, *, stream: bool) -> None:
    """Exactly there; what Kimi would add is stopped and its conversation deleted."""
    connect.guest.plan({"text": "one two STOP three " * 50, "piece": 3, "delay": 0.01})
    fields: dict[str, Any] = {"model": "kimi", "messages": [{"role": "user", "content": "?"}], "stop": ["STOP", "zero"]}
    if stream:
        with connect.client.chat.completions.create(**fields, stream=True) as chunks:
            choices = [choice for chunk in chunks for choice in chunk.choices]
        text, reason = "".join(choice.delta.content or "" for choice in choices), choices[-1].finish_reason
    else:
        choice = connect.client.chat.completions.create(**fields).choices[0]
        text, reason = choice.message.content, choice.finish_reason
    assert [text, reason] == ["one two ", "stop"]
    assert connect.guest.all_deleted()
    assert connect.guest.chats()[0]["cancelled"]


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_a_limit_ends_the_answer(connect: Door, field: str) -> None:
    """With the reason length, and about so many tokens."""
    connect.guest.plan({"text": "word " * 500, "piece": 7, "delay": 0.002})
    answer = connect.whole(**{field: 20}).json()
    choice = answer["choices"][0]
    assert choice["finish_reason"] == "length"
    assert 15 <= answer["usage"]["completion_tokens"] <= 21
    assert "word word" in choice["message"]["content"]
    assert connect.guest.all_deleted()


def test_a_probe_gets_its_one_token(door: Door) -> None:
    """Clients ask so whether a key is good."""
    door.guest.plan({"text": "Hello there, how are you?"})
    choice = door.whole(max_tokens=1).json()["choices"][0]
    assert [choice["message"]["content"], choice["finish_reason"]] == ["Hello ", "length"]


def test_json_that_is_too_long_is_an_error(door: Door) -> None:
    """It would not be JSON."""
    door.guest.plan({"text": json.dumps({"text": "word " * 300})})
    reply = door.whole(response_format=OBJECT, max_tokens=10)
    error = reply.json()["error"]
    assert [reply.status, error["code"], error["param"]] == [502, "structured_output_failed", None]
    assert "limit of tokens" in error["message"]
