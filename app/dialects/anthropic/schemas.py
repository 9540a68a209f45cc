"""What POST /v1/messages takes, and the ChatRequest it becomes.

Unknown fields are ignored, as are those that concern the vendor's own service: caching, betas, tiers, containers, the
management of its context. A field that would change the answer and cannot be understood is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from marshmallow import fields

from app.chat.prompt import prompt_tokens
from app.chat.request import ChatRequest, Effort, JsonFormat
from app.chat.tokens import estimate
from app.dialects.anthropic.errors import THREAD
from app.dialects.anthropic.messages import as_messages, system_message, thoughts_of
from app.dialects.anthropic.session import session_of
from app.dialects.anthropic.tools import offered
from app.dialects.fields import ModelName, StrictBoolean, StrictNumber, loaded
from app.dialects.wishes import (
    EFFORTS,
    MAX_TOKENS,
    Wishing,
    check_said,
    json_format,
    some_messages,
    some_tools,
    stop_sequences,
    wishes,
)
from app.errors import InvalidRequest

_BUDGETS = ((4_096, Effort.LOW), (16_384, Effort.MEDIUM))
"""Below how many tokens of thinking which effort is enough; Claude Code's words ask for 4,000, 10,000 and 31,999."""

_MAX_TOP_K = 1_000_000


@dataclass(frozen=True, slots=True)
class MessagesCall:
    """One call of this door. `shows_thinking` says whether the client is to see what the model thinks."""

    request: ChatRequest
    stream: bool
    shows_thinking: bool


class _MessagesSchema(Wishing):
    model = ModelName()
    messages = fields.Raw(
        required=True, validate=some_messages, error_messages={"required": "is missing", "null": "must be a list"}
    )
    system = fields.Raw(allow_none=True)
    stream = StrictBoolean(allow_none=True)
    max_tokens = StrictNumber(minimum=1, maximum=MAX_TOKENS, whole=True)
    stop_sequences = fields.Raw(allow_none=True)
    temperature = StrictNumber(minimum=0, maximum=2)  # the vendor's ends at 1, that of most clients' other vendors at 2
    top_p = StrictNumber(minimum=0, maximum=1)
    top_k = StrictNumber(minimum=0, maximum=_MAX_TOP_K, whole=True)
    tools = fields.Raw(allow_none=True, validate=some_tools)
    tool_choice = fields.Raw(allow_none=True)
    thinking = fields.Raw(allow_none=True)
    output_config = fields.Raw(allow_none=True)
    output_format = fields.Raw(allow_none=True)
    metadata = fields.Raw(allow_none=True)


_SCHEMA = _MessagesSchema()


def messages_call(body: Mapping[str, object], session: str | None = None) -> MessagesCall:
    """The call that a body asks for; `session` is the client's name for the conversation from its headers.

    Raises InvalidRequest or AttachmentRefused.
    """
    if body.get(THREAD) is not None:
        raise InvalidRequest("Threads are not served here: send the whole history in messages.", param=THREAD)
    values = loaded(_SCHEMA, body)
    if values.get("max_tokens") is None:
        raise InvalidRequest("max_tokens is missing", param="max_tokens")
    thinking = _object(values, "thinking")
    return MessagesCall(
        request=_request(values, session),
        stream=values.get("stream") is True,
        shows_thinking=thinking.get("type") != "disabled" and thinking.get("display") != "omitted",
    )


def counted(body: Mapping[str, object]) -> int:
    """About how many tokens a body has, as its answer would tell. Raises InvalidRequest or AttachmentRefused."""
    return prompt_tokens(_request(loaded(_SCHEMA, body), None))


def _request(values: Mapping[str, object], session: str | None) -> ChatRequest:
    offer = offered(values)
    wished = wishes(values, searches=offer.searches, effort=_effort(values))
    listed = values["messages"]
    raw = listed if isinstance(listed, list) else []
    messages = [message for index, item in enumerate(raw) for message in as_messages(item, index)]
    check_said(messages, "messages")
    system = system_message(values.get("system"))
    limit = values.get("max_tokens")
    request = ChatRequest(
        model=str(values["model"]),
        messages=tuple(messages) if system is None else (system, *messages),
        use_search=wished.use_search,
        effort=wished.effort,
        conversation_id=wished.conversation_id,
        keep=wished.keep,
        session=session or session_of(values.get("metadata")),
        tools=offer.use,
        form=_form(values),
        stop=stop_sequences(values.get("stop_sequences"), "stop_sequences"),
        max_tokens=limit if isinstance(limit, int) else None,
    )
    thought = sum(estimate(text) for item in raw for text in thoughts_of(item))
    return replace(request, prompt_tokens=prompt_tokens(request) + thought)


def _effort(values: Mapping[str, object]) -> Effort | None:
    """How much to think; None leaves it to the model's name, as does thinking that adapts itself.

    Thinking that is switched off stays off; else the word for the effort says more than a number of tokens.
    """
    thinking, word = _object(values, "thinking"), _object(values, "output_config").get("effort")
    if word is not None and (not isinstance(word, str) or word not in EFFORTS):
        raise InvalidRequest(f"output_config.effort must be one of {', '.join(EFFORTS)}", param="output_config.effort")
    if thinking.get("type") == "disabled":
        return Effort.NONE
    if isinstance(word, str):
        return EFFORTS[word]
    return _within(thinking.get("budget_tokens")) if thinking.get("type") == "enabled" else None


def _within(budget: object) -> Effort:
    if not isinstance(budget, int):
        return Effort.MEDIUM
    return next((effort for limit, effort in _BUDGETS if budget < limit), Effort.HIGH)


def _form(values: Mapping[str, object]) -> JsonFormat | None:
    """What the answer has to look like; the older field of the beta counts where the newer one says nothing."""
    place, value = "output_config.format", _object(values, "output_config").get("format")
    if value is None:
        place, value = "output_format", values.get("output_format")
    if value is None:
        return None
    if not isinstance(value, dict):
        raise InvalidRequest(f"{place} must be an object.", param=place)
    if value.get("type") != "json_schema":
        raise InvalidRequest(f"{place}.type must be json_schema.", param=f"{place}.type")
    if value.get("schema") is None:
        raise InvalidRequest(f"{place}.schema is missing.", param=f"{place}.schema")
    return json_format(value["schema"], f"{place}.schema", strict=True)


def _object(values: Mapping[str, object], name: str) -> Mapping[str, object]:
    """A field that is an object, or not there."""
    value = values.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidRequest(f"{name} must be an object.", param=name)
    return value
