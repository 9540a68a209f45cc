"""One call, from its header to the end of its body."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from app.chat.events import ToolCallDelta, ToolCallEnd, Warned
from app.toolcalls.arguments import Arguments, Tool
from app.toolcalls.extent import Extent
from app.toolcalls.flow import Fault, Input, Output
from app.toolcalls.marks import Marks
from app.toolcalls.prose import Header

_NAME = re.compile(r"""\bname\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'/]+))""")
_WORD = re.compile(r"""[^\s"'=]+""")
_DECORATED = re.compile(r":\d+\Z")
_FENCE = re.compile(r"(?:`{3,100}|~{3,100})[^\n`~]{0,24}\n")
_HALF_FENCE = re.compile(r"(?:`{1,100}|~{1,100})[^\n`~]{0,24}\Z")
_SPACE = re.compile(r"\s*")


@dataclass(frozen=True, slots=True)
class Rules:
    """What an answer may hold: the tools that there are by their names, and which of them may be called.

    `discards` says that calls are left out without a word, `parallel` that there may be several, `foreign` that those
    in the marks of others count, `results_end` that a result which the model writes ends the answer.
    """

    tools: Mapping[str, Tool]
    allowed: frozenset[str]
    discards: bool = False
    parallel: bool = True
    foreign: bool = True
    results_end: bool = True

    def find(self, name: str) -> tuple[Tool | None, bool]:
        """The tool that is meant by a name, and whether the name had to be brought into its form."""
        plain = name.strip()
        if plain in self.tools:
            return self.tools[plain], False
        plain = _DECORATED.sub("", plain.removeprefix("functions."))
        if plain in self.tools:
            return self.tools[plain], True
        alike = [tool for key, tool in self.tools.items() if key.lower() == plain.lower()]
        return (alike[0] if len(alike) == 1 else None), True


class Call:
    """A call that is being read. `fence` is the one that its body stands in, empty if none."""

    def __init__(self, header: Header, marks: Marks, rules: Rules, output: Output) -> None:
        self.fence = ""
        self._marks = marks
        self._rules = rules
        self._output = output
        self._name, tool, self._renamed = _named(header.attributes, rules)
        self._usable = tool is not None and tool.spec.name in rules.allowed and not rules.discards
        self._fault = "unknown_tool" if tool is None else "not_allowed"
        self._tool = tool
        self._closed = header.closed
        self._begun = header.closed
        self._extent = Extent(marks)
        self._arguments = None if tool is None or not self._usable else arguments_of(tool)
        self._index: int | None = None

    @property
    def announced(self) -> bool:
        """Whether the client was told of it."""
        return self._index is not None

    def read(self, source: Input) -> bool:
        """Read on; True once the call is over, and what follows it is next."""
        if not self._begun and not self._opens(source):
            return False
        if self._closed:
            self._conclude("{}")
            return True
        if source.empty:
            return False
        rest = self._extent.feed(source.take())
        if rest is None:
            self._pass_on()
            return False
        source.put_back(rest)
        self._ends()
        return True

    def cut_off(self, *, clean: bool) -> None:
        """The answer is over before the call's end; `clean` says that the model ended it by itself."""
        extent = self._extent
        extent.read()
        closers = extent.scanner.missing if extent.scanner.broken is None else None
        if clean and closers is not None and self._begun:
            self._add_members()
            self._conclude(extent.text + closers, "repaired", "unterminated")
        elif not self._usable:
            self._refuse()
        else:
            self._output.put(Fault("truncated_call", self._name, extent.text, self._index is not None))

    def _opens(self, source: Input) -> bool:
        """Go up to the body, over white space and a fence; False if more has to be seen."""
        space = _SPACE.match(source.text, source.at)
        source.at = space.end() if space else source.at
        if source.empty:
            return False
        if source.text[source.at] in "`~" and not self.fence:
            fence = _FENCE.match(source.text, source.at)
            if fence:
                self.fence = fence[0][: len(fence[0]) - len(fence[0].lstrip(fence[0][0]))]
                source.at = fence.end()
                return self._opens(source)
            if not source.eof and _HALF_FENCE.match(source.text, source.at):
                return False
        if source.text.startswith("</", source.at):
            self._closed = True  # nothing stands in it
        elif source.text[source.at :] == "<" and not source.eof:
            return False
        self._begun = True
        return True

    def _pass_on(self) -> None:
        """Pass on what has become sure of the arguments."""
        arguments, extent = self._arguments, self._extent
        if arguments is None:
            return
        if arguments.eager:
            extent.read()
        self._add_members()

    def _add_members(self) -> None:
        """Pass on what is sure of the arguments by now."""
        if self._arguments is not None:
            self._send(self._arguments.of(self._extent.scanner))

    def _send(self, text: str) -> None:
        if not text or self._tool is None:
            return
        if self._index is None:
            self._index = self._output.begin_call(self._tool.spec)
        self._output.put(ToolCallDelta(self._index, text))

    def _ends(self) -> None:
        """The body has come to its end."""
        extent, scanner = self._extent, self._extent.scanner
        if extent.whole:
            scanner.conclude()
        self._add_members()
        body = extent.text
        if not extent.whole and scanner.broken == len(body) and scanner.missing:
            self._conclude(body + scanner.missing, "repaired")  # a mark stands where brackets should have been
        else:
            self._conclude(body, *["repaired"] * scanner.comma, whole=extent.whole)

    def _conclude(self, body: str, *warnings: str, whole: bool = False) -> None:
        arguments = self._arguments
        if arguments is None:
            self._refuse()
            return
        rest = arguments.finish(body, whole=whole)
        if rest is None:
            self._output.put(Fault("bad_arguments", self._name, body, self._index is not None))
            return
        self._send(rest)
        words = [*warnings, *arguments.warnings, *arguments.mismatches()]
        if self._renamed:
            words.append("name_normalised")
        self._output.put(*map(Warned, dict.fromkeys(words)))
        if self._index is not None:
            self._output.put(ToolCallEnd(self._index))

    def _refuse(self) -> None:
        if not self._rules.discards:
            self._output.put(Fault(self._fault, self._name, self._extent.text))


def arguments_of(tool: Tool) -> Arguments:
    """The arguments of a call of this tool."""
    return Arguments(tool.parameters, tool.mode, freeform=tool.spec.freeform)


def _named(attributes: str, rules: Rules) -> tuple[str, Tool | None, bool]:
    """The name in a header, the tool that it means, and whether it was in another form."""
    found = _NAME.search(attributes)
    if found:
        name = next(part for part in found.groups() if part is not None)
        return name, *rules.find(name)
    for word in _WORD.findall(attributes):
        tool, _ = rules.find(word)
        if tool is not None:
            return word, tool, True
    return attributes.strip(), None, False
