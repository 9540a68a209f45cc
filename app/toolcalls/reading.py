"""An answer read for calls of tools: what the client is given, and when the model is asked once more.

The parser tells what stands in an answer; here it is judged. A call that cannot be taken, a call that had to come and
did not, an answer without anything: for these the model is asked again, in the same conversation, as long as nothing
would have to be taken back. What comes of that is part of the same answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from app.chat.events import Cited, Event, Failed, Finished, TextDelta, ThinkingDelta, ToolCallStart, Warned
from app.errors import GatewayError, NothingSaid, ToolCallUnreadable, UpstreamTruncated
from app.toolcalls.asking import UNMET, Asking, Duty, Words, diagnosable
from app.toolcalls.calls import Rules
from app.toolcalls.flow import Fault, Piece
from app.toolcalls.marks import Marks, Veil
from app.toolcalls.parser import Parser
from app.toolcalls.thoughts import Thoughts

_BROKEN = frozenset({"bad_arguments", "truncated_call"})
_MAX_WORD = 80
_TICKS = re.compile(r"`{3,}")


class Seam:
    """A channel to the client, over all that it is given in turn: no mark comes about where two texts meet."""

    def __init__(self, marks: Marks) -> None:
        self.end = ""
        self._marks = marks

    def follow(self, text: str) -> str:
        """What may be shown of a text, behind all that was shown before."""
        start = len(self.end)
        whole = self.end + text
        while mark := self._marks.pattern.search(whole):
            letters = max(mark.end(1), start)
            whole = whole[:letters] + whole[mark.end() :]
        self.end = whole[-self._marks.longest :]
        return whole[start:]


class ToolReading:
    """A stage that reads one answer to the client, which may be several of the model's.

    `follow_up` is what the model is to be asked once its answer has ended; None where the answer to the client has
    ended with it.
    """

    def __init__(self, marks: Marks, rules: Rules, duty: Duty, *, new_id: Callable[[], str]) -> None:
        self.follow_up: str | None = None
        self._marks = marks
        self._rules = rules
        self._duty = duty
        self._new_id = new_id
        self._asking = Asking(marks, duty)
        self._text = Seam(marks)
        self._thinking = Seam(marks)
        self._over = False
        self._calls = 0
        self._spoken = False
        self._held: list[TextDelta | Cited] = []
        self._earlier: list[TextDelta | Cited] = []
        self._prepare()

    def begin(self) -> None:
        """The model is about to answer what it was asked; if by somebody else, its last answer was nothing."""
        if self.follow_up is None:
            self._over = self._spoken = False
            self._text = Seam(self._marks)
        self.follow_up = None
        self._prepare()

    def conclude(self) -> list[Event]:
        """The model cannot be asked: the end of the answer as it stands."""
        out: list[Event] = []
        self.follow_up = None
        self._conclude("stop", diagnosable(self._faults), out, cut=False)
        return out

    def __call__(self, events: list[Event]) -> list[Event]:
        """Pass on what may be passed on of these events."""
        out: list[Event] = []
        for event in events:
            if self._over or self.follow_up is not None:
                break
            match event:
                case TextDelta(text):
                    self._think(self._thoughts.pause(), out)
                    self._pass(self._parser.feed(text), out)
                    if self._parser.cut:
                        self._end("stop", out, cut=True)
                case ThinkingDelta(text):
                    self._think(self._thoughts.feed(text), out)
                case Cited():
                    self._cite(event, out)
                case Finished(reason):
                    self._pass(self._parser.finish(clean=reason == "stop"), out)
                    self._end(reason, out, cut=event.cut)
                case Failed():
                    self._fail(event, out)
                case _:
                    out.append(event)
        return out

    def _prepare(self) -> None:
        """For an answer of the model's."""
        spoken = bool(self._text.end)
        self._parser = Parser(self._marks, self._rules, new_id=self._new_id, index=self._calls, spoken=spoken)
        self._thoughts = Thoughts(self._marks, self._rules, new_id=self._new_id)
        self._veil = Veil(self._marks)
        self._faults: list[Fault] = []
        self._words = Words()
        self._holds = self._duty.must_call or self._asking.begun
        self._drops = False
        if _says_something(self._held):
            self._earlier = self._held
        self._held = []

    def _pass(self, pieces: Sequence[Piece], out: list[Event]) -> None:
        for piece in pieces:
            match piece:
                case TextDelta(text):
                    self._say(self._veil.feed(text), out)
                case Fault():
                    self._faults.append(piece)
                case Warned(word):
                    out.append(self._warning(word))
                case ToolCallStart():
                    self._say(self._veil.finish(), out)
                    self._let_go(out, keep=not self._asking.begun)
                    self._calls += 1
                    out.append(piece)
                case _:
                    out.append(piece)

    def _warning(self, word: str) -> Warned:
        """A word that can stand in a header: visible ASCII without commas."""
        return Warned(re.sub(r"[^!-+\--~]", "?", self._marks.stripped(word))[:_MAX_WORD])

    def _think(self, events: Sequence[Event], out: list[Event]) -> None:
        texts = [self._thinking.follow(event.text) for event in events if isinstance(event, ThinkingDelta)]
        out += [ThinkingDelta(text) for text in texts if text]

    def _cite(self, event: Cited, out: list[Event]) -> None:
        if not self._parser.in_prose:
            return  # in a call there is no text that it could stand in
        self._pass(self._parser.interrupt(), out)
        self._say(self._veil.finish(), out)
        if self._holds:
            self._held.append(event)
        elif not self._drops:
            out.append(event)

    def _say(self, text: str, out: list[Event]) -> None:
        if not text:
            return
        self._words.add(text)
        if self._holds:
            self._held.append(TextDelta(text))
        elif not self._drops:
            self._show(text, out)

    def _show(self, text: str, out: list[Event]) -> None:
        text = self._text.follow(text)
        if text:
            self._spoken = self._spoken or not text.isspace()
            out.append(TextDelta(text))

    def _show_apart(self, text: str, out: list[Event]) -> None:
        """Show a text that is no part of what was shown before, nor looks like it."""
        meets = self._text.end and not self._text.end[-1].isspace() and not text[:1].isspace()
        self._show(f"\n\n{text}" if meets else text, out)

    def _let_go(self, out: list[Event], *, keep: bool) -> None:
        """What was held back is passed on, or dropped: words around a call that was asked for again say nothing new."""
        held, self._held = self._held, []
        if self._holds and not keep:
            self._drops = True
        self._holds = False
        show = self._show_apart if self._asking.begun else self._show
        for event in held if keep else ():
            if isinstance(event, TextDelta):
                show(event.text, out)
                show = self._show
            else:
                out.append(event)

    def _end(self, reason: str, out: list[Event], *, cut: bool) -> None:
        """The model has ended, or is ended here (`cut`)."""
        self._flush(out)
        faults = diagnosable(self._faults)
        if self._silent and not faults:
            self._promote(out)
        if reason == "stop" and not cut and not any(fault.announced for fault in faults):
            called = self._calls > 0
            self.follow_up = self._asking.question(faults, self._words, called=called, silent=self._silent)
        if self.follow_up is None:
            self._conclude(reason, faults, out, cut=cut)

    def _flush(self, out: list[Event]) -> None:
        """Nothing more comes that could decide about what is held back as a part of a mark."""
        self._think(self._thoughts.pause(), out)
        self._say(self._veil.finish(), out)

    @property
    def _silent(self) -> bool:
        """Whether nothing has come that a client could be given."""
        return not self._calls and not self._spoken and not _says_something(self._held)

    def _promote(self, out: list[Event]) -> None:
        """Calls in thoughts are made: nothing else has come."""
        self._pass(self._thoughts.promoted(self._calls), out)

    def _conclude(self, reason: str, faults: Sequence[Fault], out: list[Event], *, cut: bool) -> None:
        """End the answer to the client."""
        self._over = True
        shown = [fault for fault in faults if fault.code == "unknown_tool" and not self._calls]
        if self._silent and not shown:
            self._held = self._earlier  # what it said when it was not asked to call again
        error = self._error(reason, faults, silent=self._silent and not shown)
        if error is not None:
            out.append(Failed(error))
            return
        self._let_go(out, keep=not self._calls)
        for fault in shown:
            self._show_apart(self._as_text(fault), out)
        out += [self._warning(f"{fault.code}:{fault.name}") for fault in faults if self._calls]
        if self._duty.must_call and not self._calls:
            out.append(Warned(UNMET))
        out.append(Finished("tool_calls" if self._calls and reason == "stop" else reason, cut=cut))

    def _as_text(self, fault: Fault) -> str:
        """A call of no tool as a person may read it."""
        name, body = self._marks.stripped(fault.name), self._marks.stripped(fault.body.strip())
        fence = max([*_TICKS.findall(body), "``"], key=len) + "`"
        return f"{name}\n{fence}json\n{body}\n{fence}"

    def _error(self, reason: str, faults: Sequence[Fault], *, silent: bool) -> GatewayError | None:
        """Why this answer is none; None if it is one."""
        begun = [fault for fault in faults if fault.announced]
        if reason == "length" and all(fault.code == "truncated_call" for fault in begun):
            return None
        broken = begun or ([] if self._calls else [fault for fault in faults if fault.code in _BROKEN])
        if broken and broken[0].code == "truncated_call":
            return UpstreamTruncated("The model broke off in the middle of a tool call.")
        if broken:
            return ToolCallUnreadable("The model printed a tool call that cannot be read.")
        if self._duty.must_call and self._duty.errs and not self._calls:
            return ToolCallUnreadable("The model called no tool, which tool_choice demands.")
        return NothingSaid("The model answered nothing that can be shown.") if silent else None

    def _fail(self, event: Failed, out: list[Event]) -> None:
        """The answer has failed.

        Where the model said nothing it may still have called in its thoughts, or have said something before it was
        asked again; and where it failed then, what had come before may be an answer by itself.
        """
        said_nothing = isinstance(event.error, NothingSaid)
        self._pass(self._parser.finish(clean=False), out)
        self._flush(out)
        if said_nothing and self._silent:
            self._promote(out)
        asked, begun = self._asking.begun, any(fault.announced for fault in self._faults)
        if said_nothing and (asked or self._calls) and not begun:
            self._conclude("stop", (), out, cut=False)
            return
        self._over = True
        if asked and (self._calls or self._asking.had_an_answer) and not begun:
            out.append(Finished("tool_calls" if self._calls else "stop", cut=True))
            return
        self._let_go(out, keep=not asked)
        out.append(event)


def _says_something(held: Sequence[TextDelta | Cited]) -> bool:
    return any(isinstance(event, TextDelta) and not event.text.isspace() for event in held)
