"""How far an answer has come, by its events; pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from app.chat.events import Event, Failed, Preamble


def begun(events: Sequence[Event]) -> bool:
    """Whether these events hold something that a client would see."""
    return any(not isinstance(event, Preamble | Failed) for event in events)


def failure(events: Sequence[Event]) -> Failed | None:
    """The failure that ends these events, None if none does."""
    last = events[-1] if events else None
    return last if isinstance(last, Failed) else None


def opening(lists: Iterator[list[Event]]) -> list[Event]:
    """What comes before the first word, with the list that holds it (or the end); all as one list."""
    first: list[Event] = []
    for events in lists:
        first += events
        if begun(events) or failure(events):
            break
    return first
