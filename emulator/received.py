"""What an upload brought: its bytes are hashed while they arrive, and dropped."""

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import gevent

from emulator.multipart import Head, read_parts
from emulator.values import Json, Malformed

_PIECE = 64 * 1024
_READABLE = 256 * 1024
"""A file of at most so many bytes is kept as text, if it is one: tests read what prompt files say."""


class Stream(Protocol):
    """Where a request body comes from."""

    def read(self, size: int, /) -> bytes:
        """Give at most so many bytes, none at the end."""


@dataclass(frozen=True)
class Part:
    """One file as it arrived. `field` and `name` are None where the protocol sends none."""

    field: str | None
    name: str | None
    content_type: str
    size: int
    sha256: str
    text: str | None

    def as_log(self) -> Json:
        """Give the summary that stands in the log for the bytes."""
        keys = ("field", "name", "content_type", "size", "sha256")
        return {key: getattr(self, key) for key in keys}


@dataclass(frozen=True)
class Received:
    """The body of one upload. `mistake` says what is wrong with its form; then there are no parts."""

    parts: tuple[Part, ...] = ()
    mistake: str = ""

    def as_log(self) -> Json:
        """Give a summary: of the one part, or of all, or the mistake."""
        if self.mistake:
            return {"mistake": self.mistake}
        if len(self.parts) == 1:
            return self.parts[0].as_log()
        return {"parts": [part.as_log() for part in self.parts]}


class _Sink:
    """Hashes bytes and keeps the first few."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._kept = b""
        self._size = 0

    def take(self, data: bytes) -> None:
        """Take the next bytes."""
        self._digest.update(data)
        self._size += len(data)
        self._kept = self._kept + data if self._size <= _READABLE else b""

    def part(self, head: Head) -> Part:
        """Say what came."""
        text: str | None = None
        if self._size <= _READABLE:
            with contextlib.suppress(UnicodeDecodeError):  # a picture, say
                text = self._kept.decode()
        return Part(head.field, head.name, head.content_type, self._size, self._digest.hexdigest(), text)


def receive_raw(stream: Stream, content_type: str) -> Received:
    """Read a body that is the file itself."""
    sink = _Sink()
    for piece in _pieces(stream):
        sink.take(piece)
    return Received((sink.part(Head(None, None, content_type)),))


def receive_form(stream: Stream, content_type: str) -> Received:
    """Read a multipart body, to its end whatever is wrong with it."""
    pieces = _pieces(stream)
    parts: list[Part] = []
    try:
        for head, contents in read_parts(pieces, content_type):
            sink = _Sink()
            for data in contents:
                sink.take(data)
            parts.append(sink.part(head))
    except Malformed as error:
        return Received(mistake=str(error))
    finally:
        for _ in pieces:  # an answer before the end of the question would be a broken pipe to the client
            pass
    return Received(tuple(parts))


def _pieces(stream: Stream) -> Iterator[bytes]:
    """Read a body piece by piece, and let the other connections have their turn in between."""
    while piece := stream.read(_PIECE):
        yield piece
        gevent.sleep(0)
