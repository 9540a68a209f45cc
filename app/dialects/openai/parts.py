"""Pieces of a history as both of OpenAI's dialects write them: the parts of a content, the calls of tools."""

from __future__ import annotations

import json
from collections.abc import Mapping

from app.chat.request import Part, TextPart, ToolCallPart
from app.dialects.attachments import openai_part
from app.errors import AttachmentRefused, InvalidRequest

# Tuples, because what is looked for in them may be any JSON value, and a set cannot be asked for a list.
_TEXT_PARTS = ("text", "input_text", "output_text", "refusal")
_ATTACHMENTS = ("image_url", "input_image", "file", "input_file", "file_url")
_UNSERVED = ("input_audio", "video_url", "input_video", "audio_url")


def content_parts(content: object, place: str, *, optional: bool = False) -> tuple[Part, ...]:
    """The parts of a content: one text, or a list. With `optional` there may be none.

    Raises InvalidRequest or AttachmentRefused.
    """
    if isinstance(content, str):
        return (TextPart(content),)
    if isinstance(content, list):
        return tuple(_part(part, f"{place}[{index}]") for index, part in enumerate(content))
    if content is None and optional:
        return ()
    raise InvalidRequest(f"{place} must be a string or a list of parts.", param=place)


def function_call(call_id: str, function: Mapping[str, object], place: str) -> ToolCallPart:
    """A call of a function, of which `function` tells name and arguments. Raises InvalidRequest."""
    name, arguments = _name(function, place), function.get("arguments")
    if arguments is None:
        arguments = "{}"
    if isinstance(arguments, dict):
        arguments = json.dumps(arguments, ensure_ascii=False)
    if not isinstance(arguments, str):
        raise InvalidRequest(f"{place}.arguments must be a string.", param=f"{place}.arguments")
    return ToolCallPart(call_id, name, arguments)


def custom_call(call_id: str, custom: Mapping[str, object], place: str) -> ToolCallPart:
    """A call of a custom tool, of which `custom` tells name and input. Raises InvalidRequest."""
    name, text = _name(custom, place), custom.get("input")
    if text is None:
        text = ""
    if not isinstance(text, str):
        raise InvalidRequest(f"{place}.input must be a string.", param=f"{place}.input")
    return ToolCallPart(call_id, name, json.dumps({"input": text}, ensure_ascii=False), freeform=True)


def object_at(value: object, place: str) -> Mapping[str, object]:
    """A value that has to be an object. Raises InvalidRequest."""
    if not isinstance(value, dict):
        raise InvalidRequest(f"{place} must be an object.", param=place)
    return value


def _part(part: object, place: str) -> Part:
    kind = part.get("type") if isinstance(part, dict) else None
    if isinstance(part, dict) and kind in _TEXT_PARTS:
        text = part.get("text", part.get("refusal"))
        if isinstance(text, str):
            return TextPart(text)
        raise InvalidRequest(f"{place}.text must be a string.", param=f"{place}.text")
    if isinstance(part, dict) and kind in _ATTACHMENTS:
        return openai_part(part, place)
    if kind in _UNSERVED:
        raise AttachmentRefused("Kimi takes images and documents, no sound and no video.", param=place)
    raise InvalidRequest(f"{place} must be an object with a known type.", param=f"{place}.type")


def _name(called: Mapping[str, object], place: str) -> str:
    name = called.get("name")
    if not isinstance(name, str) or not name:
        raise InvalidRequest(f"{place}.name must be the name of a tool.", param=f"{place}.name")
    return name
