"""Events to OpenAI's chat completions: chunks of a stream, or one object.

The frame of a chunk is written once for an answer; only its delta is encoded for each event.
"""

from __future__ import annotations

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
from app.dialects import sse
from app.dialects.openai.errors import error_object
from app.dialects.openai_chat.calls import CallDeltas, CallEvent, call_members
from app.errors import GatewayError

DONE = b"data: [DONE]\n\n"


class ChatEncoder:
    """One answer. `identity` is the completion's id, unless `use_conversation_id` puts the conversation's in its place.

    `created` is the time of day in whole seconds; `include_usage` asks for the last chunk with the token counts;
    `legacy_functions` tells of a call as clients of the old `functions` know it.
    """

    content_type = sse.CONTENT_TYPE

    def __init__(
        self,
        *,
        identity: str,
        model: str,
        created: int,
        use_conversation_id: bool,
        include_usage: bool,
        legacy_functions: bool = False,
    ) -> None:
        self._identity = identity
        self._model = model
        self._created = created
        self._use_conversation_id = use_conversation_id
        self._include_usage = include_usage
        self._legacy = legacy_functions
        self._calls = CallDeltas(legacy=legacy_functions)
        self._prefix = b""
        self._usage: Usage | None = None

    def feed(self, events: list[Event]) -> bytes:
        """The chunks of these events, as one write; with Finished also what ends the stream."""
        out: list[bytes] = []
        for event in events:
            match event:
                case TextDelta(text):
                    self._delta(b'{"content":' + orjson.dumps(text) + b"}", out)
                case ThinkingDelta(text):
                    self._delta(b'{"reasoning_content":' + orjson.dumps(text) + b"}", out)
                case ToolCallStart() | ToolCallDelta() | ToolCallEnd():
                    self._call(event, out)
                case Annotation():
                    self._delta(orjson.dumps({"annotations": [_annotation(event)]}), out)
                case Opened(conversation_id):
                    self._name(conversation_id)
                case Usage():
                    self._usage = event
                case Finished(reason):
                    self._delta(b"{}", out, self._reason(reason))
                    self._end(out)
                case Failed(error):
                    out.append(self.fail(error))
                case _:
                    pass
        return b"".join(out)

    def fail(self, error: GatewayError) -> bytes:
        """An error after the stream has begun; nothing follows it, so that nobody takes the answer for whole."""
        return sse.data({"error": error_object(error)})

    def keep_alive(self) -> bytes:
        """A comment: every SSE reader skips it."""
        return sse.COMMENT

    def whole(self, completion: Completion) -> dict[str, object]:
        """The answer as one object."""
        if completion.conversation_id is not None:
            self._name(completion.conversation_id)
        calls = call_members(completion.calls, legacy=self._legacy)
        content = completion.text or (None if calls else "")
        message: dict[str, object] = {"role": "assistant", "content": content, "refusal": None}
        if completion.thinking:
            message["reasoning_content"] = completion.thinking
        message |= calls
        message["annotations"] = [_annotation(annotation) for annotation in completion.annotations]
        reason = self._reason(completion.finish_reason)
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
        return {
            "id": self._identity,
            "object": "chat.completion",
            "created": self._created,
            "model": self._model,
            "choices": [choice],
            "usage": _usage(completion.usage),
        }

    def _name(self, conversation_id: str) -> None:
        if self._use_conversation_id and not self._prefix:
            self._identity = conversation_id

    def _reason(self, reason: str) -> str:
        return "function_call" if self._legacy and reason == "tool_calls" else reason

    def _call(self, event: CallEvent, out: list[bytes]) -> None:
        if delta := self._calls.feed(event):
            self._delta(delta, out)

    def _delta(self, delta: bytes, out: list[bytes], reason: str | None = None) -> None:
        if not self._prefix:
            self._prefix = self._open()
            out.append(self._chunk(b'{"role":"assistant","content":""}', None))
        out.append(self._chunk(delta, reason))

    def _open(self) -> bytes:
        head = orjson.dumps(
            {
                "id": self._identity,
                "object": "chat.completion.chunk",
                "created": self._created,
                "model": self._model,
            }
        )
        return b"data: " + head[:-1]

    def _chunk(self, delta: bytes, reason: str | None) -> bytes:
        finish = b"null" if reason is None else orjson.dumps(reason)
        usage = b',"usage":null' if self._include_usage else b""
        choice = b',"choices":[{"index":0,"delta":' + delta + b',"logprobs":null,"finish_reason":' + finish + b"}]"
        return self._prefix + choice + usage + b"}\n\n"

    def _end(self, out: list[bytes]) -> None:
        if self._include_usage and self._usage is not None:
            usage = orjson.dumps(_usage(self._usage))
            out.append(self._prefix + b',"choices":[],"usage":' + usage + b"}\n\n")
        out.append(DONE)


def _annotation(annotation: Annotation) -> dict[str, object]:
    citation = {
        "start_index": annotation.start,
        "end_index": annotation.end,
        "title": annotation.source.title,
        "url": annotation.source.url,
    }
    return {"type": "url_citation", "url_citation": citation}


def _usage(usage: Usage) -> dict[str, object]:
    """Token counts in OpenAI's words, where completion tokens include those of the thinking."""
    completion = usage.completion + usage.reasoning
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": completion,
        "total_tokens": usage.prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }
