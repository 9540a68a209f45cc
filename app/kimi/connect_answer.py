"""What a Connect answer is put together from: its text, what its searches found, what it asks the person."""

from __future__ import annotations

from collections.abc import Iterable

from app.chat.events import Cited, Event, Source, TextDelta
from app.kimi import json
from app.kimi.citations import MarkerScanner, marker_refs


class AnswerText:
    """The answer's text: markers taken out, and a new paragraph where other work stood between two text blocks."""

    def __init__(self, markers: MarkerScanner) -> None:
        self.spoken = False
        self._markers = markers
        self._block: str | None = None
        self._stepped = False
        self._gap_needed = False

    def step(self) -> None:
        """Something other than text has happened."""
        self._stepped = True

    def say(self, block: str, text: str, out: list[Event]) -> None:
        """Take in more text of a block."""
        if self._block not in {None, block} and self._stepped and self._gap_needed:
            text = text if text[:1].isspace() else "\n\n" + text
        self._block, self._stepped = block, False
        self._gap_needed = not text[-1:].isspace()
        self._pass(self._markers.feed(text), out)

    def flush(self, out: list[Event]) -> None:
        """Give what an unfinished marker held back."""
        self._pass(self._markers.finish(), out)

    def _pass(self, events: Iterable[TextDelta | Cited], out: list[Event]) -> None:
        for event in events:
            self.spoken = self.spoken or isinstance(event, TextDelta)
            out.append(event)


class Searches:
    """What the model's searches found (protocol.md B8); one source per address."""

    def __init__(self) -> None:
        self.markers = MarkerScanner()
        self._by_url: dict[str, Source] = {}

    def found(self, results: Iterable[object], out: list[Event], *, fallback_ref: str | None = None) -> None:
        """Take in search items; `fallback_ref` is a guess at what markers call one that does not say.

        The guess goes by an item's place, and places are not those of the names (protocol.md B8): it yields to a name.
        """
        for result in results:
            ref = json.text(result, "refIndex")
            if not ref and fallback_ref and not self.markers.knows(fallback_ref):
                ref = fallback_ref
            self._add(result, (ref,) if ref else (), out)

    def referred(self, references: Iterable[object], out: list[Event]) -> None:
        """Citations that come resolved, just before the text with their marker."""
        for reference in references:
            refs = marker_refs(json.text(reference, "matchedText"))
            cited = [json.member(item, "search") for item in json.items(reference, "items")]
            for number, result in enumerate(cited):
                own = json.text(result, "refIndex")
                names = (own, *refs[number : number + 1])
                self._add(result, tuple(name for name in names if name), out)

    def _add(self, result: object, refs: tuple[str, ...], out: list[Event]) -> None:
        base = json.member(result, "base") or result
        url, title = json.text(base, "url"), json.text(base, "title")
        if not url.startswith(("https://", "http://")):
            return
        known = self._by_url.get(url)
        source = known or self._by_url.setdefault(url, Source(url=url, title=title))
        self.markers.add(source, refs, number=known is None)
        if known is None:
            out.append(source)


def questions(args: str) -> str:
    """What the model asks the person before it goes on (protocol.md B8), as text: a client has no form for it."""
    try:
        questions = list(json.items(json.parse(args), "questions"))
    except ValueError:
        return ""
    lines: list[str] = []
    for question in questions:
        lines.append(json.text(question, "question"))
        lines += [f"- {json.text(option, 'option')}" for option in json.items(question, "options")]
    return "\n".join(lines)
