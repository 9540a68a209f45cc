"""Answers of models and what comes of them, however they arrive."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from app.chat.events import Event, TextDelta, ThinkingDelta, ToolCallDelta, ToolCallEnd, ToolCallStart, Warned
from app.chat.request import ToolSpec
from app.toolcalls.arguments import Mode, Tool
from app.toolcalls.calls import Rules
from app.toolcalls.flow import Fault, Piece
from app.toolcalls.marks import Marks, Veil
from app.toolcalls.parser import Parser
from app.toolcalls.schema import Parameters
from app.toolcalls.thoughts import Thoughts

NONCE = "K7Q2"
MARKS = Marks(NONCE)
CORPUS = Path(__file__).resolve().parents[1] / "corpora" / "tools.jsonl"

MAX_HELD = 100 + 24 + 1 + 32 + 32 + 200 + len(MARKS.result_end)
"""Characters that may be held back in text: a fence with its info, white space around it, a header, a mark."""

Row = dict[str, Any]


@cache
def rows() -> list[Row]:
    """The corpus."""
    return [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]


def row(name: str) -> Row:
    """One row of it."""
    return next(each for each in rows() if each["id"] == name)


@cache
def _tools(mode: Mode) -> dict[str, Tool]:
    tools = {}
    for listed in row("plain_text")["tools"]:
        schema = json.dumps(listed["parameters"])
        tools[listed["name"]] = Tool(ToolSpec(listed["name"], "", schema), Parameters(schema), mode)
    return tools


def rules(mode: Mode = Mode.VALUE, **changes: object) -> Rules:
    """The rules for the tools of the corpus: Read, Bash, Write, list_all, mcp__db__query."""
    tools = _tools(mode)
    return replace(Rules(tools, frozenset(tools)), **changes)  # type: ignore[arg-type] # fields of any type


def rules_of(each: Row, mode: Mode = Mode.VALUE) -> Rules:
    """The rules of a row of the corpus."""
    choice = each["tool_choice"]
    allowed = frozenset([choice["function"]["name"]]) if isinstance(choice, dict) else frozenset(_tools(mode))
    return rules(mode, allowed=allowed, discards=choice == "none", parallel=each["parallel_tool_calls"])


def call(name: str = "Read", body: str = '{"file_path": "/a"}') -> str:
    """A call as the model is told to print it."""
    return f'{MARKS.call} name="{name}">\n{body}\n{MARKS.call_end}>'


@dataclass
class Outcome:
    """What came of an answer: the visible text, the whole calls, what went wrong, the words of warning.

    `bodies` are those of `faults`, `announced` are all calls that were begun. `order` tells what came after what,
    `longest` how much was held back in text at the most.
    """

    text: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)
    faults: list[tuple[str, str, bool]] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    cut: bool = False
    announced: list[tuple[str, str]] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    longest: int = field(default=0, compare=False)
    _written: list[list[str]] = field(default_factory=list, compare=False)

    @property
    def values(self) -> list[tuple[str, Any]]:
        """The calls with their arguments as they are meant."""
        return [(name, json.loads(arguments)) for name, arguments in self.calls]

    @property
    def codes(self) -> list[str]:
        """What went wrong, in single words."""
        return [code for code, _, _ in self.faults]

    def take(self, pieces: Iterable[Piece], veil: Veil) -> None:
        """Take in what has come."""
        for piece in pieces:
            if not isinstance(piece, ToolCallDelta) and self.order[-1:] != [type(piece).__name__]:
                self.order.append(type(piece).__name__)
            match piece:
                case TextDelta(text) | ThinkingDelta(text):
                    assert text
                    self.text += veil.feed(text)
                case ToolCallStart(index, _, name):
                    assert index == len(self._written)
                    self.text += veil.finish()
                    self._written.append([name])
                case ToolCallDelta(index, text):
                    self._written[index].append(text)
                case ToolCallEnd(index):
                    name, *parts = self._written[index]
                    assert isinstance(json.loads("".join(parts)), dict)
                    self.calls.append((name, "".join(parts)))
                case Fault(code, name, body, announced):
                    self.faults.append((code, name, announced))
                    self.bodies.append(body)
                case Warned(word):
                    self.warnings.append(word)
                case _:
                    raise AssertionError(piece)

    def end(self, veil: Veil) -> None:
        """Nothing more comes."""
        self.text += veil.finish()
        self.announced = [(name, "".join(parts)) for name, *parts in self._written]


def new_parser(told: Rules, *, index: int = 0, spoken: bool = False) -> Parser:
    """A parser that numbers its calls."""
    numbers = iter(range(1_000_000))
    return Parser(MARKS, told, new_id=lambda: f"call-{next(numbers)}", index=index, spoken=spoken)


def read(pieces: Sequence[str | None], told: Rules | None = None, *, clean: bool = True) -> Outcome:
    """Read an answer that arrives in these pieces, and assert on the way what holds at any time.

    None stands for a citation.
    """
    parser, veil, outcome = new_parser(told or rules()), Veil(MARKS), Outcome()
    for piece in pieces:
        if piece is None:
            outcome.take(parser.interrupt(), veil)
            continue
        outcome.take(parser.feed(piece), veil)
        if parser.in_prose:
            assert parser.held <= MAX_HELD, parser.held
            outcome.longest = max(outcome.longest, parser.held)
    outcome.take(parser.finish(clean=clean), veil)
    outcome.end(veil)
    outcome.cut = parser.cut
    assert parser.held == 0
    return outcome


def think(pieces: Sequence[str | None], told: Rules | None = None) -> Outcome:
    """Read thoughts that arrive in these pieces; the calls are those that may be promoted.

    None stands for words of the answer between two thoughts. What is said behind them is shown on a line of its own.
    """
    numbers = iter(range(1_000_000))
    thoughts = Thoughts(MARKS, told or rules(), new_id=lambda: f"call-{next(numbers)}")
    outcome, shown = Outcome(), Veil(MARKS)
    for piece in pieces:
        events: list[Event] = thoughts.feed(piece) if piece is not None else thoughts.pause()
        outcome.take(events, shown)
        if piece is None:
            outcome.text += shown.finish() + "\n"
    outcome.take(thoughts.pause(), shown)
    outcome.take(thoughts.promoted(0), shown)
    outcome.end(shown)
    return outcome
