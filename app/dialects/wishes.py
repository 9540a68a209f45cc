"""What may be asked in every dialect, in the same words or nearly: the gateway's own fields, tools, form, limits.

A field that would change the answer and cannot be understood is refused: a client must not take prose for a tool call
or for JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from app.chat.request import Effort, JsonFormat, Message, ToolSpec
from app.dialects.fields import StrictBoolean
from app.errors import InvalidRequest

MAX_MESSAGES = 2000
MAX_TOOLS = 128
MAX_STOPS = 16
MAX_STOP_LENGTH = 1000
MAX_TOKENS = 10_000_000
NEW_CONVERSATION = "none"

EFFORTS = {
    "none": Effort.NONE,
    "minimal": Effort.NONE,
    "low": Effort.LOW,
    "medium": Effort.MEDIUM,
    "high": Effort.HIGH,
    "xhigh": Effort.MAX,
    "max": Effort.MAX,
}
"""The words for how much to think; those of all vendors are the same."""

_CONVERSATION_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_TOOL_NAME = re.compile(r"[\w.:/-]{1,128}", re.ASCII)


def conversation_id(value: object) -> None:
    """Refuse what cannot be the id of a conversation. Raises ValidationError."""
    if not isinstance(value, str) or not _CONVERSATION_ID.fullmatch(value):
        raise ValidationError("must be the id of an earlier answer, or none")


class Wishing(Schema):
    """The fields of a body that are the gateway's own (contract, section 3); unknown ones are ignored."""

    class Meta:  # noqa: D106 # marshmallow's
        unknown = EXCLUDE

    use_search = StrictBoolean(allow_none=True)
    conversation_id = fields.String(allow_none=True, validate=conversation_id)
    reasoning_effort = fields.String(
        allow_none=True, validate=validate.OneOf(EFFORTS, error="must be one of {choices}")
    )


@dataclass(frozen=True, slots=True)
class Wishes:
    """The gateway's own fields, as ChatRequest has them."""

    use_search: bool | None
    effort: Effort | None
    conversation_id: str | None
    keep: bool


def wishes(values: Mapping[str, object], *, searches: bool = False, effort: Effort | None = None) -> Wishes:
    """What the fields of `Wishing` ask for.

    `searches` says that a search is among the tools, and `effort` what the vendor's own field asks for: each counts
    where the gateway's field says nothing.
    """
    search, word, conversation = (values.get(name) for name in ("use_search", "reasoning_effort", "conversation_id"))
    return Wishes(
        use_search=search if isinstance(search, bool) else True if searches else None,
        effort=EFFORTS[word] if isinstance(word, str) else effort,
        conversation_id=str(conversation) if conversation not in {None, NEW_CONVERSATION} else None,
        keep=conversation is not None,
    )


def some_messages(value: object) -> None:
    """Refuse what is no list of messages. Raises ValidationError."""
    if not isinstance(value, list) or not value:
        raise ValidationError("must be a list with at least one message")
    if len(value) > MAX_MESSAGES:
        raise ValidationError(f"must hold at most {MAX_MESSAGES} messages")


def some_tools(value: object) -> None:
    """Refuse what is no list of tools. Raises ValidationError."""
    if value is None:
        return
    if not isinstance(value, list) or not all(isinstance(tool, dict) for tool in value):
        raise ValidationError("must be a list of objects")
    if len(value) > MAX_TOOLS:
        raise ValidationError(f"must hold at most {MAX_TOOLS} tools")


def check_said(messages: Iterable[Message], field: str) -> None:
    """Refuse a history in which nothing is said. The result of a call may be empty, and is one all the same.

    Raises InvalidRequest.
    """
    if not any(message.text.strip() or message.files or message.calls or message.answers for message in messages):
        raise InvalidRequest(f"{field} must hold some text.", param=field)


def stop_sequences(value: object, place: str) -> tuple[str, ...]:
    """The texts before which the answer ends, each once. Raises InvalidRequest."""
    if value is None:
        return ()
    if isinstance(value, str):
        return (_stop_sequence(value, place),)
    if not isinstance(value, list) or len(value) > MAX_STOPS:
        raise InvalidRequest(f"{place} must be a string or a list of at most {MAX_STOPS} strings.", param=place)
    return tuple(dict.fromkeys(_stop_sequence(text, f"{place}[{index}]") for index, text in enumerate(value)))


def _stop_sequence(value: object, place: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_STOP_LENGTH:
        raise InvalidRequest(f"{place} must be a string of 1 to {MAX_STOP_LENGTH} characters.", param=place)
    return value


def json_format(schema: object, place: str, *, strict: bool) -> JsonFormat:
    """The form of an answer that is to fit a JSON Schema. Raises InvalidRequest for one that cannot be judged by."""
    from app.toolcalls.schema import check  # noqa: PLC0415 # its library is large, and few requests need it

    text = json.dumps(schema, ensure_ascii=False)  # unsorted: models write members in the order of the schema
    if (why := check(text)) is not None:
        raise InvalidRequest(f"{place} {why}", param=place)
    return JsonFormat(text, strict=strict)


def tool_spec(
    definition: Mapping[str, object], place: str, parameters: object, *, eager: bool = False, freeform: bool = False
) -> ToolSpec:
    """A tool whose name and description stand in `definition`. Raises InvalidRequest.

    What describes a tool may be of any oddity: only its name has to be one, because calls are recognised by it.
    """
    name, description = definition.get("name"), definition.get("description")
    if not isinstance(name, str) or not _TOOL_NAME.fullmatch(name):
        raise InvalidRequest(
            f"{place}.name must be 1 to 128 letters, digits and signs of - _ . : /", param=f"{place}.name"
        )
    text = description if isinstance(description, str) else ""
    if freeform:
        return ToolSpec(name, text, freeform=True, eager=eager)
    schema = json.dumps({} if parameters is None else parameters, ensure_ascii=False)  # orjson refuses large integers
    return ToolSpec(name, text, schema, eager=eager)


def add_tool(specs: dict[str, ToolSpec], spec: ToolSpec, place: str) -> None:
    """Put a tool to those before it. Raises InvalidRequest where its name is taken."""
    if spec.name in specs:
        raise InvalidRequest(f"{place}.name is the name of another tool, too.", param=f"{place}.name")
    specs[spec.name] = spec


def allowed_names(names: Sequence[object], specs: Container[str], param: str) -> tuple[str, ...]:
    """The names that a choice is confined to, each once. Raises InvalidRequest for one that no tool has."""
    checked = [name for name in names if isinstance(name, str) and name in specs]
    if len(checked) != len(names):
        raise InvalidRequest(f"{param} names a tool that is not among those given.", param=param)
    return tuple(dict.fromkeys(checked))
