"""What a model says, taken apart into text and calls of tools as it arrives; pure.

Everything is decided by what stands in the text, never by how it was cut: where more has to be seen, what is undecided
is held back. In text that is a header at the most, or white space and a fence that may belong to a call behind them; in
a call it is all that is not sure yet. A result that the model writes itself ends the answer, and so does the first call
where there may be one only.
"""

from __future__ import annotations

from collections.abc import Callable

from app.toolcalls.aftermath import Aftermath
from app.toolcalls.blocks import BlockReader
from app.toolcalls.calls import Call, Rules
from app.toolcalls.flow import Fault, Input, Output, Piece
from app.toolcalls.foreign import Block
from app.toolcalls.marks import Marks
from app.toolcalls.prose import Header, Prose, ResultMark


class Parser:
    """One answer of a model.

    `index` is that of the next call, `spoken` says that the client was given text before; `new_id` gives ids for
    calls. `cut` is True once the answer was ended before its end: nothing comes out any more.
    """

    def __init__(
        self, marks: Marks, rules: Rules, *, new_id: Callable[[], str], index: int = 0, spoken: bool = False
    ) -> None:
        self.cut = False
        self._marks = marks
        self._rules = rules
        self._input = Input()
        self._output = Output(new_id=new_id, index=index, spoken=spoken)
        self._prose = Prose(marks, self._output, foreign=rules.foreign, results_end=rules.results_end)
        self._call: Call | None = None
        self._block: BlockReader | None = None
        self._aftermath: Aftermath | None = None

    @property
    def index(self) -> int:
        """The index of the next call."""
        return self._output.index

    @property
    def spoken(self) -> bool:
        """Whether there was text."""
        return self._output.spoken

    @property
    def in_prose(self) -> bool:
        """Whether what comes next is text, as far as is known."""
        return self._call is None and self._block is None

    @property
    def held(self) -> int:
        """How many characters are held back as possible text."""
        return 0 if self.cut else self._input.left + self._prose.held

    def feed(self, text: str) -> list[Piece]:
        """All that is decided with `text`."""
        if self.cut:
            return []
        self._input.add(text)
        self._read()
        return self._output.taken()

    def interrupt(self) -> list[Piece]:
        """Something that is no text stands here: what is held back as text is text."""
        if self.in_prose and self._aftermath is None and not self.cut:
            self._prose.interrupt(self._input)
        return self._output.taken()

    def finish(self, *, clean: bool) -> list[Piece]:
        """The answer is over; `clean` says that the model ended it by itself."""
        self._input.ended = True
        if not self.cut:
            self._read()
        while not self.cut and self._left_open(clean=clean):
            self._read()
        if not self.cut:
            self._prose.finish()
        return self._output.taken()

    def _read(self) -> None:
        while not self.cut and (self._step() or self._input.see_more()):
            pass

    def _step(self) -> bool:
        """Read one thing; False when more has to come."""
        if self._call is not None:
            return self._in_call(self._call)
        if self._block is not None:
            return self._in_block(self._block)
        if self._aftermath is not None:
            return self._after_call(self._aftermath)
        return self._in_prose()

    def _in_prose(self) -> bool:
        match self._prose.read(self._input):
            case Header() as header:
                self._call = Call(header, self._marks, self._rules, self._output)
            case Block() as block:
                self._block = BlockReader(block, self._marks, self._rules, self._output)
            case ResultMark():
                self._output.put(Fault("hallucinated_result"))
                self.cut = True
            case None:
                return False
        return True

    def _in_call(self, call: Call) -> bool:
        if not call.read(self._input):
            return False
        self._call = None
        self._called(call.fence, one=call.announced)
        return True

    def _in_block(self, block: BlockReader) -> bool:
        before, verdict = self.index, block.read(self._input)
        if verdict is None:
            return False
        self._block = None
        if verdict:
            self._prose.take_along()
            self._called("", one=self.index > before)
        else:
            self._prose.give_up(block.block)
        return True

    def _called(self, fence: str, *, one: bool) -> None:
        """A call is over; `one` says that the client was given it."""
        if one and not self._rules.parallel:
            self.cut = True
            return
        self._aftermath = Aftermath(self._marks, [opened for opened in (self._prose.owed, fence) if opened])

    def _after_call(self, aftermath: Aftermath) -> bool:
        if not aftermath.read(self._input):
            return False
        self._aftermath = None
        self._prose.owed = aftermath.fences[0] if aftermath.fences else ""
        self._prose.resume()
        return True

    def _left_open(self, *, clean: bool) -> bool:
        """End what the answer's end has left open; True if there is something to read again."""
        call, block = self._call, self._block
        self._call = self._block = None
        if call is not None:
            call.cut_off(clean=clean)
        if block is not None:
            if block.cut_off(self._input, clean=clean):
                self._prose.take_along()
            else:
                self._prose.give_up(block.block)
                return True
        return False
