"""What POST /v1/chat/completions takes, and the ChatRequest it becomes.

Unknown fields are ignored, as the vendor's own API and every client's odd ones want it. Fields that would change the
answer and cannot be honoured yet are refused: a client must not take prose for a tool call or for JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from app.chat.request import ChatRequest, Effort, Message, Part, Role, TextPart
from app.dialects.attachments import openai_part
from app.dialects.fields import ModelName, StrictBoolean, StrictNumber, loaded, sane_session
from app.errors import AttachmentRefused, InvalidRequest

MAX_MESSAGES = 2000
MAX_TOOLS = 128
NEW_CONVERSATION = "none"
_MAX_TOKENS = 10_000_000
_CONVERSATION_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")

_ROLES = {
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,
    "user": Role.USER,
    "assistant": Role.ASSISTANT,
    "tool": Role.TOOL,
    "function": Role.TOOL,
}

_EFFORTS = {
    "none": Effort.NONE,
    "minimal": Effort.NONE,
    "low": Effort.LOW,
    "medium": Effort.MEDIUM,
    "high": Effort.HIGH,
    "xhigh": Effort.MAX,
    "max": Effort.MAX,
}

# Tuples, because what is looked for in them may be any JSON value, and a set cannot be asked for a list.
_TEXT_PARTS = ("text", "input_text", "output_text", "refusal")
_ATTACHMENTS = ("image_url", "input_image", "file", "input_file", "file_url")
_UNSERVED = ("input_audio", "video_url", "input_video", "audio_url")
_JSON_FORMATS = ("json_object", "json_schema")


@dataclass(frozen=True, slots=True)
class ChatCall:
    """A request with what concerns its answer's form only."""

    request: ChatRequest
    stream: bool
    include_usage: bool


def _messages(value: object) -> None:
    if not isinstance(value, list) or not value:
        raise ValidationError("must be a list with at least one message")
    if len(value) > MAX_MESSAGES:
        raise ValidationError(f"must hold at most {MAX_MESSAGES} messages")


def _tools(value: object) -> None:
    if value is None:
        return
    if not isinstance(value, list) or not all(isinstance(tool, dict) for tool in value):
        raise ValidationError("must be a list of objects")
    if len(value) > MAX_TOOLS:
        raise ValidationError(f"must hold at most {MAX_TOOLS} tools")


def _one(value: object) -> None:
    if value is not None and (isinstance(value, bool) or value != 1):
        raise ValidationError("must be 1: Kimi gives one answer at a time")


def _conversation(value: str) -> None:
    if not _CONVERSATION_ID.fullmatch(value):
        raise ValidationError("must be the id of an earlier answer, or none")


class _StreamOptions(Schema):
    class Meta:
        unknown = EXCLUDE

    include_usage = StrictBoolean(allow_none=True)


class _ChatSchema(Schema):
    class Meta:
        unknown = EXCLUDE

    model = ModelName()
    messages = fields.Raw(required=True, validate=_messages, error_messages={"required": "is missing"})
    stream = StrictBoolean(allow_none=True)
    stream_options = fields.Nested(_StreamOptions, allow_none=True)
    use_search = StrictBoolean(allow_none=True)
    conversation_id = fields.String(allow_none=True, validate=_conversation)
    reasoning_effort = fields.String(
        allow_none=True, validate=validate.OneOf(_EFFORTS, error="must be one of {choices}")
    )
    temperature = StrictNumber(minimum=0, maximum=2)
    top_p = StrictNumber(minimum=0, maximum=1)
    presence_penalty = StrictNumber(minimum=-2, maximum=2)
    frequency_penalty = StrictNumber(minimum=-2, maximum=2)
    max_tokens = StrictNumber(minimum=1, maximum=_MAX_TOKENS, whole=True)
    max_completion_tokens = StrictNumber(minimum=1, maximum=_MAX_TOKENS, whole=True)
    n = fields.Raw(allow_none=True, validate=_one)
    tools = fields.Raw(allow_none=True, validate=_tools)
    tool_choice = fields.Raw(allow_none=True)
    response_format = fields.Raw(allow_none=True)
    prompt_cache_key = fields.Raw(allow_none=True)


_SCHEMA = _ChatSchema()


def chat_call(body: Mapping[str, object], session: str | None = None) -> ChatCall:
    """The call that a body asks for; `session` is the client's name for the conversation from its headers.

    Raises InvalidRequest or AttachmentRefused.
    """
    values = loaded(_SCHEMA, body)
    _refuse_unserved(values)
    conversation = values.get("conversation_id")
    effort = values.get("reasoning_effort")
    search = values.get("use_search")
    options = values.get("stream_options")
    raw = values["messages"]
    request = ChatRequest(
        model=str(values["model"]),
        messages=tuple(_message(item, index) for index, item in enumerate(raw if isinstance(raw, list) else [])),
        use_search=search if isinstance(search, bool) else None,
        effort=_EFFORTS[effort] if isinstance(effort, str) else None,
        conversation_id=str(conversation) if conversation not in {None, NEW_CONVERSATION} else None,
        keep=conversation is not None,
        tools=_offered_tools(values.get("tools")),
        session=session or sane_session(values.get("prompt_cache_key")),
    )
    if not any(message.text.strip() or message.files for message in request.messages):
        raise InvalidRequest("messages must hold some text.", param="messages")
    return ChatCall(
        request=request,
        stream=values.get("stream") is True,
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
    )


def _offered_tools(tools: object) -> tuple[str, ...]:
    """Each tool as canonical JSON: the same list in other words is the same list."""
    if not isinstance(tools, list):
        return ()
    return tuple(json.dumps(tool, sort_keys=True) for tool in tools)  # orjson refuses integers beyond 64 bits


def _refuse_unserved(values: Mapping[str, object]) -> None:
    choice = values.get("tool_choice")
    if choice == "required" or isinstance(choice, dict):
        raise InvalidRequest("tool_choice cannot be forced: tool calls are not served yet.", param="tool_choice")
    form = values.get("response_format")
    if isinstance(form, dict) and form.get("type") in _JSON_FORMATS:
        raise InvalidRequest("response_format is not served yet; ask for JSON in a message.", param="response_format")


def _message(item: object, index: int) -> Message:
    place = f"messages[{index}]"
    if not isinstance(item, dict):
        raise InvalidRequest(f"{place} must be an object.", param=place)
    role = _ROLES.get(item["role"]) if isinstance(item.get("role"), str) else None
    if role is None:
        raise InvalidRequest(f"{place}.role must be one of {', '.join(_ROLES)}.", param=f"{place}.role")
    return Message(role, _parts(item, role, f"{place}.content"))


def _parts(item: Mapping[str, object], role: Role, place: str) -> tuple[Part, ...]:
    content = item.get("content")
    if isinstance(content, str):
        return (TextPart(content),)
    if isinstance(content, list):
        return tuple(_part(part, f"{place}[{index}]") for index, part in enumerate(content))
    if content is None and role is Role.ASSISTANT:
        return ()  # SDKs send an assistant's turn of tool calls without content
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
