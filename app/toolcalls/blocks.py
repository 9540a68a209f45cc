"""A block in the marks of others, as it arrives: calls, or text after all."""

from __future__ import annotations

from app.chat.events import ToolCallDelta, ToolCallEnd, Warned
from app.toolcalls.arguments import Tool
from app.toolcalls.calls import Rules, arguments_of
from app.toolcalls.flow import Fault, Input, Output
from app.toolcalls.foreign import Block
from app.toolcalls.marks import Marks
from app.toolcalls.scanner import Scanner

_NAMED_WITHIN = 400
"""Characters in which the name of a tool shows that a block which was cut off was to be a call."""


class BlockReader:
    """Reads one block. What names a tool of the client's is a call or a fault; all else is text."""

    def __init__(self, block: Block, marks: Marks, rules: Rules, output: Output) -> None:
        self.block = block
        self._marks = marks
        self._rules = rules
        self._output = output
        self._pieces: list[str] = []
        self._tail = ""
        self._first = ""
        self._json = Scanner() if block.json else None
        self._reach = max(map(len, block.ends)) - 1

    def read(self, source: Input) -> bool | None:
        """Read on; True once it was calls, False if it is text, which is put back; None when more has to come."""
        text = source.take()
        self._pieces.append(text)
        self._first = self._first or text.lstrip()[:1]
        if self._first and self.block.first and self._first != self.block.first:
            return self._give_up(source)
        window = self._open_to_its_end(text)
        ends = [at + len(end) for end in self.block.ends if (at := window.find(end)) >= 0]
        self._tail = window[-self._reach :]
        if not ends:
            return None
        behind = window[min(ends) :]
        whole = "".join(self._pieces)
        self._pieces = [whole[: len(whole) - len(behind)]]
        source.put_back(behind)
        return True if self._are_calls() else self._give_up(source)

    def cut_off(self, source: Input, *, clean: bool) -> bool:
        """The answer is over before the block is, and what is whole of it may count if it is `clean`; as `read`."""
        if clean and self._are_calls():
            return True
        text = "".join(self._pieces)
        beginning = text[:_NAMED_WITHIN].partition(self._marks.call)[0]
        named = next((name for name in self._rules.tools if f'"{name}"' in beginning or f".{name}:" in beginning), None)
        if named is None or any(end in text for end in self.block.ends):
            return self._give_up(source)
        if not self._rules.discards:
            self._output.put(Fault("truncated_call", named, text))
        return True

    def _open_to_its_end(self, text: str) -> str:
        """The end of what has come, in which the block may end: behind its JSON, where it is some."""
        if self._json is None:
            return self._tail + text
        scanner = self._json
        end = scanner.feed(text)
        if end is None and scanner.broken is None:
            return ""
        self._json = None
        whole = "".join(self._pieces)
        return whole[len(whole) - len(text) + end if end is not None else scanner.broken :]

    def _give_up(self, source: Input) -> bool:
        source.put_back("".join(self._pieces))
        return False

    def _are_calls(self) -> bool:
        """Whether all that the block calls are tools of the client's; what becomes of the calls is put out."""
        try:
            calls = self.block.calls(self.block.begins + "".join(self._pieces))
        except ValueError:
            return False
        found = [(self._rules.find(name)[0], name, body) for name, body in calls]
        known = [(tool, name, body) for tool, name, body in found if tool is not None]
        if not calls or len(known) < len(calls):
            return False
        for tool, name, body in known[: None if self._rules.parallel else 1]:
            if not self._rules.discards:
                self._call(tool, name, body)
        return True

    def _call(self, tool: Tool, name: str, body: str) -> None:
        arguments = arguments_of(tool)
        text = arguments.finish(body) if tool.spec.name in self._rules.allowed else None
        if text is None:
            code = "bad_arguments" if tool.spec.name in self._rules.allowed else "not_allowed"
            self._output.put(Fault(code, name, body))
            return
        index = self._output.begin_call(tool.spec)
        words = dict.fromkeys([f"alias:{self.block.dialect}", *arguments.warnings, *arguments.mismatches()])
        self._output.put(ToolCallDelta(index, text), *map(Warned, words), ToolCallEnd(index))
