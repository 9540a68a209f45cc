"""Follows one JSON value as it arrives: where it ends, and which members of the outermost object are whole.

It is strict, but for a comma before a closing bracket. At the first thing that JSON does not allow it stops and is
`broken`: where the value ends is then no longer a question of brackets. Escapes and control characters in strings are
nobody's concern here; they change nothing about where a string ends.
"""

from __future__ import annotations

import re
from enum import Enum

MAX_WORD = 400
"""Characters of a number; a longer one breaks the value, so that what is no JSON need not be kept in mind."""

_TOKEN = re.compile(r'[ \t\r\n]++|[{}\[\],:"<]|[^ \t\r\n{}\[\],:"<]++')
"""A word also ends before a `<`, which may begin a mark."""

_INSIDE = re.compile(r'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
"""The inside of a string, up to its closing quote, to an escape that is not whole, or to the end of the text."""

_WORDS = frozenset({"true", "false", "null"})
_LITERAL = re.compile(r"true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_OPENERS = {"{": "}", "[": "]"}


class Expects(Enum):
    """What may come next."""

    VALUE = 1
    FIRST_KEY = 2
    FIRST_ITEM = 3
    KEY = 4
    ITEM = 5
    COLON = 6
    NEXT = 7


_VALUES = frozenset({Expects.VALUE, Expects.FIRST_ITEM, Expects.ITEM})
_KEYS = frozenset({Expects.FIRST_KEY, Expects.KEY})
_CLOSABLE = frozenset({Expects.NEXT, Expects.FIRST_KEY, Expects.FIRST_ITEM, Expects.KEY, Expects.ITEM})


class Scanner:
    """One JSON value.

    `members` are those of the outermost object that are whole and confirmed by what follows them, each as the JSON
    texts of its name and its value: a quote too many shows soon behind a value. `key` is the name of the member that is
    being read or waits for that. `broken` is the place at which the scanner stopped, counted from the first character;
    `comma` says that one stood before a closing bracket.
    """

    def __init__(self) -> None:
        self.members: list[tuple[str, str]] = []
        self.broken: int | None = None
        self.comma = False
        self.in_string = False
        self.key: str | None = None
        self._expects = Expects.VALUE
        self._fed = 0
        self._stack: list[str] = []
        self._carry = ""
        self._raw: list[str] = []
        self._from: int | None = None
        self._value: str | None = None
        self._next_key: str | None = None
        self._sure = True

    @property
    def missing(self) -> str | None:
        """The brackets that are all that is missing at this place; None if there is more, or that cannot be told."""
        if self.in_string or not self._stack:
            return None
        behind = self._expects is Expects.NEXT and self._sure
        whole = self._expects in _VALUES and self._carry in _WORDS if self._carry else behind
        return "".join(reversed(self._stack)) if whole else None

    @property
    def unfinished_string(self) -> list[str]:
        """The pieces so far of the string that is the value being read, with its opening quote; none otherwise."""
        reading = self.in_string and self.key is not None and self._expects is Expects.VALUE and len(self._stack) == 1
        return self._raw if reading else []

    @property
    def unconfirmed(self) -> tuple[str, str] | None:
        """The member that is whole, but not confirmed yet."""
        return None if self.key is None or self._value is None else (self.key, self._value)

    def feed(self, text: str) -> int | None:
        """Go on with `text`; the number of its characters up to the value's end, once that is reached."""
        carried = len(self._carry)
        if carried:
            text, self._carry = self._carry + text, ""
        if self._from is not None:
            self._from = 0
        end = self._scan(text)
        if end is None:
            if self._from is not None and self.broken is None:
                self._raw.append(text[self._from : len(text) - len(self._carry)])
            self._fed += len(text) - len(self._carry)
            return None
        self._fed += end
        return end - carried

    def conclude(self) -> None:
        """The value is over: what its outermost object has last needs no confirmation any more."""
        self._confirm()

    def _scan(self, text: str) -> int | None:
        at, size = 0, len(text)
        while at < size:
            if self.in_string:
                inside = _INSIDE.match(text, at)
                at = inside.end() if inside else size
                if at < size and text[at] == '"':
                    at += 1
                    self._string_ends(text, at)
                    if not self._stack:
                        return at
                    continue
                self._carry = text[at:]  # a backslash whose character is still to come
                return None
            token = _TOKEN.match(text, at)
            word = token[0] if token else text[at]
            end = at + len(word)
            if word[0] in " \t\r\n":
                at = end
                continue
            if end == size and word not in '{}[],:"<' and len(word) <= MAX_WORD:
                self._carry = word  # it may go on
                return None
            if not self._takes(word, text, at, end):
                self.broken = self._fed + at
                return None
            at = end
            if not self._stack and not self.in_string:
                return at
        return None

    def _takes(self, word: str, text: str, at: int, end: int) -> bool:
        """Take in one token; False if JSON has none such here."""
        match word:
            case '"':
                fits = self._string_begins(at)
            case "{" | "[":
                fits = self._opens(word, at)
            case "}" | "]":
                fits = self._closes(word, text, end)
            case ",":
                fits = self._separates()
            case ":":
                fits = self._names()
            case _:
                fits = self._is_literal(word, text, at, end)
        return fits

    def _is_literal(self, word: str, text: str, at: int, end: int) -> bool:
        if self._expects not in _VALUES or not self._stack or len(word) > MAX_WORD or not _LITERAL.fullmatch(word):
            return False
        self._value_begins(at)
        self._value_ends(text, end)
        self._sure = word in _WORDS  # a number may have been longer
        return True

    def _string_begins(self, at: int) -> bool:
        if self._expects in _KEYS:
            if len(self._stack) == 1:
                self._from, self._raw = at, []
        elif self._expects in _VALUES:
            self._value_begins(at)
        else:
            return False
        self.in_string = True
        return True

    def _string_ends(self, text: str, end: int) -> None:
        self.in_string = False
        if self._expects in _KEYS:
            if len(self._stack) == 1:
                self._next_key = self._taken(text, end)
            self._expects = Expects.COLON
        else:
            self._value_ends(text, end)

    def _opens(self, word: str, at: int) -> bool:
        if self._expects not in _VALUES:
            return False
        self._value_begins(at)
        self._stack.append(_OPENERS[word])
        self._expects = Expects.FIRST_KEY if word == "{" else Expects.FIRST_ITEM
        return True

    def _closes(self, word: str, text: str, end: int) -> bool:
        if not self._stack or self._stack[-1] != word or self._expects not in _CLOSABLE:
            return False
        self.comma = self.comma or self._expects in {Expects.KEY, Expects.ITEM}
        self._stack.pop()
        self._value_ends(text, end)
        return True

    def _separates(self) -> bool:
        if self._expects is not Expects.NEXT:
            return False
        self._expects = Expects.KEY if self._stack[-1] == "}" else Expects.ITEM
        return True

    def _names(self) -> bool:
        if self._expects is not Expects.COLON:
            return False
        self._expects = Expects.VALUE
        if len(self._stack) == 1:
            self._confirm()
            self.key, self._next_key = self._next_key, None
        return True

    def _value_begins(self, at: int) -> None:
        """A value begins; what is collected is one of the outermost object."""
        if len(self._stack) == 1 and self._stack[0] == "}":
            self._from, self._raw = at, []

    def _value_ends(self, text: str, end: int) -> None:
        self._expects, self._sure = Expects.NEXT, True
        if len(self._stack) == 1 and self._stack[0] == "}":
            self._value = self._taken(text, end)

    def _taken(self, text: str, end: int) -> str:
        """What was collected up to here."""
        self._raw.append(text[self._from : end])
        raw, self._raw, self._from = "".join(self._raw), [], None
        return raw

    def _confirm(self) -> None:
        if self.key is not None and self._value is not None:
            self.members.append((self.key, self._value))
        self.key = self._value = None
