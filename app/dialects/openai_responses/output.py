"""The items of an answer, made of its events, and the events of Responses that tell how they come about.

One builder serves streamed and whole answers, so that both hold the same items. An id of an item holds that of its
answer: by it an item that a client only refers to is found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from app.chat.events import (
    Annotation,
    Event,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
)
from app.dialects.openai_responses.produced import Call, CustomCall, FunctionCall, Item, Place, Reasoning, Told, Words
from app.dialects.openai_responses.tools import Names

ANSWER = "resp_"
_ITEM_ID = re.compile(r"[a-z]+_([0-9a-f]{32})[0-9a-z]*")


def item_id(prefix: str, response_id: str, number: int | str) -> str:
    """The id of an item of an answer."""
    return f"{prefix}_{response_id.removeprefix(ANSWER)}{number}"


def answer_of(item: str) -> str | None:
    """The id of the answer that an item belongs to, by its own id; None for an id that is not of this gateway."""
    found = _ITEM_ID.fullmatch(item)
    return None if found is None else ANSWER + found[1]


class Output:
    """The items of the answer `response_id`, in the order in which they began."""

    def __init__(self, response_id: str, names: Names) -> None:
        self._response_id = response_id
        self._names = names
        self._begun: list[Item] = []
        self._open: Reasoning | Words | None = None
        self._message: Words | None = None
        self._calls: dict[int, Call] = {}
        self._length = 0
        self._held: list[Annotation] = []

    @property
    def items(self) -> list[dict[str, object]]:
        """The items that have come to their end; a call that has not must not be executed, so it is left out."""
        return [item.fields for item in self._begun if item.is_done]

    def feed(self, event: Event) -> Iterator[Told]:
        """What an event means to a client; most of those that are not of the answer itself mean nothing."""
        match event:
            case ThinkingDelta(text):
                yield from self._thought(text)
            case TextDelta(text):
                yield from self._said(text)
            case Annotation():
                yield from self._cited(event)
            case ToolCallStart():
                yield from self._close()
                kind = CustomCall if event.freeform else FunctionCall
                self._calls[event.index] = call = kind(event, self._place(kind.prefix), self._names)
                yield from self._begin(call)
            case ToolCallDelta(index, arguments):
                yield from self._calls[index].more(arguments)
            case ToolCallEnd(index):
                yield from self._calls.pop(index).end("completed")
            case _:
                pass

    def finish(self, *, whole: bool) -> Iterator[Told]:
        """The end: what is open is closed, as complete or not."""
        yield from self._close("completed" if whole else "incomplete")

    def _thought(self, text: str) -> Iterator[Told]:
        if not isinstance(self._open, Reasoning):
            yield from self._close()
            self._open = Reasoning(self._place(Reasoning.prefix))
            yield from self._begin(self._open)
        yield from self._open.more(text)

    def _said(self, text: str) -> Iterator[Told]:
        if not isinstance(self._open, Words):
            yield from self._close()
            self._open = self._message = Words(self._place(Words.prefix), self._length)
            yield from self._begin(self._message)
            held, self._held = self._held, []
            for annotation in held:
                yield from self._message.cite(annotation)
        self._length += len(text)
        yield from self._open.more(text)

    def _cited(self, annotation: Annotation) -> Iterator[Told]:
        """A source belongs to the last message; where none has begun, it waits for the first one."""
        if self._message is None:
            self._held.append(annotation)
        else:
            yield from self._message.cite(annotation)

    def _close(self, status: str = "completed") -> Iterator[Told]:
        closed, self._open = self._open, None
        if closed is not None:
            yield from closed.end(status)

    def _place(self, prefix: str) -> Place:
        number = len(self._begun)
        return Place(item_id(prefix, self._response_id, number), number)

    def _begin(self, item: Item) -> Iterator[Told]:
        self._begun.append(item)
        yield from item.begin()
