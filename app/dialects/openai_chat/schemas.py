"""What POST /v1/chat/completions takes, and the ChatRequest it becomes.

Unknown fields are ignored, as the vendor's own API and every client's odd ones want it. A field that would change the
answer and cannot be understood is refused: a client must not take prose for a tool call or for JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from marshmallow import EXCLUDE, Schema, ValidationError, fields

from app.chat.request import ChatRequest
from app.dialects.fields import ModelName, StrictBoolean, StrictNumber, loaded, sane_session
from app.dialects.openai.form import answer_form
from app.dialects.openai.tools import offered
from app.dialects.openai_chat.messages import as_message
from app.dialects.wishes import (
    MAX_TOKENS,
    Wishing,
    check_said,
    some_messages,
    some_tools,
    stop_sequences,
    wishes,
)


@dataclass(frozen=True, slots=True)
class ChatCall:
    """A request with what concerns its answer's form only.

    `legacy_functions` says that the client offered its tools as `functions`, and knows calls as they were told of then.
    """

    request: ChatRequest
    stream: bool
    include_usage: bool
    legacy_functions: bool = False


def _one(value: object) -> None:
    if value is not None and (isinstance(value, bool) or value != 1):
        raise ValidationError("must be 1: Kimi gives one answer at a time")


class _StreamOptions(Schema):
    class Meta:
        unknown = EXCLUDE

    include_usage = StrictBoolean(allow_none=True)


class _ChatSchema(Wishing):
    model = ModelName()
    messages = fields.Raw(required=True, validate=some_messages, error_messages={"required": "is missing"})
    stream = StrictBoolean(allow_none=True)
    stream_options = fields.Nested(_StreamOptions, allow_none=True)
    temperature = StrictNumber(minimum=0, maximum=2)
    top_p = StrictNumber(minimum=0, maximum=1)
    presence_penalty = StrictNumber(minimum=-2, maximum=2)
    frequency_penalty = StrictNumber(minimum=-2, maximum=2)
    max_tokens = StrictNumber(minimum=1, maximum=MAX_TOKENS, whole=True)
    max_completion_tokens = StrictNumber(minimum=1, maximum=MAX_TOKENS, whole=True)
    n = fields.Raw(allow_none=True, validate=_one)
    stop = fields.Raw(allow_none=True)
    tools = fields.Raw(allow_none=True, validate=some_tools)
    tool_choice = fields.Raw(allow_none=True)
    parallel_tool_calls = StrictBoolean(allow_none=True)
    functions = fields.Raw(allow_none=True, validate=some_tools)
    function_call = fields.Raw(allow_none=True)
    response_format = fields.Raw(allow_none=True)
    prompt_cache_key = fields.Raw(allow_none=True)


_SCHEMA = _ChatSchema()


def chat_call(body: Mapping[str, object], session: str | None = None) -> ChatCall:
    """The call that a body asks for; `session` is the client's name for the conversation from its headers.

    Raises InvalidRequest or AttachmentRefused.
    """
    values = loaded(_SCHEMA, body)
    options = values.get("stream_options")
    offer = offered(values)
    wished = wishes(values, searches=offer.searches)
    raw = values["messages"]
    request = ChatRequest(
        model=str(values["model"]),
        messages=tuple(as_message(item, index) for index, item in enumerate(raw if isinstance(raw, list) else [])),
        use_search=wished.use_search,
        effort=wished.effort,
        conversation_id=wished.conversation_id,
        keep=wished.keep,
        session=session or sane_session(values.get("prompt_cache_key")),
        tools=offer.use,
        form=answer_form(values.get("response_format"), "response_format", nested=True),
        stop=stop_sequences(values.get("stop"), "stop"),
        max_tokens=_limit(values),
    )
    check_said(request.messages, "messages")
    return ChatCall(
        request=request,
        stream=values.get("stream") is True,
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
        legacy_functions=offer.legacy,
    )


def _limit(values: Mapping[str, object]) -> int | None:
    """How long the answer may be; the vendor's newer name for it wins over the older."""
    limits = (values.get("max_completion_tokens"), values.get("max_tokens"))
    return next((limit for limit in limits if isinstance(limit, int)), None)
