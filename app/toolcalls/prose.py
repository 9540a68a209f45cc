"""The text of an answer, up to the next call.

What stands directly before a call belongs to it: some white space, and a line that opens a fence around it. Both are
held back until it shows whether a call follows. A call that stands in code is shown, without its letters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from app.toolcalls.code import Code
from app.toolcalls.flow import Fault, Input, Output
from app.toolcalls.foreign import BLOCKS, LITERALS, Block
from app.toolcalls.marks import Marks

MAX_HEADER = 200
MAX_PADDING = 32
"""Characters of white space beside a call that are part of it."""

MAX_FENCE_INFO = 24
"""Characters behind the marks of a fence that may belong to a call; a longer line is text."""

MAX_FOREIGN = 16
"""Blocks in the marks of others that come to nothing, after which none is looked for any more."""

_PLAIN = re.compile(r"[^\s<`~]+")
_SPACE = re.compile(r"\s+")
_RUN = re.compile(r"`{1,100}|~{1,100}")
_MIN_FENCE = 3
_MAX_INDENT = 3
_LONGEST_RUN = 100
_HEADER = re.compile(r"""((?:[^<>"'\n/]|/(?!>)|"[^"\n]*"|'[^'\n]*')*+)(/?)>""")
_HALF_HEADER = re.compile(r"""(?:[^<>"'\n]|"[^"\n]*"|'[^'\n]*')*+(?:"[^"\n]*+|'[^'\n]*+)?\Z""")
_TAG_END = re.compile(r"[ \t]{0,8}>?")


@dataclass(frozen=True, slots=True)
class Header:
    """The opening of a call: what stands between its mark and `>`, and whether it closes itself."""

    attributes: str
    closed: bool


@dataclass(frozen=True, slots=True)
class ResultMark:
    """The opening of a result, which only the gateway writes."""


Found = Header | ResultMark | Block


class Prose:
    """Reads text. `owed` is the fence that was opened before a call and has to be closed behind it, empty if none."""

    def __init__(self, marks: Marks, output: Output, *, foreign: bool, results_end: bool) -> None:
        self.owed = ""
        self._marks = marks
        self._output = output
        self._foreign_left = MAX_FOREIGN if foreign else 0
        self._results_end = results_end
        self._code = Code()
        self._indent: int | None = 0
        self._padding = ""
        self._opener: tuple[str, str] | None = None
        self._gap = ""

    @property
    def held(self) -> int:
        """How many characters that were read are held back."""
        return len(self._padding) + len(self._gap) + sum(map(len, self._opener or ()))

    def read(self, source: Input) -> Found | None:
        """Read on until something other than text begins, which is behind then; None when more has to come."""
        while not source.empty:
            char = source.text[source.at]
            if char.isspace():
                self._space(source)
            elif char == "<":
                found = self._angle(source)
                if found is not False:
                    return found
            elif char in "`~":
                if not self._run(source):
                    return None
            else:
                self._words(_PLAIN, source)
        return None

    def finish(self) -> None:
        """No call follows: what was held back is text."""
        self._release()

    def interrupt(self, source: Input) -> None:
        """What was read and is undecided is text, whatever follows."""
        if not source.empty and source.text[source.at] in "`~":
            self._run(source, last=True)
        if source.empty:
            self._release()
        else:
            self._say(source.take())

    def resume(self) -> None:
        """Text may go on behind a call, on a line of its own."""
        self._indent = 0
        self._code.line()
        self._output.resumes = True

    def give_up(self, block: Block) -> None:
        """What began as a block of others is none: its mark is text, unless it says nothing to a person."""
        self._foreign_left -= 1
        self._say("" if block.special else block.begins)

    def take_along(self) -> None:
        """What was read to is a call: what stands directly before it belongs to it."""
        self._padding = self._gap = ""
        if self._opener is not None:
            self.owed, self._opener = self._opener[0], None

    def _say(self, text: str) -> None:
        self._release()
        self._indent = None
        self._output.say(text)

    def _release(self) -> None:
        self._output.say(self._padding)
        self._padding = ""
        if self._opener is not None:
            run, rest = self._opener
            self._opener = None
            self._code.fence(run, rest)
            self._output.say(run + rest + self._gap)
            self._gap = ""

    def _words(self, pattern: re.Pattern[str], source: Input) -> None:
        found = pattern.match(source.text, source.at)
        text = found[0] if found else source.text[source.at]
        source.at += len(text)
        self._say(text)

    def _space(self, source: Input) -> None:
        found = _SPACE.match(source.text, source.at)
        text = found[0] if found else source.text[source.at]
        source.at += len(text)
        _, newline, after = text.rpartition("\n")
        if newline:
            self._code.line()
            self._indent = 0
        if self._indent is not None:
            self._indent = self._indent + len(after) if after.strip(" ") == "" else None
        if self._opener is not None:
            self._gap += text
            if len(self._gap) > MAX_PADDING:
                self._release()
            return
        self._padding += text
        self._output.say(self._padding[:-MAX_PADDING])
        self._padding = self._padding[-MAX_PADDING:]

    def _run(self, source: Input, *, last: bool = False) -> bool:
        """A run of backticks or tildes; False if more has to be seen. Nothing more comes of it if it is the `last`."""
        found = _RUN.match(source.text, source.at)
        run = found[0] if found else source.text[source.at]
        behind = source.at + len(run)
        last = last or source.eof
        if behind == len(source.text) and not last and len(run) < _LONGEST_RUN:
            return False
        at_line_start = self._indent is not None and self._indent <= _MAX_INDENT
        if at_line_start and len(run) >= _MIN_FENCE:
            line_end = source.text.find("\n", behind, behind + MAX_FENCE_INFO + 1)
            known = len(source.text) > behind + MAX_FENCE_INFO or last
            if line_end < 0 and not known:
                return False
            rest = source.text[behind : line_end + 1 if line_end >= 0 else behind + MAX_FENCE_INFO]
            if self._fence(run, rest, whole=line_end >= 0 or len(rest) < MAX_FENCE_INFO):
                source.at = behind + len(rest)
                return True
        self._release()
        if run[0] == "`":
            self._code.backticks(len(run))
        self._say(run)
        source.at = behind
        return True

    def _fence(self, run: str, rest: str, *, whole: bool) -> bool:
        """A line that may be a fence, or the beginning of one that is not `whole`; False if it is none."""
        self._release_opener()
        if run[0] == "`" and "`" in rest and not self._code.fenced:
            return False
        if not self._code.fenced and self.owed and _closes(self.owed, run, rest):
            self.owed, self._padding = "", ""
            self.resume()
            return True
        if not self._code.fenced and whole and rest.endswith("\n"):
            self._opener = run, rest
            self._indent = 0
            return True
        self._code.fence(run, rest)
        self._say(run + rest)
        if rest.endswith("\n"):
            self._indent = 0
        return True

    def _release_opener(self) -> None:
        if self._opener is not None:
            self._release()

    def _angle(self, source: Input) -> Found | Literal[False] | None:
        """A `<`: what begins there, None if more has to be seen, False if it was text."""
        inside = self._code.inside
        literals = self._marks.all if inside or self._foreign_left <= 0 else (*self._marks.all, *LITERALS)
        if source.ends_in(literals):
            return None
        fitting = [literal for literal in literals if source.text.startswith(literal, source.at)]
        if not fitting:
            self._say("<")
            source.at += 1
            return False
        literal = max(fitting, key=len)
        if literal not in self._marks.all:
            return self._others(literal, source)
        if inside or (literal == self._marks.result and not self._results_end):
            self._say(self._marks.stripped(literal))
            source.at += len(literal)
            return False
        return self._own(literal, source)

    def _own(self, mark: str, source: Input) -> Found | Literal[False] | None:
        behind = source.at + len(mark)
        if mark == self._marks.call:
            return self._header(behind, source)
        if mark == self._marks.result:
            self.take_along()
            return ResultMark()
        # A closing tag that closes nothing.
        end = _TAG_END.match(source.text, behind)
        at = end.end() if end else behind
        if at == len(source.text) and not source.eof and source.text[at - 1] != ">":
            return None
        source.at = at
        return False

    def _header(self, behind: int, source: Input) -> Found | Literal[False] | None:
        header = _HEADER.match(source.text, behind, behind + MAX_HEADER)
        if header:
            self.take_along()
            source.at = header.end()
            return Header(header[1], header[2] == "/")
        seen = len(source.text) - behind
        if not source.eof and seen < MAX_HEADER and _HALF_HEADER.match(source.text, behind):
            return None
        self._say(self._marks.stripped(self._marks.call))
        self._output.put(Fault("bad_header"))
        source.at = behind
        return False

    def _others(self, literal: str, source: Input) -> Found | Literal[False]:
        source.at += len(literal)
        for block in BLOCKS:
            if block.begins == literal:
                return block  # what stands before it stays held back until it shows what it is
        return False


def _closes(opened: str, run: str, rest: str) -> bool:
    return run[0] == opened[0] and len(run) >= len(opened) and not rest.strip()
