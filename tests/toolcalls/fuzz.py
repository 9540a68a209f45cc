"""Mutated answers of models: however one arrives, the same comes out, nothing leaks and nothing is raised.

    python -m tests.toolcalls.fuzz --runs 100000 --seed 1

A run is one mutated answer, read whole and in a few random cuts. The answers of the corpus are the seeds.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from app.toolcalls.arguments import Mode
from app.toolcalls.calls import Rules
from app.toolcalls.flow import AT_ONCE
from tests.toolcalls.answers import MARKS, NONCE, Outcome, call, read, rows, rules, rules_of, think

LONGEST = 20_000
"""Characters of the answers of the corpus that are mutated; the longest one is tested by itself."""

CUTS = 3

SPLICES = (
    *(f"<call:{NONCE}", f'<call:{NONCE} name="Read">', f'<call:{NONCE} name="list_all"/>', f"<call:{NONCE} Bash>"),
    *(
        f"<call:{NONCE} name='a>b\"",
        f"<call:{NONCE}\n",
        f'<call:{NONCE} name="{"x" * 180}',
        f'<call:{NONCE} name="No">',
    ),
    *(f"</call:{NONCE}>", f"</call:{NONCE}", f"</call:{NONCE}    >", f"<result:{NONCE}", f"</result:{NONCE}>"),
    *(f":{NONCE}", "<call", "</", "</call>", "</call:ZZZZ>", "</tool_call>", "</function", "<result", NONCE[1:]),
    *("<tool_call>", "<tool_call>{", '<tool_call>{"name":"Read","arguments":{"file_path":"/a"}}</tool_call>'),
    '<tool_call>{"name": "Write", "arguments": {"file_path": "/a", "content": "</tool_call>"}}\n</tool_call>',
    "<|tool_calls_section_begin|><|tool_call_begin|>functions.Read:0<|tool_call_argument_begin|>",
    '<|tool_call_begin|>functions.Bash:1\n<|tool_call_argument_begin|>{"command":"ls"}<|tool_call_end|>',
    '{"file_path":"/b"}<|tool_call_end|><|tool_calls_section_end|>',
    *("<|tool_call_section_begin|>", "<|tool_call_section_end|>", "<|open|>tools<|sep|>", "<|open|>", "<|sep|>"),
    *('<|open|>call tool="Bash" index="1"<|sep|>', "<|close|>call<|sep|>", "<|close|>tools<|sep|>"),
    '<|open|>argument key="command" type="string"<|sep|>a "b"<|close|>argument<|sep|>',
    *("```", "```json\n", "\n```\n", "~~~\n", "````", "`", "``", "`" * 99, "`" * 101, "\n   ```\n", "    ```\n"),
    *(f"```{'x' * 22}\n", f"```{'x' * 24}\n", f"```{' ' * 40}\n", "```a`b\n", "\n```\n```\n"),
    *("\n", "\n\n   ", " " * 30, " " * 40, "\n" * 33, "\r\n", "\t", "\x00", "\x1c", "\u2028", "\u00a0", "\u3000"),
    *(
        "{",
        "}",
        "}}",
        "}" * 41,
        "[",
        "]",
        "]}",
        '"',
        '\\"',
        "\\",
        "\\u12",
        "\\ud83d",
        "\\n",
        ",",
        ":",
        "true",
        "12",
        "-",
    ),
    *(
        '{"file_path": "/a"}',
        '{"command": "say "hi""}',
        '", "limit": "20"}',
        '{"name": "Read", "arguments": ',
        '"opts": {',
    ),
    *(
        '{"file_path": "C:\\new"}',
        '[{"file_path": "/a"}]',
        "{'file_path': '/a',}",
        '"{\\"a\\": 1}"',
        "null}",
        "[" * 250,
        '{"a": ' * 250,
    ),
    *("<", "<<", ">", "/", "/>", "'", "name=", "好", "\U0001f600", "\ud83d"),
)

Pieces = Sequence[str | None]
Reader = Callable[[Pieces, "Seed"], Outcome]


@dataclass(frozen=True)
class Seed:
    """An answer with the rules that it is read by; `clean` says that it ends well, `thought` that it is thinking."""

    text: str
    rules: Rules
    clean: bool = True
    thought: bool = False


@dataclass
class Figures:
    """What was done: answers, cuts of them, and how many characters were held back in text at the most."""

    answers: int = 0
    cuts: int = 0
    longest: int = 0


def as_it_is(pieces: Pieces, seed: Seed) -> Outcome:
    """Read as the gateway does."""
    return think(pieces, seed.rules) if seed.thought else read(pieces, seed.rules, clean=seed.clean)


def seeds() -> list[Seed]:
    """The answers and thoughts of the corpus, each by rules of its own and by some more."""
    found = [Seed(call("Write", json.dumps({"file_path": "/a", "content": f"{call()}\n```\n"})), rules(Mode.EAGER))]
    for row in rows():
        text = row["upstream_text"]
        if row["tools"] and len(text) <= LONGEST:
            found += [Seed(text, rules_of(row, mode)) for mode in Mode]
            found.append(Seed(row.get("upstream_thinking") or text, rules_of(row), thought=True))
    return found


def varied(seed: Seed, chance: random.Random) -> Seed:
    """The same answer by rules that may be others, with an end that may be another; most answers end well."""
    told = seed.rules
    match chance.randint(0, 11):
        case 0:
            told = replace(told, discards=True)
        case 1:
            told = replace(told, allowed=frozenset(["Bash"]))
        case 2:
            told = replace(told, parallel=False)
        case 3:
            told = replace(told, foreign=False, results_end=False)
        case 4:
            told = replace(told, tools={}, allowed=frozenset(), discards=True)
    return replace(seed, rules=told, clean=chance.random() < 0.7)


def mutated(text: str, chance: random.Random, others: Sequence[str]) -> str:
    """An answer that is a little or quite another one; some are long."""
    if chance.random() < 0.01:
        text *= 1 + 2 * AT_ONCE // (len(text) + 1)
    for _ in range(chance.randint(1, 6)):
        place = chance.randint(0, len(text))
        end = place + chance.randint(1, 40)
        match chance.randint(0, 10):
            case 0 | 1:
                text = text[:place] + chance.choice(SPLICES) + text[place:]
            case 2:
                text = text[:place] + text[place + chance.randint(1, 12) :]
            case 3:
                text = text[:place]
            case 4:
                text = text[:place] + text[max(0, place - chance.randint(1, 40)) :]
            case 5:
                other = chance.choice(others)
                text = text[:place] + other[chance.randint(0, len(other)) :]
            case 6:
                text = "".join(chance.choice(SPLICES) for _ in range(chance.randint(1, 6))) + text
            case 7:
                text = text + chance.choice(SPLICES) + chance.choice(others)
            case 8:
                text = text[:place] + json.dumps(text[place:end])[1:-1] + text[end:]
            case 9:
                text = text[:place] + text[place:end] * chance.randint(2, 20) + text[end:]
            case _:
                text = text.replace(
                    *chance.choice([("\n", "\r\n"), ("\n", ""), ("\n", "\n    "), ('"', "'"), ('"', '\\"')])
                )
    return text[:LONGEST]


def cuts(pieces: Pieces, chance: random.Random) -> Iterator[Pieces]:
    """The pieces in single characters, if they are short, and cut at some random places."""
    if sum(len(piece or "") for piece in pieces) <= LONGEST // 20:
        yield [part for piece in pieces for part in ([None] if piece is None else piece)]
    for _ in range(CUTS):
        parts: list[str | None] = []
        for piece in pieces:
            if piece is None:
                parts.append(None)
                continue
            places = sorted(chance.randint(0, len(piece)) for _ in range(chance.randint(1, 12)))
            parts += [piece[start:end] for start, end in zip([0, *places], [*places, len(piece)], strict=True)]
        yield parts


def interrupted(text: str, chance: random.Random) -> Pieces:
    """The text, in some answers with something at one or two places that is no text."""
    places = sorted(chance.randint(0, len(text)) for _ in range(max(0, chance.randint(-6, 2))))
    pieces: list[str | None] = []
    for start, end in zip([0, *places], [*places, len(text)], strict=True):
        pieces += [text[start:end], None]
    return pieces[:-1]


def fuzz(runs: int, seed: int, reader: Reader = as_it_is) -> Figures:
    """So many runs; raises AssertionError, or what was raised, at the first one that goes wrong."""
    chance = random.Random(seed)  # noqa: S311 # it makes test data, and the same each time
    known = seeds()
    others = [each.text for each in known]
    figures = Figures()
    for number in range(runs):
        each = varied(chance.choice(known), chance)
        pieces = interrupted(mutated(each.text, chance, others), chance)
        cut: Pieces = pieces
        try:
            expected = reader(pieces, each)
            assert not MARKS.pattern.search(expected.text), "a mark leaks"
            for cut in cuts(pieces, chance):
                figures.cuts += 1
                outcome = reader(cut, each)
                figures.longest = max(figures.longest, outcome.longest)
                assert outcome == expected, "another outcome"
        except BaseException:
            how = f"clean {each.clean}, thought {each.thought}, {_told(each.rules)}"
            sys.stderr.write(f"seed {seed}, run {number}, {how}: {pieces!r}\n  cut: {cut!r}\n")
            raise
        figures.answers += 1
    return figures


def _told(told: Rules) -> str:
    modes = {tool.mode.value for tool in told.tools.values()}
    return f"{modes}, allowed {sorted(told.allowed)}, discards {told.discards}, parallel {told.parallel}"


def main() -> None:
    """Run from a shell."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--runs", type=int, default=25_000)
    arguments.add_argument("--seed", type=int, action="append")
    chosen = arguments.parse_args()
    for seed in chosen.seed or [1]:
        started = time.monotonic()
        figures = fuzz(chosen.runs, seed)
        took = time.monotonic() - started
        sys.stdout.write(
            f"seed {seed}: {figures.answers} answers in {figures.cuts} cuts, {took:.0f} s; "
            f"{figures.longest} characters held in text at the most\n"
        )


if __name__ == "__main__":
    main()
