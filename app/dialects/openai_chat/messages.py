"""One message of a request as OpenAI's clients write it, made a Message.

What an assistant said beside its text (`reasoning_content`, `refusal`, `audio`) is not sent again, so it is ignored;
the calls that it made are not: without them the results that follow have no question.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from app.chat.request import Message, Part, Role, TextPart, ToolCallPart, ToolResultPart
from app.dialects.attachments import openai_part
from app.errors import AttachmentRefused, InvalidRequest

_ROLES = {
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,
    "user": Role.USER,
    "assistant": Role.ASSISTANT,
    "tool": Role.TOOL,
    "function": Role.TOOL,
}

# Tuples, because what is looked for in them may be any JSON value, and a set cannot be asked for a list.
_TEXT_PARTS = ("text", "input_text", "output_text", "refusal")
_ATTACHMENTS = ("image_url", "input_image", "file", "input_file", "file_url")
_UNSERVED = ("input_audio", "video_url", "input_video", "audio_url")


def as_message(item: object, index: int) -> Message:
    """The message at `index` of the list. Raises InvalidRequest or AttachmentRefused."""
    place = f"messages[{index}]"
    fields = _object(item, place)
    name = fields.get("role")
    role = _ROLES.get(name) if isinstance(name, str) else None
    if role is None:
        raise InvalidRequest(f"{place}.role must be one of {', '.join(_ROLES)}.", param=f"{place}.role")
    content = _content(fields.get("content"), role, f"{place}.content")
    if role is Role.ASSISTANT:
        return Message(role, (*content, *_calls(fields, place)))
    if role is Role.TOOL:
        return Message(role, (_result(fields), *content))
    return Message(role, content)


def _content(content: object, role: Role, place: str) -> tuple[Part, ...]:
    if isinstance(content, str):
        return (TextPart(content),)
    if isinstance(content, list):
        return tuple(_part(part, f"{place}[{index}]") for index, part in enumerate(content))
    if content is None and role in {Role.ASSISTANT, Role.TOOL}:
        return ()  # SDKs send an assistant's turn of calls without content, and some a result that is empty
    raise InvalidRequest(f"{place} must be a string or a list of parts.", param=place)


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


def _result(item: Mapping[str, object]) -> ToolResultPart:
    """Which call a message answers; one of the old role `function` tells only the name."""
    call_id = None if item["role"] == "function" else item.get("tool_call_id")
    name = item.get("name")
    return ToolResultPart(
        call_id=call_id if isinstance(call_id, str) and call_id else None,
        name=name if isinstance(name, str) and name else None,
    )


def _calls(item: Mapping[str, object], place: str) -> Iterator[ToolCallPart]:
    """The calls of an assistant's message; `function_call` of old clients where there are no `tool_calls`."""
    calls, old = item.get("tool_calls"), item.get("function_call")
    if calls is not None and not isinstance(calls, list):
        raise InvalidRequest(f"{place}.tool_calls must be a list.", param=f"{place}.tool_calls")
    for index, call in enumerate(calls or []):
        yield _call(call, f"{place}.tool_calls[{index}]")
    if old is not None and not calls:
        place = f"{place}.function_call"
        yield _function("", _object(old, place), place)


def _call(item: object, place: str) -> ToolCallPart:
    call = _object(item, place)
    call_id, kind = call.get("id"), "custom" if call.get("type") == "custom" else "function"
    place = f"{place}.{kind}"
    part = _custom if kind == "custom" else _function
    return part(call_id if isinstance(call_id, str) else "", _object(call.get(kind), place), place)


def _function(call_id: str, function: Mapping[str, object], place: str) -> ToolCallPart:
    name, arguments = _name(function, place), function.get("arguments")
    if arguments is None:
        arguments = "{}"
    if isinstance(arguments, dict):
        arguments = json.dumps(arguments, ensure_ascii=False)
    if not isinstance(arguments, str):
        raise InvalidRequest(f"{place}.arguments must be a string.", param=f"{place}.arguments")
    return ToolCallPart(call_id, name, arguments)


def _custom(call_id: str, custom: Mapping[str, object], place: str) -> ToolCallPart:
    name, text = _name(custom, place), custom.get("input")
    if text is None:
        text = ""
    if not isinstance(text, str):
        raise InvalidRequest(f"{place}.input must be a string.", param=f"{place}.input")
    return ToolCallPart(call_id, name, json.dumps({"input": text}, ensure_ascii=False), freeform=True)


def _name(called: Mapping[str, object], place: str) -> str:
    name = called.get("name")
    if not isinstance(name, str) or not name:
        raise InvalidRequest(f"{place}.name must be the name of a tool.", param=f"{place}.name")
    return name


def _object(value: object, place: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise InvalidRequest(f"{place} must be an object.", param=place)
    return value
