"""How the chunks of a streamed answer stand on the wire: as events with `alt=sse`, else as the elements of an array.

Nothing but chunks may stand there: a comment, an `event:` line or `[DONE]` breaks gemini-cli and Google's SDK
(conformance.md, section 3b).
"""

from __future__ import annotations

from typing import Protocol

from app.dialects import sse


class Framing(Protocol):
    """The frame of one answer's chunks, each a JSON object."""

    content_type: str

    def chunk(self, json: bytes) -> bytes:
        """The next chunk."""

    def end(self) -> bytes:
        """What stands behind the last one; it is asked for once."""


class EventFraming:
    """One event for each chunk; the end of the stream has no mark."""

    content_type = sse.CONTENT_TYPE

    def chunk(self, json: bytes) -> bytes:
        """The next event."""
        return b"data: " + json + b"\n\n"

    def end(self) -> bytes:
        """Nothing."""
        return b""


class ArrayFraming:
    """One array with an element for each chunk, each on lines of its own."""

    content_type = "application/json"

    def __init__(self) -> None:
        self._opened = False

    def chunk(self, json: bytes) -> bytes:
        """The next element, behind the bracket or the comma."""
        before, self._opened = (b",\n" if self._opened else b"["), True
        return before + json

    def end(self) -> bytes:
        """The closing bracket."""
        return b"]" if self._opened else b"[]"
