"""Events to Gemini's answers: the chunks of a stream, or one object.

Each chunk is a whole `GenerateContentResponse` with one part. What is told once (the reason of the end, usage, the
grounding) stands in the last one, beside a part without text: Google's chats drop an answer that has a chunk without
parts from their history.
"""

from __future__ import annotations

import json

import orjson

from app.chat.completion import Completion
from app.chat.events import (
    Annotation,
    Event,
    Failed,
    Finished,
    Opened,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)
from app.dialects.arguments import as_object, sound
from app.dialects.gemini.errors import error_object
from app.dialects.gemini.framing import Framing
from app.dialects.gemini.grounding import grounding_metadata
from app.errors import GatewayError

_REASONS = {"length": "MAX_TOKENS"}
"""Any other reason is STOP, calls of functions as well."""


class GeminiEncoder:
    """One answer. `identity` is its id, unless `use_conversation_id` puts the conversation's in its place.

    `shows_thoughts` and `bare` are as in Generation.
    """

    def __init__(
        self,
        framing: Framing,
        *,
        identity: str,
        model: str,
        use_conversation_id: bool,
        shows_thoughts: bool = False,
        bare: bool = False,
    ) -> None:
        self.content_type = framing.content_type
        self._framing = framing
        self._identity = identity
        self._model = model
        self._use_conversation_id = use_conversation_id
        self._shows_thoughts = shows_thoughts
        self._bare = bare
        self._tail = b""
        self._text: list[str] = []
        self._calls: dict[int, tuple[ToolCallStart, list[str]]] = {}
        self._annotations: list[Annotation] = []
        self._usage: Usage | None = None

    def feed(self, events: list[Event]) -> bytes:
        """The chunks of these events, as one write; with Finished also what ends the stream."""
        out: list[bytes] = []
        for event in events:
            match event:
                case TextDelta(text):
                    self._say(text, out)
                case ThinkingDelta(text) if self._shows_thoughts:
                    self._part(_thought(text), out)
                case ToolCallStart() | ToolCallDelta() | ToolCallEnd():
                    self._call(event, out)
                case Annotation():
                    self._annotations.append(event)
                case Opened(conversation_id):
                    self._name(conversation_id)
                case Usage():
                    self._usage = event
                case Finished(reason):
                    self._finish(reason, out)
                case Failed(error):
                    out.append(self.fail(error))
                case _:
                    pass
        return b"".join(out)

    def fail(self, error: GatewayError) -> bytes:
        """An error after the stream has begun; nothing follows it, so that nobody takes the answer for whole."""
        return self._framing.chunk(orjson.dumps({"error": error_object(error)})) + self._framing.end()

    def keep_alive(self) -> bytes:
        """Nothing: no filling is known that all of Google's clients pass over."""
        return b""

    def whole(self, completion: Completion) -> dict[str, object]:
        """The answer as one object."""
        if completion.conversation_id is not None:
            self._name(completion.conversation_id)
        text = _unquoted(completion.text) if self._bare else completion.text
        parts: list[dict[str, object]] = []
        if completion.thinking and self._shows_thoughts:
            parts.append(_thought(completion.thinking))
        place = len(parts)
        if text or not completion.calls:
            parts.append({"text": text})
        parts += [_function_call(call.call_id, call.name, call.arguments) for call in completion.calls]
        candidate = {**_content(parts), "finishReason": _REASONS.get(completion.finish_reason, "STOP")}
        if completion.annotations:
            candidate["groundingMetadata"] = grounding_metadata(text, completion.annotations, part=place)
        return {"candidates": [candidate], "usageMetadata": _usage(completion.usage), **self._head()}

    def _head(self) -> dict[str, object]:
        return {"modelVersion": self._model, "responseId": self._identity}

    def _name(self, conversation_id: str) -> None:
        if self._use_conversation_id and not self._tail:
            self._identity = conversation_id

    def _say(self, text: str, out: list[bytes]) -> None:
        self._text.append(text)
        if not self._bare:
            self._part({"text": text}, out)

    def _say_bare(self, out: list[bytes]) -> None:
        """The text that was held until it could be read as the JSON that it is."""
        if self._bare and self._text:
            self._part({"text": _unquoted("".join(self._text))}, out)
            self._text = []

    def _call(self, event: ToolCallStart | ToolCallDelta | ToolCallEnd, out: list[bytes]) -> None:
        """A call goes out when it is whole: Google's have no other form."""
        match event:
            case ToolCallStart(index):
                self._calls[index] = (event, [])
            case ToolCallDelta(index, arguments):
                self._calls[index][1].append(arguments)
            case ToolCallEnd(index):
                self._say_bare(out)
                start, pieces = self._calls.pop(index)
                self._part(_function_call(start.call_id, start.name, "".join(pieces)), out)

    def _part(self, part: dict[str, object], out: list[bytes]) -> None:
        self._chunk(_content([part]), out)

    def _finish(self, reason: str, out: list[bytes]) -> None:
        self._say_bare(out)
        candidate = {**_content([{"text": ""}]), "finishReason": _REASONS.get(reason, "STOP")}
        if self._annotations:
            candidate["groundingMetadata"] = grounding_metadata("".join(self._text), self._annotations)
        usage = b"" if self._usage is None else b',"usageMetadata":' + orjson.dumps(_usage(self._usage))
        self._chunk(candidate, out, usage)
        out.append(self._framing.end())

    def _chunk(self, candidate: dict[str, object], out: list[bytes], usage: bytes = b"") -> None:
        self._tail = self._tail or b"," + orjson.dumps(self._head())[1:]
        out.append(self._framing.chunk(b'{"candidates":[' + orjson.dumps(candidate) + b"]" + usage + self._tail))


def _content(parts: list[dict[str, object]]) -> dict[str, object]:
    return {"content": {"parts": parts, "role": "model"}, "index": 0}


def _thought(text: str) -> dict[str, object]:
    return {"text": text, "thought": True}


def _function_call(call_id: str, name: str, arguments: str) -> dict[str, object]:
    return {"functionCall": {"id": call_id, "name": name, "args": as_object(arguments)}}


def _unquoted(text: str) -> str:
    """The string that a JSON text is; any other text as it is."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return sound(value) if isinstance(value, str) else text


def _usage(usage: Usage) -> dict[str, object]:
    """Token counts in Google's words, where the thinking is counted beside the candidates."""
    return {
        "promptTokenCount": usage.prompt,
        "candidatesTokenCount": usage.completion,
        "thoughtsTokenCount": usage.reasoning,
        "totalTokenCount": usage.prompt + usage.completion + usage.reasoning,
    }
