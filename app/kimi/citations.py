"""Citation markers in the answer's text: taken out, resolved, never shown, wherever the network cuts them.

Three forms are known (protocol.md A5, B8):
* U+E3A0 `cite` SEP ref [SEP ref ...] [`:~:text=` quote] U+E3A8, where SEP is U+E3A3 (June 2026) or U+1F6E0 (August
  2026), the closer also U+1F3A8 and the keyword also `article`; it may lack its closer;
* `[^N^]`, counting from 1 (legacy site, deep research);
* `[search result (N)]` and its Chinese wording (k1.x; from client code only).
The bracketed forms are taken for markers only after a search has found something: before, they are the model's text.
"""

from __future__ import annotations

import re

from app.chat.events import Cited, Source, TextDelta

MAX_MARKER = 600
"""Code points; a marker that has not closed by then lacks its closer (protocol.md B8)."""

_OPEN = "\ue3a0"
_SEPARATORS = "\ue3a3\U0001f6e0"
_CLOSE = re.compile("[\ue3a8\U0001f3a8\n]")
_QUOTE = ":~:text="
_STRAY = re.compile("[\ue3a3\ue3a8]")
_WORDS = ("cite", "article")
_CUT_WORDS = "|".join(word[:length] for word in _WORDS for length in range(len(word) - 1, 0, -1))
_UNCLOSED = re.compile(
    f"{_OPEN}(?:{'|'.join(_WORDS)}|(?:{_CUT_WORDS})\\Z)?(?:[{_SEPARATORS}]\ufe0f?(?:(?!{_QUOTE})[0-9A-Za-z_:#.-])*)*"
)
_NUMBERED = re.compile(r"\[\^(\d{1,4})\^\]|\[(?:search result|搜索结果) ?[(（](\d{1,4})[)）]\]", re.IGNORECASE)
_NUMBERED_TAIL = re.compile(
    r"\[(?:\^(?:\d{1,4}\^?)?|(?:s[a-z ]{0,12}|搜[搜索结果]{0,3}) ?(?:[(（](?:\d{1,4}[)）]?)?)?)?\Z",
    re.IGNORECASE,
)
"""The beginning of a bracketed marker at the end of what has come; at most 22 code points."""


class MarkerScanner:
    """Turns raw text into TextDelta and Cited; holds back at most one unfinished marker."""

    def __init__(self) -> None:
        self._held = ""
        self._by_ref: dict[str, Source] = {}
        self._numbered: list[Source] = []

    def add(self, source: Source, refs: tuple[str, ...] = (), *, number: bool = True) -> None:
        """Make a source known under the names that markers use, and, with `number`, as the next number."""
        for ref in refs:
            self._by_ref[ref] = source
        if number:
            self._numbered.append(source)

    def knows(self, ref: str) -> bool:
        """Whether a source has been made known under this name."""
        return ref in self._by_ref

    def feed(self, text: str) -> list[TextDelta | Cited]:
        """Take in text as it came; give what is decided."""
        return self._scan(self._held + text, final=False)

    def finish(self) -> list[TextDelta | Cited]:
        """Give what is still held: an unclosed marker goes, text stays."""
        return self._scan(self._held, final=True)

    def _scan(self, text: str, *, final: bool) -> list[TextDelta | Cited]:
        out: list[TextDelta | Cited] = []
        self._held = ""
        while True:
            start = text.find(_OPEN)
            if start < 0:
                self._plain(text, out, final=final)
                return out
            closer = _CLOSE.search(text, start, start + MAX_MARKER + 1)
            if closer is None and len(text) - start <= MAX_MARKER and not final:
                self._plain(text[:start], out, final=True)
                self._held = text[start:]
                return out
            self._plain(text[:start], out, final=True)
            if closer is not None and closer[0] != "\n":
                self._cite(text[start : closer.start()], out)
                text = text[closer.end() :]
            else:
                text = self._strip_unclosed(text[start:], out)

    def _strip_unclosed(self, text: str, out: list[TextDelta | Cited]) -> str:
        """Drop the marker itself and keep what follows on its line: that is the model's text."""
        window = text[: MAX_MARKER + 1].partition("\n")[0]
        marker = _UNCLOSED.match(window)
        end = marker.end() if marker else 1
        self._cite(text[:end], out)
        if window.startswith(_QUOTE, end):
            end = len(window)
        return text[end:]

    def _cite(self, marker: str, out: list[TextDelta | Cited]) -> None:
        sources = [self._by_ref[ref] for ref in marker_refs(marker) if ref in self._by_ref]
        if sources:
            out.append(Cited(tuple(dict.fromkeys(sources))))

    def _plain(self, text: str, out: list[TextDelta | Cited], *, final: bool) -> None:
        text = _STRAY.sub("", text)
        if not self._numbered:
            _say(text, out)
            return
        if not final:
            tail = _NUMBERED_TAIL.search(text)
            if tail:
                self._held = tail[0]
                text = text[: tail.start()]
        done = 0
        for match in _NUMBERED.finditer(text):
            _say(text[done : match.start()], out)
            done = match.end()
            number = int(match[1] or match[2])
            if 1 <= number <= len(self._numbered):
                out.append(Cited((self._numbered[number - 1],)))
        _say(text[done:], out)


def marker_refs(marker: str) -> list[str]:
    """The names inside a private-use marker, without its keyword and quote."""
    body = marker.strip("\ue3a0\ue3a8\U0001f3a8").partition(_QUOTE)[0].replace("\ufe0f", "")
    return [ref for ref in re.split(f"[{_SEPARATORS}]", body)[1:] if ref]


def _say(text: str, out: list[TextDelta | Cited]) -> None:
    if text:
        out.append(TextDelta(text))
