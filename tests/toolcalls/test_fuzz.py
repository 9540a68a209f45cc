"""A short run of the fuzzer; and it finds what it is for."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from app.toolcalls.arguments import Mode
from tests.toolcalls.answers import MARKS, MAX_HELD, Outcome
from tests.toolcalls.fuzz import SPLICES, Pieces, Reader, Seed, as_it_is, cuts, fuzz, interrupted, mutated, seeds

ROOT = Path(__file__).resolve().parents[2]


def holds_nothing_back(pieces: Pieces, seed: Seed) -> Outcome:
    """Takes all that has come for text as soon as a piece of it has."""
    return as_it_is([part for piece in pieces for part in (piece, None)], seed)


def forgets_ends(pieces: Pieces, seed: Seed) -> Outcome:
    """Does not tell the bracket at the end of a piece."""
    return as_it_is([piece and piece.removesuffix("<") for piece in pieces], seed)


def reads_no_further(pieces: Pieces, seed: Seed) -> Outcome:
    """Reads ten pieces."""
    return as_it_is(pieces[:10], seed)


def shows_everything(pieces: Pieces, _seed: Seed) -> Outcome:
    """Takes all for text."""
    return Outcome("".join(piece or "" for piece in pieces))


def raises(pieces: Pieces, _seed: Seed) -> Outcome:
    """Does not like backslashes."""
    if any("\\" in (piece or "") for piece in pieces):
        raise ValueError("a backslash")
    return Outcome()


def test_no_answer_is_read_in_two_ways() -> None:
    """No mark leaks, and nothing is raised; `python -m tests.toolcalls.fuzz` runs longer."""
    figures = fuzz(2_000, seed=4)
    assert figures.answers == 2_000
    assert figures.cuts > 6_000
    assert 32 < figures.longest <= MAX_HELD


@pytest.mark.parametrize(
    ("reader", "complaint"),
    [
        (holds_nothing_back, "another outcome"),
        (forgets_ends, "another outcome"),
        (reads_no_further, "another outcome"),
        (shows_everything, "a mark leaks"),
    ],
)
def test_a_broken_reader_is_found(reader: Reader, complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Soon, and it is told by which answer."""
    with pytest.raises(AssertionError, match=complaint):
        fuzz(500, seed=1, reader=reader)
    assert "seed 1, run " in capsys.readouterr().err


def test_what_is_raised_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """With the answer that did it."""
    with pytest.raises(ValueError, match="a backslash"):
        fuzz(500, seed=1, reader=raises)
    assert "\\\\" in capsys.readouterr().err


def test_cuts_change_no_answer() -> None:
    """Neither its text nor the places at which something stands that is no text."""
    chance = random.Random(1)  # noqa: S311 # it makes test data, and the same each time
    for _ in range(200):
        text = mutated(MARKS.call, chance, SPLICES)
        pieces = interrupted(text, chance)
        parts = [part or "" for part in pieces]
        assert "".join(parts) == text
        for cut in cuts(pieces, chance):
            assert segments(cut) == segments(pieces)


def segments(pieces: Pieces) -> list[str]:
    """The texts between the places at which something stands that is no text."""
    found = [""]
    for piece in pieces:
        if piece is None:
            found.append("")
        else:
            found[-1] += piece
    return found


def test_every_kind_of_answer_is_there() -> None:
    """By rules of all kinds, and thoughts."""
    known = seeds()
    assert {tool.mode for seed in known for tool in seed.rules.tools.values()} == {*Mode}
    assert {seed.thought for seed in known} == {True, False}
    assert {seed.rules.discards for seed in known} == {True, False}
    assert {seed.rules.parallel for seed in known} == {True, False}
    assert {len(seed.rules.allowed) for seed in known} == {1, 5}


def test_it_runs_from_a_shell() -> None:
    """And tells what it did."""
    command = [sys.executable, "-m", "tests.toolcalls.fuzz", "--runs", "50", "--seed", "2", "--seed", "3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first.startswith("seed 2: 50 answers in ")
    assert second.startswith("seed 3: 50 answers in ")
    assert first.endswith(" characters held in text at the most")
