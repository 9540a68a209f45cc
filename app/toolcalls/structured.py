"""An answer that has to be JSON.

Nothing that was passed on can be taken back, so an answer that has to fit a schema is held until it does. Any object
will do where there is no schema: it is passed on as it arrives, written anew so that it stays valid. What cannot be
used is asked for again; if it is still no good, that is an error, never invalid JSON.
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import islice

from app.chat.events import Annotation, Cited, Event, Failed, Finished, Source, TextDelta, ToolCallStart, Warned
from app.chat.request import JsonFormat
from app.errors import StructuredOutputFailed
from app.toolcalls.arguments import Arguments, Mode
from app.toolcalls.marks import Marks
from app.toolcalls.repair import Mended
from app.toolcalls.scanner import Scanner
from app.toolcalls.schema import Parameters, problems
from app.toolcalls.values import Brackets, values_in

MAX_FOLLOW_UPS = 2
"""How often the model is asked again."""

MAX_AFTER = 200
"""Characters behind the object that are waited out; a model that goes on for longer is stopped."""

MAX_VALUES = 4
"""Values in an answer of which one may fit."""

_OBJECT = re.compile(r'\{\s*+(?:["}]|\Z)')
_NOTHING = ("it is not one JSON value",)


class ObjectReading:
    """A stage that passes on the first JSON object of an answer, as it arrives, and nothing else.

    `follow_up` is as in ToolReading.
    """

    def __init__(self) -> None:
        self.follow_up: str | None = None
        self._asked = 0
        self._over = False
        self._prepare()

    def begin(self) -> None:
        """The model is about to answer what it was asked."""
        if self.follow_up is not None:
            self.follow_up = None
            self._prepare()

    def conclude(self) -> list[Event]:
        """The model cannot be asked: the end of the answer as it stands."""
        self._asked, self.follow_up = MAX_FOLLOW_UPS, None
        return self([Finished()])

    def _prepare(self) -> None:
        self._scanner = Scanner()
        self._arguments = Arguments(Parameters("{}"), Mode.EAGER, unwraps=False)
        self._pending = ""
        self._open = Brackets()
        self._body: list[str] | None = None
        self._whole = False
        self._lost = False
        self._after = 0

    def __call__(self, events: list[Event]) -> list[Event]:
        """Pass on what is part of the object."""
        out: list[Event] = []
        for event in events:
            if self._over or self.follow_up is not None:
                break
            match event:
                case TextDelta(text):
                    self._read(text, out)
                case Cited() | Annotation():
                    pass  # there is no text that they could stand in
                case Finished():
                    self._finish(event, out)
                case Failed():
                    self._over = True
                    out.append(event)
                case _:
                    out.append(event)
        return out

    def _read(self, text: str, out: list[Event]) -> None:
        if self._lost:
            return
        if self._whole:
            self._wait_out(text, out)
            return
        if self._body is None:
            text = self._pending + text
            start = _OBJECT.search(text)
            undecided = start is None or (start.end() == len(text) and text[-1] not in '"}')
            at = len(text) if start is None else start.start()
            self._open.read(text[:at])
            if undecided:
                self._pending = text[at:]
                return
            text, self._body = text[at:], []
            self._lost = self._open.any  # it is a part of something else, of which the rest would be lost
        self._scan(text, out)

    def _scan(self, text: str, out: list[Event]) -> None:
        body = self._body if self._body is not None else []
        body.append(text)
        if self._scanner.broken is not None or self._lost:
            return
        end = self._scanner.feed(text)
        if end is not None:
            self._scanner.conclude()
            body[-1] = text[:end]
            self._whole = True
        self._give(self._arguments.of(self._scanner), out)
        if end is not None:
            rest = self._arguments.finish("".join(body), whole=True)
            if rest is None:
                self._whole, self._lost = False, True
            else:
                self._give(rest, out)
                self._wait_out(text[end:], out)

    def _wait_out(self, text: str, out: list[Event]) -> None:
        self._after += len(text)
        if self._after > MAX_AFTER:
            self._end(Finished(cut=True), out)

    def _finish(self, event: Finished, out: list[Event]) -> None:
        if not self._whole:
            rest = self._last_resort(event)
            if rest is None:
                self._reject(event, out)
                return
            self._give(rest, out)
        self._end(event, out)

    def _last_resort(self, event: Finished) -> str | None:
        """The rest of an object that is not whole as it stands; None if it cannot be told."""
        if self._body is None or self._lost or event.reason != "stop" or event.cut:
            return None
        body = "".join(self._body)
        closers = self._scanner.missing if self._scanner.broken is None else None
        if closers is not None:
            return self._arguments.finish(body + closers)
        end = body.rfind("}")
        return self._arguments.finish(body[: end + 1])

    def _reject(self, event: Finished, out: list[Event]) -> None:
        again = event.reason == "stop" and not event.cut and not self._arguments.begun
        if again and self._asked < MAX_FOLLOW_UPS:
            self._asked += 1
            self.follow_up = "[Your answer is not one JSON object. Answer again: the JSON object alone, nothing else.]"
            return
        self._over = True
        out.append(Failed(_failure(event)))

    def _end(self, event: Finished, out: list[Event]) -> None:
        self._over = True
        out += [Warned(word) for word in dict.fromkeys(self._arguments.warnings)]
        out.append(replace(event, reason="stop"))  # what ended it stood behind the object

    def _give(self, text: str, out: list[Event]) -> None:
        if text:
            out.append(TextDelta(text))


class ValueReading:
    """A stage that holds an answer until it is whole, and passes on its JSON value if that fits the schema.

    An answer that calls tools is passed on as it is: the form is that of the last answer. `marks` are those of calls
    in the conversation, if there are any. `follow_up` is as in ToolReading.
    """

    def __init__(self, form: JsonFormat, marks: Marks | None = None) -> None:
        self.follow_up: str | None = None
        self._form = form
        self._marks = marks
        self._asked = 0
        self._over = False
        self._called = False
        self._text: list[str] = []

    def begin(self) -> None:
        """The model is about to answer what it was asked."""
        if self.follow_up is not None:
            self.follow_up, self._text = None, []

    def conclude(self) -> list[Event]:
        """The model cannot be asked: the end of the answer as it stands."""
        self._asked, self.follow_up = MAX_FOLLOW_UPS, None
        return self([Finished()])

    def __call__(self, events: list[Event]) -> list[Event]:
        """Pass on what is no text, and at the end the value."""
        out: list[Event] = []
        for event in events:
            if self._over or self.follow_up is not None:
                break
            match event:
                case TextDelta(text) if not self._called:
                    self._text.append(text)
                case ToolCallStart() if not self._called:
                    self._called = True
                    self._give("".join(self._text), out)
                    out.append(event)
                case Cited() | Annotation() | Source() if not self._called:
                    pass
                case Finished() if not self._called:
                    self._finish(event, out)
                case Finished() | Failed():
                    self._over = True
                    out.append(event)
                case _:
                    out.append(event)
        return out

    def _finish(self, event: Finished, out: list[Event]) -> None:
        whole = event.reason == "stop" and not event.cut
        found, wrong = self._found(whole=whole)
        if whole and wrong and self._asked < MAX_FOLLOW_UPS:
            self._asked += 1
            asked = _once_more(wrong)
            self.follow_up = asked if self._marks is None else self._marks.guarded(asked)
            return
        self._over = True
        if found is None or (wrong and (self._form.strict or not whole)):
            out.append(Failed(_failure(event)))
            return
        out += map(Warned, [*found.warnings, *["schema_mismatch"] * bool(wrong)])
        self._give(found.text, out)
        out.append(replace(event, reason="stop"))

    def _found(self, *, whole: bool) -> tuple[Mended | None, tuple[str, ...]]:
        """The value that was meant, and what is wrong with it: the first one that fits, or else the first of all.

        Where the answer is not `whole`, only brackets show that a value is.
        """
        first: tuple[Mended | None, tuple[str, ...]] = None, _NOTHING
        for found in islice(values_in("".join(self._text)), MAX_VALUES):
            wrong = self._wrong(found.value) if whole or isinstance(found.value, dict | list) else _NOTHING
            if not wrong:
                return found, ()
            first = first if first[0] is not None else (found, wrong)
        return first

    def _wrong(self, value: object) -> tuple[str, ...]:
        if self._form.schema is not None:
            return problems(self._form.schema, value)
        return () if isinstance(value, dict) else ("it is not a JSON object",)

    def _give(self, text: str, out: list[Event]) -> None:
        if text:
            out.append(TextDelta(text))


def _once_more(problems: tuple[str, ...]) -> str:
    listed = "\n".join(f"- {problem}" for problem in problems)
    return f"[Your answer cannot be used:\n{listed}\nAnswer again: the corrected JSON alone, nothing else.]"


def _failure(event: Finished) -> StructuredOutputFailed:
    # Without `param`: each dialect has names of its own for what asked for the form and for what cut it.
    if event.reason == "length":
        return StructuredOutputFailed("The JSON is longer than the answer may be: its limit of tokens has cut it.")
    if event.stopped_by is not None:
        return StructuredOutputFailed("A stop sequence ended the answer before its JSON was whole.")
    return StructuredOutputFailed("The model did not give JSON of the form that was asked for.")
