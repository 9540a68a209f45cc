"""Calls of tools in OpenAI's words: as the deltas of a stream, and as members of a message."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from app.chat.events import ToolCallDelta, ToolCallEnd, ToolCallStart
from app.chat.request import ToolCallPart
from app.dialects.arguments import freeform_input, sound

CallEvent = ToolCallStart | ToolCallDelta | ToolCallEnd


class CallDeltas:
    """The calls of one streamed answer.

    A freeform call goes out when it is whole: until then its text stands in JSON. With `legacy` the answer is in the
    shape of the old `functions`, where it has one call, the first.
    """

    def __init__(self, *, legacy: bool) -> None:
        self._legacy = legacy
        self._gathered: dict[int, tuple[ToolCallStart, list[str]]] = {}

    def feed(self, event: CallEvent) -> bytes:
        """The delta of this event; b"" if it has nothing to say yet."""
        if self._legacy:
            return _legacy_delta(event)
        match event:
            case ToolCallStart(index, freeform=True):
                self._gathered[index] = (event, [])
            case ToolCallStart(index, call_id, name):
                return _delta({"index": index, **_function_call(call_id, name, "")})
            case ToolCallDelta(index, arguments) if index in self._gathered:
                self._gathered[index][1].append(arguments)
            case ToolCallDelta(index, arguments):
                return _delta({"index": index, "function": {"arguments": sound(arguments)}})
            case ToolCallEnd(index) if index in self._gathered:
                start, pieces = self._gathered.pop(index)
                return _delta({"index": index, **_custom_call(start.call_id, start.name, "".join(pieces))})
            case ToolCallEnd():
                pass
        return b""


def call_members(calls: Sequence[ToolCallPart], *, legacy: bool) -> dict[str, object]:
    """What a message has of its calls; nothing where there are none."""
    if not calls:
        return {}
    if legacy:
        return {"function_call": {"name": calls[0].name, "arguments": sound(calls[0].arguments)}}
    return {"tool_calls": [_call(call) for call in calls]}


def _call(call: ToolCallPart) -> dict[str, object]:
    shape = _custom_call if call.freeform else _function_call
    return shape(call.call_id, call.name, call.arguments)


def _function_call(call_id: str, name: str, arguments: str) -> dict[str, object]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": sound(arguments)}}


def _custom_call(call_id: str, name: str, arguments: str) -> dict[str, object]:
    return {"id": call_id, "type": "custom", "custom": {"name": name, "input": freeform_input(arguments)}}


def _legacy_delta(event: CallEvent) -> bytes:
    match event:
        case ToolCallStart(index=0, name=name):
            return orjson.dumps({"function_call": {"name": name, "arguments": ""}})
        case ToolCallDelta(index=0, arguments=arguments):
            return orjson.dumps({"function_call": {"arguments": sound(arguments)}})
        case _:
            return b""


def _delta(call: dict[str, object]) -> bytes:
    return orjson.dumps({"tool_calls": [call]})
