"""Where an answer shows code: between fences, and between backticks in a line.

A call that stands there is shown, not made.
"""

from __future__ import annotations

import re

_CLOSES = re.compile(r"[ \t]*\Z")


class Code:
    """The code of one answer, as Markdown has it (CommonMark 4.5 and 6.1), as far as it can be told from a line."""

    def __init__(self) -> None:
        self._fence = ""
        self._ticks = 0

    @property
    def fenced(self) -> bool:
        """Whether the text is between fences."""
        return bool(self._fence)

    @property
    def inside(self) -> bool:
        """Whether the text is code."""
        return bool(self._fence) or self._ticks > 0

    def fence(self, run: str, rest: str) -> None:
        """A line that begins with three or more backticks or tildes, and what stands behind them in it."""
        if not self._fence:
            self._fence, self._ticks = run, 0
        elif run[0] == self._fence[0] and len(run) >= len(self._fence) and not rest.strip(" \t\r\n"):
            self._fence = ""

    def backticks(self, count: int) -> None:
        """So many backticks within a line: as many as have begun a piece of code end it."""
        if not self._fence:
            self._ticks = count if not self._ticks else 0 if self._ticks == count else self._ticks

    def line(self) -> None:
        """The line has ended: a backtick that nobody closed concerns no other line."""
        self._ticks = 0
