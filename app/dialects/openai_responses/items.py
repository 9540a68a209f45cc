"""The items of a conversation as clients of Responses write them, made Messages.

An answer comes as several items (what was thought, words, calls), and comes back as such: all of them up to the next
item of anybody else are one message of the assistant, its words before its calls, as Chat Completions have it. So a
history is recognised whichever way it was told. Thinking is not sent again. What tools of the vendor's own have done is
passed over, because nobody here can have called them; any other item that says something is refused, not lost.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from app.chat.request import Message, Part, Role, TextPart, ToolCallPart, ToolResultPart
from app.dialects.openai.parts import content_parts, custom_call, function_call, object_at
from app.dialects.openai_responses.tools import Names
from app.errors import InvalidRequest

EARLIER = "previous_response_id"
"""What errors name for an item that the client did not send this time."""

_ROLES = {"user": Role.USER, "assistant": Role.ASSISTANT, "system": Role.SYSTEM, "developer": Role.SYSTEM}

_TELLING = ("content", "text", "output", "arguments")
"""Members by which an item says something."""

PASSED_OVER = frozenset({
    "additional_tools", "code_interpreter_call", "compaction", "compaction_trigger", "computer_call",
    "computer_call_output", "configuration_update", "file_search_call", "image_generation_call",
    "mcp_approval_request", "mcp_approval_response", "mcp_call", "mcp_list_tools", "program", "program_output",
    "reasoning", "tool_search_call", "tool_search_output", "web_search_call",
})  # fmt: skip
"""Items of the vendor's own tools, and thinking."""


def messages_of(earlier: Iterable[object], items: Iterable[object], names: Names) -> tuple[Message, ...]:
    """The history that these items are, those of earlier answers and those of this request.

    Raises InvalidRequest or AttachmentRefused.
    """
    history = _History(names)
    for item in earlier:
        history.add(item, EARLIER)
    for index, item in enumerate(items):
        history.add(item, f"input[{index}]")
    return history.messages()


class _History:
    """Items on their way to be messages: `_said` and `_called` are the assistant's that is not at its end."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._messages: list[Message] = []
        self._said: list[Part] = []
        self._called: list[ToolCallPart] = []

    def messages(self) -> tuple[Message, ...]:
        """All of them."""
        self._end()
        return tuple(self._messages)

    def add(self, item: object, place: str) -> None:
        """Take in the next item."""
        fields = object_at(item, place)
        kind = fields.get("type")
        if kind == "message" or (kind is None and "role" in fields):
            self._message(fields, place)
        elif isinstance(kind, str) and kind in _CALLS:
            self._called.append(_CALLS[kind](fields, place, self._names))
        elif isinstance(kind, str) and kind in _RESULTS:
            self._end()
            output = fields.get("output")
            parts = _RESULTS[kind](output, f"{place}.output")
            self._messages.append(Message(Role.TOOL, (_answered(fields), *parts)))
        elif not isinstance(kind, str) or (kind not in PASSED_OVER and any(map(fields.get, _TELLING))):
            raise InvalidRequest(f"{place}.type is not of an item that is known here.", param=f"{place}.type")

    def _message(self, fields: Mapping[str, object], place: str) -> None:
        name = fields.get("role")
        role = _ROLES.get(name) if isinstance(name, str) else None
        if role is None:
            raise InvalidRequest(f"{place}.role must be one of {', '.join(_ROLES)}.", param=f"{place}.role")
        parts = content_parts(fields.get("content"), f"{place}.content", optional=role is Role.ASSISTANT)
        if role is Role.ASSISTANT:
            _join(self._said, parts)
        else:
            self._end()
            self._messages.append(Message(role, parts))

    def _end(self) -> None:
        """What the assistant says ends here."""
        if self._said or self._called:
            self._messages.append(Message(Role.ASSISTANT, (*self._said, *self._called)))
            self._said, self._called = [], []


def _join(said: list[Part], parts: Iterable[Part]) -> None:
    """Put the words of an item to those before it, as Kimi's are put together around what was thought in between.

    A blank line parts them where neither side has white space.
    """
    for index, part in enumerate(parts):
        last = said[-1] if said and index == 0 else None
        if isinstance(last, TextPart) and isinstance(part, TextPart):
            touch = last.text and part.text and not (last.text[-1].isspace() or part.text[0].isspace())
            said[-1] = TextPart(last.text + ("\n\n" if touch else "") + part.text)
        else:
            said.append(part)


def _answered(fields: Mapping[str, object]) -> ToolResultPart:
    """Which call an item answers; that of a local shell has its id alone."""
    call_id = fields.get("call_id", fields.get("id"))
    known = isinstance(call_id, str) and call_id
    return ToolResultPart(str(call_id) if known else None, failed=fields.get("status") == "failed")


def _id(fields: Mapping[str, object]) -> str:
    call_id = fields.get("call_id")
    return call_id if isinstance(call_id, str) else ""


def _function_call(fields: Mapping[str, object], place: str, names: Names) -> ToolCallPart:
    return _named(function_call(_id(fields), fields, place), fields, names)


def _custom_call(fields: Mapping[str, object], place: str, names: Names) -> ToolCallPart:
    return _named(custom_call(_id(fields), fields, place), fields, names)


def _named(call: ToolCallPart, fields: Mapping[str, object], names: Names) -> ToolCallPart:
    return replace(call, name=names.told(call.name, fields.get("namespace")))


def _built_in(name: str, member: str) -> Callable[[Mapping[str, object], str, Names], ToolCallPart]:
    """How a call of a tool that clients run for the vendor's models is read: what it is to do stands in `member`."""

    def read(fields: Mapping[str, object], _place: str, _names: Names) -> ToolCallPart:
        return ToolCallPart(_id(fields), name, json.dumps(fields.get(member) or {}, ensure_ascii=False))

    return read


def _output(output: object, place: str) -> tuple[Part, ...]:
    """What a tool gave: a text or parts; JSON that is neither is told as its text."""
    if output is None or isinstance(output, str | list):
        return content_parts(output, place, optional=True)
    return (TextPart(json.dumps(output, ensure_ascii=False)),)


def _shell_output(output: object, place: str) -> tuple[Part, ...]:
    """What a shell gave: objects with `stdout` and `stderr`, told as they are."""
    if isinstance(output, list):
        return (TextPart(json.dumps(output, ensure_ascii=False)),)
    return _output(output, place)


_CALLS: Mapping[str, Callable[[Mapping[str, object], str, Names], ToolCallPart]] = {
    "function_call": _function_call,
    "custom_tool_call": _custom_call,
    "local_shell_call": _built_in("local_shell", "action"),
    "shell_call": _built_in("shell", "action"),
    "apply_patch_call": _built_in("apply_patch", "operation"),
}
"""Calls, by the types of their items."""

_RESULTS: Mapping[str, Callable[[object, str], tuple[Part, ...]]] = {
    "function_call_output": _output,
    "custom_tool_call_output": _output,
    "local_shell_call_output": _output,
    "shell_call_output": _shell_output,
    "apply_patch_call_output": _output,
}
"""What tools gave, by the types of their items."""
