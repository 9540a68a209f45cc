"""Citations in Google's words: the pages, and which stretch of the text rests on which of them.

A citation of Kimi's is a point: the text just before it rests on its sources. Google's is a segment, so each reaches
back to the citation before it or to the beginning of its line, whichever is nearer. Google counts in bytes of UTF-8
(`Segment` of the API), Kimi's places are code points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from app.chat.events import Annotation


@dataclass(slots=True)
class _Support:
    """A stretch of the text in code points, and the numbers of the pages that it rests on."""

    start: int
    end: int
    pages: list[int] = field(default_factory=list)


def grounding_metadata(text: str, annotations: Sequence[Annotation], *, part: int = 0) -> dict[str, object]:
    """The `groundingMetadata` of an answer with this text, which is the part of that index in its content."""
    pages: dict[str, tuple[int, str]] = {}
    supports: list[_Support] = []
    cited = 0
    for annotation in annotations:
        source = annotation.source
        number, _ = pages.setdefault(source.url, (len(pages), source.title))
        end = len(text[: annotation.start].rstrip())
        if end > cited or not supports:
            supports.append(_Support(_beginning(text, cited, end), end))
        if number not in supports[-1].pages:
            supports[-1].pages.append(number)
        cited = max(cited, min(annotation.end, len(text)))
    return {
        "groundingChunks": [{"web": {"uri": url, "title": title}} for url, (_, title) in pages.items()],
        "groundingSupports": [_support(text, support, part) for support in supports],
    }


def _beginning(text: str, cited: int, end: int) -> int:
    """Where the stretch begins that ends at `end`: with a word, behind what was cited before."""
    start = min(max(cited, text.rfind("\n", 0, end) + 1), end)
    return start + len(text[start:end]) - len(text[start:end].lstrip())


def _support(text: str, support: _Support, part: int) -> dict[str, object]:
    before, cited = text[: support.start].encode(), text[support.start : support.end]
    segment: dict[str, object] = {
        "startIndex": len(before),
        "endIndex": len(before) + len(cited.encode()),
        "text": cited,
    }
    if part:  # as in all of Google's JSON, 0 is not written
        segment["partIndex"] = part
    return {"segment": segment, "groundingChunkIndices": support.pages}
