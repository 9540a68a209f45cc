"""Looks for a pattern that somebody wrote, and ends soon.

Python's own `re` cannot be interrupted; `regex` can, and so is used instead. Its clock does not count while it writes
repetitions out, nor while it looks for literal text: a short pattern could take all memory, and a long one seconds. So
patterns are weighed before, and what JavaScript's patterns do not have is not used.
"""

from __future__ import annotations

import re

import regex

SECONDS = 0.05
"""How long one search may take."""

MAX_SLOW = 3
"""So many patterns may take too long before no pattern is looked for any more."""

MAX_PATTERN = 5000
MAX_TEXT = 20_000
"""Characters; the clock is looked at once in many steps, and one step can go over the whole text."""

MAX_WEIGHT = 50_000
MAX_SEARCH = 10_000_000
"""A pattern's weight is about its length with its repetitions written out; a search takes weight times text."""

_ESCAPED = re.compile(r"\\[pP]\{[^{}]*\}|\\u\{[^{}]*\}|\\.", re.DOTALL)
_FOREIGN = re.compile(r"\(\?(?!:|=|!|<=|<!|P?<[A-Za-z_]\w*>|i\)|i:)|\{(?![0-9])|\(\*")
_REPEATED = re.compile(r"([)}]?)\{([0-9]+)")


def searchable(pattern: str, text: str) -> bool:
    """Whether a pattern has only what JavaScript's have, and its repetitions written out stay within reason."""
    if len(pattern) > MAX_PATTERN or len(text) > MAX_TEXT:
        return False
    plain = _ESCAPED.sub("x", pattern)
    if _FOREIGN.search(plain):
        return False
    weight, longest = len(pattern), 1
    for nested, written in _REPEATED.findall(plain):
        count = max(1, int(written[:9]))
        if nested:
            weight *= count
        longest = max(longest, count)
        if weight * longest > MAX_WEIGHT:
            return False
    return weight * longest <= min(MAX_WEIGHT, MAX_SEARCH // (len(text) + 1))


class Search:
    """Looks for patterns; one that is broken or takes too long is not looked for again."""

    def __init__(self) -> None:
        self._unfit: set[str] = set()
        self._slow = 0

    def found(self, pattern: str, text: str) -> bool | None:
        """Whether a pattern is found in a text; None if that cannot be told."""
        if pattern in self._unfit or self._slow >= MAX_SLOW or not searchable(pattern, text):
            return None
        try:
            return regex.search(pattern, text, timeout=SECONDS) is not None
        except TimeoutError:
            self._slow += 1
        except Exception:  # noqa: BLE001, S110 # a compiler can fail at a pattern in many ways
            pass
        self._unfit.add(pattern)
        return None
