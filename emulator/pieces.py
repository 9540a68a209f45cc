"""Cuts an answer's text into deltas, with its citations where the test wants them."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from emulator.answers import Answer

_PLACEHOLDER = re.compile(r"\{\{cite:(\d+(?:,\d+)*)\}\}")
_WORD = re.compile(r"\s*\S+|\s+")

_OPENER, _CLOSER = "\ue3a0", "\ue3a8"
_SEPARATORS = {"e3a3": "\ue3a3", "1f6e0": "\U0001f6e0"}


@dataclass(frozen=True)
class Delta:
    """A piece of text. `cites` are the search items whose record goes out just before (B8)."""

    text: str
    cites: tuple[int, ...] = ()
    marker: str = ""
    """The whole marker that begins with this delta, the record's matchedText."""


def search_reference(index: int) -> str:
    """Name search item `index` as the live capture does: the tool call, then the place in it."""
    return f"web_search:1#{index}"


def connect_marker(answer: Answer, cites: tuple[int, ...]) -> str:
    """Write a citation marker in the private alphabet of B8."""
    separator = _SEPARATORS[answer.cite]
    return separator.join([f"{_OPENER}cite", *map(search_reference, cites)]) + _CLOSER


def legacy_marker(_answer: Answer, cites: tuple[int, ...]) -> str:
    """Write a citation as the legacy site does, counted from 1 (A5)."""
    return "".join(f"[^{index + 1}^]" for index in cites)


def cut(text: str, piece: int) -> list[str]:
    """Cut a text into pieces of so many characters; 0 asks for words."""
    if piece <= 0:
        return _WORD.findall(text)
    return [text[start : start + piece] for start in range(0, len(text), piece)]


def deltas(answer: Answer, text: str, marker: Callable[[Answer, tuple[int, ...]], str]) -> Iterator[Delta]:
    """Cut a text with `{{cite:0}}` placeholders into deltas; a marker is a delta of its own.

    With `split_cite` the marker comes one character at a time, as two sources warn (B8).
    """
    position = 0
    for found in _PLACEHOLDER.finditer(text):
        yield from map(Delta, cut(text[position : found.start()], answer.piece))
        cites = tuple(int(index) for index in found[1].split(","))
        whole = marker(answer, cites)
        first, *rest = list(whole) if answer.split_cite else [whole]
        yield Delta(first, cites, whole)
        yield from map(Delta, rest)
        position = found.end()
    yield from map(Delta, cut(text[position:], answer.piece))


def limited(source: Iterator[Delta], characters: int) -> Iterator[Delta]:
    """Give deltas until so many characters have passed; the last one may be cut short."""
    for delta in source:
        if characters <= 0:
            return
        yield Delta(delta.text[:characters], delta.cites, delta.marker)
        characters -= len(delta.text)
