"""Pieces of a history as both of OpenAI's dialects write them."""

from __future__ import annotations

import hashlib
import json

import pytest

from app.chat.request import FilePart, Inline, Part, Remote, Stored, TextPart, ToolCallPart
from app.dialects.openai.parts import content_parts, custom_call, function_call, object_at
from app.errors import AttachmentRefused, InvalidRequest

# --- Contents ----------------------------------------------------------------------------------------------


def parts_of(*parts: object) -> tuple[Part, ...]:
    """The parts of a content that stands at `content`."""
    return content_parts(list(parts), "content")


@pytest.mark.parametrize("text", ["", "a", "data:image/png;base64,QQ=="])
def test_a_content_may_be_a_text(text: str) -> None:
    """It is passed on as it is."""
    assert content_parts(text, "content") == (TextPart(text),)


def test_a_content_may_be_a_list_of_parts() -> None:
    """Of text, under any of its names."""
    assert parts_of(
        {"type": "text", "text": "a"},
        {"type": "input_text", "text": "b"},
        {"type": "output_text", "text": "c", "annotations": [], "logprobs": []},
        {"type": "refusal", "refusal": "d"},
    ) == tuple(TextPart(text) for text in "abcd")


def test_a_content_may_be_missing_where_that_is_usual() -> None:
    """Elsewhere it is named."""
    assert content_parts(None, "content", optional=True) == ()
    assert content_parts([], "content") == ()
    with pytest.raises(InvalidRequest) as caught:
        content_parts(None, "content")
    assert caught.value.param == "content"


@pytest.mark.parametrize(
    ("content", "param"),
    [
        (7, "content"),
        (True, "content"),
        ({"a": 1}, "content"),
        ([{"a": 1}], "content[0].type"),
        (["a"], "content[0].type"),
        ([None], "content[0].type"),
        ([[]], "content[0].type"),
        ([{"type": []}], "content[0].type"),
        ([{"type": {}}], "content[0].type"),
        ([{"type": "text"}], "content[0].text"),
        ([{"type": "text", "text": 1}], "content[0].text"),
        ([{"type": "text", "text": "a"}, {"type": "refusal", "refusal": None}], "content[1].text"),
    ],
)
def test_what_is_wrong_is_named(content: object, param: str) -> None:
    """In `param` and in the message."""
    with pytest.raises(InvalidRequest) as caught:
        content_parts(content, "content", optional=True)
    assert caught.value.param == param
    assert caught.value.message.startswith(param.removesuffix(".type"))


def test_images_and_files_stand_among_the_text() -> None:
    """In their order, each with its place."""
    assert parts_of(
        {"type": "text", "text": "Compare"},
        {"type": "image_url", "image_url": {"url": "https://a.example/a.png"}},
        {"type": "text", "text": "with"},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "input_file", "file_data": "QQ==", "filename": "a.txt"},
        {"type": "file", "file_url": {"url": "https://a.example/a.pdf"}},
        {"type": "input_image", "image_url": "data:image/png;base64,QQ==", "detail": "low"},
        {"type": "input_image", "file_id": "file-2", "image_url": None},
    ) == (
        TextPart("Compare"),
        FilePart(Remote("https://a.example/a.png"), "content[1]", image=True),
        TextPart("with"),
        FilePart(Stored("file-1"), "content[3]"),
        FilePart(Inline(b"A", hashlib.sha256(b"A").hexdigest()), "content[4]", name="a.txt"),
        FilePart(Remote("https://a.example/a.pdf"), "content[5]"),
        FilePart(Inline(b"A", hashlib.sha256(b"A").hexdigest(), "image/png"), "content[6]", image=True),
        FilePart(Stored("file-2"), "content[7]", image=True),
    )


@pytest.mark.parametrize("kind", ["image_url", "input_image", "file", "input_file", "file_url"])
def test_an_attachment_without_its_content_is_refused_as_such(kind: str) -> None:
    """A model must not answer as if it had seen it."""
    for index in (0, 1):
        with pytest.raises(AttachmentRefused) as caught:
            parts_of(*[{"type": "text", "text": "a"}] * index, {"type": kind})
        assert caught.value.param == f"content[{index}]"


@pytest.mark.parametrize("kind", ["input_audio", "audio_url", "video_url", "input_video"])
def test_sound_and_video_are_refused_as_such(kind: str) -> None:
    """Kimi has no ears."""
    part = {"type": kind, kind: {"data": "QQ==", "format": "wav", "url": "https://a.example/a"}}
    with pytest.raises(AttachmentRefused) as caught:
        parts_of({"type": "text", "text": "a"}, part)
    assert caught.value.param == "content[1]"
    assert "no sound and no video" in caught.value.message


@pytest.mark.parametrize("kind", ["", "image", "IMAGE_URL", "document", "text ", "image_url\x00"])
def test_a_part_of_an_unknown_type_is_named(kind: str) -> None:
    """It is not passed over: it may be what the question is about."""
    with pytest.raises(InvalidRequest) as caught:
        parts_of({"type": kind, "image_url": {"url": "https://a.example/a.png"}})
    assert caught.value.param == "content[0].type"


# --- Calls -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"arguments": ""}, ""),
        ({"arguments": "not JSON"}, "not JSON"),
        ({"arguments": '{"b":1,"a":"é"}'}, '{"b":1,"a":"é"}'),
        ({"arguments": {"b": 1, "a": "é"}}, '{"b": 1, "a": "é"}'),
        ({"arguments": {}}, "{}"),
        ({"arguments": None}, "{}"),
        ({}, "{}"),
    ],
)
def test_arguments_are_text(arguments: dict[str, object], text: str) -> None:
    """As the client gives them; some give an object."""
    assert function_call("1", {"name": "f", **arguments}, "call") == ToolCallPart("1", "f", text)


@pytest.mark.parametrize(("text", "input_"), [('a\n"é', {"input": 'a\n"é'}), ("", {}), ("", {"input": None})])
def test_a_custom_call_has_its_text_as_input(text: str, input_: dict[str, object]) -> None:
    """As the model was asked to write it."""
    call = custom_call("1", {"name": "patch", **input_}, "call")
    assert call == ToolCallPart("1", "patch", call.arguments, freeform=True)
    assert json.loads(call.arguments) == {"input": text}
    assert "\\u" not in call.arguments


@pytest.mark.parametrize(
    ("read", "fields", "param"),
    [
        (function_call, {}, "call.name"),
        (function_call, {"name": ""}, "call.name"),
        (function_call, {"name": 7}, "call.name"),
        (function_call, {"name": "f", "arguments": 7}, "call.arguments"),
        (function_call, {"name": "f", "arguments": []}, "call.arguments"),
        (custom_call, {"input": "a"}, "call.name"),
        (custom_call, {"name": "f", "input": {}}, "call.input"),
        (custom_call, {"name": "f", "input": ["a"]}, "call.input"),
    ],
)
def test_what_is_no_call_is_named(read: object, fields: dict[str, object], param: str) -> None:
    """By its place."""
    assert callable(read)
    with pytest.raises(InvalidRequest) as caught:
        read("1", fields, "call")
    assert caught.value.param == param
    assert caught.value.message.startswith(f"{param} ")


@pytest.mark.parametrize("value", [None, 7, "a", [], [{}], True])
def test_what_has_to_be_an_object_is_one(value: object) -> None:
    """It is named where it is not."""
    assert object_at({"a": 1}, "place") == {"a": 1}
    with pytest.raises(InvalidRequest) as caught:
        object_at(value, "place")
    assert [caught.value.param, caught.value.message] == ["place", "place must be an object."]
