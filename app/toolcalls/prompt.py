"""What a model is told so that it calls tools, and how calls and results of the history are written for it; pure.

Kimi's chat takes one text and knows nothing of a client's tools. So they are described in it, each with its schema, and
a worked example made of them shows the one form that counts. Earlier calls stand in the history in that very form:
there is no better example, and a second form would be imitated as well. A short reminder closes the text, because what
stands last is followed best.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from app.chat.request import Choice, JsonFormat, Message, ToolCallPart, ToolResultPart, ToolSpec, ToolUse
from app.toolcalls.marks import Marks
from app.toolcalls.repair import dump, parsed
from app.toolcalls.schema import compact, example

FREEFORM = '{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}'
"""The parameters of a tool that takes one text."""

_MAX_ID = 64
_MAX_NAME = 128
"""Characters of the name of a tool; a model has to call it by all of them."""


@dataclass(frozen=True, slots=True)
class Guide:
    """What goes with the messages of one turn: `section` stands above them, `closing` behind them; each may be empty.

    Without `marks` there are no tools in it, neither in the history nor now.
    """

    section: str = ""
    closing: str = ""
    marks: Marks | None = None

    def guarded(self, text: str) -> str:
        """A text in which nothing passes for a call or a result."""
        return text if self.marks is None else self.marks.guarded(text)

    def calls(self, message: Message) -> str:
        """The calls of an assistant's message, each as the model has to write it; empty if there are none."""
        marks = self.marks
        if marks is None:
            return ""
        return "\n".join(_block(marks, call.name, _object(marks, call)) for call in message.calls)

    def result(self, message: Message) -> str:
        """A tool's message as the result of its call. The tool's words stand as they are, but for marks."""
        marks, answers = self.marks, message.answers or ToolResultPart()
        if marks is None:
            return message.text
        number = answers.number if answers.number is not None else _attribute(answers.call_id or "unknown", _MAX_ID)
        failed = ' status="error"' if answers.failed else ""
        head = f'{marks.result} id="{number}" name="{_attribute(answers.name or "")}"{failed}>'
        return f"{head}\n{marks.guarded(message.text)}\n{marks.result_end}>"


def guide(use: ToolUse, form: JsonFormat | None, marks: Marks | None, *, told: bool, searches: bool) -> Guide:
    """What the model is told in one turn.

    `marks` are None where there are no tools at all. `told` says that the conversation has heard of the tools before,
    `searches` that Kimi's own search is on.
    """
    closing = [] if marks is None else [_reminder(use, marks)]
    if form is not None:
        closing.append(_form(form, marks, tools=bool(use.told)))
    section = "" if marks is None or told or not use.told else _section(use, marks, searches=searches)
    return Guide(section, "\n\n".join(closing), marks)


_SECTION = """\
You have tools. They run on the user's own machine, through the program with which the user talks to you. You call a \
tool by printing a block of this form; nothing else runs it:

{one}

The first line names the tool, below it stands one JSON object with the arguments, the last line closes the block. \
Print it as plain text, not in a code fence. Inside strings, write a quote as \\" and a line break as \\n.

{count}

The results come in the next message, each as {result}>, numbered in the order of all calls so far. Never print a \
result yourself.

Call a tool only where the task needs it; otherwise answer in words. If a required argument is not known and no tool \
can find it out, ask the user. Never say that you have no tools, no access or no files: the tools are your access. {own}

The tools, one JSON object to a line:
{tools}"""

_SEVERAL = """\
Calls that do not need each other's results are printed one below the other:

{two}

Stop right after the last block."""

_ONE = "Print one block at the most, and stop right after it."
_NOTHING_OF_ITS_OWN = "Your own search, terminal, code and file features are off here: neither use nor mention them."
_SEARCH_ALONE = "Of your own features only the internet search is on here: neither use nor mention any other."


def _section(use: ToolUse, marks: Marks, *, searches: bool) -> str:
    specs = use.told
    one, two = _sample(marks, specs[0]), _sample(marks, specs[1 if len(specs) > 1 else 0])
    return _SECTION.format(
        one=one,
        count=_SEVERAL.format(two=f"{one}\n{two}") if use.parallel else _ONE,
        result=f'{marks.result} id="1" name="{_attribute(specs[0].name)}"',
        own=_SEARCH_ALONE if searches else _NOTHING_OF_ITS_OWN,
        tools="\n".join(_described(marks, spec) for spec in specs),
    )


def _reminder(use: ToolUse, marks: Marks) -> str:
    if not use.told:
        return "[No tool can be called in this turn: answer in words.]"
    names = " or ".join(_attribute(tool.name) for tool in use.told) if use.allowed else ""
    demand = f"Now you have to call {names or 'a tool'}: print the block."
    if use.choice is not Choice.REQUIRED:
        demand = "If no tool is needed, answer in words."
    count = "Stop right after the last block." if use.parallel else "Print one block at the most, and stop after it."
    return f"[To call a tool, print {_form_of_call(marks)}, as plain text. {count} {demand}]"


def _form(form: JsonFormat, marks: Marks | None, *, tools: bool) -> str:
    when = "An answer that calls no tool has to be" if tools else "Your whole answer has to be"
    if form.schema is None:
        return f"[{when} one JSON object, with nothing before or behind it and no code fence.]"
    schema = _line(compact(_schema(form.schema)), marks)
    return (
        f"[{when} one JSON value that is valid under this JSON Schema, with nothing before or behind it and no code "
        f"fence:\n{schema}]"
    )


def call_again(marks: Marks, diagnosis: str) -> str:
    """What the model is told when its call could not be taken."""
    return once_more(marks, f"{diagnosis} It was not run. Print this call again, corrected, in full and alone")


def once_more(marks: Marks, told: str) -> str:
    """What the model is told so that it prints a call; it ends with the form of one."""
    return f"[{marks.guarded(' '.join(told.split()))}: {_form_of_call(marks)}]"


def _form_of_call(marks: Marks) -> str:
    return f'{marks.call} name="NAME">, one JSON object with the arguments, {marks.call_end}>'


def _block(marks: Marks, name: str, body: str) -> str:
    return f'{marks.call} name="{_attribute(name)}">\n{body}\n{marks.call_end}>'


def _sample(marks: Marks, spec: ToolSpec) -> str:
    return _block(marks, spec.name, marks.guarded_json(dump(example(_schema(_parameters(spec))))))


def _described(marks: Marks, spec: ToolSpec) -> str:
    described: dict[str, object] = {"name": spec.name}
    if spec.description:
        described["description"] = spec.description
    described["parameters"] = compact(_schema(_parameters(spec)))
    return _line(described, marks)


def _line(value: object, marks: Marks | None) -> str:
    """A value as JSON on one line. It has an escape for the slash: no tag can be closed from in there."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(value, separators=(",", ":"))
    return (text if marks is None else marks.guarded_json(text)).replace("</", "<\\/")


def _schema(text: str) -> object:
    """A client's schema; that of any object where it is no JSON, or too deep for it."""
    try:
        return parsed(text)
    except ValueError:
        return {}


def _parameters(spec: ToolSpec) -> str:
    return FREEFORM if spec.freeform else spec.parameters


def _object(marks: Marks, call: ToolCallPart) -> str:
    """The arguments of an earlier call; those that are no object become one, so that the form stays the same."""
    try:
        usable = isinstance(parsed(call.arguments), dict)
    except ValueError:
        usable = False
    return marks.guarded_json(call.arguments if usable else dump({"arguments": call.arguments}))


def _attribute(text: str, most: int = _MAX_NAME) -> str:
    return "".join(char if char.isalnum() or char in "_-.:/" else "_" for char in text[:most])
