"""What a parser reads from and writes to."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from app.chat.events import Event, TextDelta, ToolCallStart
from app.chat.request import ToolSpec


@dataclass(frozen=True, slots=True)
class Fault:
    """A call that came to nothing, or something that a model may not write.

    `code` is one of `unknown_tool`, `not_allowed`, `bad_arguments`, `truncated_call`, `bad_header` and
    `hallucinated_result`; `name` and `body` are those of the call as they were written. `announced` says that a part
    of the call was passed on already.
    """

    code: str
    name: str = ""
    body: str = field(default="", repr=False)
    announced: bool = False


Piece = Event | Fault

AT_ONCE = 4096
"""Characters of an answer that are looked at together."""


class Input:
    """What has arrived and is not decided yet: what can be seen of it is `text` from `at` on.

    `ended` says that no more arrives. Only a part of a long text is seen at once: what follows a call is moved with
    every call that is read.
    """

    def __init__(self) -> None:
        self.text = ""
        self.at = 0
        self.ended = False
        self._later = ""
        self._seen = 0

    def add(self, text: str) -> None:
        """More has arrived."""
        self._later, self._seen = self._later[self._seen :] + text, 0
        self.see_more()

    def see_more(self) -> bool:
        """Have more of it in `text`; False if all is there."""
        if self._seen == len(self._later):
            return False
        more = self._later[self._seen : self._seen + AT_ONCE]
        self._seen += len(more)
        self.text, self.at = self.text[self.at :] + more, 0
        return True

    @property
    def eof(self) -> bool:
        """Whether nothing comes behind `text`."""
        return self.ended and self._seen == len(self._later)

    @property
    def empty(self) -> bool:
        """Whether all that can be seen is decided."""
        return self.at >= len(self.text)

    @property
    def left(self) -> int:
        """How many characters that can be seen are not decided."""
        return len(self.text) - self.at

    def take(self) -> str:
        """All that can be seen and is not decided yet, which is then decided."""
        text, self.at = self.text[self.at :], len(self.text)
        return text

    def put_back(self, text: str) -> None:
        """Decide anew about a text, before all that is left."""
        self.text, self.at = text + self.text[self.at :], 0
        if len(self.text) > 2 * AT_ONCE:
            self._later, self._seen = self.text[AT_ONCE:] + self._later[self._seen :], 0
            self.text = self.text[:AT_ONCE]

    def ends_in(self, literals: Collection[str]) -> bool:
        """Whether what is left, and is something, may become one of these literals with what is still to come."""
        if self.eof or self.left >= max(map(len, literals)):
            return False
        left = self.text[self.at :]
        return any(literal.startswith(left) for literal in literals)


class Output:
    """The pieces of an answer, its text in as few of them as can be.

    `index` is that of the next call, `spoken` says that there was text. Text that goes on behind a call begins on a
    line of its own.
    """

    def __init__(self, *, new_id: Callable[[], str], index: int, spoken: bool) -> None:
        self.index = index
        self.spoken = spoken
        self.resumes = False
        self._new_id = new_id
        self._words: list[str] = []
        self._pieces: list[Piece] = []

    def say(self, text: str) -> None:
        """Text of the answer."""
        if not text:
            return
        if self.resumes:
            self.resumes = False
            if self.spoken:
                self._words.append("\n")
        self.spoken = True
        self._words.append(text)

    def put(self, *pieces: Piece) -> None:
        """Anything else."""
        self._flush()
        self._pieces += pieces

    def begin_call(self, spec: ToolSpec) -> int:
        """Announce a call; give its index."""
        index, self.index = self.index, self.index + 1
        self.put(ToolCallStart(index, self._new_id(), spec.name, spec.freeform))
        return index

    def taken(self) -> list[Piece]:
        """All pieces since the last time."""
        self._flush()
        pieces, self._pieces = self._pieces, []
        return pieces

    def _flush(self) -> None:
        if self._words:
            self._pieces.append(TextDelta("".join(self._words)))
            self._words = []
