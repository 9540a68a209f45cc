"""The marks in which calls of tools and their results are written; pure.

    <call:K7Q2 name="Read">            <result:K7Q2 id="1" name="Read">
    {"file_path": "/src/a.py"}         the tool's words
    </call:K7Q2>                       </result:K7Q2>

The four letters are drawn from a secret and from how the conversation begins. So they are the same for as long as it
lasts, and what a tool gives back cannot know them: a mark with other letters is text. Kimi's own marks are never used
in a prompt: the site may take them for its own.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Collection, Iterable
from functools import cached_property

ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
"""Letters that are not taken for each other."""

LENGTH = 4


def nonce_of(secret: bytes, beginning: Iterable[str]) -> str:
    """The letters for a conversation that begins with these texts."""
    digest = hmac.new(secret, digestmod=hashlib.sha256)
    for text in beginning:
        data = text.encode(errors="surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
    number = int.from_bytes(digest.digest()[:8], "big")
    letters = []
    for _ in range(LENGTH):
        number, place = divmod(number, len(ALPHABET))
        letters.append(ALPHABET[place])
    return "".join(letters)


class Marks:
    """The marks of one conversation."""

    def __init__(self, nonce: str) -> None:
        self.nonce = nonce
        self.call = f"<call:{nonce}"
        self.call_end = f"</call:{nonce}"
        self.result = f"<result:{nonce}"
        self.result_end = f"</result:{nonce}"

    @property
    def all(self) -> tuple[str, str, str, str]:
        """Every mark."""
        return self.call, self.call_end, self.result, self.result_end

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Finds any mark, also with its letters many times over; its one group is what is left of it without them."""
        return re.compile(rf"(</?(?:call|result))(?::{re.escape(self.nonce)})++")

    @property
    def longest(self) -> int:
        """The length of the longest mark."""
        return len(self.result_end)

    def guarded(self, text: str) -> str:
        """A text of somebody else's in which no mark is one any more: each is broken by a backslash."""
        if self.nonce not in text:
            return text
        return self.pattern.sub(lambda mark: f"<\\{mark[0][1:]}", text)

    def guarded_json(self, text: str) -> str:
        """A JSON text of the same value without marks: they can stand in its strings only."""
        if self.nonce not in text:
            return text
        return self.pattern.sub(lambda mark: f"\\u003c{mark[0][1:]}", text)

    def stripped(self, text: str) -> str:
        """A text in which every mark has lost its letters."""
        return self.pattern.sub(r"\1", text) if self.nonce in text else text


class Veil:
    """The last look at what a client sees: takes the letters off every mark, whatever the parser has let through.

    It holds back what may be the beginning of a mark, and nothing else.
    """

    def __init__(self, marks: Marks) -> None:
        self._marks = marks
        self._held = ""

    def feed(self, text: str) -> str:
        """What may be shown of all that was fed so far and not given yet."""
        text = self._marks.stripped(self._held + text)
        keep = held_back(text, self._marks.all)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def finish(self) -> str:
        """What was held back: it became no mark."""
        held, self._held = self._held, ""
        return held


def held_back(text: str, literals: Collection[str], start: int = 0) -> int:
    """How many characters at the end of a text, from `start` on, may become one of these literals.

    All of them begin with `<`.
    """
    longest = max(map(len, literals))
    at = text.find("<", max(start, len(text) - longest + 1))
    while at >= 0:
        tail = text[at:]
        if any(literal.startswith(tail) for literal in literals):
            return len(tail)
        at = text.find("<", at + 1)
    return 0
