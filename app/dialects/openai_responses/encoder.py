"""Events to a Response: the events of its stream, or one object.

Every event is whole in one write, and `response.created` is the first of all. An answer is kept before its end is told,
so that a client may go on from it at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import orjson

from app.chat.completion import Completion
from app.chat.events import (
    Event,
    Failed,
    Finished,
    Opened,
    Preamble,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)
from app.dialects import sse
from app.dialects.openai_responses.errors import error_event, response_error
from app.dialects.openai_responses.output import Output
from app.dialects.openai_responses.resource import Resource
from app.errors import GatewayError

_LENGTH = "length"


class ResponsesEncoder:
    """One answer: its object, and the items in it.

    `tells_conversation` puts the id of Kimi's conversation into the object; `keep` is given the object at its end, as
    JSON, and must not raise.
    """

    content_type = sse.CONTENT_TYPE

    def __init__(
        self,
        *,
        resource: Resource,
        output: Output,
        tells_conversation: bool,
        keep: Callable[[bytes], object],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._resource = resource
        self._output = output
        self._tells_conversation = tells_conversation
        self._keep = keep
        self._clock = clock
        self._sequence = 0
        self._usage = Usage(prompt=0, completion=0, reasoning=0)

    def feed(self, events: list[Event]) -> bytes:
        """The events of the stream that these are, as one write."""
        out: list[bytes] = []
        for event in events:
            if not self._sequence and not isinstance(event, Preamble):
                out.append(self._begin())
            match event:
                case Opened(conversation_id):
                    self._name(conversation_id)
                case Usage():
                    self._usage = event
                case Finished(reason):
                    out += self._end(whole=reason != _LENGTH)
                case Failed(error):
                    out += self._fail(error)
                case _:
                    out += [self._event(kind, members) for kind, members in self._output.feed(event)]
        return b"".join(out)

    def keep_alive(self) -> bytes:
        """A comment; where nothing was sent yet, the beginning of the answer."""
        return sse.COMMENT if self._sequence else self._begin()

    def whole(self, completion: Completion) -> dict[str, object]:
        """The answer as one object, of the items that a stream would have had."""
        if completion.conversation_id is not None:
            self._name(completion.conversation_id)
        for event in _events(completion):
            for _ in self._output.feed(event):
                pass
        self._usage = completion.usage
        for _ in self._output.finish(whole=completion.finish_reason != _LENGTH):
            pass
        return self._done(whole=completion.finish_reason != _LENGTH)

    def _name(self, conversation_id: str) -> None:
        if self._tells_conversation:
            self._resource.conversation_id = conversation_id

    def _begin(self) -> bytes:
        return b"".join(
            self._event(f"response.{step}", {"response": self._resource.begun()}) for step in ("created", "in_progress")
        )

    def _end(self, *, whole: bool) -> Iterator[bytes]:
        for kind, members in self._output.finish(whole=whole):
            yield self._event(kind, members)
        response = self._done(whole=whole)
        yield self._event(f"response.{response['status']}", {"response": response})

    def _done(self, *, whole: bool) -> dict[str, object]:
        """The object at its end, which is kept."""
        response = self._resource.done(self._output.items, self._usage, self._clock(), whole=whole)
        self._keep(orjson.dumps(response))
        return response

    def _fail(self, error: GatewayError) -> Iterator[bytes]:
        """An error after the stream has begun; nothing follows it, so that nobody takes the answer for whole."""
        yield self._event("error", error_event(error))
        response = self._resource.failed(self._output.items, response_error(error))
        yield self._event("response.failed", {"response": response})

    def _event(self, kind: str, members: dict[str, object]) -> bytes:
        data = orjson.dumps({"type": kind, "sequence_number": self._sequence, **members})
        self._sequence += 1
        return b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n"


def _events(completion: Completion) -> Iterator[Event]:
    """A whole answer as the events that it may have been made of."""
    if completion.thinking:
        yield ThinkingDelta(completion.thinking)
    if completion.text:
        yield TextDelta(completion.text)
    yield from completion.annotations
    for index, call in enumerate(completion.calls):
        yield ToolCallStart(index, call.call_id, call.name, call.freeform)
        yield ToolCallDelta(index, call.arguments)
        yield ToolCallEnd(index)
