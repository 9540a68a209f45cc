"""How fast tool calls are read: CPU time per megabyte of arguments that arrive in pieces of four characters.

    python -m benchmarks.toolcalls

Beside the parser stands what the least would be, in the same run: the pieces joined, and the JSON of the whole parsed.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

from app.chat.request import ToolSpec
from app.toolcalls.arguments import Mode, Tool
from app.toolcalls.calls import Rules
from app.toolcalls.marks import Marks
from app.toolcalls.parser import Parser
from app.toolcalls.schema import Parameters

SIZE = 1_000_000
PIECE = 4
ROUNDS = 5
MARKS = Marks("K7Q2")
SCHEMA = '{"type":"object","properties":{"file_path":{"type":"string"},"content":{"type":"string"}}}'
CONTENTS = {
    "code": "def f(x):\n    return [x + 1]  # more\n",
    "escapes": 'x"\\\n',
    "Chinese": "好的，我来写一个文件。\n",
}


def pieces_of(line: str) -> list[str]:
    """A call that writes a file of about a megabyte."""
    arguments = {"file_path": "/big", "content": line * (SIZE // len(json.dumps(line, ensure_ascii=False)))}
    text = f'{MARKS.call} name="Write">\n{json.dumps(arguments, ensure_ascii=False)}\n{MARKS.call_end}>'
    return [text[start : start + PIECE] for start in range(0, len(text), PIECE)]


def read(mode: Mode, pieces: list[str]) -> None:
    """Read the call."""
    tool = Tool(ToolSpec("Write", "", SCHEMA), Parameters(SCHEMA), mode)
    parser = Parser(MARKS, Rules({"Write": tool}, frozenset({"Write"})), new_id=lambda: "call")
    for piece in pieces:
        parser.feed(piece)
    parser.finish(clean=True)


def least(pieces: list[str]) -> None:
    """What cannot be done without."""
    text = "".join(pieces)
    json.loads(text[text.index("{") : text.rindex("}") + 1])


WAYS: dict[str, Callable[[list[str]], None]] = {
    **{mode.value: partial(read, mode) for mode in Mode},
    "least": least,
}


def seconds(way: Callable[[list[str]], None], pieces: list[str]) -> float:
    """CPU time of one run."""
    started = time.process_time()
    way(pieces)
    return time.process_time() - started


def main() -> None:
    """Print the median of some rounds, the ways of reading taken in turn."""
    sys.stdout.write(f"{'content':10} {'mode':8} {'s per MB':>9} {'times the least':>16}\n")
    for name, line in CONTENTS.items():
        pieces = pieces_of(line)
        megabytes = sum(map(len, pieces)) / 1_000_000
        found: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(ROUNDS):
            for way, work in WAYS.items():
                found[way].append(seconds(work, pieces))
        base = statistics.median(found["least"])
        for mode in Mode:
            median = statistics.median(found[mode.value])
            sys.stdout.write(f"{name:10} {mode.value:8} {median / megabytes:9.2f} {median / base:16.0f}\n")


if __name__ == "__main__":
    main()
