"""Events to Anthropic's messages: events of a stream, or one object."""

from __future__ import annotations

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
from app.dialects.anthropic.blocks import Blocks, CallEvent, all_blocks, event_of
from app.dialects.anthropic.errors import error_body
from app.errors import GatewayError

_REASONS = {"stop": "end_turn", "tool_calls": "tool_use", "length": "max_tokens"}
_PING = event_of("ping", {})
_STOP = event_of("message_stop", {})

_Said = TextDelta | ThinkingDelta | Annotation


class MessagesEncoder:
    """One answer. `identity` is the message's id, unless `use_conversation_id` puts the conversation's in its place.

    `request_id` goes with an error, `input_tokens` is what the request has, `shows_thinking` says whether the client is
    to see the thinking.
    """

    content_type = sse.CONTENT_TYPE

    def __init__(
        self,
        *,
        identity: str,
        model: str,
        request_id: str,
        input_tokens: int,
        use_conversation_id: bool,
        shows_thinking: bool,
    ) -> None:
        self._identity = identity
        self._model = model
        self._request_id = request_id
        self._usage = Usage(prompt=input_tokens, completion=0, reasoning=0)
        self._use_conversation_id = use_conversation_id
        self._shows_thinking = shows_thinking
        self._blocks = Blocks()
        self._begun = False
        self._held: list[_Said] = []

    def feed(self, events: list[Event]) -> bytes:
        """The events of the stream, as one write; with Finished also what ends it."""
        return b"".join(map(self._encoded, events))

    def keep_alive(self) -> bytes:
        """A ping; before it the message begins, if it has not."""
        return self._begin() + _PING

    def whole(self, completion: Completion) -> dict[str, object]:
        """The answer as one object."""
        if completion.conversation_id is not None:
            self._name(completion.conversation_id)
        return {
            **self._message(completion.usage),
            "content": all_blocks(completion, shows_thinking=self._shows_thinking),
            **_ending(completion.finish_reason, completion.stopped_by),
        }

    def _encoded(self, event: Event) -> bytes:
        match event:
            case TextDelta() | ThinkingDelta() | Annotation() if self._blocks.in_call:
                self._held.append(event)  # clients take blocks one after the other
            case TextDelta() | ThinkingDelta() | Annotation():
                return self._said(event)
            case ToolCallStart() | ToolCallDelta() | ToolCallEnd():
                return self._called(event)
            case Opened(conversation_id):
                self._name(conversation_id)
            case Usage():
                self._usage = event
            case Finished(reason, stopped_by):
                return self._end(reason, stopped_by)
            case Failed(error):
                return self._fail(error)
            case _:
                pass
        return b""

    def _fail(self, error: GatewayError) -> bytes:
        """An error behind what was said. A block of words is closed, or Claude Code asks once more without a stream.

        A call is left open: agents run one that is closed.
        """
        closed = b"" if self._blocks.in_call else self._blocks.close()
        return closed + event_of("error", error_body(error, self._request_id))

    def _said(self, event: _Said) -> bytes:
        match event:
            case TextDelta(text):
                return self._begin() + self._blocks.text(text)
            case ThinkingDelta(text):
                return self._begin() + self._blocks.thinking(text) if self._shows_thinking else b""
            case Annotation():
                return self._blocks.citation(event)

    def _called(self, event: CallEvent) -> bytes:
        data = self._begin() + self._blocks.call(event)
        return data if self._blocks.in_call else data + self._let_go()

    def _let_go(self) -> bytes:
        held, self._held = self._held, []
        return b"".join(map(self._said, held))

    def _begin(self) -> bytes:
        """The begin of the message, once."""
        if self._begun:
            return b""
        self._begun = True
        empty = {**self._message(self._usage), "content": [], "stop_reason": None, "stop_sequence": None}
        return event_of("message_start", {"message": empty})

    def _end(self, reason: str, stopped_by: str | None) -> bytes:
        # A call that a limit has ended is closed as the vendor closes it: its input is no JSON, and the reason tells.
        blocks = self._begin() + self._blocks.close() + self._let_go() + self._blocks.close()
        delta = event_of("message_delta", {"delta": _ending(reason, stopped_by), "usage": _usage(self._usage)})
        return blocks + delta + _STOP

    def _name(self, conversation_id: str) -> None:
        if self._use_conversation_id and not self._begun:
            self._identity = conversation_id

    def _message(self, usage: Usage) -> dict[str, object]:
        return {
            "id": self._identity,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "usage": _usage(usage),
        }


def _ending(reason: str, stopped_by: str | None) -> dict[str, object]:
    """Why the answer ended. A stop sequence behind calls leaves them to be made, so it is not the reason."""
    if reason == "stop" and stopped_by is not None:
        return {"stop_reason": "stop_sequence", "stop_sequence": stopped_by}
    return {"stop_reason": _REASONS[reason], "stop_sequence": None}


def _usage(usage: Usage) -> dict[str, object]:
    """Token counts in Anthropic's words, where output tokens include those of the thinking."""
    return {
        "input_tokens": usage.prompt,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": usage.completion + usage.reasoning,
        "output_tokens_details": {"thinking_tokens": usage.reasoning},
    }
