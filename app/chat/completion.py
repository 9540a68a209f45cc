"""The fold: a non-streamed answer is the same stream of events, put together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

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
    Warned,
)
from app.chat.request import Message, Part, Role, TextPart, ToolCallPart
from app.errors import UpstreamTruncated


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer.

    `conversation_id` is None where the upstream never told it. `calls` are those that came to their end, `warnings` the
    words of what a client may want to know, `stopped_by` is the stop sequence that ended the answer.
    """

    conversation_id: str | None
    text: str
    thinking: str
    annotations: tuple[Annotation, ...]
    usage: Usage
    finish_reason: str
    calls: tuple[ToolCallPart, ...] = ()
    warnings: tuple[str, ...] = ()
    stopped_by: str | None = None


class Spoken:
    """What an answer has said so far: its text and its calls of tools."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._begun: dict[int, tuple[ToolCallStart, list[str]]] = {}
        self._ended: dict[int, ToolCallPart] = {}

    def feed(self, event: Event) -> None:
        """Take in the next event; most say nothing."""
        match event:
            case TextDelta(text):
                self._text.append(text)
            case ToolCallStart(index):
                self._begun[index] = (event, [])
            case ToolCallDelta(index, arguments):
                self._begun[index][1].append(arguments)
            case ToolCallEnd(index):
                start, pieces = self._begun[index]
                self._ended[index] = ToolCallPart(start.call_id, start.name, "".join(pieces), start.freeform)
            case _:
                pass

    @property
    def text(self) -> str:
        """All text."""
        return "".join(self._text)

    @property
    def calls(self) -> tuple[ToolCallPart, ...]:
        """The calls that have come to their end, by their index: any other must not be executed."""
        return tuple(self._ended[index] for index in sorted(self._ended))

    @property
    def message(self) -> Message:
        """The text, if there is any, and then the calls, as the assistant's message in a history."""
        text = self.text
        said: tuple[Part, ...] = (TextPart(text),) if text else ()
        return Message(Role.ASSISTANT, said + self.calls)


class Fold:
    """Collects events into a Completion; Failed is raised as its error."""

    def __init__(self) -> None:
        self._conversation_id: str | None = None
        self._spoken = Spoken()
        self._thinking: list[str] = []
        self._annotations: list[Annotation] = []
        self._warnings: dict[str, None] = {}
        self._usage = Usage(prompt=0, completion=0, reasoning=0)
        self._finished: Finished | None = None

    def feed(self, events: Iterable[Event]) -> None:
        """Take in events in their order. Raises the error of a Failed."""
        for event in events:
            self._spoken.feed(event)
            match event:
                case ThinkingDelta(text):
                    self._thinking.append(text)
                case Annotation():
                    self._annotations.append(event)
                case Opened(conversation_id):
                    self._conversation_id = conversation_id
                case Warned(word):
                    self._warnings.setdefault(word)
                case Usage():
                    self._usage = event
                case Finished():
                    self._finished = event
                case Failed(error):
                    raise error
                case _:
                    pass  # Source and Cited have become annotations in the stages

    def completion(self) -> Completion:
        """The whole answer. Raises UpstreamTruncated when no Finished was seen."""
        if self._finished is None:
            raise UpstreamTruncated("The answer ended before its end mark.")
        return Completion(
            conversation_id=self._conversation_id,
            text=self._spoken.text,
            thinking="".join(self._thinking),
            annotations=tuple(self._annotations),
            usage=self._usage,
            finish_reason=self._finished.reason,
            calls=self._spoken.calls,
            warnings=tuple(self._warnings),
            stopped_by=self._finished.stopped_by,
        )
