"""What the builders make and the transport sends: plain values, no sockets."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from app.chat.cancellation import Cancellation

_PIECE = 64 * 1024
_TURN = 16  # reads after which others get their turn


@dataclass(frozen=True, slots=True)
class FileBody:
    """A body that is read from a file while it is sent: `size` bytes from its beginning, between two that frame it."""

    file: BinaryIO = field(repr=False)
    size: int
    head: bytes = field(default=b"", repr=False)
    tail: bytes = field(default=b"", repr=False)


class FileReader:
    """A FileBody as requests and http.client take one: with a length, and read in pieces.

    A client that has left is noticed between two pieces.
    """

    def __init__(self, body: FileBody, cancellation: Cancellation) -> None:
        body.file.seek(0)
        self._body = body
        self._parts: list[BinaryIO] = [io.BytesIO(body.head), body.file, io.BytesIO(body.tail)]
        self._cancellation = cancellation
        self._left = body.size
        self._reads = 0

    def __len__(self) -> int:
        return len(self._body.head) + self._body.size + len(self._body.tail)

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self.read(_PIECE), b"")

    def read(self, size: int) -> bytes:
        """The next bytes, at most `size`; b"" at the end."""
        self._cancellation.check()
        self._reads += 1
        if self._reads % _TURN == 0:
            time.sleep(0)  # a site that takes them fast enough would hold up all others of the worker
        while self._parts:
            part = self._parts[0]
            if data := part.read(min(size, self._left) if part is self._body.file else size):
                self._left -= len(data) if part is self._body.file else 0
                return data
            del self._parts[0]
        return b""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One HTTP request; `headers` hold the bearer token and so stay out of repr."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | FileBody | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """One HTTP answer that is not a stream; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def media_type(self) -> str:
        """The content type without its parameters, in lower case; "" if there is none."""
        return media_type(self.headers)


def media_type(headers: Mapping[str, str]) -> str:
    """The content type without its parameters, in lower case; "" if there is none."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()
