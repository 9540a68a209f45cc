"""The JSON values in an answer that was to be one and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from app.toolcalls.repair import Mended, mended
from app.toolcalls.scanner import Scanner

MAX_STARTS = 20
"""Places in an answer at which a value is looked for."""

_FENCE = re.compile(r"```[a-zA-Z0-9]{0,12}[ \t]*\n(.*?)\n?[ \t]*```", re.DOTALL)
_START = re.compile(r"[{\[]")


class Brackets:
    """Whether a text ends between brackets, as far as that can be told of one that is no JSON."""

    def __init__(self) -> None:
        self._curly = self._square = 0

    @property
    def any(self) -> bool:
        """Whether there are brackets that have not been closed."""
        return self._curly > 0 or self._square > 0

    def read(self, text: str) -> None:
        """Go on with `text`."""
        self._curly += text.count("{") - text.count("}")
        self._square += text.count("[") - text.count("]")


def values_in(text: str) -> Iterator[Mended]:
    """The JSON values in an answer: all of it, or what stands in fences, and then what has brackets around it.

    A part of a value that is broken is none.
    """
    text = text.strip()
    whole = mended(text)
    if whole is not None:
        yield whole
        return
    fenced = [mended(block[1].strip()) for block in islice(_FENCE.finditer(text), MAX_STARTS)]
    yield from filter(None, fenced)
    at, brackets = 0, Brackets()
    for _ in range(MAX_STARTS):
        start = _START.search(text, at)
        if start is None:
            return
        begin = start.start()
        brackets.read(text[at:begin])
        scanner = Scanner()
        end = scanner.feed(text[begin:])
        if end is None and scanner.broken is None:
            return  # it was cut off
        at = begin + (end or max(1, scanner.broken or 0))
        found = mended(text[begin:at]) if end is not None and not brackets.any else None
        if found is not None:
            yield found
        brackets.read(text[begin:at])
