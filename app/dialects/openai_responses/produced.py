"""The items of an answer, each with the events that tell how it comes about.

An item begins empty, gets more, and is done: then it is told once more, whole, which is what clients keep. The shapes
are those of the SDK's types (openai 3.54, types/responses).
"""

from __future__ import annotations

from collections.abc import Iterator

from app.chat.events import Annotation, ToolCallStart
from app.dialects.arguments import freeform_input, sound
from app.dialects.openai_responses.tools import Names

Told = tuple[str, dict[str, object]]
"""An event: its type, and what it tells beside that."""


class Place:
    """Where an item stands; its events name it."""

    def __init__(self, identity: str, index: int) -> None:
        self.identity = identity
        self._index = index

    def item(self, step: str, item: dict[str, object]) -> Told:
        """The item itself is told of: it was `added`, or is `done`."""
        return f"response.output_item.{step}", {"output_index": self._index, "item": item}

    def part(self, kind: str, **members: object) -> Told:
        """Something within it is told of."""
        return f"response.{kind}", {"item_id": self.identity, "output_index": self._index, **members}


class Item:
    """An item: `fields` is what it holds at its end."""

    def __init__(self, place: Place) -> None:
        self.fields: dict[str, object] = {}
        self.is_done = False
        self._at = place
        self._pieces: list[str] = []

    def begin(self) -> Iterator[Told]:
        """The item begins, empty."""
        raise NotImplementedError

    def more(self, text: str) -> Iterator[Told]:
        """More of it has come."""
        raise NotImplementedError

    def end(self, status: str) -> Iterator[Told]:
        """It is done, and has this status."""
        raise NotImplementedError

    def _done(self, fields: dict[str, object]) -> Told:
        self.fields, self.is_done = fields, True
        return self._at.item("done", fields)


class Reasoning(Item):
    """What the model thought, told as a summary, because that is what clients show."""

    prefix = "rs"

    def begin(self) -> Iterator[Told]:
        """The item, and in it an empty summary."""
        yield self._at.item("added", self._item([]))
        yield self._at.part("reasoning_summary_part.added", summary_index=0, part=_summary(""))

    def more(self, text: str) -> Iterator[Told]:
        """More was thought."""
        self._pieces.append(text)
        yield self._at.part("reasoning_summary_text.delta", summary_index=0, delta=text)

    def end(self, status: str) -> Iterator[Told]:  # noqa: ARG002 # the vendor tells none of thinking
        """All that was thought."""
        text = "".join(self._pieces)
        yield self._at.part("reasoning_summary_text.done", summary_index=0, text=text)
        yield self._at.part("reasoning_summary_part.done", summary_index=0, part=_summary(text))
        yield self._done(self._item([_summary(text)]))

    def _item(self, summary: list[dict[str, object]]) -> dict[str, object]:
        return {"id": self._at.identity, "type": "reasoning", "summary": summary}


class Words(Item):
    """Words of the answer, of which `start` characters stand in the messages before."""

    prefix = "msg"

    def __init__(self, place: Place, start: int) -> None:
        super().__init__(place)
        self._start = start
        self._citations: list[dict[str, object]] = []

    def begin(self) -> Iterator[Told]:
        """The item, and in it an empty text."""
        yield self._at.item("added", self._item("in_progress", []))
        yield self._at.part("content_part.added", content_index=0, part=_text("", []))

    def more(self, text: str) -> Iterator[Told]:
        """More words."""
        self._pieces.append(text)
        yield self._at.part("output_text.delta", content_index=0, delta=text, logprobs=[])

    def cite(self, annotation: Annotation) -> Iterator[Told]:
        """A source; one that is found when the message is over stands in the whole answer only."""
        index = len(self._citations)
        citation = {
            "type": "url_citation",
            "start_index": max(0, annotation.start - self._start),
            "end_index": max(0, annotation.end - self._start),
            "url": annotation.source.url,
            "title": annotation.source.title,
        }
        self._citations.append(citation)
        if not self.is_done:
            yield self._at.part(
                "output_text.annotation.added", content_index=0, annotation_index=index, annotation=citation
            )

    def end(self, status: str) -> Iterator[Told]:
        """All words, with their sources."""
        text = "".join(self._pieces)
        part = _text(text, self._citations)
        yield self._at.part("output_text.done", content_index=0, text=text, logprobs=[])
        yield self._at.part("content_part.done", content_index=0, part=part)
        yield self._done(self._item(status, [part]))

    def _item(self, status: str, content: list[dict[str, object]]) -> dict[str, object]:
        head = {"id": self._at.identity, "type": "message", "status": status}
        return {**head, "role": "assistant", "content": content}


class Call(Item):
    """A call of one of the client's tools."""

    def __init__(self, start: ToolCallStart, place: Place, names: Names) -> None:
        super().__init__(place)
        self._call_id = start.call_id
        self._called = names.own(start.name)


class FunctionCall(Call):
    """A call of a function: its arguments are told as they come."""

    prefix = "fc"

    def begin(self) -> Iterator[Told]:
        """The item, without arguments."""
        yield self._at.item("added", self._item("in_progress", ""))

    def more(self, text: str) -> Iterator[Told]:
        """More of the arguments."""
        piece = sound(text)
        self._pieces.append(piece)
        yield self._at.part("function_call_arguments.delta", delta=piece)

    def end(self, status: str) -> Iterator[Told]:
        """All arguments."""
        text = "".join(self._pieces)
        yield self._at.part("function_call_arguments.done", name=self._called["name"], arguments=text)
        yield self._done(self._item(status, text))

    def _item(self, status: str, arguments: str) -> dict[str, object]:
        head = {"id": self._at.identity, "type": "function_call", "status": status}
        return {**head, "call_id": self._call_id, **self._called, "arguments": arguments}


class CustomCall(Call):
    """A call of a tool that takes a text; the text is told at its end, because until then it stands in JSON."""

    prefix = "ctc"

    def begin(self) -> Iterator[Told]:
        """The item, without its text."""
        yield self._at.item("added", self._item("in_progress", ""))

    def more(self, text: str) -> Iterator[Told]:
        """More of the arguments; nothing is told yet."""
        self._pieces.append(text)
        yield from ()

    def end(self, status: str) -> Iterator[Told]:
        """The text."""
        text = freeform_input("".join(self._pieces))
        if text:
            yield self._at.part("custom_tool_call_input.delta", delta=text)
        yield self._at.part("custom_tool_call_input.done", input=text)
        yield self._done(self._item(status, text))

    def _item(self, status: str, text: str) -> dict[str, object]:
        head = {"id": self._at.identity, "type": "custom_tool_call", "status": status}
        return {**head, "call_id": self._call_id, **self._called, "input": text}


def _summary(text: str) -> dict[str, object]:
    return {"type": "summary_text", "text": text}


def _text(text: str, annotations: list[dict[str, object]]) -> dict[str, object]:
    return {"type": "output_text", "annotations": annotations, "logprobs": [], "text": text}
