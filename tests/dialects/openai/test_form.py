"""What an answer has to look like, as OpenAI's clients ask for it."""

from __future__ import annotations

import json

import pytest

from app.chat.request import JsonFormat
from app.dialects.openai.form import answer_form
from app.errors import InvalidRequest

SCHEMA = {"type": "object", "properties": {"b": {"type": "string", "const": "é"}, "a": {"maximum": 2**70}}}


def described(*, nested: bool, **members: object) -> JsonFormat | None:
    """The form that such a description asks for."""
    inner = {"name": "answer", **members}
    value = {"type": "json_schema", "json_schema": inner} if nested else {"type": "json_schema", **inner}
    return answer_form(value, "form", nested=nested)


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize(
    ("value", "form"), [(None, None), ({"type": "text"}, None), ({"type": "json_object"}, JsonFormat())]
)
def test_a_form_without_a_schema_is_understood(value: object, form: JsonFormat | None, *, nested: bool) -> None:
    """In the same words in both dialects."""
    assert answer_form(value, "form", nested=nested) == form


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize(
    ("members", "strict"),
    [({}, False), ({"strict": None}, False), ({"strict": 1}, False), ({"strict": True}, True)],
)
def test_a_schema_is_passed_on_as_it_is(members: dict[str, object], *, strict: bool, nested: bool) -> None:
    """In its order, and strict only where the client says so."""
    text = json.dumps(SCHEMA, ensure_ascii=False)
    assert described(nested=nested, schema=SCHEMA, **members) == JsonFormat(text, strict=strict)


@pytest.mark.parametrize(("nested", "place"), [(True, "form.json_schema.schema"), (False, "form.schema")])
@pytest.mark.parametrize("members", [{}, {"schema": None}, {"schema": 7}, {"schema": {"type": "nonsense"}}])
def test_what_is_no_schema_is_named(members: dict[str, object], place: str, *, nested: bool) -> None:
    """By the place at which the client wrote it."""
    with pytest.raises(InvalidRequest) as caught:
        described(nested=nested, **members)
    assert caught.value.param == place
    assert caught.value.message.startswith(f"{place} ")


@pytest.mark.parametrize(
    ("value", "param"),
    [
        (7, "form"),
        ("json", "form"),
        ([], "form"),
        ({}, "form.type"),
        ({"type": "xml"}, "form.type"),
        ({"type": []}, "form.type"),
        ({"type": "json_schema"}, "form.json_schema"),
        ({"type": "json_schema", "json_schema": "x"}, "form.json_schema"),
    ],
)
def test_another_form_is_refused(value: object, param: str) -> None:
    """A client must not take prose for JSON."""
    with pytest.raises(InvalidRequest) as caught:
        answer_form(value, "form", nested=True)
    assert caught.value.param == param
