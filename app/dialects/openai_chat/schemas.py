"""What POST /v1/chat/completions takes, and the ChatRequest it becomes.

Unknown fields are ignored, as the vendor's own API and every client's odd ones want it. A field that would change the
answer and cannot be understood is refused: a client must not take prose for a tool call or for JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from app.chat.request import ChatRequest, Effort, JsonFormat, Message
from app.dialects.fields import ModelName, StrictBoolean, StrictNumber, loaded, sane_session
from app.dialects.openai_chat.messages import as_message
from app.dialects.openai_chat.tools import Offer, offered
from app.errors import InvalidRequest

MAX_MESSAGES = 2000
MAX_TOOLS = 128
MAX_STOPS = 16
MAX_STOP_LENGTH = 1000
NEW_CONVERSATION = "none"
_MAX_TOKENS = 10_000_000
_CONVERSATION_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")

_EFFORTS = {
    "none": Effort.NONE,
    "minimal": Effort.NONE,
    "low": Effort.LOW,
    "medium": Effort.MEDIUM,
    "high": Effort.HIGH,
    "xhigh": Effort.MAX,
    "max": Effort.MAX,
}


@dataclass(frozen=True, slots=True)
class ChatCall:
    """A request with what concerns its answer's form only.

    `legacy_functions` says that the client offered its tools as `functions`, and knows calls as they were told of then.
    """

    request: ChatRequest
    stream: bool
    include_usage: bool
    legacy_functions: bool = False


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
    stop = fields.Raw(allow_none=True)
    tools = fields.Raw(allow_none=True, validate=_tools)
    tool_choice = fields.Raw(allow_none=True)
    parallel_tool_calls = StrictBoolean(allow_none=True)
    functions = fields.Raw(allow_none=True, validate=_tools)
    function_call = fields.Raw(allow_none=True)
    response_format = fields.Raw(allow_none=True)
    prompt_cache_key = fields.Raw(allow_none=True)


_SCHEMA = _ChatSchema()


def chat_call(body: Mapping[str, object], session: str | None = None) -> ChatCall:
    """The call that a body asks for; `session` is the client's name for the conversation from its headers.

    Raises InvalidRequest or AttachmentRefused.
    """
    values = loaded(_SCHEMA, body)
    conversation = values.get("conversation_id")
    effort = values.get("reasoning_effort")
    options = values.get("stream_options")
    offer = offered(values)
    raw = values["messages"]
    request = ChatRequest(
        model=str(values["model"]),
        messages=tuple(as_message(item, index) for index, item in enumerate(raw if isinstance(raw, list) else [])),
        use_search=_search(values.get("use_search"), offer),
        effort=_EFFORTS[effort] if isinstance(effort, str) else None,
        conversation_id=str(conversation) if conversation not in {None, NEW_CONVERSATION} else None,
        keep=conversation is not None,
        session=session or sane_session(values.get("prompt_cache_key")),
        tools=offer.use,
        form=_form(values.get("response_format")),
        stop=_stop(values.get("stop")),
        max_tokens=_limit(values),
    )
    if not any(map(_says_something, request.messages)):
        raise InvalidRequest("messages must hold some text.", param="messages")
    return ChatCall(
        request=request,
        stream=values.get("stream") is True,
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
        legacy_functions=offer.legacy,
    )


def _says_something(message: Message) -> bool:
    """Whether there is anything in a message; the result of a call may be empty, and is one all the same."""
    return bool(message.text.strip() or message.files or message.calls or message.answers)


def _search(asked: object, offer: Offer) -> bool | None:
    """Whether to search; a search among the tools asks for it where the request's own field says nothing."""
    if isinstance(asked, bool):
        return asked
    return True if offer.searches else None


def _limit(values: Mapping[str, object]) -> int | None:
    """How long the answer may be; the vendor's newer name for it wins over the older."""
    limits = (values.get("max_completion_tokens"), values.get("max_tokens"))
    return next((limit for limit in limits if isinstance(limit, int)), None)


def _stop(value: object) -> tuple[str, ...]:
    """The texts before which the answer ends, each once."""
    if value is None:
        return ()
    if isinstance(value, str):
        return (_stop_sequence(value, "stop"),)
    if not isinstance(value, list) or len(value) > MAX_STOPS:
        raise InvalidRequest(f"stop must be a string or a list of at most {MAX_STOPS} strings.", param="stop")
    return tuple(dict.fromkeys(_stop_sequence(text, f"stop[{index}]") for index, text in enumerate(value)))


def _stop_sequence(value: object, place: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_STOP_LENGTH:
        raise InvalidRequest(f"{place} must be a string of 1 to {MAX_STOP_LENGTH} characters.", param=place)
    return value


def _form(value: object) -> JsonFormat | None:
    """What the answer has to look like; `strict` counts only where it is true, as in the vendor's own API."""
    place = "response_format"
    if value is None:
        return None
    if not isinstance(value, dict):
        raise InvalidRequest(f"{place} must be an object.", param=place)
    match value.get("type"):
        case "text":
            return None
        case "json_object":
            return JsonFormat()
        case "json_schema":
            return _described(value.get("json_schema"), f"{place}.json_schema")
        case _:
            raise InvalidRequest(f"{place}.type must be text, json_object or json_schema.", param=f"{place}.type")


def _described(value: object, place: str) -> JsonFormat:
    from app.toolcalls.schema import check  # noqa: PLC0415 # its library is large, and few requests need it

    if not isinstance(value, dict):
        raise InvalidRequest(f"{place} must be an object.", param=place)
    schema = value.get("schema")
    if schema is None:
        raise InvalidRequest(f"{place}.schema is missing.", param=f"{place}.schema")
    text = json.dumps(schema, ensure_ascii=False)  # unsorted: models write members in the order of the schema
    if (why := check(text)) is not None:
        raise InvalidRequest(f"{place}.schema {why}", param=f"{place}.schema")
    return JsonFormat(text, strict=value.get("strict") is True)
