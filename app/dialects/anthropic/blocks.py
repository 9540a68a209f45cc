"""The content blocks of an answer in Anthropic's words: as the events of a stream, and as members of a message.

One block is open at a time, and each has the next index. Thinking bears a signature, because clients drop thinking
without one; ours says nothing, and is not looked at when it comes back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import orjson

from app.chat.completion import Completion
from app.chat.events import Annotation, ToolCallDelta, ToolCallEnd, ToolCallStart
from app.chat.request import ToolCallPart
from app.dialects.arguments import as_object, sound

SIGNATURE: Final = "a2ltaS1nYXRld2F5"

_TEXT: Final = "text"
_THINKING: Final = "thinking"
_CALL: Final = "tool_use"

CallEvent = ToolCallStart | ToolCallDelta | ToolCallEnd


class Blocks:
    """The blocks of one streamed answer. Each method gives the events of one thing that is said."""

    def __init__(self) -> None:
        self._index = -1
        self._kind: str | None = None

    @property
    def in_call(self) -> bool:
        """Whether a call is open: nothing else may be said before its end."""
        return self._kind == _CALL

    def text(self, text: str) -> bytes:
        """More text."""
        return self._opened(_TEXT) + self._delta(b'"text_delta","text":' + orjson.dumps(text))

    def thinking(self, text: str) -> bytes:
        """More thinking."""
        return self._opened(_THINKING) + self._delta(b'"thinking_delta","thinking":' + orjson.dumps(text))

    def citation(self, annotation: Annotation) -> bytes:
        """A citation of the text that is open; b"" where none is, because it stands in no other block."""
        if self._kind != _TEXT:
            return b""
        return self._delta(b'"citations_delta","citation":' + orjson.dumps(_citation(annotation)))

    def call(self, event: CallEvent) -> bytes:
        """More of a call."""
        match event:
            case ToolCallStart(call_id=call_id, name=name):
                return self.close() + self._start(_CALL, {"id": call_id, "name": name, "input": {}})
            case ToolCallDelta(arguments=arguments):
                return self._delta(b'"input_json_delta","partial_json":' + orjson.dumps(sound(arguments)))
            case ToolCallEnd():
                return self.close()

    def close(self) -> bytes:
        """The end of the block that is open."""
        kind, self._kind = self._kind, None
        if kind is None:
            return b""
        signed = self._delta(b'"signature_delta","signature":' + orjson.dumps(SIGNATURE)) if kind == _THINKING else b""
        return signed + event_of("content_block_stop", {"index": self._index})

    def _opened(self, kind: str) -> bytes:
        """What has to be said so that a block of this kind is open."""
        if self._kind == kind:
            return b""
        empty = {_TEXT: ""} if kind == _TEXT else {_THINKING: "", "signature": ""}
        return self.close() + self._start(kind, empty)

    def _start(self, kind: str, members: Mapping[str, object]) -> bytes:
        self._kind = kind
        self._index += 1
        return event_of("content_block_start", {"index": self._index, "content_block": {"type": kind, **members}})

    def _delta(self, delta: bytes) -> bytes:
        head = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":'
        return head % self._index + delta + b"}}\n\n"


def event_of(kind: str, members: Mapping[str, object]) -> bytes:
    """One event of a stream. Its name stands on a line of its own: SDKs pass over an event without one."""
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps({"type": kind, **members}))


def all_blocks(completion: Completion, *, shows_thinking: bool) -> list[dict[str, object]]:
    """The blocks of a whole answer: its thinking, its text with what that cites, its calls."""
    blocks: list[dict[str, object]] = []
    if completion.thinking and shows_thinking:
        blocks.append({"type": _THINKING, "thinking": completion.thinking, "signature": SIGNATURE})
    if completion.text:
        blocks.append({"type": _TEXT, "text": completion.text, **_citations(completion.annotations)})
    return blocks + [_call_block(call) for call in completion.calls]


def _citations(annotations: Sequence[Annotation]) -> dict[str, object]:
    return {"citations": [_citation(annotation) for annotation in annotations]} if annotations else {}


def _citation(annotation: Annotation) -> dict[str, object]:
    """`cited_text` is what the page says in the vendor's words, and Kimi does not tell it."""
    return {
        "type": "web_search_result_location",
        "url": annotation.source.url,
        "title": annotation.source.title,
        "cited_text": "",
        "encrypted_index": "",
    }


def _call_block(call: ToolCallPart) -> dict[str, object]:
    return {"type": _CALL, "id": call.call_id, "name": call.name, "input": as_object(call.arguments)}
