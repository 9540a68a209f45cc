"""Where an answer ends before its upstream does: at a stop sequence, or when it is as long as the client allows."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from operator import itemgetter
from typing import Final

from app.chat.events import (
    Annotation,
    Cited,
    Event,
    Failed,
    Finished,
    TextDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)
from app.chat.tokens import Estimator

SLACK: Final = 20
"""The count is an estimate: one token in so many may be said beyond the limit."""

_JOINER: Final = "\u200d"


class _Search:
    """One stop sequence, looked for in a text that arrives in pieces (Knuth, Morris and Pratt).

    `length` is how much of the stop the text so far ends with.
    """

    __slots__ = ("_borders", "length", "stop")

    def __init__(self, stop: str) -> None:
        self.stop = stop
        self.length = 0
        self._borders = _borders(stop)

    def feed(self, text: str) -> int | None:
        """Where in `text` the stop ends for the first time; nothing may be fed after that. None if it does not end."""
        stop, length, place = self.stop, self.length, 0
        while place < len(text):
            if not length and (place := text.find(stop[0], place)) < 0:
                break
            length = _longer(stop, self._borders, length, text[place])
            place += 1
            if length == len(stop):
                return place
        self.length = length
        return None


def _longer(stop: str, borders: Sequence[int], length: int, character: str) -> int:
    """How much of `stop` a text ends with that ended with `length` of it and goes on with `character`."""
    while length and stop[length] != character:
        length = borders[length - 1]
    return length + 1 if stop[length] == character else 0


def _borders(stop: str) -> list[int]:
    """For each beginning of `stop`, the length of the longest shorter one with which it ends."""
    borders = [0]
    for character in stop[1:]:
        borders.append(_longer(stop, borders, borders[-1], character))
    return borders


class StopSequences:
    """Ends the answer just before the first stop sequence of its text.

    The first is the one that ends first, and of several that end together the longest: no character is waited for to
    decide that, and where the text is cut into deltas changes nothing. Text is held back only while it may be the
    beginning of a stop. No stop spans a citation or a call; thinking and the arguments of calls hold none. An empty
    stop is none.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._searches = [_Search(stop) for stop in stops if stop]
        self._reason = "stop"
        self._over = False

    def __call__(self, events: list[Event]) -> list[Event]:
        """Pass events on until a stop; nothing after it."""
        out: list[Event] = []
        for event in events:
            if self._over:
                break
            match event:
                case TextDelta(text):
                    self._read(text, out)
                case Cited() | Annotation() | ToolCallStart() | Usage() | Finished() | Failed():
                    self._let_go(out)
                    out.append(event)
                case ToolCallEnd():
                    self._reason = "tool_calls"  # they are to be made, whatever words stand behind them
                    out.append(event)
                case _:
                    out.append(event)
        return out

    def _held(self) -> tuple[int, str]:
        """How many characters are held back, and the stop that they are the beginning of."""
        return max(((search.length, search.stop) for search in self._searches), key=itemgetter(0), default=(0, ""))

    def _read(self, text: str, out: list[Event]) -> None:
        held, beginning = self._held()
        ends = [(end, search.stop) for search in self._searches if (end := search.feed(text)) is not None]
        if ends:
            end, stop = min(ends, key=lambda match: (match[0], -len(match[1])))
            free = held + end - len(stop)
        else:
            free = held + len(text) - self._held()[0]
        said = beginning[: min(held, free)] + text[: max(0, free - held)]
        if said:
            out.append(TextDelta(said))
        if ends:
            out.append(Finished(self._reason, stopped_by=stop, cut=True))
            self._over = True

    def _let_go(self, out: list[Event]) -> None:
        held, beginning = self._held()
        if held:
            out.append(TextDelta(beginning[:held]))
        for search in self._searches:
            search.length = 0


class TokenLimit:
    """Ends the answer when its text and the arguments of its calls have about `max_tokens` tokens together.

    Thinking is not counted. The answer is cut after the longest beginning that has no more tokens than the limit and
    its slack, wherever it is cut into deltas; but its first character is always said. A sign of several characters
    is not taken apart, unless it began in an earlier delta: nothing is held back for marks that may come.
    """

    def __init__(self, max_tokens: int) -> None:
        self._most = max_tokens + max_tokens // SLACK
        self._text = Estimator()
        self._arguments = Estimator()
        self._over = False

    def __call__(self, events: list[Event]) -> list[Event]:
        """Pass events on until the limit; nothing after it."""
        out: list[Event] = []
        for event in events:
            if self._over:
                break
            match event:
                case TextDelta(text):
                    cut = self._cut(self._text, text)
                    part: Event = TextDelta(text[:cut])
                case ToolCallDelta(index, text):
                    cut = self._cut(self._arguments, text)
                    part = ToolCallDelta(index, text[:cut])
                case _:
                    cut, part = None, event
            if cut != 0:
                out.append(part)
            if cut is not None:
                out.append(Finished("length", cut=True))
                self._over = True
        return out

    def _cut(self, counted: Estimator, text: str) -> int | None:
        """Count `text` as what `counted` goes on with. Return where the answer ends in it; None if it does not."""
        before = counted.fork()
        room = self._most - (self._text.total + self._arguments.total - counted.total)
        nothing_yet = not self._text.total + self._arguments.total
        counted.feed(text)
        if not text or counted.total <= room:
            return None
        fitting = _fitting(before, text, room)
        cut = _unparted(text, fitting)
        if nothing_yet and not cut:
            cut = max(1, fitting)
        return cut if cut < len(text) else None


def _fitting(counted: Estimator, text: str, room: int) -> int:
    """How many characters of `text` may follow what is counted without more than `room` tokens; never all of them."""
    fits, too_long = 0, len(text)
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        longer = counted.fork()
        longer.feed(text[fits:middle])
        if longer.total <= room:
            fits, counted = middle, longer
        else:
            too_long = middle
    return fits


def _unparted(text: str, cut: int) -> int:
    """The cut, moved back to before the sign that it would take apart; it stays if `text` begins within that sign."""
    place = cut
    while place and (text[place - 1] == _JOINER or _is_mark(text[place])):
        place -= 1
    return place if place or not _is_mark(text[0]) else cut


def _is_mark(character: str) -> bool:
    """Accents, vowel signs, variation selectors, keycaps; the joiner and the skin tones of emoji."""
    return (
        unicodedata.category(character).startswith("M")
        or character == _JOINER
        or "\U0001f3fb" <= character <= "\U0001f3ff"
    )
