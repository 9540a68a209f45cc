"""The messages of a request as Anthropic's clients write them, made Messages.

Results of tools stand in a message of the user's there, and are messages of their own here. A system message may stand
anywhere among the others: Claude Code puts its reminders behind the user's words, so the last one may be none of the
user's (conformance.md, section 2).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from app.chat.request import Message, Part, Role, TextPart, ToolCallPart, ToolResultPart
from app.dialects.anthropic.parts import THOUGHTS, Block, all_parts, blocks_of, object_at, parts_of
from app.errors import InvalidRequest

_ROLES = {"user": Role.USER, "assistant": Role.ASSISTANT, "system": Role.SYSTEM}
_RESULT = "tool_result"
_ACCOUNTING = "x-anthropic-billing-header:"
_THOUGHT_TEXTS = ("thinking", "data")  # of a thinking block, and of a redacted one


def system_message(content: object) -> Message | None:
    """The system prompt, None if there is none. Raises InvalidRequest or AttachmentRefused."""
    parts = _instructions(all_parts(content, "system", optional=True))
    return Message(Role.SYSTEM, parts) if parts else None


def as_messages(item: object, index: int) -> tuple[Message, ...]:
    """The messages that the one at `index` of the list is. Raises InvalidRequest or AttachmentRefused."""
    place = f"messages[{index}]"
    fields = object_at(item, place)
    name = fields.get("role")
    role = _ROLES.get(name) if isinstance(name, str) else None
    if role is None:
        raise InvalidRequest(f"{place}.role must be one of {', '.join(_ROLES)}.", param=f"{place}.role")
    blocks = blocks_of(fields.get("content"), f"{place}.content", optional=role is not Role.USER)
    if role is Role.ASSISTANT:
        return (Message(role, tuple(_said(blocks))),)
    results: list[Message] = []
    rest: list[Part] = []
    for block in blocks:
        if role is Role.USER and block[0].get("type") == _RESULT:
            results.append(_result(*block))
        else:
            rest += parts_of(block)
    # What holds nothing but results is no word of the user's; a system message may be one of settings alone.
    said = rest or (role is Role.USER and not results)
    return (*results, Message(role, tuple(rest))) if said else tuple(results)


def thoughts_of(item: object) -> Iterator[str]:
    """What the assistant has thought in a message, readable or not."""
    content = item.get("content") if isinstance(item, dict) else None
    for block in content if isinstance(content, list) else ():
        if isinstance(block, dict) and block.get("type") in THOUGHTS:
            yield from (text for name in _THOUGHT_TEXTS if isinstance(text := block.get(name), str))


def _instructions(parts: Sequence[Part]) -> tuple[Part, ...]:
    """A system prompt without what Claude Code puts at its very beginning to account for the request.

    It is no instruction, and changes within a session (2.1.197: after /compact): no history would be recognised then.
    """
    for index, part in enumerate(parts):
        if not isinstance(part, TextPart) or not part.text.startswith(_ACCOUNTING):
            return tuple(parts[index:])
        rest = part.text.partition("\n")[2]
        if rest.strip():
            return (TextPart(rest.lstrip("\n")), *parts[index + 1 :])
    return ()


def _said(blocks: Sequence[Block]) -> Iterator[Part]:
    """What an assistant has said and called.

    Text blocks side by side are one text: the vendor cuts it wherever a citation begins or ends, and we where thinking
    stands in between.
    """
    text: list[str] = []
    for fields, place in blocks:
        kind = fields.get("type")
        if kind in THOUGHTS:
            continue
        if kind == _RESULT:
            raise InvalidRequest(f"{place}: a result stands in a message of the user's.", param=f"{place}.type")
        parts = (_call(fields, place),) if kind == "tool_use" else parts_of((fields, place), own=True)
        if kind == "text":
            text += (part.text for part in parts if isinstance(part, TextPart))
            continue
        if text:
            yield TextPart("".join(text))
            text = []
        yield from parts
    if text:
        yield TextPart("".join(text))


def _call(fields: Mapping[str, object], place: str) -> ToolCallPart:
    call_id, name, given = fields.get("id"), fields.get("name"), fields.get("input")
    if not isinstance(name, str) or not name:
        raise InvalidRequest(f"{place}.name must be the name of a tool.", param=f"{place}.name")
    arguments = given if isinstance(given, str) else json.dumps({} if given is None else given, ensure_ascii=False)
    return ToolCallPart(call_id if isinstance(call_id, str) else "", name, arguments)


def _result(fields: Mapping[str, object], place: str) -> Message:
    call_id = fields.get("tool_use_id")
    answers = ToolResultPart(
        call_id=call_id if isinstance(call_id, str) and call_id else None, failed=fields.get("is_error") is True
    )
    return Message(Role.TOOL, (answers, *all_parts(fields.get("content"), f"{place}.content", optional=True)))
