"""What a model thinks, with the calls that it writes there taken out.

A call in thoughts is not one, unless nothing else comes: some models call there and then end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from app.chat.events import Event, TextDelta, ThinkingDelta, ToolCallDelta, ToolCallEnd, ToolCallStart, Warned
from app.toolcalls.calls import Rules
from app.toolcalls.flow import Fault, Piece
from app.toolcalls.marks import Marks, Veil
from app.toolcalls.parser import Parser

_CallPiece = ToolCallStart | ToolCallDelta | ToolCallEnd | Warned


class Thoughts:
    """The thinking of one answer. Only calls in the conversation's own marks count."""

    def __init__(self, marks: Marks, rules: Rules, *, new_id: Callable[[], str]) -> None:
        self._marks = marks
        self._rules = replace(rules, foreign=False, parallel=True, results_end=False)
        self._one = not rules.parallel
        self._new_id = new_id
        self._parser: Parser | None = None
        self._veil = Veil(marks)
        self._calls: list[list[_CallPiece]] = []

    def feed(self, text: str) -> list[Event]:
        """What may be shown of it."""
        if self._parser is None:
            self._parser = Parser(self._marks, self._rules, new_id=self._new_id)
        return self._shown(self._parser.feed(text))

    def pause(self) -> list[Event]:
        """The answer goes on in words: what of the thoughts was held back."""
        if self._parser is None:
            return []
        shown = self._shown(self._parser.finish(clean=False))
        self._parser = None
        last = self._veil.finish()
        return [*shown, ThinkingDelta(last)] if last else shown

    def promoted(self, index: int) -> list[Event]:
        """The whole calls, as if they stood in the answer; the first has this index."""
        whole = [call for call in self._calls if isinstance(call[-1], ToolCallEnd)]
        out: list[Event] = []
        for number, call in enumerate(whole[: 1 if self._one else None], start=index):
            out += [piece if isinstance(piece, Warned) else replace(piece, index=number) for piece in call]
        return out

    def _shown(self, pieces: list[Piece]) -> list[Event]:
        out: list[Event] = []
        for piece in pieces:
            match piece:
                case TextDelta(text):
                    if text := self._veil.feed(text):
                        out.append(ThinkingDelta(text))
                case ToolCallStart():
                    self._calls.append([piece])
                case ToolCallDelta() | ToolCallEnd() | Warned() if self._calls:
                    self._calls[-1].append(piece)
                case Fault() | _:
                    pass
        return out
