"""What follows a call and belongs to it: white space, its closing tag in any spelling, brackets too many, fences."""

from __future__ import annotations

import re

from app.toolcalls.flow import Input
from app.toolcalls.marks import Marks
from app.toolcalls.prose import MAX_PADDING

MAX_CLOSERS = 40
"""How many brackets, tags and fences behind a call are taken for leftovers of it."""

_JUNK = re.compile(r"[}\]][}\]\s]*+")
_TAG = re.compile(r"</(?:call|tool_call|tool_calls|function_call|tool|function|invoke)(?::[A-Za-z0-9]{0,12})?\s{0,4}>")
_HALF_TAG = re.compile(r"</?[a-z_]{0,16}(?::[A-Za-z0-9]{0,12})?\s{0,4}\Z")
_RUN = re.compile(r"(`{1,100}|~{1,100})[ \t]{0,32}(\n|\Z)?")


class Aftermath:
    """Reads what follows one call. `fences` are those that its text has opened, the innermost last."""

    def __init__(self, marks: Marks, fences: list[str]) -> None:
        self.fences = fences
        self._marks = marks
        self._left = MAX_CLOSERS

    def read(self, source: Input) -> bool:
        """Read on, up to what does not belong to the call; True once that is reached, False when more has to come."""
        while True:
            place = self._behind_space(source)
            if place is None:
                return True  # so much white space is text
            if place == len(source.text):
                if source.eof:
                    source.at = place
                return source.eof
            end = self._leftover(source, place) if self._left > 0 else place
            if end is None:
                return False
            source.at = max(place, end)
            if end == place:
                return True
            self._left -= 1

    def _behind_space(self, source: Input) -> int | None:
        """Where the white space ends; None if it is more than belongs to a call."""
        text, place = source.text, source.at
        while place < len(text) and text[place].isspace():
            place += 1
            if place - source.at > MAX_PADDING:
                source.at += MAX_PADDING
                return None
        return place

    def _leftover(self, source: Input, place: int) -> int | None:
        """Where a leftover that begins at `place` ends: there if it is none, None if more has to be seen."""
        char = source.text[place]
        if char in "}]":
            return self._brackets(source, place)
        if char == "<":
            return self._tag(source, place)
        if char in "`~" and self.fences:
            return self._fence(source, place)
        return place

    def _brackets(self, source: Input, place: int) -> int | None:
        """Brackets are leftovers if a tag, another call or the end follows them."""
        junk = _JUNK.match(source.text, place)
        end = junk.end() if junk else place
        if end - place > MAX_CLOSERS:
            return place
        if end == len(source.text):
            return end if source.eof else None
        if source.text[end] != "<":
            return place
        tag = self._tag(source, end)
        if tag is None or tag > end or source.text.startswith((self._marks.call, self._marks.result), end):
            return tag if tag is None else max(tag, end)
        return place

    def _tag(self, source: Input, place: int) -> int | None:
        """A closing tag; of the conversation's own the `>` may be missing."""
        text = source.text
        tag = _TAG.match(text, place)
        if tag:
            return tag.end()
        undecided = _HALF_TAG.match(text, place) or self._may_be_mark(text, place)
        if undecided and not source.eof:
            return None
        if text.startswith(self._marks.call_end, place):
            return place + len(self._marks.call_end)
        return place

    def _may_be_mark(self, text: str, place: int) -> bool:
        tail = text[place : place + self._marks.longest]
        return len(text) - place < self._marks.longest and any(mark.startswith(tail) for mark in self._marks.all)

    def _fence(self, source: Input, place: int) -> int | None:
        """The line that closes a fence which was opened before the call or in its body."""
        opened = self.fences[-1]
        run = _RUN.match(source.text, place)
        if run is None or run[1][0] != opened[0]:
            return place
        if run[2] is None:  # something else stands in the line
            return place
        if run.end() == len(source.text) and not run[2] and not source.eof:
            return None
        if len(run[1]) < len(opened):
            return place
        self.fences.pop()
        return run.end()
