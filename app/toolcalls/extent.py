"""How far the body of a call reaches.

A body is one JSON value, and ends where that does: a mark in one of its strings is part of it. Where JSON is broken,
brackets and quotes say nothing any more, and the body ends with the first mark that stands where an object can end.
"""

from __future__ import annotations

import re

from app.toolcalls.marks import Marks
from app.toolcalls.scanner import Scanner

_CONTEXT = 48
"""Characters before a mark that tell whether an object can end there."""

_END_OF_OBJECT = re.compile(r"(?:[}\]]\s{0,32}|\n[ \t]{0,8})\Z")


class Extent:
    """One body as it arrives. `whole` says that its JSON has come to its end."""

    def __init__(self, marks: Marks) -> None:
        self.scanner = Scanner()
        self.whole = False
        self._marks = marks
        self._reach = _CONTEXT + marks.longest
        self._pieces: list[str] = []
        self._unread: list[str] = []
        self._tail = ""
        self._length = 0

    @property
    def text(self) -> str:
        """All of it so far, and nothing of what follows it."""
        return "".join(self._pieces)

    def feed(self, text: str) -> str | None:
        """Go on with `text`; once the body has ended, what follows it, which may have begun before `text`."""
        self._pieces.append(text)
        if self.scanner.in_string and '"' not in text:
            self._unread.append(text)  # nothing in it can end the string: it is read with what does
            return None
        if self.scanner.broken is not None:
            return self._sought(text)
        left = self.read(text)
        if left is not None:
            self.whole = True
            self._pieces[-1] = text[: len(text) - left]
            return text[len(text) - left :]
        return None if self._place is None else self._broke()

    def read(self, text: str = "") -> int | None:
        """Let the scanner read all that it has not read yet, and `text`.

        Once the value has ended, give how many characters of `text` follow it.
        """
        unread, self._unread = [*self._unread, text], []
        joined = "".join(unread)
        end = self.scanner.feed(joined)
        return None if end is None else len(joined) - end

    @property
    def _place(self) -> int | None:
        """Where the scanner has stopped."""
        return self.scanner.broken

    def _broke(self) -> str | None:
        """The scanner has just stopped: what it took for strings may be none, so a mark in them may be the end."""
        self._tail = self.text
        self._length = len(self._tail)
        return self._sought("", fresh=True)

    def _sought(self, text: str, *, fresh: bool = False) -> str | None:
        """Look for a mark that ends the body: in `text` and at the end of what came before, in all of it if `fresh`."""
        window = self._tail + text
        self._length += len(text)
        place = (self._place or 0) - (self._length - len(window))
        start = 0 if fresh else max(0, len(self._tail) - self._marks.longest + 1)
        self._tail = window[-self._reach :]
        for mark in self._marks.pattern.finditer(window, start):
            at = mark.start()
            if at == place or _END_OF_OBJECT.search(window, max(0, at - _CONTEXT), at):
                body = self.text
                return self._cut(body, len(body) - len(window) + at)
        return None

    def _cut(self, body: str, end: int) -> str:
        self._pieces = [body[:end]]
        return body[end:]
