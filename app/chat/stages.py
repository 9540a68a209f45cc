"""Pure steps between upstream and dialect: a list of events in, a list of events out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from app.chat.events import (
    Annotation,
    Cited,
    Event,
    Failed,
    Finished,
    Source,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallEnd,
    Usage,
)
from app.chat.tokens import Estimator

Stage = Callable[[list[Event]], list[Event]]
"""A stage keeps its own few fields between calls and treats Finished and Failed as the end."""

MAX_UNCITED = 10
"""How many sources are named when the text cites none: a search returns up to fifty."""


def numbered_list(sources: Sequence[Source]) -> str:
    """A readable list in Markdown, numbered as the citations in the text are."""
    lines = [f"{number}. [{_label(source)}]({source.url})" for number, source in enumerate(sources, start=1)]
    return "\n\nSources:\n" + "\n".join(lines)


def _label(source: Source) -> str:
    title = " ".join(source.title.split())
    return title.replace("[", "(").replace("]", ")") or source.url


class Citations:
    """Gives each citation its place in the text.

    With `written` the citations also stand in the text itself as `[1]`, and the sources are listed at its end:
    that is for people who read plain text. Without it they are annotations only, of no width. An answer that
    searched but cites nothing is annotated at its end with the first sources found.
    """

    def __init__(self, *, written: bool) -> None:
        self._written = written
        self._length = 0
        self._found: dict[str, Source] = {}
        self._cited: dict[str, int] = {}

    def __call__(self, events: list[Event]) -> list[Event]:
        """Pass events on, with citations turned into annotations."""
        out: list[Event] = []
        for event in events:
            match event:
                case TextDelta(text):
                    self._length += len(text)
                    out.append(event)
                case Source(url):
                    self._found.setdefault(url, event)
                case Cited(sources):
                    for source in sources:
                        self._cite(source, out)
                case Finished():
                    self._close(out)
                    out.append(event)
                case _:
                    out.append(event)
        return out

    def _cite(self, source: Source, out: list[Event]) -> None:
        self._found.setdefault(source.url, source)
        number = self._cited.setdefault(source.url, len(self._cited) + 1)
        start = self._length
        if self._written:
            self._say(f"[{number}]", out)
        out.append(Annotation(source=source, start=start, end=self._length))

    def _close(self, out: list[Event]) -> None:
        sources = [self._found[url] for url in self._cited]
        if not sources:
            sources = list(self._found.values())[:MAX_UNCITED]
            end = self._length
            out.extend(Annotation(source=source, start=end, end=end) for source in sources)
        if self._written and sources:
            self._say(numbered_list(sources), out)

    def _say(self, text: str, out: list[Event]) -> None:
        self._length += len(text)
        out.append(TextDelta(text))


class UsageCount:
    """Counts what passes and says so just before the end; no upstream of this kind reports usage."""

    def __init__(self, prompt_tokens: int) -> None:
        self._prompt_tokens = prompt_tokens
        self._text = Estimator()
        self._arguments = Estimator()
        self._thinking = Estimator()

    def __call__(self, events: list[Event]) -> list[Event]:
        """Pass events on, with Usage before Finished."""
        out: list[Event] = []
        for event in events:
            match event:
                case TextDelta(text):
                    self._text.feed(text)
                case ToolCallDelta(arguments=text):
                    self._arguments.feed(text)
                case ThinkingDelta(text):
                    self._thinking.feed(text)
                case Finished():
                    out.append(self._usage())
                case _:
                    pass
            out.append(event)
        return out

    def _usage(self) -> Usage:
        return Usage(
            prompt=self._prompt_tokens,
            completion=self._text.total + self._arguments.total,
            reasoning=self._thinking.total,
        )


class CallEnds:
    """Passes the end of a call on together with what follows it.

    An answer that fails right behind a call has then not made it: agents run a call as soon as it has come to its end,
    and go on as if the answer had been whole.
    """

    def __init__(self) -> None:
        self._held: list[Event] = []

    def __call__(self, events: list[Event]) -> list[Event]:
        """Pass events on."""
        out: list[Event] = []
        for event in events:
            if self._held and not isinstance(event, Failed):
                out += self._held
            self._held = [event] if isinstance(event, ToolCallEnd) else []
            if not self._held:
                out.append(event)
        return out


def ended(events: Sequence[Event]) -> bool:
    """Whether these events end their answer."""
    return bool(events) and isinstance(events[-1], Finished | Failed)
