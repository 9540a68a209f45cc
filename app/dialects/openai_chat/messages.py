"""One message of a request as OpenAI's clients write it, made a Message.

What an assistant said beside its text (`reasoning_content`, `refusal`, `audio`) is not sent again, so it is ignored;
the calls that it made are not: without them the results that follow have no question.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from app.chat.request import Message, Role, ToolCallPart, ToolResultPart
from app.dialects.openai.parts import content_parts, custom_call, function_call, object_at
from app.errors import InvalidRequest

_ROLES = {
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,
    "user": Role.USER,
    "assistant": Role.ASSISTANT,
    "tool": Role.TOOL,
    "function": Role.TOOL,
}


def as_message(item: object, index: int) -> Message:
    """The message at `index` of the list. Raises InvalidRequest or AttachmentRefused."""
    place = f"messages[{index}]"
    fields = object_at(item, place)
    name = fields.get("role")
    role = _ROLES.get(name) if isinstance(name, str) else None
    if role is None:
        raise InvalidRequest(f"{place}.role must be one of {', '.join(_ROLES)}.", param=f"{place}.role")
    # SDKs send an assistant's turn of calls without content, and some a result that is empty
    optional = role in {Role.ASSISTANT, Role.TOOL}
    content = content_parts(fields.get("content"), f"{place}.content", optional=optional)
    if role is Role.ASSISTANT:
        return Message(role, (*content, *_calls(fields, place)))
    if role is Role.TOOL:
        return Message(role, (_result(fields), *content))
    return Message(role, content)


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
        yield function_call("", object_at(old, place), place)


def _call(item: object, place: str) -> ToolCallPart:
    call = object_at(item, place)
    call_id, kind = call.get("id"), "custom" if call.get("type") == "custom" else "function"
    place = f"{place}.{kind}"
    part = custom_call if kind == "custom" else function_call
    return part(call_id if isinstance(call_id, str) else "", object_at(call.get(kind), place), place)
