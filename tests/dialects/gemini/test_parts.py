"""The parts of a content as Google's clients write them."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest
from google.genai import types

from app.chat.request import (
    FilePart,
    Inline,
    Message,
    Part,
    Remote,
    Role,
    Stored,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from app.dialects.gemini.parts import Said, said
from app.dialects.gemini.spelling import Members
from app.errors import AttachmentRefused, InvalidRequest

PLACE = "contents[1].parts[2]"
DATA = b"\xfb\xff a picture"
PLAIN = base64.b64encode(DATA).decode()
PNG = Inline(DATA, hashlib.sha256(DATA).hexdigest(), "image/png")


def read(**part: object) -> Said | None:
    """What a part with these members says."""
    return said(Members(part, PLACE))


def refused(**part: object) -> InvalidRequest:
    """The error for a part with these members."""
    with pytest.raises(InvalidRequest) as caught:
        read(**part)
    return caught.value


@pytest.mark.parametrize(
    ("part", "text"),
    [
        ({"text": "a"}, "a"),
        ({"text": " \n"}, " \n"),
        ({"text": "a", "thoughtSignature": "c2ln", "thought": False}, "a"),
        ({"executableCode": {"language": "PYTHON", "code": "print(1)"}}, "\n```python\nprint(1)\n```\n"),
        ({"executable_code": {"language": "LANGUAGE_UNSPECIFIED"}}, "\n```\n\n```\n"),
        ({"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}}, "\n```\n1\n```\n"),
    ],
)
def test_text_is_text(part: dict[str, Any], text: str) -> None:
    """Code that Google ran, and what came of it, is text as well."""
    assert read(**part) == TextPart(text)


@pytest.mark.parametrize(
    "part",
    [
        {"text": ""},
        {"text": "", "thoughtSignature": "c2ln"},
        {"thoughtSignature": "c2ln"},
        {"thought_signature": "c2ln"},
        {"thought": True},
        {"toolCall": {"toolType": "GOOGLE_SEARCH_WEB"}},
        {"toolResponse": {}},
    ],
)
def test_what_only_google_s_models_read_says_nothing(part: dict[str, Any]) -> None:
    """And is no fault: their histories are full of it."""
    assert read(**part) is None


@pytest.mark.parametrize("part", [{}, {"text": None}, {"videoMetadata": {"fps": 1}}, {"poem": "a"}])
def test_a_part_of_no_known_kind_is_refused(part: dict[str, Any]) -> None:
    """What it says would be lost."""
    error = refused(**part)
    assert error.param == PLACE
    assert "functionResponse" in error.message


@pytest.mark.parametrize(
    "part",
    [
        {"inlineData": {"mimeType": "image/png", "data": PLAIN}},
        {"inline_data": {"mime_type": "image/png", "data": base64.urlsafe_b64encode(DATA).decode().rstrip("=")}},
    ],
)
def test_bytes_are_an_attachment(part: dict[str, Any]) -> None:
    """In either spelling, and in either alphabet of base64: Google's SDK writes that of URLs."""
    (name,) = part
    assert read(**part) == FilePart(PNG, f"{PLACE}.{name}", image=True)


@pytest.mark.parametrize(
    ("display", "name"), [("plan.pdf", "plan.pdf"), ("my files/plan.pdf", "plan.pdf"), ("..", None), (None, None)]
)
def test_a_label_names_the_file(display: str | None, name: str | None) -> None:
    """As far as it is fit for a name."""
    part = read(inlineData={"mimeType": "application/pdf", "data": PLAIN, "displayName": display})
    assert isinstance(part, FilePart)
    assert [part.name, part.image] == [name, False]


@pytest.mark.parametrize(
    ("uri", "source"),
    [
        ("https://a.example/b.png?signature=x", Remote("https://a.example/b.png?signature=x")),
        ("HTTP://a.example/b", Remote("HTTP://a.example/b")),
        (f"data:image/png;base64,{PLAIN}", PNG),
        ("files/file-1", Stored("file-1")),
        ("file-1", Stored("file-1")),
        ("https://notyoutube.com/watch", Remote("https://notyoutube.com/watch")),
        ("https://youtube.com.example/", Remote("https://youtube.com.example/")),
        ("https://generativelanguage.googleapis.com.example/", Remote("https://generativelanguage.googleapis.com.example/")),
    ],
)  # fmt: skip
@pytest.mark.parametrize("names", [("fileData", "fileUri", "mimeType"), ("file_data", "file_uri", "mime_type")])
def test_a_file_is_behind_a_url_or_uploaded(uri: str, source: Remote | Stored, names: tuple[str, str, str]) -> None:
    """To /v1/files of this gateway."""
    outer, name, kind = names
    assert read(**{outer: {name: uri, kind: "image/png"}}) == FilePart(source, f"{PLACE}.{outer}", image=True)


@pytest.mark.parametrize(
    ("part", "word"),
    [
        ({"fileData": {"fileUri": "https://www.youtube.com/watch?v=1"}}, "YouTube"),
        ({"fileData": {"fileUri": "https://youtu.be/1", "mimeType": "video/mp4"}}, "YouTube"),
        ({"fileData": {"fileUri": "http://m.youtube.com:80/watch"}}, "YouTube"),
        ({"fileData": {"fileUri": "gs://bucket/a.pdf"}}, "files/ID"),
        ({"fileData": {"fileUri": "file:///etc/passwd"}}, "files/ID"),
        ({"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/a"}}, "/v1/files"),
        ({"fileData": {"fileUri": "files/../a"}}, "not the id"),
        ({"fileData": {"fileUri": ""}}, "missing"),
        ({"fileData": {"mimeType": "image/png"}}, "missing"),
        ({"fileData": {"fileUri": "https://a.example/b", "mimeType": "video/mp4"}}, "no sound"),
        ({"inlineData": {"mimeType": "audio/wav", "data": PLAIN}}, "no sound"),
        ({"inlineData": {"mimeType": "image/png"}}, "missing"),
        ({"inlineData": {"mimeType": "image/png", "data": "!"}}, "base64"),
        ({"inlineData": {"mimeType": "image/png", "data": ""}}, "0 bytes"),
    ],
)
def test_what_kimi_cannot_be_shown_is_refused(part: dict[str, Any], word: str) -> None:
    """In words that tell why."""
    error = refused(**part)
    assert [type(error), error.param] == [AttachmentRefused, f"{PLACE}.{next(iter(part))}"]
    assert word in error.message


@pytest.mark.parametrize(
    ("call", "ours"),
    [
        ({"name": "f", "args": {"a": 1}}, ToolCallPart("", "f", '{"a": 1}')),
        ({"id": "call_1", "name": "f", "args": {"a": "世"}}, ToolCallPart("call_1", "f", '{"a": "世"}')),
        ({"name": "f"}, ToolCallPart("", "f", "{}")),
        ({"name": "f", "args": None, "id": None}, ToolCallPart("", "f", "{}")),
    ],
)
@pytest.mark.parametrize("name", ["functionCall", "function_call"])
def test_a_call_is_repeated_with_its_arguments(call: dict[str, Any], ours: ToolCallPart, name: str) -> None:
    """Most have no id."""
    assert read(**{name: call, "thoughtSignature": "skip_thought_signature_validator"}) == ours


def result(*parts: Part, call_id: str | None = None, name: str | None = "f", failed: bool = False) -> Message:
    """The message of a result."""
    return Message(Role.TOOL, (ToolResultPart(call_id, name, failed=failed), *parts))


@pytest.mark.parametrize(
    ("response", "text", "failed"),
    [
        ({"output": "rain"}, "rain", False),
        ({"result": "rain"}, "rain", False),
        ({"result": {"sky": "grey"}}, '{"sky": "grey"}', False),
        ({"result": None}, "null", False),
        ({"content": "rain"}, "rain", False),
        ({"return_value": "rain"}, "rain", False),
        ({"error": "no such city"}, "no such city", True),
        ({"error": {"code": 7}}, '{"code": 7}', True),
        ({"output": "half", "error": "then it broke"}, '{"output": "half", "error": "then it broke"}', True),
        ({"output": "rain", "error": None}, '{"output": "rain", "error": null}', False),
        ({"sky": "世"}, '{"sky": "世"}', False),
        ({"output": "a", "result": "b"}, '{"output": "a", "result": "b"}', False),
        ({"name": "f", "content": "rain"}, "rain", False),
        ({"name": "f", "content": [{"type": "text"}]}, '[{"type": "text"}]', False),
        ({"name": "g", "content": "rain"}, '{"name": "g", "content": "rain"}', False),
        ({"name": "f", "content": "rain", "x": 1}, '{"name": "f", "content": "rain", "x": 1}', False),
        ({}, "{}", False),
        (None, "", False),
        ("rain", "rain", False),
        ([1], "[1]", False),
    ],
)
@pytest.mark.parametrize("name", ["functionResponse", "function_response"])
def test_a_result_is_told_as_text(response: object, text: str, name: str, *, failed: bool) -> None:
    """What stands alone as it is, all else as JSON; whoever speaks of an error has failed.

    @ai-sdk/google (3.0) puts the function's name beside what it said.
    """
    assert read(**{name: {"name": "f", "response": response}}) == result(TextPart(text), failed=failed)


def test_a_result_names_its_call() -> None:
    """By what is told of it."""
    ours = read(functionResponse={"id": "call_1", "name": "", "response": {"output": ""}})
    assert ours == result(TextPart(""), call_id="call_1", name=None)


def test_files_come_with_a_result() -> None:
    """As `parts` of it."""
    parts = [{"inlineData": {"mimeType": "image/png", "data": PLAIN}}, {"file_data": {"file_uri": "files/file-1"}}]
    place = f"{PLACE}.functionResponse.parts"
    assert read(functionResponse={"name": "f", "response": {"output": "a"}, "parts": parts}) == result(
        TextPart("a"),
        FilePart(PNG, f"{place}[0].inlineData", image=True),
        FilePart(Stored("file-1"), f"{place}[1].file_data"),
    )


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"text": 7}, "text"),
        ({"inlineData": "a"}, "inlineData"),
        ({"inlineData": {"data": 7}}, "inlineData.data"),
        ({"inline_data": {"mime_type": 7}}, "inline_data.mime_type"),
        ({"fileData": []}, "fileData"),
        ({"fileData": {"fileUri": 7}}, "fileData.fileUri"),
        ({"functionCall": "f"}, "functionCall"),
        ({"functionCall": {}}, "functionCall.name"),
        ({"functionCall": {"name": 7}}, "functionCall.name"),
        ({"functionCall": {"name": "f", "args": "{}"}}, "functionCall.args"),
        ({"functionCall": {"name": "f", "args": []}}, "functionCall.args"),
        ({"functionCall": {"name": "f", "id": 7}}, "functionCall.id"),
        ({"function_response": 7}, "function_response"),
        ({"functionResponse": {"name": 7}}, "functionResponse.name"),
        ({"functionResponse": {"name": "f", "parts": [7]}}, "functionResponse.parts[0]"),
        ({"functionResponse": {"name": "f", "parts": [{"text": "a"}]}}, "functionResponse.parts[0]"),
        ({"executableCode": 7}, "executableCode"),
        ({"executableCode": {"code": 7}}, "executableCode.code"),
        ({"codeExecutionResult": {"output": 7}}, "codeExecutionResult.output"),
    ],
)
def test_a_part_of_the_wrong_form_is_refused(part: dict[str, Any], param: str) -> None:
    """It is named as the client wrote it."""
    assert refused(**part).param == f"{PLACE}.{param}"


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        (types.Part.from_text(text="a"), TextPart),
        (types.Part.from_bytes(data=DATA, mime_type="image/png"), FilePart),
        (types.Part.from_uri(file_uri="https://a.example/b.pdf", mime_type="application/pdf"), FilePart),
        (types.Part.from_function_call(name="f", args={"a": 1}), ToolCallPart),
        (types.Part.from_function_response(name="f", response={"result": 1}), Message),
        (types.Part.from_executable_code(code="1", language=types.Language.PYTHON), TextPart),
        (types.Part.from_code_execution_result(outcome=types.Outcome.OUTCOME_OK, output="1"), TextPart),
    ],
)
@pytest.mark.parametrize("by_alias", [True, False])
def test_the_parts_of_google_s_sdk_are_read(part: types.Part, kind: type[object], *, by_alias: bool) -> None:
    """In both spellings."""
    assert isinstance(read(**json.loads(part.model_dump_json(exclude_none=True, by_alias=by_alias))), kind)
