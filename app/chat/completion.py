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
    Usage,
)
from app.errors import UpstreamTruncated


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer. `conversation_id` is None where the upstream never told it."""

    conversation_id: str | None
    text: str
    thinking: str
    annotations: tuple[Annotation, ...]
    usage: Usage
    finish_reason: str


class Fold:
    """Collects events into a Completion; Failed is raised as its error."""

    def __init__(self) -> None:
        self._conversation_id: str | None = None
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._annotations: list[Annotation] = []
        self._usage = Usage(prompt=0, completion=0, reasoning=0)
        self._finish_reason: str | None = None

    def feed(self, events: Iterable[Event]) -> None:
        """Take in events in their order. Raises the error of a Failed."""
        for event in events:
            match event:
                case TextDelta(text):
                    self._text.append(text)
                case ThinkingDelta(text):
                    self._thinking.append(text)
                case Annotation():
                    self._annotations.append(event)
                case Opened(conversation_id):
                    self._conversation_id = conversation_id
                case Usage():
                    self._usage = event
                case Finished(reason):
                    self._finish_reason = reason
                case Failed(error):
                    raise error
                case _:
                    pass  # Source and Cited have become annotations in the stages

    def completion(self) -> Completion:
        """The whole answer. Raises UpstreamTruncated when no Finished was seen."""
        if self._finish_reason is None:
            raise UpstreamTruncated("The answer ended before its end mark.")
        return Completion(
            conversation_id=self._conversation_id,
            text="".join(self._text),
            thinking="".join(self._thinking),
            annotations=tuple(self._annotations),
            usage=self._usage,
            finish_reason=self._finish_reason,
        )
