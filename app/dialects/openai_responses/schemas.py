"""What POST /v1/responses takes, and the ChatRequest it becomes.

Unknown fields are ignored, as in Chat Completions. A field that would change the answer and cannot be understood is
refused, and so is one that asks for what there is not: an answer in the background, a stored prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from app.chat.request import ChatRequest, Effort, Message, Role
from app.dialects.fields import ModelName, StrictBoolean, StrictNumber, loaded, sane_session
from app.dialects.openai.form import answer_form
from app.dialects.openai_responses.items import messages_of
from app.dialects.openai_responses.stored import Item, items_of, referred, resolved
from app.dialects.openai_responses.tools import Names, offered
from app.dialects.wishes import EFFORTS, MAX_TOKENS, Wishing, check_said, conversation_id, some_tools, wishes
from app.errors import InvalidRequest
from app.gateway.answers import Kept

MAX_ITEMS = 10_000
MAX_PAIRS = 16
MAX_KEY = 64
MAX_VALUE = 512
MAX_LOGPROBS = 20
COUNTED = "kimi"
"""The model of a request that is only counted, where it names none."""


@dataclass(frozen=True, slots=True)
class Reference:
    """The earlier answers that a request refers to: the one that it goes on from, and those of which it names items."""

    previous: str | None
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ResponsesCall:
    """A request with what concerns its answer's form and its keeping only.

    `items` are what is new in it, `names` are those of its tools, `values` its fields as they are repeated.
    """

    request: ChatRequest
    items: tuple[Item, ...]
    names: Names
    stream: bool
    store: bool
    values: Mapping[str, object]


def _conversation(value: object) -> None:
    if value is not None:
        conversation_id(value.get("id") if isinstance(value, dict) else value)


def _metadata(value: object) -> None:
    """Refuse what the vendor refuses."""
    pairs = value if isinstance(value, dict) else {} if value is None else None
    if pairs is None or len(pairs) > MAX_PAIRS:
        raise ValidationError(f"must be an object of at most {MAX_PAIRS} pairs")
    for name, text in pairs.items():
        if len(name) > MAX_KEY or not isinstance(text, str) or len(text) > MAX_VALUE:
            raise ValidationError(f"must have keys of at most {MAX_KEY} and texts of at most {MAX_VALUE} characters")


class _Absent(fields.Field[None]):
    """A field that may only be absent, null or false; `why` says what is the matter with it."""

    def __init__(self, why: str) -> None:
        super().__init__(allow_none=True)
        self._why = why

    def _deserialize(self, value: object, *_: object, **__: object) -> None:
        if value is not False:
            raise ValidationError(self._why)


class _Reasoning(Schema):
    class Meta:
        unknown = EXCLUDE

    effort = fields.String(allow_none=True, validate=validate.OneOf(EFFORTS, error="must be one of {choices}"))
    summary = fields.Raw(allow_none=True)


def _string() -> fields.String:
    return fields.String(allow_none=True, error_messages={"invalid": "must be a string"})


class _ResponsesSchema(Wishing):
    model = ModelName()
    input = fields.Raw(allow_none=True)
    instructions = _string()
    previous_response_id = _string()
    conversation = fields.Raw(allow_none=True, validate=_conversation)
    stream = StrictBoolean(allow_none=True)
    store = StrictBoolean(allow_none=True)
    background = _Absent("cannot be true: this gateway has no answers in the background; ask for a stream")
    prompt = _Absent("cannot be used: this gateway keeps no prompts; send the text itself")
    response_format = _Absent("is of Chat Completions: here it is text.format")
    temperature = StrictNumber(minimum=0, maximum=2)
    top_p = StrictNumber(minimum=0, maximum=1)
    presence_penalty = StrictNumber(minimum=-2, maximum=2)
    frequency_penalty = StrictNumber(minimum=-2, maximum=2)
    max_output_tokens = StrictNumber(minimum=1, maximum=MAX_TOKENS, whole=True)
    max_tool_calls = StrictNumber(minimum=0, maximum=MAX_TOKENS, whole=True)
    top_logprobs = StrictNumber(minimum=0, maximum=MAX_LOGPROBS, whole=True)
    tools = fields.Raw(allow_none=True, validate=some_tools)
    tool_choice = fields.Raw(allow_none=True)
    parallel_tool_calls = StrictBoolean(allow_none=True)
    reasoning = fields.Nested(_Reasoning, allow_none=True)
    text = fields.Raw(allow_none=True)
    truncation = fields.String(
        allow_none=True, validate=validate.OneOf(["auto", "disabled"], error="must be one of {choices}")
    )
    metadata = fields.Raw(allow_none=True, validate=_metadata)
    prompt_cache_key = fields.Raw(allow_none=True)
    safety_identifier = fields.Raw(allow_none=True)
    user = fields.Raw(allow_none=True)


_SCHEMA = _ResponsesSchema()


def reference(body: Mapping[str, object]) -> Reference:
    """What has to be looked up before a body can be understood. Raises InvalidRequest."""
    previous = body.get("previous_response_id")
    if previous is not None and not isinstance(previous, str):
        raise InvalidRequest("previous_response_id must be a string.", param="previous_response_id")
    return Reference(previous, referred(_new_items(body.get("input"))))


def responses_call(
    body: Mapping[str, object], session: str | None = None, chain: Sequence[Kept] = (), known: Sequence[Kept] = ()
) -> ResponsesCall:
    """The call that a body asks for.

    `session` is the client's name for the conversation from its headers; `chain` are the answers before this one, the
    oldest first, `known` those of which items are referred to. Raises InvalidRequest, AttachmentRefused or NotFound.
    """
    values = loaded(_SCHEMA, body)
    items = resolved(_new_items(values.get("input")), [*chain, *known])
    if not items and not chain:
        raise InvalidRequest("input is missing.", param="input")
    offer = offered(values)
    wished = wishes(_named(values), searches=offer.searches, effort=_effort(values))
    earlier = [item for kept in chain for item in items_of(kept)]
    messages = (*_instructions(values), *messages_of(earlier, items, offer.names))
    check_said(messages, "input")
    limit, text = values.get("max_output_tokens"), values.get("text")
    request = ChatRequest(
        model=str(values["model"]),
        messages=messages,
        use_search=wished.use_search,
        effort=wished.effort,
        conversation_id=wished.conversation_id,
        keep=wished.keep,
        session=session or sane_session(values.get("prompt_cache_key")),
        tools=offer.use,
        form=answer_form(_format(text), "text.format", nested=False),
        max_tokens=limit if isinstance(limit, int) else None,
    )
    return ResponsesCall(
        request=request,
        items=tuple(item for item in items if isinstance(item, dict)),
        names=offer.names,
        stream=values.get("stream") is True,
        store=values.get("store") is not False,
        values=values,
    )


def _new_items(value: object) -> list[object]:
    """The items of `input`. Raises InvalidRequest."""
    if value is None:
        return []
    if isinstance(value, str):
        return [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": value}]}]
    if not isinstance(value, list) or len(value) > MAX_ITEMS:
        raise InvalidRequest(f"input must be a string or a list of at most {MAX_ITEMS} items.", param="input")
    return value


def _instructions(values: Mapping[str, object]) -> tuple[Message, ...]:
    """What stands above the history; it is of this answer alone, and no later one inherits it."""
    text = values.get("instructions")
    return (Message.of(Role.SYSTEM, text),) if isinstance(text, str) and text.strip() else ()


def _named(values: Mapping[str, object]) -> Mapping[str, object]:
    """The fields with the conversation as the gateway's own field names it. Raises InvalidRequest."""
    conversation = values.get("conversation")
    if conversation is None:
        return values
    if values.get("previous_response_id") is not None:
        raise InvalidRequest(
            "conversation and previous_response_id both say where to go on: one of them has to go.",
            param="conversation",
        )
    name = conversation.get("id") if isinstance(conversation, dict) else conversation
    return {**values, "conversation_id": name}


def _effort(values: Mapping[str, object]) -> Effort | None:
    """How much is to be thought, by the vendor's own field."""
    reasoning = values.get("reasoning")
    word = reasoning.get("effort") if isinstance(reasoning, dict) else None
    return EFFORTS[word] if isinstance(word, str) else None


def _format(text: object) -> object:
    """The form of an answer, where one is asked for; the vendor repeats a schema by its name. Raises InvalidRequest."""
    if text is None:
        return None
    if not isinstance(text, dict):
        raise InvalidRequest("text must be an object.", param="text")
    form = text.get("format")
    if isinstance(form, dict) and form.get("type") == "json_schema" and not isinstance(form.get("name"), str):
        raise InvalidRequest("text.format.name is missing.", param="text.format.name")
    return form
